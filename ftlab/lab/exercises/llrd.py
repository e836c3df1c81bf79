"""The exercises of notebook 02_llrd."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.recipe import Recipe
from ftlab.schedules import layer_rates, preview
from ftlab.techniques.llrd import convention_rates


@exercise("02.1")
def _decay(answer: Any) -> tuple[bool, str]:
    """Which decay gives the embeddings of a 12-layer model a tenth of the top layer's rate?"""
    decay = number("02.1", answer)
    if not 0 < decay <= 1:
        return False, f"A decay lies between 0 and 1; you gave {decay:g}."
    share = float(layer_rates(12, lr=1.0, layer_decay=decay)[0])
    if abs(share - 0.1) < 5e-4:
        return True, f"Twelve times in a row it makes {share:.4f}: the twelfth root of a tenth."
    return False, f"With {decay:g} the embeddings have {share:.4f} of the top layer's rate; 0.1 was expected."


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
        wanted = {key: [i for i, setting in enumerate(settings) if setting == key] for key in settings}
        if len(got) != len(wanted):
            return False, f"From {n} groups you make {len(got)}; they have {len(wanted)} different settings."
        if dict(got) != wanted:
            return False, f"From {n} groups you make {len(got)}, as expected, but a parameter has changed its settings."
    return True, "Four sets of random groups came out with every parameter under its own settings."


@exercise("02.3")
def _as_timm(answer: Any) -> tuple[bool, str]:
    """A recipe with the rates that timm gives for lr=1e-3 and layer_decay=0.75."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"02.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    schedule = preview(answer, steps=[0])
    wanted = convention_rates("timm", len(schedule.layers) - 2, lr=1e-3, layer_decay=0.75)
    wrong = [i for i, rate in enumerate(schedule.lr[0]) if not math.isclose(rate, wanted[i], rel_tol=1e-6)]
    if wrong:
        i = wrong[-1]
        return False, f"At the first step {schedule.layers[i]} has {schedule.lr[0, i]:.3g}; timm gives {wanted[i]:.3g}."
    return True, f"All {len(wanted)} places have timm's rates."
