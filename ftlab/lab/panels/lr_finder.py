"""The panel of notebook 08 on the range test: the same measurement, read with another smoothing and another rule."""

from __future__ import annotations

import dataclasses
from typing import Any

from ftlab.lab.chart import Sheet
from ftlab.lab.panels.base import Choice, Number, Panel
from ftlab.lab.plots.lr_finder import range_sheet
from ftlab.recipe import Recipe
from ftlab.tuning.lr_finder import RULES, LRFinder


class LRFinderPanel(Panel):
    """Move the smoothing of a range test and choose a rule; see how far the suggestions wander on the same losses.

    Nothing is trained again. `panel.recipe` is the test's recipe with the chosen rule's rate. Raises RecipeError for a
    test without a suggestion.
    """

    title = "Reading a range test"

    def __init__(self, finder: LRFinder) -> None:
        self.finder = finder
        self.smoothing = Number(
            "smoothing",
            "smoothing",
            finder.smoothing,
            0,
            0.99,
            step=0.01,
            help="weight of the past in the mean: 0 shows each batch, 0.9 lags nine steps behind, 0.98 forty-nine",
        )
        self.rule = Choice(
            "rule",
            "rule",
            "valley",
            RULES,
            help="steepest: where the loss falls most; valley: in the middle of the longest fall; min/10: a tenth of "
            "the rate with the lowest loss",
        )
        super().__init__(finder.recipe, [self.smoothing, self.rule])

    @property
    def reading(self) -> LRFinder:
        """The test as the controls read it."""
        return dataclasses.replace(self.finder, smoothing=self.smoothing.value)

    def changes(self) -> dict[str, Any]:
        """Return the rates that the chosen rule gives the recipe."""
        return {name: new for name, (_, new) in self.reading.apply(self.rule.value).diff(self.base).items()}

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe the loss by learning rate, with the suggestions."""
        return range_sheet(self.reading, self.rule.value)
