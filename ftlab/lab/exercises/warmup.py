"""The exercises of notebook 03_warmup."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number, run
from ftlab.recipe import Recipe
from ftlab.schedules import SCHEDULES, preview

STRAINED, NOISE = 3e-4, 0.06
"""What 03.a asks for: the lowest learning rate, and a difference below about two standard deviations over seeds."""


@exercise("03.a")
def _where_it_stops(answer: Any) -> tuple[bool, str]:
    """Two runs at the same learning rate, with warm-up and without, that end alike although the rate is high."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise ExerciseError(f"03.a: wants two runs, (without, with_warmup), got {type(answer).__name__}")
    without, warmed = (run("03.a", each) for each in answer)
    other = set(warmed.recipe.diff(without.recipe)) - {"warmup"}
    if other or without.history.total_steps != warmed.history.total_steps:
        return False, f"The two runs differ in more than the warm-up: {', '.join(sorted(other)) or 'their size'}."
    if without.recipe.warmup or not warmed.recipe.warmup:
        return False, "The first run is to have no warm-up, the second one."
    if without.recipe.lr < STRAINED:
        return False, f"The learning rate is {without.recipe.lr:g}; it was to be {STRAINED:g} or more."
    first, second = (each.history.best["score"] for each in (without, warmed))
    words = f"At {without.recipe.lr:g} the best validation score is {first:.3f} without and {second:.3f} with warm-up"
    if abs(first - second) >= NOISE:
        return False, f"{words}, {abs(first - second):.3f} apart. Look between this rate and {STRAINED:g}."
    return True, f"{words}: {abs(first - second):.3f} apart, far less than at 1e-3. One seed cannot say more."


@exercise("03.1")
def _warmup_steps(answer: Any) -> tuple[bool, str]:
    """How long is a warm-up of 0.06 in 5 epochs on 432 passages in batches of 16, two batches an update?"""
    recipe = Recipe(epochs=5, batch_size=16, gradient_accumulation_steps=2, warmup=0.06)
    batches = math.ceil(432 / recipe.batch_size)
    updates = math.ceil(batches / recipe.gradient_accumulation_steps)
    right = preview(recipe, steps_per_epoch=updates).warmup_steps
    if number("03.1", answer) == right:
        total = updates * recipe.epochs
        return True, f"{batches} batches make {updates} steps an epoch, {total} in all; 6 % of them, rounded up."
    return (
        False,
        "Count the steps of an epoch first: two batches make one, and the last batch of an epoch makes one alone. "
        "A share is rounded up.",
    )


@exercise("03.2")
def _trapezoid(answer: Any) -> tuple[bool, str]:
    """A function trapezoid(step, total, warmup, decay) -> factor, tried at every step of random plans."""
    trapezoid = function("03.2", answer)
    generator = np.random.default_rng()
    for warmup, decay in ((0, 5), (5, 0), (0, 0), *generator.integers(1, 20, (4, 2)).tolist()):
        total = warmup + decay + int(generator.integers(1, 20))
        steps = np.arange(total)
        arguments = {"decay_steps": decay, "decay_type": "linear"}
        expected = SCHEDULES["warmup_stable_decay"](steps, total, warmup, **arguments)
        for step, factor in zip(steps.tolist(), expected.tolist(), strict=True):
            try:
                got = number("03.2", trapezoid(step, total, warmup, decay))
            except ZeroDivisionError:
                got = math.nan  # a warm-up or a decay of no steps has no slope
            if not math.isclose(got, factor, abs_tol=1e-9):
                plan = f"step {step} of {total} with {warmup} steps of warm-up and {decay} of decay"
                return False, f"At {plan} your factor is {got:.3f}; {factor:.3f} was expected."
    return True, "It agrees with warmup_stable_decay (decay_type='linear') at every step of seven plans."


@exercise("03.3")
def _first_update(answer: Any) -> tuple[bool, str]:
    """By how many times the rate does Adam without bias correction move a weight in its first update?"""
    beta1, beta2 = 0.9, 0.999
    right = (1 - beta1) / math.sqrt(1 - beta2)
    if math.isclose(number("03.3", answer), right, rel_tol=0.01):
        return True, f"(1 - 0.9) / sqrt(1 - 0.999) = {right:.2f}, where the corrected Adam moves it by 1."
    return (
        False,
        "After one gradient g the averages are m = (1 - 0.9) g and v = (1 - 0.999) g². Divide m by the root of v, "
        "for any g above 0.",
    )
