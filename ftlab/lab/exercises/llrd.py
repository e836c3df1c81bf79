"""The exercises of notebook 02_llrd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, run
from ftlab.recipe import Recipe
from ftlab.schedules import convention_rates, preview

HARM, MILD = 0.06, 0.2
"""What 02.a asks for: how much worse, about twice what another seed changes with 100 passages; and the least share of
the top layer's rate that the embeddings keep."""


@exercise("02.a")
def _harmful_decay(answer: Any) -> tuple[bool, str]:
    """Two runs, the second the same but for its mild layer-wise learning rates and clearly worse."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise ExerciseError(f"02.a: wants two runs, (one_rate, harmed), got {type(answer).__name__}")
    one_rate, harmed = (run("02.a", each) for each in answer)
    other = set(harmed.recipe.diff(one_rate.recipe)) - {"layer_decay", "group_lrs"}
    if other or one_rate.history.total_steps != harmed.history.total_steps:
        return False, f"The two runs differ in more than the layers' rates: {', '.join(sorted(other)) or 'their size'}."
    rates = harmed.history.lr.max(axis=0)
    if one_rate.recipe.layer_decay != 1 or one_rate.recipe.group_lrs or rates[0] == rates[-2]:
        return False, "The first run is to have one learning rate for all layers, the second one by layer."
    share, steps = rates[0] / rates[-2] if rates[-2] else 0.0, harmed.history.total_steps
    if share < MILD:
        return False, f"The embeddings have {share:.2g} of the top layer's rate; leave them {MILD:g} of it or more."
    sign = -1 if one_rate.history.higher_is_better else 1
    first, second = (each.history.best["score"] for each in (one_rate, harmed))
    words = f"Best validation score {first:.3f} with one rate, {second:.3f} by layer"
    if sign * (second - first) < HARM:
        return False, f"{words}; it was to be worse by {HARM:g} or more. Does a long run suffer, or a short one?"
    return True, f"{words}: with {share:.2g} of the top layer's rate the embeddings do not get far in {steps} steps."


@exercise("02.1")
def _top_two(answer: Any) -> tuple[bool, str]:
    """A recipe that trains the top two layers and the head of MiniLM at 2e-4 and nothing else."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"02.1: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    schedule = preview(answer, num_layers=6)
    expected = [0.0] * 5 + [2e-4] * 3
    for layer, rate, right in zip(schedule.layers, schedule.lr.max(axis=0), expected, strict=True):
        if not math.isclose(rate, right, rel_tol=1e-6):
            return False, f"At its highest {layer} has the learning rate {rate:.3g}; {right:.3g} was expected."
    return True, "Embeddings and layers 0 to 3 stand still; layers 4, 5 and the head learn at 2e-4."


@exercise("02.2")
def _merge(answer: Any) -> tuple[bool, str]:
    """A function merge(groups) that joins optimizer groups with equal lr and weight_decay, tried on random groups."""
    merge = function("02.2", answer)
    generator = np.random.default_rng()
    for n in (1, 2, 9, 40):
        settings = [(float(lr), float(wd)) for lr, wd in generator.choice([0.0, 1e-5, 3e-5, 1e-4], size=(n, 2))]
        groups = [{"params": [i], "lr": lr, "weight_decay": wd} for i, (lr, wd) in enumerate(settings)]
        try:
            got = [((g["lr"], g["weight_decay"]), sorted(g["params"])) for g in merge(groups)]
        except (TypeError, KeyError):
            raise ExerciseError("02.2: wants a list of groups with params, lr and weight_decay") from None
        expected = {key: [i for i, setting in enumerate(settings) if setting == key] for key in settings}
        if len(got) != len(expected):
            return False, f"From {n} groups you make {len(got)}; they have {len(expected)} different settings."
        if dict(got) != expected:
            return False, f"From {n} groups you make {len(got)}, as expected, but a parameter has changed its settings."
    return True, "Four sets of random groups came out with every parameter under its own settings."


@exercise("02.3")
def _as_timm(answer: Any) -> tuple[bool, str]:
    """A recipe with the rates that timm gives for lr=1e-3 and layer_decay=0.75."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"02.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    schedule = preview(answer, steps=[0])
    expected = convention_rates("timm", len(schedule.layers) - 2, lr=1e-3, layer_decay=0.75)
    wrong = [i for i, rate in enumerate(schedule.lr[0]) if not math.isclose(rate, expected[i], rel_tol=1e-6)]
    if wrong:
        i = wrong[-1]
        return (
            False,
            f"At the first step {schedule.layers[i]} has {schedule.lr[0, i]:.3g}; timm gives {expected[i]:.3g}.",
        )
    return True, f"All {len(expected)} places have timm's rates."
