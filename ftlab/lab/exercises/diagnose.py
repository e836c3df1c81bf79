"""The exercises of notebook 10_convergence_clinic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.clinic.diagnosis import LEARNED, diagnose
from ftlab.errors import CheckpointError, ExerciseError
from ftlab.lab.exercises.base import exercise, function, number

TRIALS = 3


@exercise("10.1")
def _cure(answer: Any) -> tuple[bool, str]:
    """A bench of the clinic on which one of at most three runs after the sick one has learned and shows no finding."""
    if not hasattr(answer, "findings_of"):
        kind = type(answer).__name__
        raise ExerciseError(f"10.1: wants the bench on which you cured the run, ft.panels.CurePanel(...), got {kind}")
    trials = [row for row in answer.rows if row.changed and row.done and row.settings["case"] == answer.case.value]
    if not trials:
        return False, "The bench has no run yet that changed anything. Move a control and train."
    if len(trials) > TRIALS:
        return False, f"{len(trials)} trials. Make a new bench; three have to do, so read the diagnosis before each."
    if any("data" in row.changed for row in trials):
        return False, "This case has sound data: cure it by the recipe."
    for row in trials:
        best = min((e["loss"] for e in row.history.evals), default=math.inf)
        chance = answer.chance(row)
        if not answer.findings_of(row) and best < LEARNED * chance:
            changed = ", ".join(row.changed)
            return True, f"{row.name} (changed: {changed}) has a validation loss of {best:.3f}; chance is {chance:.3f}."
    found = answer.findings_of(trials[-1])
    said = found[0] if found else "nothing, but its validation loss is more than 0.6 of chance: it has learned little"
    left = TRIALS - len(trials)
    return False, f"Of {trials[-1].name} the rules say: {said}. {left} trial{'s' * (left != 1)} left."


@exercise("10.2")
def _mean_predictor(answer: Any) -> tuple[bool, str]:
    """A function chance(train_targets, test_targets) -> mean squared error of the mean predictor, tried on arrays."""
    chance = function("10.2", answer)
    generator = np.random.default_rng()
    for shift in (0.0, 1.0, -3.0):
        train, test = generator.normal(2, 1.5, 60), generator.normal(2 + shift, 0.5, 40)
        expected = float(np.mean((test - train.mean()) ** 2))
        got = number("10.2", chance(train.copy(), test.copy()))
        if not math.isclose(got, expected, rel_tol=1e-6):
            hint = "That is the test set's variance: nobody knows the test set's mean when training."
            hint = hint if math.isclose(got, float(np.var(test)), rel_tol=1e-6) else "Which one number does it predict?"
            means = f"training mean {train.mean():.2f}, test mean {test.mean():.2f}"
            return False, f"With {means} your function gives {got:.3f}; {expected:.3f} was expected. {hint}"
    return True, "The training set decides what is predicted, the test set what it costs."


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
