"""The exercises of notebook 09_bertadam."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.bert_schedules import missing_correction
from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number, run
from ftlab.recipe import Recipe
from ftlab.schedules import preview


@exercise("09.a")
def _as_good_as_adamw(answer: Any) -> tuple[bool, str]:
    """The runs of AdamW, and one of BertAdam that is as good as that under its seed, within 0.02."""
    if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], (list, tuple)):
        raise ExerciseError(f"09.a: wants the runs of AdamW and one of BertAdam, got {type(answer).__name__}")
    others, found = [run("09.a", each) for each in answer[0]], run("09.a", answer[1])
    if found.recipe.optimizer != "bertadam":
        return False, f"The optimizer of that run is {found.recipe.optimizer!r}."
    same = [each for each in others if each.recipe.seed == found.recipe.seed]
    if not same:
        return False, f"No run of AdamW has seed {found.recipe.seed}; use a seed that has one."
    if found.recipe.epochs != same[0].recipe.epochs or len(found.history) != len(same[0].history):
        return (
            False,
            f"It makes {len(found.history)} updates and AdamW {len(same[0].history)}; leave these as they are.",
        )
    difference = found.history.best["score"] - same[0].history.best["score"]
    if not difference <= 0.02:
        return False, f"It is {difference:+.3f} above AdamW. How far does it walk in effect?"
    return True, f"Its difference to AdamW is {difference:+.3f}, at a learning rate of {found.recipe.lr:.1e}."


@exercise("09.1")
def _four_times_as_far(answer: Any) -> tuple[bool, str]:
    """For how many updates does BertAdam move more than four times as far as AdamW at the same rate?"""
    above = np.flatnonzero(missing_correction(np.arange(10_000)) > 4) + 1
    if number("09.1", answer) == len(above):
        return True, f"{len(above)} of them, from update {above[0]} to {above[-1]}: the first one is not yet so long."
    return (
        False,
        "The factor is (1 - 0.9^t) / sqrt(1 - 0.999^t) at update t = 1, 2, 3, ... Count the updates at which it is "
        "above 4; it rises at first.",
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
