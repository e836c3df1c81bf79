"""Re-initialise the top layers: throw away what pre-training made most specific (Zhang et al. 2021).

The top layers of a pre-trained Transformer are fitted to the pre-training task; starting a few of them, and the
pooler, from scratch can make fine-tuning on few data steadier. How many is a matter of trial.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from ftlab.errors import ModelError
from ftlab.models import LayerMap, layer_map


def reinit_top_layers(model: nn.Module, n: int, *, layers: LayerMap | None = None) -> list[str]:
    """Re-initialise the top `n` layers, the final norm and the pooler; return the names of their parameters.

    The model's own initialiser draws them; for BERT: Linear weights normal(0, initializer_range), biases 0, LayerNorm
    weights 1 and biases 0. Children come before their parents, as in `transformers`, because a parent may have a rule
    of its own for a child: GPT-2 and ModernBERT make the projections onto the residual stream narrower by
    1 / sqrt(2 L). Everything below stays as it is, bit for bit. n = 0 changes nothing. The draws come from torch's
    global random state.

    Since version 5, `transformers` marks every loaded parameter with `_is_hf_initialized`, and its initialiser then
    skips it without a word; the marks are removed here first. A parameter that is skipped all the same is an error.

    layers: the model's layer map, where it is known already.

    Raises ModelError if `n` is negative or more than the model has layers, if layers share one set of weights, if one
    of the parameters is frozen, or if the initialiser skips one; the model is then as it was.
    """
    layers = layers or layer_map(model)
    if n == 0:
        return []
    layers.require_separate_layers("re-initialisation of the top layers")
    if not 0 < n <= layers.num_layers:
        raise ModelError(
            f"reinit_layers: {n} layers of a model that has {layers.num_layers}; give 0 to {layers.num_layers}"
        )
    modules = [m for m in (*layers.blocks[-n:], layers.final_norm, layers.pooler) if m is not None]
    inside = {id(p) for module in modules for p in module.parameters()}
    named = {name: p for name, p in model.named_parameters() if id(p) in inside}
    if frozen := [name for name, p in named.items() if not p.requires_grad]:
        raise ModelError(
            f"reinit_layers: {frozen[0]} ({len(frozen)} parameters in all) is frozen and would stay random; "
            "re-initialise before you freeze parameters or add adapters"
        )
    initialise = next(m for m in model.modules() if isinstance(m, PreTrainedModel))._init_weights
    before = {name: p.detach().clone() for name, p in named.items()}
    try:
        with torch.no_grad():
            for parameter in named.values():
                parameter._is_hf_initialized = False
                parameter.fill_(math.nan)  # what the initialiser skips stays not a number
            for module in modules:
                module.apply(_initialise_conv1d)
                module.apply(initialise)
        if skipped := [name for name, p in named.items() if p.isnan().any()]:
            raise ModelError(
                f"reinit_layers: the model's own initialiser skips {', '.join(skipped)}; set reinit_layers=0"
            )
    except BaseException:
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(before[name])
        raise
    return list(named)


def _initialise_conv1d(module: nn.Module) -> None:
    """Do what openai-gpt's initialiser leaves to the constructor."""
    if isinstance(module, Conv1D):
        nn.init.normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)
