"""The exercises of notebook 07_results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.study import holm, sign_flip_p


@exercise("07.1")
def _fewest_pairs(answer: Any) -> tuple[bool, str]:
    """How many pairs must agree before Holm's correction for seven recipes lets one of them through at 0.05?"""
    smallest = {n: 7 * sign_flip_p(np.ones(n)) for n in range(2, 16)}
    right = next(n for n, p in smallest.items() if p < 0.05)
    given = number("07.1", answer)
    if given == right:
        return True, f"7 x 2 / 2^{right} = {smallest[right]:.3f}; one pair fewer gives {smallest[right - 1]:.3f}."
    if given in smallest:
        return False, f"With {given:g} pairs p is 2 / 2^{given:g} at least, and seven times that {smallest[given]:.3f}."
    return False, "If n pairs agree, 2 of the 2^n patterns of signs are as extreme. Holm takes the smallest p times 7."


@exercise("07.2")
def _holm(answer: Any) -> tuple[bool, str]:
    """A function corrected(p) -> p-values after Holm's correction, in the order given, tried on random ones."""
    corrected = function("07.2", answer)
    generator = np.random.default_rng()
    for m in (1, 2, 3, 7, 7, 7):
        p = generator.choice(np.arange(1, 60), m, replace=False) / 200
        given = corrected(p.copy())
        try:
            given = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):
            given = np.empty(0)
        if given.shape != p.shape:
            raise ExerciseError("07.2: wants a function that returns as many numbers as it was given") from None
        if not np.allclose(given, holm(p)):
            i = int(np.argmax(np.abs(given - holm(p))))
            shown = ", ".join(f"{value:.3f}" for value in p)
            return False, f"From {shown} the one of {p[i]:.3f} becomes {given[i]:.3f}; {holm(p)[i]:.3f} was expected."
    return True, "Six random sets came out as Holm's."


@exercise("07.3")
def _p_by_fold(answer: Any) -> tuple[bool, str]:
    """A function p_by_fold(table) of differences (folds, seeds) -> p when the signs of whole folds are flipped."""
    p_by_fold = function("07.3", answer)
    generator = np.random.default_rng()
    for shape in ((2, 3), (5, 1), (5, 3), (6, 2)):
        for shift in (0.0, 1.0, 9.0):
            table = np.round(generator.normal(shift, 1, shape), 3)
            right = sign_flip_p(table.sum(axis=1))
            given = number("07.3", p_by_fold(table.copy()))
            if not math.isclose(given, right, abs_tol=1e-6):
                return False, (
                    f"For {shape[0]} folds and {shape[1]} seeds it gives {given:.4f}; {right:.4f} was expected. There "
                    f"are {2 ** shape[0]} patterns: one sign a fold, the same for all its seeds; count both sides."
                )
    return True, "Twelve random tables agree. With five folds it can never fall below 2/32."
