"""The exercises of notebook 05_swa."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number, run
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview


@exercise("05.a")
def _averaging_harms(answer: Any) -> tuple[bool, str]:
    """A run whose averaged weights end clearly worse than its live ones."""
    answer = run("05.a", answer)
    last = answer.history.evals[-1]
    if "swa_score" not in last:
        return False, "This run has no average at its last evaluation; set swa_start."
    sign = -1 if answer.history.higher_is_better else 1
    harm = sign * (last["swa_score"] - last["score"])
    words = f"At the end the live weights have {last['score']:.3f}, the averaged ones {last['swa_score']:.3f}"
    if harm < 0.02:
        return False, f"{words}; they were to be worse by 0.02 or more. What does a short run's early mean hold?"
    return True, f"{words}: the mean still holds weights that were on their way down."


@exercise("05.1")
def _drift(answer: Any) -> tuple[bool, str]:
    """A function far(s, k) -> distance of the last of k snapshots from their mean, for equal steps s straight on."""
    far = function("05.1", answer)
    generator = np.random.default_rng()
    for k in (1, 2, 3, 10, 27):
        step = float(generator.uniform(0.01, 2))
        direction = generator.normal(size=5)
        walk = np.arange(k)[:, None] * step * direction / np.linalg.norm(direction)
        right, given = float(np.linalg.norm(walk[-1] - walk.mean(axis=0))), number("05.1", far(step, k))
        if not np.isclose(given, right, rtol=1e-6, atol=1e-9):
            return (
                False,
                f"For {k} snapshots {step:.2f} apart your function gives {given:.3f}; it is {right:.3f}.",
            )
    return True, "The mean lies halfway along the walk, so the live weights are half of k - 1 steps ahead of it."


@exercise("05.2")
def _earlier_mean(answer: Any) -> tuple[bool, str]:
    """A function earlier(mean_all, k_all, mean_late, k_late) -> mean of what only the longer mean holds."""
    earlier = function("05.2", answer)
    generator = np.random.default_rng()
    for k_all, k_late in ((2, 1), (9, 4), (54, 27)):
        snapshots = generator.normal(size=(k_all, 2, 3))
        right = snapshots[: k_all - k_late].mean(axis=0)
        got = earlier(snapshots.mean(axis=0), k_all, snapshots[-k_late:].mean(axis=0), k_late)
        try:
            agrees = np.allclose(np.asarray(got, dtype=np.float64), right)
        except (TypeError, ValueError):
            raise ExerciseError(
                f"05.2: wants a function that returns an array of the shape of the means, not {type(got).__name__}"
            ) from None
        if not agrees:
            return (
                False,
                f"Of {k_all} snapshots, {k_late} late: that is not the mean of the first {k_all - k_late}.",
            )
    return True, "A mean times its count is a sum, and sums can be taken apart again."


@exercise("05.3")
def _average_late(answer: Any) -> tuple[bool, str]:
    """The article's recipe, averaging the last fifth of the run at each layer's own rate."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(
            f'05.3: wants a Recipe, got {type(answer).__name__}; start from ft.PAPER["llrd+warmup+swa"].but(...)'
        )
    article = PAPER["llrd+warmup+swa"]
    other = set(answer.diff(article)) - {"swa_start", "swa_lr", "swa_anneal_steps"}
    if other:
        return False, f"These fields were to stay as they are: {', '.join(sorted(other))}."
    if answer.swa_start is None:
        return False, "Your recipe does not average at all; set swa_start, in epochs counted from 0."
    schedule = preview(answer, 142)
    if schedule.swa_step != 568:
        averaged = schedule.total_steps - schedule.swa_step
        return False, f"{averaged} of {schedule.total_steps} steps are averaged; one in five was expected."
    if not np.array_equal(schedule.lr[-1], schedule.lr[schedule.swa_step]):
        return False, "The layers do not keep their rates: a number in swa_lr is one rate for all of them."
    return True, "The last epoch is averaged, and every layer keeps the rate it had when that began."
