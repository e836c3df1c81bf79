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
def _folds_by_group(answer: Any) -> tuple[bool, str]:
    """A function folds_by_group(groups, num_folds) that deals whole groups out to folds of nearly equal size."""
    deal = function("11.1", answer)
    generator = np.random.default_rng()
    for num_folds in (2, 5):
        groups = generator.permutation(np.repeat(np.arange(17), generator.integers(1, 12, 17))).astype(str)
        folds = np.asarray(deal(groups.copy(), num_folds))
        if folds.shape != groups.shape or not np.isin(folds, range(num_folds)).all():
            return False, f"Give each of the {len(groups)} rows one of the folds 0 to {num_folds - 1}."
        for group in np.unique(groups):
            if len(found := np.unique(folds[groups == group])) > 1:
                return False, f"Group {group!r} stands in folds {', '.join(map(str, found))}: it may stand in one only."
        sizes, most = np.bincount(folds, minlength=num_folds), np.unique(groups, return_counts=True)[1].max()
        if np.ptp(sizes) > most:
            return False, (
                f"The folds have {', '.join(map(str, sizes))} rows. Put each group where the fewest rows are, the "
                f"largest group first: then they differ by at most {most}, the size of the largest."
            )
    return True, "No group stands in two folds, and the folds are nearly equal: the test score no longer flatters."


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
                expected = float(schedule.lr[step, schedule.layers.index(group["layer"])])
                if not math.isclose(number("11.2", group["lr"]), expected, rel_tol=1e-9):
                    return False, (
                        f"At step {step} your function gives the group of {group['layer']} the rate {group['lr']:.3g}; "
                        f"{expected:.3g} was expected. A group says which layer it belongs to; the order says nothing."
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
