"""Small checks that several modules make, and how a number is written in a message."""

from __future__ import annotations

import math
import numbers


def is_int(value: object) -> bool:
    """Tell whether a value is a whole number; True and False are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def number(value: float) -> str:
    """Write a number in as few characters as its size allows: 0.05, 12000, 3.5e-6."""
    if not math.isfinite(value):
        return f"{value:g}"  # of a run that diverged
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
