"""Re-initialise the top layers: throw away what pre-training made most specific (Zhang et al. 2021).

The top layers of a pre-trained Transformer are fitted to the pre-training task; starting a few of them, and the
pooler, from scratch can make fine-tuning on few data steadier. How many is a matter of trial.
"""

from __future__ import annotations

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from ftlab.errors import ModelError
from ftlab.models import LayerMap, layer_map


def reinit_top_layers(model: nn.Module, n: int, *, layers: LayerMap | None = None) -> list[str]:
    """Give the top `n` layers, the final norm and the pooler fresh weights; return their parameters' names.

    The model's own initialiser is used; for BERT: Linear weights normal(0, initializer_range), biases 0, LayerNorm
    weights 1 and biases 0. Everything below stays as it is, bit for bit. n = 0 changes nothing. The fresh weights
    come from torch's global random state.

    Since version 5, `transformers` marks every loaded parameter with `_is_hf_initialized`, and its initialiser then
    skips it without a word; the marks are removed here first, and a matrix that stayed as it was is an error.

    layers: the model's layer map, where it is known already.

    Raises ModelError if `n` is negative or more than the model has layers, or if layers share one set of weights.
    """
    layers = layers or layer_map(model)
    if n == 0:
        return []
    layers.require_separate_layers("re-initialisation of the top layers")
    if not 0 < n <= layers.num_layers:
        raise ModelError(
            f"reinit_layers: {n} layers of a model that has {layers.num_layers}; give 0 to {layers.num_layers}"
        )
    fresh = [m for m in (*layers.blocks[-n:], layers.final_norm, layers.pooler) if m is not None]
    inside = {id(p) for module in fresh for p in module.parameters()}
    named = {name: p for name, p in model.named_parameters() if id(p) in inside}
    before = {name: p.detach().clone() for name, p in named.items()}
    initialise = getattr(model, "backbone", model)._init_weights
    with torch.no_grad():
        for parameter in named.values():
            parameter._is_hf_initialized = False
        for module in fresh:
            for part in module.modules():
                if isinstance(part, Conv1D):  # openai-gpt's initialiser leaves these to their constructor
                    nn.init.normal_(part.weight, std=0.02)
                    nn.init.zeros_(part.bias)
                initialise(part)
    if kept := [name for name, p in named.items() if p.ndim > 1 and torch.equal(p, before[name])]:
        raise ModelError(
            f"reinit_layers: the model's own initialiser leaves {', '.join(kept)} as they are; set reinit_layers=0"
        )
    return list(named)
