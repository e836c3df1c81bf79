"""The panel of notebook 07: two runs of a study beside each other, their losses, scores and learning rates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.errors import DataError
from ftlab.lab.chart import BLUE, GREY, Axis, Chart, Line, Sheet, smooth, smoothing_window, thin
from ftlab.lab.panels.base import Choice, Panel
from ftlab.lab.plots.runs import METRIC_NAMES, rates_chart
from ftlab.recipe import Recipe
from ftlab.schedules import LRSchedule, preview

if TYPE_CHECKING:
    import pandas as pd

COLOURS = (GREY, BLUE)
SIDES = ("A", "B")


@dataclass(frozen=True)
class Shown:
    """One side of the panel: a cell of the study, what it is called there, and its rates before training."""

    title: str
    cell: pd.Series
    schedule: LRSchedule

    @property
    def steps(self) -> int:
        """Updates that the run made."""
        return len(self.cell["loss"])


class ResultsPanel(Panel):
    """Choose two recipes, a fold and a seed; see both runs' losses, scores and every layer's rate.

    cells: the table of `ftlab.study.load_cells`. The rates are `ftlab.preview` of each recipe. `recipe` and `code`
    are those of side B. Raises DataError for cells of several studies, or if no pair of cells can be shown.
    """

    title = "Two runs of the study"

    def __init__(self, cells: pd.DataFrame, num_layers: int | None = None) -> None:
        keys = ["name", "fold", "seed"]
        if not len(cells) or cells.duplicated(keys).any():
            raise DataError(
                f"cells: {len(cells)} of them; there must be some, and each recipe once for a fold and a seed: choose "
                "one study, as in cells[cells['data'] == 'passages']"
            )
        self.cells, self.num_layers = cells.set_index(keys).sort_index(), num_layers
        done = cells[cells["status"] == "completed"]
        if done.empty:
            raise DataError("cells: none of the runs was completed, so how long an epoch is cannot be told")
        first = done.iloc[0]
        self.steps_per_epoch = max(1, round(len(first["loss"]) / first["recipe"].epochs))
        names = list(cells["name"].unique())
        same = cells[(cells["fold"] == first["fold"]) & (cells["seed"] == first["seed"])]["name"]
        other = next((name for name in same if name != first["name"]), first["name"])
        self.left = Choice("left", "recipe A", first["name"], names, help="the run drawn in grey")
        self.right = Choice("right", "recipe B", other, names, help="the run drawn in blue")
        folds, seeds = (sorted(int(v) for v in cells[key].unique()) for key in ("fold", "seed"))
        self.fold = Choice("fold", "fold", int(first["fold"]), folds, help="which fifth is the test set")
        self.seed = Choice("seed", "seed", int(first["seed"]), seeds, help="of the head and of the order of the data")
        super().__init__(Recipe(), [self.left, self.right, self.fold, self.seed])

    def changes(self) -> dict[str, Any]:
        """Return the fields in which recipe B, with this seed, is not the plain recipe."""
        recipe = self.shown()[1].cell["recipe"].but(seed=self.seed.value)
        return {name: new for name, (_, new) in recipe.diff(self.base).items()}

    def shown(self) -> tuple[Shown, Shown]:
        """Return the two cells. Raises DataError for one that the study does not hold, naming those it does."""
        sides = []
        for side, choice in zip(SIDES, (self.left, self.right), strict=True):
            key = (choice.value, self.fold.value, self.seed.value)
            if key not in self.cells.index:
                there = self.cells.index[(self.cells.index.get_level_values("fold") == key[1])
                                         & (self.cells.index.get_level_values("seed") == key[2])]  # fmt: skip
                names = ", ".join(there.get_level_values("name")) or "none"
                raise DataError(f"{choice.label}: {key[0]!r} has no run on fold {key[1]} with seed {key[2]}; "
                                f"there: {names}")  # fmt: skip
            cell = self.cells.loc[key]
            recipe = cell["recipe"].but(seed=0)
            schedule = preview(recipe, self.steps_per_epoch, steps=200, num_layers=self.num_layers)
            sides.append(Shown(f"{side}: {choice.value}", cell, schedule))
        return sides[0], sides[1]

    def losses(self, sides: tuple[Shown, Shown]) -> list[Line]:
        """Return the smoothed training losses, A dashed."""
        lines = []
        for shown, colour, dash in zip(sides, COLOURS, ("6 3", ""), strict=True):
            loss = np.array(shown.cell["loss"], dtype=np.float64)
            mean = smooth(loss, smoothing_window(max(1, len(loss))))
            lines.append(Line(shown.title, *thin(np.arange(len(loss)), mean), colour, dash, 2.0))
        return lines

    def scores(self, sides: tuple[Shown, Shown]) -> list[Line]:
        """Return validation and, where it was scored, test at each evaluation; averaged weights if there are some."""
        lines = []
        for side, shown, colour in zip(SIDES, sides, COLOURS, strict=True):
            evals = shown.cell["evals"]
            at = np.array([found["step"] for found in evals])
            parts = [("validation", "validation", "", 2.0), ("test", "test", "2 2.5", 1.6)]
            parts.append(("swa_validation", "averaged", "9 3 2 3", 2.0))
            for key, name, dash, width in parts:
                values = np.array([found.get(key) for found in evals], dtype=np.float64)
                if np.isfinite(values).any():
                    lines.append(Line(f"{side} {name}", at, values, colour, dash, width))
        return lines

    def describe(self, sides: tuple[Shown, Shown]) -> str:
        """Say in words what is shown."""
        parts = []
        for shown in sides:
            cell = shown.cell
            parts.append(
                f"{shown.title}, {cell['status']} after {shown.steps} steps: validation {_score(cell['selected'])}, "
                f"test {_score(cell['score'])}"
            )
        _, fold, seed = sides[0].cell.name
        text = f"Fold {fold}, seed {seed}. {'; '.join(parts)}."
        difference = sides[1].cell["score"] - sides[0].cell["score"]
        return text + (f" B minus A in the test score: {difference:+.4f}." if np.isfinite(difference) else "")

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe losses and scores of both runs and, side by side, their rates; the scores that count stand below."""
        sides = self.shown()
        unit = METRIC_NAMES[sides[0].cell["metric"]]
        end = max(max(shown.steps, shown.schedule.total_steps) for shown in sides)
        x = Axis(f"optimizer step ({self.steps_per_epoch} an epoch)", 0, end, whole=True)
        frame = {"x": x, "height": 130, "labels": "above"}
        charts = [
            Chart("Training loss", self.losses(sides), note="smoothed", **frame, empty="no step"),
            Chart(unit, self.scores(sides), note="at each evaluation", **frame, empty="no evaluation"),
        ]
        top = 1.06 * max(float(shown.schedule.lr.max()) for shown in sides) or 1.0
        for shown in sides:
            rates = rates_chart(shown.schedule, title="Learning rate", note=f"of {shown.title}", height=150)
            charts.append(replace(rates, x=x, y=Axis(low=0, high=top)))
        sentence = self.describe(sides)
        return Sheet(charts, "two runs: loss, scores, learning rates", sentence, sentence, columns=2, least=280)


def _score(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "none"
