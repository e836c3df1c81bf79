"""What a model asks of padding: on which side, how far, and how long a text may be.

A prediction must not depend on the texts that share its batch, or came before it. Padding on the right, masked, is
enough for nearly all families: positions are counted from the left, and no real token attends to a padded one. The
others are padded here as they need it, before their forward pass.
"""

from __future__ import annotations

import math
import re
import warnings
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig

from ftlab.models.rng import seeded

SIDES = {"xlnet": "left"}
"""Where the padding goes, by family, if not on the right: XLNet's classifier reads the last token, whatever it is."""
SEES_PADDING = ("convbert", "fnet", "funnel", "mobilebert", "nystromformer", "yoso")
"""Families whose layers mix padding into the text: convolutions, Fourier transforms, means over pieces of the batch."""
DRAWS = ("reformer",)
"""Families whose attention draws random numbers, for predictions too (Kitaev et al. 2020)."""
PADDED_LENGTH = "ftlab_padded_length"
"""Field of a configuration, saved with it: the number of tokens that every text is padded to."""


def padding_side(config: PretrainedConfig) -> str:
    """Return the side that a family's texts are padded on: "right" but for XLNet."""
    return SIDES.get(config.model_type, "right")


def settle(name: str, config: PretrainedConfig, max_length: int) -> None:
    """Put into a configuration what makes a prediction depend on its text alone, with a warning where it costs time.

    Families that see their padding have every text padded to the same length; so have positions that are stretched by
    the longest text of a batch (dynamic and long rotary scaling, beyond the length that they were trained for).
    Big Bird's attention (Zaheer et al. 2020) is computed in full: its blocks depend on the length of a batch, and one
    that is too short for them changes the model for good. RWKV does not halve its weights for predictions in 16 bits
    (every six layers), which would be the weights that are then saved.
    """
    if hasattr(config, PADDED_LENGTH):  # of an earlier fine-tuning
        delattr(config, PADDED_LENGTH)
    if config.model_type == "big_bird" and config.attention_type == "block_sparse":
        config.attention_type = "original_full"
        if max_length > (5 + 2 * config.num_random_blocks) * config.block_size:
            warnings.warn(
                f"model {name!r}: its attention is computed in full, because in blocks a prediction would depend on "
                "the other texts of its batch; time and memory grow with the square of max_length",
                stacklevel=4,
            )
    if config.model_type == "rwkv":
        config.rescale_every = 0
    length = _padded_length(config, max_length)
    if length is not None:
        setattr(config, PADDED_LENGTH, length)
        warnings.warn(
            f"model {name!r}: its layers see the padding, so every text is padded to {length} tokens; a smaller "
            "max_length takes less time. Outside ftlab, pad to the same length",
            stacklevel=4,
        )


def _padded_length(config: PretrainedConfig, max_length: int) -> int | None:
    if config.model_type in SEES_PADDING:
        return max_length
    if config.model_type == "reformer":  # it trains on whole chunks only, and on one length with axial positions
        chunks = [getattr(config, f"{kind}_attn_chunk_length") for kind in set(config.attn_layers)]
        chunk = math.lcm(*chunks)
        return math.prod(config.axial_pos_shape) if config.axial_pos_embds else math.ceil(max_length / chunk) * chunk
    scaling = getattr(config, "rope_parameters", None) or {}
    for rope in (scaling, *(part for part in scaling.values() if isinstance(part, dict))):
        if rope.get("rope_type") in ("dynamic", "longrope"):
            trained = rope.get("original_max_position_embeddings") or config.max_position_embeddings
            return max_length if max_length > trained else None
    return None


def steady(model: nn.Module) -> nn.Module:
    """Let a model prepare each forward pass as `settle` has decided; return it.

    Its inputs are padded to the length in its configuration, if there is one. Where the attention draws random numbers,
    a prediction draws the same ones every time, and torch's random state is left alone.
    """
    if getattr(model.config, PADDED_LENGTH, None) is not None:
        model.register_forward_pre_hook(_pad, with_kwargs=True)
    if model.config.model_type in DRAWS:
        model.register_forward_pre_hook(_seed)
        model.register_forward_hook(_unseed, always_call=True)
    return model


def _pad(model: nn.Module, args: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Lengthen input_ids, attention_mask and token_type_ids (batch, tokens) on the right."""
    if args:
        args, inputs = args[1:], {**inputs, "input_ids": args[0]}
    ids, mask, pad = inputs["input_ids"], inputs.get("attention_mask"), model.config.pad_token_id
    mask = torch.ones_like(ids) if mask is None else mask
    # the tokenizer may pad with another token than the one that the model was made with
    inputs = {**inputs, "input_ids": ids.masked_fill(mask == 0, pad), "attention_mask": mask}
    missing = max(0, getattr(model.config, PADDED_LENGTH) - ids.shape[1])
    for name, value in (("input_ids", pad), ("attention_mask", 0), ("token_type_ids", 0)):
        if inputs.get(name) is not None:
            inputs[name] = nn.functional.pad(inputs[name], (0, missing), value=value)
    return args, inputs


def _seed(model: nn.Module, _: Any) -> None:
    if not model.training:
        model.draws = ExitStack()
        model.draws.enter_context(model.draws.enter_context(seeded(0)))


def _unseed(model: nn.Module, *_: Any) -> None:
    if "draws" in vars(model):
        vars(model).pop("draws").close()


def max_positions(model: nn.Module) -> int | None:
    """Return how many tokens a text may have, None if the model sets no limit.

    A limit holds where positions are absolute, that is where there is a table of them; rotary and relative positions go
    on beyond the length that they were trained for. RoBERTa and its kin count positions from the padding index + 1:
    their table of 514 rows serves 512 tokens.
    """
    limit = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit <= 0:
        return None
    tables = [(name, part) for name, part in model.named_modules() if _TABLE.search(name)]
    tables += [(name, part) for name, part in model.named_buffers() if _TABLE.search(name)]
    if not tables and model.config.model_type != "ctrl":  # CTRL's is neither a module nor a buffer
        return None
    padded = [part.padding_idx for _, part in tables if getattr(part, "padding_idx", None) is not None]
    return limit - padded[0] - 1 if padded else limit


_TABLE = re.compile(r"(^|\.)(position_embeddings|positions_embed|embed_positions|wpe)$")
