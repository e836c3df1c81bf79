"""The exercises of notebook 04_reinit."""

from __future__ import annotations

from typing import Any

import numpy as np

from ftlab.errors import ExerciseError
from ftlab.lab.exercises.base import exercise, function, number, run
from ftlab.recipe import Recipe


@exercise("04.a")
def _reinit_harms(answer: Any) -> tuple[bool, str]:
    """Two runs, the second the same but for at most five re-initialised layers and clearly worse."""
    if not isinstance(answer, (tuple, list)) or len(answer) != 2:
        raise ExerciseError(f"04.a: wants two runs, (without, with_harm), got {type(answer).__name__}")
    without, harmed = (run("04.a", each) for each in answer)
    other = set(harmed.recipe.diff(without.recipe)) - {"reinit_layers"}
    if other or without.history.total_steps != harmed.history.total_steps:
        return False, f"The two runs differ in more than the layers: {', '.join(sorted(other)) or 'their size'}."
    if without.recipe.reinit_layers or not harmed.recipe.reinit_layers:
        return False, "The first run is to re-initialise nothing, the second at least one layer."
    if harmed.recipe.reinit_layers > 5:
        return False, "All six layers harmed in the notebook already; it was to be done with fewer."
    sign = -1 if without.history.higher_is_better else 1
    first, second = (each.history.best["score"] for each in (without, harmed))
    words = f"Best validation score {first:.3f} without, {second:.3f} with {harmed.recipe.reinit_layers} layers"
    if sign * (second - first) < 0.05:
        return False, f"{words}; it was to be worse by 0.05 or more. What can a layer learn in so few steps?"
    return True, f"{words}: what those layers knew could not be learned again in {harmed.history.total_steps} steps."


@exercise("04.1")
def _fresh_parameters(answer: Any) -> tuple[bool, str]:
    """How many parameters of roberta-base are re-initialised with its top five layers and its pooler?"""
    import torch
    from transformers import RobertaConfig, RobertaModel

    with torch.device("meta"):  # shapes without memory; the configuration's defaults are the base size
        model = RobertaModel(RobertaConfig())
    layer, pooler = (sum(p.numel() for p in m.parameters()) for m in (model.encoder.layer[0], model.pooler))
    total = sum(p.numel() for p in model.parameters())
    given, right = number("04.1", answer), 5 * layer + pooler
    if given == right:
        return True, f"{right:,} of the backbone's parameters: {right / total:.0%} of all, the word table included."
    if given == 5 * layer:
        return False, "These are the five layers; the pooler goes with them."
    return False, "One layer: six matrices and their biases, two LayerNorms with scale and shift. Then the pooler."


@exercise("04.2")
def _stayed(answer: Any) -> tuple[bool, str]:
    """A function stayed(before, after) -> names of the tensors that are equal bit for bit, tried on random tensors."""
    import torch

    stayed = function("04.2", answer)
    generator = np.random.default_rng()

    def draw() -> torch.Tensor:
        """Draw multiples of 1/512: their sum is the same in any order, so a sum cannot tell what was shuffled."""
        return torch.from_numpy(generator.integers(1, 1024, (40, 30))) / 512

    before = {name: draw() for name in ("same", "nudged", "shuffled", "redrawn", "also same")}
    after = {name: tensor.clone() for name, tensor in before.items()}
    after["nudged"][7, 7] = torch.nextafter(after["nudged"][7, 7], torch.tensor(torch.inf))
    after["shuffled"] = after["shuffled"].flip(0)
    after["redrawn"] = draw()
    for expected in (["also same", "same"], []):
        given = stayed(before, after)
        if isinstance(given, str) or not hasattr(given, "__iter__"):
            raise ExerciseError(f"04.2: wants a function that returns names, got {type(given).__name__}")
        given = sorted(map(str, given))
        if given != expected:
            return False, (
                f"For five tensors called {', '.join(before)} your function gives {given}; {expected} was expected. "
                "The nudged one differs in the last bit of a single weight."
            )
        before, after = ({k: d[k] for k in ("nudged", "shuffled", "redrawn")} for d in (before, after))
    return True, "It tells a weight that moved by one bit from one that stayed. Such a test would have caught the trap."


@exercise("04.3")
def _largest_start(answer: Any) -> tuple[bool, str]:
    """The recipe with the most layers of MiniLM re-initialised for which less than 30 % of all parameters are new."""
    if not isinstance(answer, Recipe):
        raise ExerciseError(f"04.3: wants a Recipe, got {type(answer).__name__}; start from ft.Recipe().but(...)")
    from ftlab.models import layer_map, load_model

    layers = layer_map(load_model(Recipe()))
    counts = layers.counts()
    top = [counts[name] for name in reversed(layers.layers[1:-1])]
    shares = [sum(top[:n]) / sum(counts.values()) for n in range(len(top) + 1)]
    right = max(n for n, share in enumerate(shares) if share < 0.3)
    given = answer.reinit_layers
    if given >= len(shares):
        return False, f"Your recipe asks for {given} layers; MiniLM has {len(top)}."
    if given != right:
        verdict = "too many" if given > right else "one more still fits"
        return False, f"With {given} layers the share is {shares[given]:.1%}: {verdict}."
    if changed := set(answer.diff(Recipe())) - {"reinit_layers"}:
        return False, f"The number of layers is right; leave {', '.join(sorted(changed))} at the default."
    return True, f"{right} layers are {shares[right]:.1%} of all parameters."
