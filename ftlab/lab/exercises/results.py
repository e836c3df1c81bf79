"""The exercises of notebook 07_results."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import stats

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.study.statistics import LEVEL, POWER, holm, paired_t


@exercise("07.1")
def _blocks_needed(answer: Any) -> tuple[bool, str]:
    """How many pairs with a standard deviation of 0.038 does it take to see a difference of 0.01?"""

    def sees(n: int) -> float:
        return 0.038 * float(stats.t.ppf((1 + LEVEL) / 2, n - 1) + stats.t.ppf(POWER, n - 1)) / math.sqrt(n)

    right = next(n for n in range(2, 1000) if sees(n) <= 0.01)
    given = number("07.1", answer)
    if given == right:
        return True, f"With {right} blocks it sees {sees(right):.5f}, with one fewer {sees(right - 1):.5f}."
    if given.is_integer() and 2 <= given < 1000:
        return False, f"With {given:g} blocks it sees {sees(int(given)):.5f}. Student's quantiles depend on n as well."
    return False, "`sees` is (t at 97.5 % + t at 80 %) times sd / sqrt(n): find the first n with 0.01 or less."


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
def _corrected_interval(answer: Any) -> tuple[bool, str]:
    """A function interval(differences, test, train) -> the 95 % interval with Nadeau and Bengio's correction."""
    interval = function("07.3", answer)
    generator = np.random.default_rng()
    for n, test, train in ((5, 144, 432), (10, 80, 200), (20, 200, 2000), (12, 0, 432)):
        differences = np.round(generator.normal(-0.01, 0.02, n), 3)
        right = paired_t(differences, overlap=test / train)
        try:
            low, high = (float(value) for value in interval(differences.copy(), test, train))
        except (TypeError, ValueError):
            raise ExerciseError("07.3: wants a function that returns two numbers") from None
        if not np.allclose([low, high], [right.low, right.high]):
            return False, (
                f"For {n} differences, {test} rows to test and {train} to train it gives {low:+.4f} to {high:+.4f}; "
                f"expected {right.low:+.4f} to {right.high:+.4f}. The variance is multiplied by 1 / n + test / train."
            )
    return True, "Four random sets agree; with `test=0` it is the ordinary interval."
