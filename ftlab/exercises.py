"""Answers to the notebooks' exercises, checked at once: what you gave, what was wanted, and a hint when they differ.

The right answer is worked out when it is asked for, from the package itself, never stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.recipe import Recipe
from ftlab.schedules import preview

_CHECKS: dict[str, Callable[[Any], tuple[bool, str]]] = {}


def check(name: str, answer: Any) -> bool | None:
    """Check the answer to an exercise, such as "01.1"; print the verdict and return it, None for no answer yet.

    Raises ExerciseError for an unknown exercise, or for an answer of the wrong kind, saying what kind is wanted.
    """
    if name not in _CHECKS:
        raise ExerciseError(f"exercise {name!r} is unknown; there are {', '.join(_CHECKS)}")
    if answer is None or answer is Ellipsis:
        print(f"{name}: no answer yet. Put yours in place of `...` and run the cell again.")
        return None
    right, words = _CHECKS[name](answer)
    print(f"{name}: {'right' if right else 'not yet'}. {words}")
    return right


def _exercise(name: str) -> Callable:
    def register(function: Callable) -> Callable:
        _CHECKS[name] = function
        return function

    return register


def _number(name: str, answer: Any) -> float:
    try:
        return float(answer)
    except (TypeError, ValueError):
        raise ExerciseError(f"{name}: wants a number, got {type(answer).__name__}") from None


def _function(name: str, answer: Any) -> Callable:
    if not callable(answer):
        raise ExerciseError(f"{name}: wants a function, got {type(answer).__name__}")
    return answer


# --------------------------------------------------------------------------------------------------- 01_baseline


@_exercise("01.1")
def _updates(answer: Any) -> tuple[bool, str]:
    """How many updates does a recipe with batch_size=8 and gradient_accumulation_steps=4 make on 432 passages?"""
    recipe = Recipe(batch_size=8, gradient_accumulation_steps=4)
    batches = math.ceil(432 / recipe.batch_size)
    right = recipe.epochs * math.ceil(batches / recipe.gradient_accumulation_steps)
    if _number("01.1", answer) == right:
        return (
            True,
            f"{batches} batches an epoch make {right // recipe.epochs} updates, the last of fewer batches.",
        )
    return (
        False,
        "Count the batches of an epoch, then the groups of four; a group that is not full still updates.",
    )


@_exercise("01.2")
def _rmse(answer: Any) -> tuple[bool, str]:
    """A function rmse(predictions, targets) over all examples, tried on arrays drawn here."""
    rmse = _function("01.2", answer)
    generator = np.random.default_rng()
    for n in (1, 2, 17, 1000):
        predictions, targets = generator.normal(size=(2, n))
        wanted = math.sqrt(sum((p - t) ** 2 for p, t in zip(predictions, targets, strict=True)) / n)
        got = _number("01.2", rmse(predictions, targets))
        if not math.isclose(got, wanted, rel_tol=1e-9):
            return False, f"For {n} random values your function gives {got:.4f}; {wanted:.4f} was wanted."
    return True, "It agrees with the definition on four sets of random values."


@_exercise("01.3")
def _schedule(answer: Any) -> tuple[bool, str]:
    """A recipe whose rate falls along half a cosine from 5e-5 over 5 epochs, without warm-up."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(
            f"01.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)"
        )
    schedule = preview(answer, steps_per_epoch=27)
    if schedule.total_steps != 135:
        return (
            False,
            f"With 27 steps an epoch your recipe makes {schedule.total_steps} steps; 135 were wanted.",
        )
    wanted = 5e-5 * 0.5 * (1 + np.cos(np.pi * np.arange(135) / 135))
    gap = np.abs(schedule.lr - wanted[:, None]).max(axis=1)
    if gap.max() > 1e-12:
        step = int(gap.argmax())
        return (
            False,
            f"At step {step} your rates reach {schedule.lr[step].max():.2e}; {wanted[step]:.2e} was wanted.",
        )
    return True, "Every layer's rate follows the curve."
