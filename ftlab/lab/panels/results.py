"""The panel of notebook 07: two runs of a study beside each other, their curves, looks, rates and scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.errors import DataError
from ftlab.lab import old_svg as svg
from ftlab.lab import plots
from ftlab.lab.panels.base import Choice, Panel
from ftlab.recipe import Recipe
from ftlab.schedules import LRSchedule, preview

if TYPE_CHECKING:
    import pandas as pd

COLOURS = (svg.GREY, svg.BLUE)
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
    """Choose two recipes, a fold and a seed; see both runs' losses, looks, scores and every layer's rate.

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
        self.fold = Choice("fold", "fold", int(first["fold"]), folds, help="which fifth is the test part")
        self.seed = Choice("seed", "seed", int(first["seed"]), seeds, help="fresh head and order of the data")
        super().__init__(Recipe(), [self.left, self.right, self.fold, self.seed])

    def changes(self) -> dict[str, Any]:
        """Return the fields that recipe B changes, and the seed."""
        return {**self.shown()[1].cell["changes"], "seed": self.seed.value}

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

    def loss_lines(self, sides: tuple[Shown, Shown]) -> list[svg.Line]:
        """Return the smoothed training losses, A dashed."""
        lines = []
        for shown, colour, dash in zip(sides, COLOURS, ("6 3", ""), strict=True):
            loss = np.array(shown.cell["loss"], dtype=np.float64)
            smooth = svg.smooth(loss, svg.smoothing_window(max(1, len(loss))))
            lines.append(svg.Line(shown.title, *svg.thin(np.arange(len(loss)), smooth), colour, dash, 2.0))
        return lines

    def look_lines(self, sides: tuple[Shown, Shown]) -> list[svg.Line]:
        """Return validation and, where it was scored, test at each look; averaged weights where there are some."""
        lines = []
        for side, shown, colour in zip(SIDES, sides, COLOURS, strict=True):
            looks = shown.cell["evals"]
            at = np.array([look["step"] for look in looks])
            parts = [("validation", "validation", "", 2.0), ("test", "test", "2 2.5", 1.6)]
            parts.append(("swa_validation", "averaged", "9 3 2 3", 2.0))
            for key, name, dash, width in parts:
                values = np.array([look.get(key) for look in looks], dtype=np.float64)
                if np.isfinite(values).any():
                    lines.append(svg.Line(f"{side} {name}", at, values, colour, dash, width))
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

    def draw(self, recipe: Recipe) -> str:
        """Return losses, looks and scores of both runs and, beside each other, their rates, as SVG text."""
        self._drawn_sides = sides = self.shown()
        label, end = self.describe(sides), _end(sides)
        wide = {"label": label, "x_label": "step", "width": 580, "height": 200, "x_range": (0, end)}
        unit = plots.METRIC_NAMES[sides[0].cell["metric"]]
        looks = self.look_lines(sides)
        pictures = [
            svg.line_chart(self.loss_lines(sides), title="Training loss, smoothed", y_label="loss", **wide),
            svg.line_chart(looks, title="Scores at each look", y_label=unit, **wide),
            svg.bar_chart(
                [f"{side} {part}" for side in SIDES for part in ("validation", "test")],
                [shown.cell[key] for shown in sides for key in ("selected", "score")],
                title=f"{unit} of the weights that are judged",
                x_label=unit,
                label=label,
                colours=[colour for colour in COLOURS for _ in range(2)],
                notes=[_score(shown.cell[key]) for shown in sides for key in ("selected", "score")],
                width=580,
                height=150,
            ),
        ]
        top = 1.08 * max(float(shown.schedule.lr.max()) for shown in sides) or 1.0
        for shown, lines, width in zip(sides, self.rate_lines(sides).values(), (250, 330), strict=True):
            pictures.append(
                svg.line_chart(
                    lines,
                    title=f"Rates of {shown.title}",
                    label=f"{shown.title}. {plots.describe(shown.schedule)}",
                    x_label=f"step ({self.steps_per_epoch} an epoch)",
                    y_label="rate",
                    width=width,
                    height=240,
                    x_range=(0, end),
                    y_range=(0, top),
                    marks=[replace(mark, label="") for mark in plots.schedule_marks(shown.schedule)],
                )
            )
        return "".join(pictures)

    def rate_lines(self, sides: tuple[Shown, Shown]) -> dict[str, list[svg.Line]]:
        """Return every layer's rate by side; only the right one is labelled, for the layers are the same."""
        lines = {s.title: svg.rate_lines(s.schedule.layers, s.schedule.steps, s.schedule.lr) for s in sides}
        first = sides[0].title
        if [line.label for line in lines[first]] == [line.label for line in lines[sides[1].title]]:
            lines[first] = [replace(line, label="") for line in lines[first]]
        return lines

    def figure(self, recipe: Recipe) -> plots.Picture:
        """Return the same as a matplotlib figure; the scores stand in its sentence."""
        sides = self._drawn_sides  # as in the picture, also after a choice that the study does not hold
        return plots.plot_two_runs(
            self.loss_lines(sides),
            self.look_lines(sides),
            self.rate_lines(sides),
            marks={shown.title: plots.schedule_marks(shown.schedule) for shown in sides},
            steps=_end(sides),
            unit=plots.METRIC_NAMES[sides[0].cell["metric"]],
            sentence=self.describe(sides),
        )


def _end(sides: tuple[Shown, Shown]) -> int:
    return max(max(shown.steps, shown.schedule.total_steps) for shown in sides)


def _score(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "none"
