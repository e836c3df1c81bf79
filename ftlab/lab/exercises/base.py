"""Checking an answer: the register of exercises, and what kind of answer each wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ftlab.errors import ExerciseError

CHECKS: dict[str, Callable[[Any], tuple[bool, str]]] = {}
"""Exercise "NN.k" of notebook NN -> the function that checks its answer."""


def check(name: str, answer: Any) -> bool | None:
    """Check the answer to an exercise, such as "01.1"; print the verdict and return it, None for no answer yet.

    Raises ExerciseError for an unknown exercise, or for an answer of the wrong kind, saying what kind is expected.
    """
    if name not in CHECKS:
        raise ExerciseError(f"exercise {name!r} is unknown; there are {', '.join(sorted(CHECKS))}")
    if answer is None or answer is Ellipsis:
        print(f"{name}: no answer yet. Put yours in place of `...` and run the cell again.")
        return None
    right, words = CHECKS[name](answer)
    print(f"{name}: {'right' if right else 'not yet'}. {words}")
    return right


def exercise(name: str) -> Callable:
    """Register the decorated function as the check of exercise `name`; it returns the verdict and a hint."""

    def register(function: Callable) -> Callable:
        CHECKS[name] = function
        return function

    return register


def number(name: str, answer: Any) -> float:
    """Return the answer as a number. Raises ExerciseError for anything else."""
    try:
        return float(answer)
    except (TypeError, ValueError):
        raise ExerciseError(f"{name}: wants a number, got {type(answer).__name__}") from None


def function(name: str, answer: Any) -> Callable:
    """Return the answer if it can be called. Raises ExerciseError for anything else."""
    if not callable(answer):
        raise ExerciseError(f"{name}: wants a function, got {type(answer).__name__}")
    return answer


def run(name: str, answer: Any) -> Any:
    """Return the answer if it is a run with an evaluation. Raises ExerciseError for anything else."""
    history = getattr(answer, "history", None)
    if getattr(history, "best", None) is None or not hasattr(answer, "recipe"):
        raise ExerciseError(f"{name}: wants a run, such as bench.train() returns, got {type(answer).__name__}")
    return answer
