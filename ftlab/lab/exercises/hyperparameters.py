"""The exercises of notebook 08_hyperparameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number, run
from ftlab.recipe import Recipe

VALIDATION = {"loss": (0.3361, 0.4237, 0.5818), "accuracy": (0.8555, 0.8687, 0.8630)}
"""A run of BERT-base on 8,530 sentences of film reviews by epoch (Brenndoerfer 2025); the notebook has its table."""

# key: (right answer, hint)
_QUIZ = {
    "accumulation steps": (32 // 4, "effective batch = device batch x steps"),
    "scaled rate": (2e-5 * 32 / 16, "twice the batch, twice the rate"),
    "lowest rate": (6e-4 / 100, "the rule divides by 10 to 100; the larger divisor gives the lower rate"),
    "states": (2, "Adam keeps a mean of the gradient and a mean of its square for every weight"),
    "epoch by loss": (int(np.argmin(VALIDATION["loss"])) + 1, "the lowest validation loss; epochs count from 1"),
    "epoch by accuracy": (int(np.argmax(VALIDATION["accuracy"])) + 1, "the highest accuracy; epochs count from 1"),
}


@exercise("08.a")
def _low_rate(answer: Any) -> tuple[bool, str]:
    """A run that does well at a rate of 2e-5, where the default has hardly begun after 28 updates."""
    found = run("08.a", answer)
    score, updates, lr = found.history.best["score"], len(found.history), found.recipe.lr
    if lr > 2e-5 * (1 + 1e-6):
        return False, f"Its rate is {lr:.1e}; leave it at 2e-5."
    if found.recipe.layer_decay != 1 or found.recipe.optimizer != "adamw":
        return False, "No technique is needed here; the controls of the bench will do."
    if not score < 0.65:
        return False, f"{updates} updates brought it to {score:.3f}; 0.65 is the mark. How could there be more of them?"
    return (
        True,
        f"{score:.3f} after {updates} updates: a low rate lacks updates, and small batches or epochs give them.",
    )


@exercise("08.b")
def _cured(answer: Any) -> tuple[bool, str]:
    """A run of the two classes whose validation loss does not turn."""
    found = run("08.b", answer)
    if found.history.metric != "macro_f1":
        raise ExerciseError("08.b: wants a run of the bench with two classes, overfit.train()")
    losses, score = [e["loss"] for e in found.history.evals], found.history.best["score"]
    if len(losses) < 2:
        return False, "With a single evaluation no turn can be seen; train for two epochs or more."
    if not losses[-1] <= 1.1 * min(losses):
        turn = losses.index(min(losses)) + 1
        return False, f"The validation loss rises from {min(losses):.3f} at evaluation {turn} to {losses[-1]:.3f}."
    if not score >= 0.8:
        return False, f"The loss does not turn, but the best macro F1 is {score:.3f}; 0.8 is the mark."
    return (
        True,
        f"It ends at a validation loss of {losses[-1]:.3f}, its lowest {min(losses):.3f}; macro F1 {score:.3f}.",
    )


@exercise("08.1")
def _quiz(answer: Any) -> tuple[bool, str]:
    """Six short questions, answered by a dictionary."""
    if not isinstance(answer, Mapping):
        raise ExerciseError(f"08.1: wants a dictionary, got {type(answer).__name__}; its keys: {', '.join(_QUIZ)}")
    if unknown := [key for key in answer if key not in _QUIZ]:
        raise ExerciseError(f"08.1: wants the keys {', '.join(_QUIZ)}; {unknown[0]!r} is none of them")
    given = {key: number("08.1", value) for key, value in answer.items() if value is not None and value is not ...}
    wrong = [key for key, value in given.items() if not math.isclose(value, _QUIZ[key][0], rel_tol=1e-6)]
    if wrong:
        return False, f"{wrong[0]}: {given[wrong[0]]:g} is not it; {_QUIZ[wrong[0]][1]}."
    if still := [key for key in _QUIZ if key not in given]:
        return False, f"{len(given)} of {len(_QUIZ)} are right; still open: {', '.join(still)}."
    return True, f"All {len(_QUIZ)} of them."


@exercise("08.2")
def _combine(answer: Any) -> tuple[bool, str]:
    """A function combine(gradients, sizes) -> gradient of the whole batch, tried on random parts of a linear model."""
    combine = function("08.2", answer)
    generator = np.random.default_rng()
    for sizes in ((4, 4, 4), (4, 4, 1), (1,), tuple(generator.integers(1, 9, 5).tolist())):
        x, y = generator.normal(size=(sum(sizes), 3)), generator.normal(size=sum(sizes))
        weights = generator.normal(size=3)
        each = 2 * (x @ weights - y)[:, None] * x  # gradient of every example's squared error
        parts = [part.mean(axis=0) for part in np.split(each, np.cumsum(sizes)[:-1])]
        try:
            agrees = np.allclose(np.asarray(combine(parts, list(sizes)), dtype=np.float64), each.mean(axis=0))
        except (TypeError, ValueError):
            raise ExerciseError("08.2: wants a function that returns one gradient, an array like each part's") from None
        if not agrees:
            shown = ", ".join(map(str, sizes))
            return False, f"With parts of {shown} examples it is not the gradient of their mean loss."
    return True, "Parts of equal and of unequal size give the gradient of the whole batch."


@exercise("08.3")
def _scaled(answer: Any) -> tuple[bool, str]:
    """The default recipe at four times its effective batch, by the linear scaling rule, where only 8 texts fit."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"08.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    base = Recipe()
    if other := set(answer.diff(base)) - {"batch_size", "gradient_accumulation_steps", "lr"}:
        return False, f"These fields were to stay as they are: {', '.join(sorted(other))}."
    if answer.batch_size > 8:
        return False, f"{answer.batch_size} texts do not fit the device at once; 8 do."
    effective, wanted = answer.batch_size * answer.gradient_accumulation_steps, 4 * base.batch_size
    if effective != wanted:
        return False, f"An update of yours sees {effective} texts; four times {base.batch_size} were expected."
    if not math.isclose(answer.lr, 4 * base.lr, rel_tol=1e-6):
        return False, f"The batch has grown by a factor of 4, your rate by {answer.lr / base.lr:g}."
    return True, f"{answer.batch_size} texts at a time, {effective} an update, at a rate of {answer.lr:g}."
