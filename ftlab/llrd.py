"""Layer-wise learning-rate decay (LLRD): each layer has its own rate, lower towards the input.

Lower layers hold general features, so they move less. Discriminative fine-tuning: Howard and Ruder 2018 (ULMFiT);
decay by a constant factor: Zhang et al. 2021. Groups of layers that share a rate are the article's second form.
Parameters with the same rate and weight decay share one optimizer group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ftlab.models import layer_map
from ftlab.schedules import layer_rates


def param_groups(
    model: nn.Module,
    *,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.01,
) -> list[dict[str, Any]]:
    """Make optimizer groups with layer-wise decay: rate(layer i) = lr * layer_decay ** (L - 1 - i).

    The top layer has `lr`, each layer below `layer_decay` times the rate above it, the embeddings once more; the head
    has `head_lr`, or `lr`. Weight decay applies to matrices only. Each group carries `name`, `layer` (a place of the
    layer map), `lr` and `weight_decay`. Raises ModelError for a model whose layers share one set of weights.

        optimizer = torch.optim.AdamW(ft.llrd.param_groups(model, lr=3.5e-6, head_lr=3.6e-6, layer_decay=0.9))
    """
    if layer_decay != 1.0:
        layer_map(model).require_separate_layers("layer-wise learning-rate decay")
    return _groups(model, weight_decay, lr=lr, head_lr=head_lr, layer_decay=layer_decay)


def grouped_param_groups(
    model: nn.Module, *, lrs: Sequence[float], head_lr: float | None = None, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    """Make optimizer groups in which equal groups of layers share a rate, lowest layers first.

    With G rates and L layers, layer i has lrs[floor(i G / L)]; the embeddings have lrs[0], the head `head_lr`, or the
    last of `lrs`. The article's case is (1e-6, 1.75e-6, 3.5e-6) over 12 layers. Raises RecipeError for more groups
    than layers, ModelError for a model whose layers share one set of weights.
    """
    layer_map(model).require_separate_layers("grouped layer-wise rates")
    return _groups(model, weight_decay, lr=lrs[-1], head_lr=head_lr, group_lrs=lrs)


def _groups(model: nn.Module, weight_decay: float, **rates: Any) -> list[dict[str, Any]]:
    layers = layer_map(model)
    rate_of = dict(zip(layers.layers, layer_rates(layers.num_layers, **rates).tolist(), strict=True))
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        layer, decays = layers.place[name], parameter.ndim > 1
        group = groups.setdefault(
            (layer, decays),
            {
                "name": f"{layer}, {'decay' if decays else 'no decay'}",
                "layer": layer,
                "lr": rate_of[layer],
                "weight_decay": weight_decay if decays else 0.0,
                "params": [],
            },
        )
        group["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: (layers.layers.index(group["layer"]), group["name"]))
