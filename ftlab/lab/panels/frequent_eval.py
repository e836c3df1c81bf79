"""The panel of notebook 06: when a run evaluates, which evaluation it keeps, how much of that is luck."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ftlab.lab.bench import pictures
from ftlab.lab.bench.bench import Bench
from ftlab.lab.chart import BLUE, GREY, ORANGE, Axis, Chart, Line, Mark, Sheet, thin
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Number
from ftlab.recipe import Recipe
from ftlab.study.optimism import expected_minimum, kept_looks, optimism
from ftlab.techniques.frequent_eval import is_evaluation_step

SEED = 3  # an example in which the kept evaluation is neither the first nor the last
DRAWS = 200_000  # what a simulation may draw and still be quick


def true_quality(epoch: np.ndarray) -> np.ndarray:
    """Return the invented true RMSE after so many epochs: a steep fall, a slow one, and a floor at 0.32."""
    return 0.32 + 0.1 * np.exp(-epoch / 1.5) + 0.55 * np.exp(-epoch / 0.3)


@dataclass(frozen=True)
class Example:
    """What a panel draws: the evaluations really made, and the optimism that their number brings on average.

    steps, quality, scores: (k,) of the evaluations made. kept: number of the one kept. stopped: whether patience ended
    the run. expected: (k,) optimism on this curve by number of evaluations; luck: that were all equally good, after
    the numbers of evaluations in `counts`.
    """

    steps: np.ndarray
    quality: np.ndarray
    scores: np.ndarray
    kept: int
    stopped: bool
    expected: np.ndarray
    counts: np.ndarray
    luck: np.ndarray


class FrequentEvalPanel(Bench):
    """Move how often a run evaluates, its patience, the noise of an evaluation and the length; see which wins by luck.

    The curve is invented, so that the true quality of every checkpoint is known; its noise and the simulation are
    seeded, and an evaluation keeps its noise however many others there are. data, fold, size: what to train on, see
    `Bench`; then the evaluations are real. Without data nothing is trained and an epoch has steps_per_epoch updates.
    """

    title = "Evaluations on the validation set"
    main = ("eval_every", "patience", "epochs")
    hints = MappingProxyType(
        {"eval_every": "steps between evaluations; off: once an epoch", "patience": "evaluations without a new best"}
    )
    extra_title = "every evaluation of the run, and what they cost"

    def __init__(self, recipe: Recipe | None = None, steps_per_epoch: int = 27, **where: Any) -> None:
        recipe = Recipe() if recipe is None else recipe
        self.eval_every = fields.number(recipe, "eval_every", start=10)
        self.patience = fields.number(recipe, "patience", start=5)
        self.noise = Number(
            "noise",
            "noise",
            0.01,
            0,
            0.05,
            step=0.001,
            help="standard deviation of what one evaluation does not share with the others, in RMSE; not in the recipe",
        )
        # Averaging and a warm-up in steps, which this panel does not move, must still fit into the run.
        first = 1 if recipe.swa_start is None else math.floor(recipe.swa_start) + 1
        if isinstance(recipe.warmup, int):
            first = max(first, math.ceil(recipe.warmup / steps_per_epoch))
        self.epochs = fields.number(recipe, "epochs", low=min(first, recipe.epochs))
        trains = where.get("data") is not None
        controls = [self.eval_every, self.patience, *([] if trains else [self.noise]), self.epochs]
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, **where)

    def example(self, recipe: Recipe) -> Example:
        """Evaluate the invented curve as the recipe says, until the end or until patience is exhausted."""
        total = recipe.epochs * self.steps_per_epoch
        plan = {"eval_every": recipe.eval_every, "steps_per_epoch": self.steps_per_epoch, "total_steps": total}
        steps = np.array([step for step in range(1, total + 1) if is_evaluation_step(step, **plan)])
        quality = true_quality(steps / self.steps_per_epoch)
        noise = self.noise.value
        scores = quality + noise * np.random.default_rng(SEED).standard_normal(total)[steps - 1]

        kept = kept_looks(scores, recipe.patience)
        waited = np.arange(len(steps)) - kept
        enough = np.flatnonzero(waited >= (recipe.patience or len(steps)))
        taken = enough[0] + 1 if len(enough) else len(steps)
        runs = min(5000, max(400, DRAWS // len(steps)))
        counts = np.unique(np.geomspace(1, taken, 60).round().astype(int))
        return Example(
            steps=steps[:taken],
            quality=quality[:taken],
            scores=scores[:taken],
            kept=int(kept[-1]),
            stopped=bool(taken < len(steps)),
            expected=optimism(quality, noise=noise, patience=recipe.patience, runs=runs)[:taken],
            counts=counts,
            luck=-noise * expected_minimum(counts),
        )

    def extra(self, recipe: Recipe) -> Sheet:
        """Describe every evaluation of the run that is drawn in colour, and what training and evaluating took."""
        return pictures.evaluations(self.current)

    def alone(self, recipe: Recipe) -> Sheet:
        """Describe the example's curve with its evaluations, and the expected optimism by their number."""
        seen, total = self.example(recipe), recipe.epochs * self.steps_per_epoch
        # From the end of the first epoch on: the steep fall before it would flatten everything else.
        worst = float(true_quality(np.array(1.0))) + 3 * self.noise.value
        low = min(float(seen.scores.min()), float(seen.quality.min()))
        frame = (low - 0.06 * (worst - low), max(worst, float(seen.scores[seen.kept])) + 0.005)
        grid = np.linspace(0, total, 200)
        kept, count = seen.scores[[seen.kept]], len(seen.steps)
        curve = [
            Line("truth", grid, true_quality(grid / self.steps_per_epoch), BLUE, "6 3", 1.6),
            Line("evaluations", seen.steps, seen.scores, GREY, width=1.2, marker="dot" if count <= 80 else ""),
            Line("kept", seen.steps[[seen.kept]], kept, ORANGE, width=0, marker="dot", note=f"{kept[0]:.3f}"),
        ]
        ends = range(self.steps_per_epoch, total, self.steps_per_epoch)
        marks = [Mark(int(seen.steps[-1]), "stops")] * seen.stopped + [Mark(step) for step in ends]
        steps = Axis(f"optimizer step ({self.steps_per_epoch} an epoch)", 0, total, whole=True)
        example = Chart("Validation RMSE", curve, marks=marks, note=f"at {count} evaluations in {seen.steps[-1]} steps",
                        x=steps, y=Axis(low=frame[0], high=frame[1]), height=200)  # fmt: skip
        marker = "dot" if count == 1 else ""
        luck = [
            Line("all equally good", seen.counts, seen.luck, GREY, "6 3", marker=marker),
            Line("this curve", *thin(np.arange(1, count + 1), seen.expected), ORANGE, width=2.2, marker=marker,
                 note=_at_least_0(seen.expected[-1])),
        ]  # fmt: skip
        top = 1.1 * max(0.001, float(seen.luck.max()), float(seen.expected.max()))
        chance = Chart("Optimism", luck, note="of the best score, on average", y=Axis(low=0, high=top),
                       x=Axis("evaluations", 1, max(2, count), whole=True), height=130)  # fmt: skip
        return Sheet(
            [example, chance], "an example of evaluations, and the expected optimism", self.describe(seen), columns=2
        )

    def describe(self, seen: Example) -> str:
        """Say in words what the pictures show."""
        kept, count = seen.kept, len(seen.steps)
        number = f"{count} evaluation{'s' * (count > 1)}{', then an early stop' if seen.stopped else ''}"
        return (
            f"{number}. The one kept, after step {seen.steps[kept]}, scores {seen.scores[kept]:.3f}; its true quality "
            f"is {seen.quality[kept]:.3f}. On average over many such runs the kept score flatters by "
            f"{_at_least_0(seen.expected[-1])}; were all equally good, by {_at_least_0(seen.luck[-1])}."
        )


def _at_least_0(value: float) -> str:
    """Write an optimism without the sign that a simulation may give to what is 0."""
    return f"{max(0.0, float(value)):.3f}"
