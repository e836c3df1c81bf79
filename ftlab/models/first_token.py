"""The top layer computed for the first token alone, where the head reads no other: the same numbers, less work.

A BERT-like classifier reads one vector of the top layer, the first token's. That token needs the keys and values of all
tokens, but the others' queries, attention outputs and feed-forward parts are computed for nothing, forwards and
backwards: 10 of the 12 h^2 weights of a layer with i = 4 h, one seventh of all the work in six layers. Goyal et al.
(2020, "PoWER-BERT") drop tokens that matter little; these do not matter at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import Any

from torch import Tensor, nn

FAMILIES = ("bert", "camembert", "electra", "roberta", "xlm-roberta")
"""Families whose layers are built as BERT's are, and whose classifiers read the first token."""


@contextmanager
def first_token_only(*models: nn.Module | None) -> Iterator[None]:
    """Let the top layer of each model return (batch, 1, h) inside the block, the first token's vector.

    A model that this does not suit stays as it is: another family, a head that reads more than the first token,
    dropout (it would draw other random numbers), an attention other than torch's `scaled_dot_product_attention`.
    Logits and gradients equal those of the whole layer up to the rounding of 32-bit numbers.
    """
    layers = [layer for layer in map(_top_layer, models) if layer is not None]
    for layer in layers:
        layer.forward = MethodType(_forward, layer)
    try:
        yield
    finally:
        for layer in layers:
            del layer.forward  # the class's own comes back


def _top_layer(model: nn.Module | None) -> nn.Module | None:
    """Find the layer to shorten; None if the model needs it whole."""
    config = getattr(model, "config", None)
    if getattr(config, "model_type", None) not in FAMILIES or getattr(model, "head_name", "pooler") != "pooler":
        return None
    whole = config.is_decoder or config.chunk_size_feed_forward or config._attn_implementation != "sdpa"
    if whole or any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
        return None
    encoder = getattr(model, "backbone", None) or getattr(model, model.base_model_prefix)
    return encoder.encoder.layer[-1]


def _forward(layer: Any, hidden_states: Tensor, attention_mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
    """Compute the layer for the first of the tokens; hidden_states (batch, tokens, h) -> (batch, 1, h)."""
    attention, first = layer.attention.self, hidden_states[:, :1]

    def by_head(vectors: Tensor) -> Tensor:
        return vectors.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)

    mixed = nn.functional.scaled_dot_product_attention(
        by_head(attention.query(first)),
        by_head(attention.key(hidden_states)),
        by_head(attention.value(hidden_states)),
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
        scale=attention.scaling,
    )
    attended = layer.attention.output(mixed.transpose(1, 2).flatten(2), first)
    return layer.output(layer.intermediate(attended), attended)
