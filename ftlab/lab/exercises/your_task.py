"""The exercises of notebook 11_your_task."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number
from ftlab.recipe import Recipe
from ftlab.schedules import KNOWN_LAYERS, layer_rates, preview


@exercise("11.1")
def _macro_f1(answer: Any) -> tuple[bool, str]:
    """Which macro F1 has a model that always answers the largest of three classes with shares 70, 20 and 10 %?"""
    from sklearn.metrics import accuracy_score, f1_score

    truth, always = np.repeat([0, 1, 2], [70, 20, 10]), np.zeros(100, dtype=int)
    right = f1_score(truth, always, average="macro", zero_division=0)
    given = number("11.1", answer)
    if math.isclose(given, right, abs_tol=0.005):
        return True, f"({2 * 0.7 / 1.7:.3f} + 0 + 0) / 3 = {right:.3f}, while the accuracy is a proud 0.70."
    if math.isclose(given, accuracy_score(truth, always), abs_tol=0.005):
        return False, "That is the accuracy. Take the F1 of each class first, then their plain mean."
    return False, (
        "The F1 of a class is 2 x precision x recall / (precision + recall). Of the large class both are known; a "
        "class that is never answered has 0."
    )


@exercise("11.2")
def _set_rates(answer: Any) -> tuple[bool, str]:
    """A function set_rates(groups, schedule, step) for any loop, tried on shuffled groups and random plans."""
    set_rates = function("11.2", answer)
    generator = np.random.default_rng()
    for depth in (2, 6, 12):
        recipe = Recipe(epochs=2, layer_decay=float(generator.uniform(0.5, 0.95)), head_lr=3e-4, warmup=0.3)
        schedule = preview(recipe, steps_per_epoch=10, num_layers=depth)
        names = generator.permutation([*schedule.layers, *schedule.layers]).tolist()  # two groups a layer, in any order
        groups = [{"layer": name, "lr": math.nan} for name in names]
        for step in (0, *generator.integers(1, 19, 3).tolist(), 19):
            set_rates(groups, schedule, step)
            for group in groups:
                wanted = float(schedule.lr[step, schedule.layers.index(group["layer"])])
                if not math.isclose(number("11.2", group["lr"]), wanted, rel_tol=1e-9):
                    return False, (
                        f"At step {step} your function gives the group of {group['layer']} the rate {group['lr']:.3g}; "
                        f"{wanted:.3g} was expected. Each group says which layer it belongs to; the order says nothing."
                    )
    return True, "Every group has its layer's rate, in any order, for three depths: that is all a loop of yours needs."


@exercise("11.3")
def _carried_over(answer: Any) -> tuple[bool, str]:
    """The recipe for roberta-base that gives its embeddings the share of the top rate that MiniLM's have with 0.8."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"11.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    if answer.model not in ("roberta-base", "FacebookAI/roberta-base"):
        return False, f"The model is {answer.model!r}; roberta-base was expected."
    if not math.isclose(answer.lr, 2e-5, rel_tol=1e-6):
        return False, f"The top layer's rate is {answer.lr:g}; 2e-5 was expected, a tenth of MiniLM's."
    rates = {"lr": 1.0, "layer_decay": answer.layer_decay, "group_lrs": answer.group_lrs}
    share = float(layer_rates(KNOWN_LAYERS["roberta-base"], **rates)[0])
    wanted = float(layer_rates(KNOWN_LAYERS["minilm"], lr=1.0, layer_decay=0.8)[0])
    if not math.isclose(share, wanted, rel_tol=0.02):
        return False, (
            f"With a decay of {answer.layer_decay:g} the embeddings have {share:.3f} of the top layer's rate; MiniLM's "
            f"have {wanted:.3f}. Twice as many layers multiply by the decay twice as often."
        )
    return True, f"sqrt(0.8) = {0.8**0.5:.3f}: twelve times in a row it makes {share:.3f}, as 0.8 does six times."
