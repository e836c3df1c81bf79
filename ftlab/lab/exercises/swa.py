"""The exercises of notebook 05_swa."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview


@exercise("05.1")
def _snapshots(answer: Any) -> tuple[bool, str]:
    """How many snapshots does the article's mean hold at the end: 5 epochs of 142 steps, averaged from epoch 3?"""
    schedule = preview(PAPER["llrd+warmup+swa"], 142)
    right = schedule.total_steps - schedule.swa_step
    if number("05.1", answer) == right:
        return True, f"Steps {schedule.swa_step} to {schedule.total_steps - 1}: {right} snapshots."
    return False, "Count from 0: which epochs are left from epoch 3 on? Every step of theirs adds a snapshot."


@exercise("05.2")
def _running_mean(answer: Any) -> tuple[bool, str]:
    """A function update(mean, weights, k) -> mean of k + 1 snapshots, tried on arrays drawn here."""
    update = function("05.2", answer)
    snapshots = np.random.default_rng().normal(size=(6, 2, 3))
    for k, weights in enumerate(snapshots):
        mean = snapshots[:k].mean(axis=0) if k else np.zeros_like(weights)
        with np.errstate(all="ignore"):  # a division by 0 shows in the result
            got = update(mean.copy(), weights.copy(), k)
        try:
            agrees = np.allclose(np.asarray(got, dtype=np.float64), snapshots[: k + 1].mean(axis=0))
        except (TypeError, ValueError):
            raise ExerciseError(
                f"05.2: wants a function that returns an array of the shape of `weights`, not {type(got).__name__}"
            ) from None
        if not agrees:
            return False, f"After {k} snapshots and one more, your mean is not the arithmetic mean of all {k + 1}."
    return True, "It stays the arithmetic mean from the first snapshot to the sixth."


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
