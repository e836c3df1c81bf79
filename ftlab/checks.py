"""Checks of numbers and names that several modules make, and how a number is written in a message.

Each takes the name of what it checks, raises an error that names it and says what is allowed, and returns the value in
its plain Python type. `error` is the class to raise. True and False are not numbers; None is taken where `optional`.
"""

from __future__ import annotations

import difflib
import math
import numbers
from collections.abc import Iterable
from typing import Any

from ftlab.errors import FtlabError, RecipeError

MOST = 2**31 - 1


def is_int(value: object) -> bool:
    """Tell whether a value is a whole number; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def whole(
    name: str, value: Any, low: int = 0, high: int = MOST, *, optional: bool = False,
    error: type[FtlabError] = RecipeError,
) -> int | None:  # fmt: skip
    """Return a whole number in [low, high] as an int."""
    if value is None and optional:
        return None
    known = is_int(value)
    allowed = f"{low} or more" if high == MOST and not (known and value > high) else f"{low} to {high}"
    if not known or not low <= value <= high:
        problem = "is out of range" if known else "is not a whole number"
        raise error(f"{name}: {value!r} {problem}; allowed: {allowed}{' or None' * optional}")
    return int(value)


def real(
    name: str, value: Any, low: float = 0, high: float = math.inf, *, above: bool = False, below: bool = False,
    optional: bool = False, error: type[FtlabError] = RecipeError,
) -> float | None:  # fmt: skip
    """Return a finite number in [low, high] as a float; `above` and `below` exclude the ends."""
    if value is None and optional:
        return None
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, numbers.Real) else float(value)
    except OverflowError:  # a whole number beyond 1.8e308
        number = math.inf
    known = math.isfinite(number)
    if not known or not low <= number <= high or (above and number == low) or (below and number == high):
        problem = "is out of range" if known else "is not a finite number"
        raise error(f"{name}: {value!r} {problem}; allowed: {interval(low, high, above, below)}{' or None' * optional}")
    return number


def interval(low: float, high: float = math.inf, above: bool = False, below: bool = False) -> str:
    """Write an interval: [0, 1), (0, inf)."""
    return f"{'(' if above else '['}{low:g}, {high:g}{')' if below or high == math.inf else ']'}"


def choice(name: str, value: Any, options: Iterable[str], *, error: type[FtlabError] = RecipeError) -> str:
    """Return a name that is among the options."""
    if not isinstance(value, str) or value not in options:
        raise error(f"{name}: {value!r} is unknown{nearest(value, options)} Known: {', '.join(options)}")
    return value


def nearest(name: Any, known: Iterable[str]) -> str:
    """Ask whether the nearest known name was meant, if one is near; else end the sentence."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else "."


def number(value: float) -> str:
    """Write a number in as few characters as its size allows: 0.05, 12000, 3.5e-6."""
    if not math.isfinite(value):
        return f"{value:g}"  # of a run that diverged
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
