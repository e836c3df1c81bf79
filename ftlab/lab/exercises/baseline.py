"""The exercises of notebook 01_baseline."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.recipe import Recipe
from ftlab.schedules import preview


@exercise("01.1")
def _updates(answer: Any) -> tuple[bool, str]:
    """How many updates does a recipe with batch_size=8 and gradient_accumulation_steps=4 make on 432 passages?"""
    recipe = Recipe(batch_size=8, gradient_accumulation_steps=4)
    batches = math.ceil(432 / recipe.batch_size)
    right = recipe.epochs * math.ceil(batches / recipe.gradient_accumulation_steps)
    if number("01.1", answer) == right:
        return (
            True,
            f"{batches} batches an epoch make {right // recipe.epochs} updates, the last of fewer batches.",
        )
    return (
        False,
        "Count the batches of an epoch, then the groups of four; a group that is not full still updates.",
    )


@exercise("01.2")
def _padding(answer: Any) -> tuple[bool, str]:
    """A function padding(lengths): the share of a batch that is padding, tried on lengths drawn here."""
    padding = function("01.2", answer)
    generator = np.random.default_rng()
    for n in (1, 2, 16):
        lengths = generator.integers(3, 200, n)
        longest, real = max(lengths.tolist()), sum(lengths.tolist())
        expected = (n * longest - real) / (n * longest)
        got = number("01.2", padding(lengths))
        if not math.isclose(got, expected, rel_tol=1e-9, abs_tol=1e-12):
            return False, f"For lengths {lengths.tolist()} your function gives {got:.4f}; {expected:.4f} was expected."
    return True, "Padding is what all texts lack of the longest one, as a share of texts times longest."


@exercise("01.3")
def _schedule(answer: Any) -> tuple[bool, str]:
    """A recipe whose rate falls along half a cosine from 5e-5 over 5 epochs, without warm-up."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"01.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    schedule = preview(answer, steps_per_epoch=27)
    if schedule.total_steps != 135:
        return (
            False,
            f"With 27 steps an epoch your recipe makes {schedule.total_steps} steps; 135 were expected.",
        )
    expected = 5e-5 * 0.5 * (1 + np.cos(np.pi * np.arange(135) / 135))
    gap = np.abs(schedule.lr - expected[:, None]).max(axis=1)
    if gap.max() > 1e-12:
        step = int(gap.argmax())
        return (
            False,
            f"At step {step} your rates reach {schedule.lr[step].max():.2e}; {expected[step]:.2e} was expected.",
        )
    return True, "Every layer's rate follows the curve."
