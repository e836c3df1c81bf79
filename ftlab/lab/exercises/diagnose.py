"""The exercises of notebook 10_convergence_clinic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.clinic.diagnosis import diagnose
from ftlab.errors import CheckpointError, ExerciseError
from ftlab.lab.exercises.base import exercise, function, number


@exercise("10.1")
def _quiet_batch(answer: Any) -> tuple[bool, str]:
    """From which batch size on does the loss of one batch scatter by at most a quarter of its value?"""
    right = math.ceil(2 / 0.25**2)
    given = number("10.1", answer)
    if given == right:
        return True, f"sqrt(2 / {right}) = {math.sqrt(2 / right):.2f}."
    if not given > 0:
        return False, "A batch has one row or more."
    return False, f"Batches of {given:g} scatter by {math.sqrt(2 / given):.2f}; the smallest with 0.25 was expected."


@exercise("10.2")
def _mean_predictor(answer: Any) -> tuple[bool, str]:
    """A function chance(train_targets, test_targets) -> mean squared error of the mean predictor, tried on arrays."""
    chance = function("10.2", answer)
    generator = np.random.default_rng()
    for shift in (0.0, 1.0, -3.0):
        train, test = generator.normal(2, 1.5, 60), generator.normal(2 + shift, 0.5, 40)
        wanted = float(np.mean((test - train.mean()) ** 2))
        got = number("10.2", chance(train.copy(), test.copy()))
        if not math.isclose(got, wanted, rel_tol=1e-6):
            hint = "That is the test part's variance: nobody knows the test part's mean when training."
            hint = hint if math.isclose(got, float(np.var(test)), rel_tol=1e-6) else "Which one number does it predict?"
            means = f"training mean {train.mean():.2f}, test mean {test.mean():.2f}"
            return False, f"With {means} your function gives {got:.3f}; {wanted:.3f} was expected. {hint}"
    return True, "The training part decides what is predicted, the test part what it costs."


@exercise("10.3")
def _invent_a_log(answer: Any) -> tuple[bool, str]:
    """A log as transformers' Trainer keeps it, on which diagnose finds overfitting and nothing else."""
    if not isinstance(answer, list) or not all(isinstance(entry, dict) for entry in answer):
        raise ExerciseError(f"10.3: wants a list of dictionaries, got {type(answer).__name__}")
    try:
        found = diagnose(answer)
    except CheckpointError as error:
        raise ExerciseError(f"10.3: wants a log that diagnose can read ({error})") from None
    if found.names == ["overfitting"]:
        return True, f"It finds overfitting alone: {'; '.join(found[0].evidence)}."
    if not found:
        return False, "It finds nothing. Does eval_loss turn and rise clearly while loss goes on falling?"
    return False, f"It finds {', '.join(found.names)}. Only overfitting was expected."
