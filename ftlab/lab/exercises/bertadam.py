"""The exercises of notebook 09_bertadam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.bert_schedules import missing_correction
from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.recipe import Recipe
from ftlab.schedules import preview


@exercise("09.1")
def _twice_as_far(answer: Any) -> tuple[bool, str]:
    """For how many updates does BertAdam move more than twice as far as AdamW at the same rate?"""
    right = int(np.sum(missing_correction(np.arange(10_000)) > 2))
    if number("09.1", answer) == right:
        return True, f"Up to update {right}: the square root of 1 - 0.999^t passes one half there."
    return (
        False,
        "The factor is (1 - 0.9^t) / sqrt(1 - 0.999^t) at update t = 1, 2, 3, ... Count the updates at which it is "
        "above 2; after a few dozen the numerator is 1 for all purposes.",
    )


@exercise("09.2")
def _same_movement(answer: Any) -> tuple[bool, str]:
    """A function rate_for(rate, step) -> the rate at which BertAdam moves as AdamW does at `rate`."""
    rate_for = function("09.2", answer)
    generator = np.random.default_rng()
    for step in (0, 1, *generator.integers(2, 3000, 6).tolist()):
        rate = float(generator.uniform(1e-5, 1e-3))
        wanted = rate / float(missing_correction(np.array(step)))
        try:
            got = number("09.2", rate_for(rate, step))
        except ZeroDivisionError:
            got = math.nan  # 1 - b^t with t = 0: the first update has t = 1
        if not math.isclose(got, wanted, rel_tol=1e-6):
            return False, (
                f"For rate {rate:.2e} at step {step} yours is {got:.2e}; {wanted:.2e} is right. Steps count from 0, "
                "updates t from 1."
            )
    return True, "At eight steps drawn at random, BertAdam at your rate moves as AdamW at the one given."


@exercise("09.3")
def _half_every_epoch(answer: Any) -> tuple[bool, str]:
    """BertAdam with a tenth of warm-up, after which the rate halves with every epoch of 27 steps."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"09.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe(...)")
    wanted = Recipe(
        optimizer="bertadam",
        warmup=0.1,
        schedule="warmup_linear_decay_exp",
        schedule_args={"decay_rate": 0.5, "decay_steps": 27},
    )
    if answer.optimizer != wanted.optimizer:
        return False, f"The optimizer of your recipe is {answer.optimizer!r}."
    other = set(answer.diff(wanted)) - {"schedule", "schedule_args", "warmup"}
    if other:
        return False, f"These fields were to stay at their defaults: {', '.join(sorted(other))}."
    if answer.schedule != wanted.schedule:
        return False, f"{answer.schedule!r} is another schedule; the rise is a straight line, the fall exponential."
    yours, right = preview(answer, 27), preview(wanted, 27)
    differ = np.flatnonzero(~np.isclose(yours.lr[:, -1], right.lr[:, -1], rtol=1e-9, atol=0))
    if len(differ):
        step = int(differ[0])
        return False, (
            f"At step {step} your rate is {yours.lr[step, -1]:.3g}; {right.lr[step, -1]:.3g} is right. decay_rate is "
            "the factor, decay_steps the number of steps in which it applies once."
        )
    return True, "It rises over 11 steps, and 27 steps later it is at one half, then a quarter, then an eighth."
