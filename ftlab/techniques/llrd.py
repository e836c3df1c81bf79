"""Layer-wise learning-rate decay (LLRD): each layer has its own rate, lower towards the input.

Lower layers hold general features, so they move less. Discriminative fine-tuning: Howard and Ruder 2018 (ULMFiT);
decay by a constant factor: Zhang et al. 2021. Groups of layers that share a rate are the article's second form.
The parameters of a layer with the same weight decay share one optimizer group; `merge_groups` joins layers too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from ftlab.checks import real
from ftlab.errors import RecipeError
from ftlab.models import LayerMap, layer_map
from ftlab.schedules import CONVENTIONS, convention_rates, layer_rates  # noqa: F401  also found here, by technique


def param_groups(
    model: nn.Module,
    *,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.01,
    layers: LayerMap | None = None,
) -> list[dict[str, Any]]:
    """Make optimizer groups with layer-wise decay: rate(layer i) = lr * layer_decay ** (L - 1 - i).

    The top layer has `lr`, each layer below `layer_decay` times the rate above it, the embeddings once more; the head
    has `head_lr`, or `lr`. Weight decay applies to matrices, and to no bias, whatever its shape. Each group carries
    `name`, `layer` (an entry of the layer map's `layers`), `lr` and `weight_decay`. layers: the model's layer map,
    where it is known already. Raises ModelError for a model whose layers share one set of weights, RecipeError for a
    decay outside [0, 1].

        optimizer = torch.optim.AdamW(ft.llrd.param_groups(model, lr=3.5e-6, head_lr=3.6e-6, layer_decay=0.9))
    """
    real("layer_decay", layer_decay, 0, 1)
    layers = layers or layer_map(model)
    if layer_decay != 1.0:
        layers.require_separate_layers("layer-wise learning-rate decay")
    return _groups(model, layers, weight_decay, lr=lr, head_lr=head_lr, layer_decay=layer_decay)


def grouped_param_groups(
    model: nn.Module,
    *,
    lrs: Sequence[float],
    head_lr: float | None = None,
    weight_decay: float = 0.01,
    layers: LayerMap | None = None,
) -> list[dict[str, Any]]:
    """Make optimizer groups in which equal groups of layers share a rate, lowest layers first.

    With G rates and L layers, layer i has lrs[floor(i G / L)]; the embeddings have lrs[0], the head `head_lr`, or the
    last of `lrs`. The article's case is (1e-6, 1.75e-6, 3.5e-6) over 12 layers. Raises RecipeError for no group or
    more groups than layers, ModelError for a model whose layers share one set of weights.
    """
    if not len(lrs):
        raise RecipeError("lrs: the list of rates is empty; give at least one, lowest layers first")
    layers = layers or layer_map(model)
    layers.require_separate_layers("grouped layer-wise rates")
    return _groups(model, layers, weight_decay, lr=lrs[-1], head_lr=head_lr, group_lrs=lrs)


def merge_groups(groups: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Join groups with equal rate and weight decay, so that the optimizer makes as few passes as it can.

    Takes what `param_groups` and `grouped_param_groups` return; a joined group carries `layers`, a list, in place of
    `layer`. `fit` does not join them: it sets and records the rate of every layer by name.
    """
    order = list(dict.fromkeys(group["layer"] for group in groups))
    merged: dict[tuple[float, float], dict[str, Any]] = {}
    for group in groups:
        key = (group["lr"], group["weight_decay"])
        joined = merged.setdefault(key, {"layers": [], "lr": key[0], "weight_decay": key[1], "params": []})
        joined["layers"] += [] if group["layer"] in joined["layers"] else [group["layer"]]
        joined["params"] += group["params"]
    for joined in merged.values():
        layers = joined["layers"]
        neighbours = order.index(layers[-1]) - order.index(layers[0]) == len(layers) - 1
        named = f"{layers[0]} to {layers[-1]}" if neighbours and len(layers) > 1 else ", ".join(layers)
        joined["name"] = f"{named}, {'decay' if joined['weight_decay'] else 'no decay'}"
    return list(merged.values())


def _groups(model: nn.Module, layers: LayerMap, weight_decay: float, **rates: Any) -> list[dict[str, Any]]:
    rate_of = dict(zip(layers.layers, layer_rates(layers.num_layers, **rates).tolist(), strict=True))
    groups: dict[tuple[str, bool], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        # as Trainer has it: the biases of XLNet, Funnel and ConvBERT have two dimensions, those of T5 are a table
        layer, decays = layers.place[name], parameter.ndim > 1 and "bias" not in name.lower()
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
