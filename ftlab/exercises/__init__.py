"""Answers to the notebooks' exercises, checked at once: what you gave, what was wanted, and a hint when they differ.

The right answer is worked out when it is asked for, from the package itself, never stored.
"""

from ftlab.exercises import baseline, frequent_eval, llrd, reinit, swa, warmup  # noqa: F401  (each registers its own)
from ftlab.exercises.base import check

__all__ = ["check"]
