"""The panel of notebook 05: when averaging starts, which rate it runs at, and how much of the run it covers."""

from __future__ import annotations

from typing import Any

from ftlab.lab.chart import Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Panel
from ftlab.lab.plots.swa import averaging_sheet
from ftlab.recipe import Recipe
from ftlab.schedules import LRSchedule, preview


class SWAPanel(Panel):
    """Move the start of averaging, its rate, the steps of annealing and the decay from layer to layer; see every
    layer's rate with the averaging phase drawn bold, and how many steps it holds.

    The rates are `ftlab.preview`, so what you see is what `fit` applies. steps_per_epoch: optimizer updates an
    epoch (27 for `passages` with batches of 16). num_layers: only for a model that is not known here.
    """

    title = "Averaging the weights"

    def __init__(self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None) -> None:
        recipe = Recipe() if recipe is None else recipe
        self.steps_per_epoch, self.num_layers = steps_per_epoch, num_layers
        latest = recipe.epochs - (0.5 if steps_per_epoch > 1 else 1)
        self.swa_start, self.swa_lr = fields.averaging(recipe, latest, step=0.25)
        self.swa_anneal_steps = fields.number(recipe, "swa_anneal_steps", high=2 * steps_per_epoch)
        self.layer_decay = fields.number(recipe, "layer_decay", step=0.01)
        self.log_axis = fields.log_axis()
        averaging = [self.swa_start, self.swa_lr, self.swa_anneal_steps]
        super().__init__(recipe, [*averaging, self.layer_decay, self.log_axis])

    def adapt(self) -> None:
        """Switch off what has no meaning: a rate without averaging, annealing without a flat rate."""
        averaging = self.swa_start.value is not None
        self.swa_lr.enable(averaging)
        self.swa_anneal_steps.enable(averaging and self.swa_lr.value is not None)

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide; a decay drops rates given by groups."""
        return {
            **super().changes(),
            "group_lrs": self.base.group_lrs if self.layer_decay.value == 1 else None,
        }

    def preview(self, recipe: Recipe) -> LRSchedule:
        """Compute the rates to draw: at most 300 steps, corners included."""
        return preview(recipe, self.steps_per_epoch, steps=300, num_layers=self.num_layers)

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe the rates by step and, below, how many steps come before, while annealing and after."""
        return averaging_sheet(self.preview(recipe), _anneal_steps(recipe), self.log_axis.value)


def _anneal_steps(recipe: Recipe) -> int:
    """Steps of annealing that the recipe really has: none while each layer keeps its rate."""
    return 0 if recipe.swa_lr is None else recipe.swa_anneal_steps
