"""The defaults of the first edition (0.1.0), frozen: its cells and clinic records hold only what differs from them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ftlab.recipe import Recipe

FIRST_EDITION: Mapping[str, Any] = MappingProxyType(
    {
        "model": "minilm",
        "head": "auto",
        "max_length": 256,
        "dropout": 0.0,
        "epochs": 4,
        "batch_size": 16,
        "gradient_accumulation_steps": 1,
        "lr": 0.0002,
        "head_lr": None,
        "layer_decay": 1.0,
        "group_lrs": None,
        "weight_decay": 0.01,
        "optimizer": "adamw",
        "max_grad_norm": 1.0,
        "schedule": "linear",
        "schedule_args": {},
        "warmup": 0,
        "reinit_layers": 0,
        "swa_start": None,
        "swa_lr": None,
        "swa_anneal_steps": 10,
        "eval_every": None,
        "patience": None,
        "seed": 0,
        "loss": "auto",
    }
)
"""Every field of a recipe as `Recipe()` had it then; never changed, whatever becomes of the defaults."""


def recipe_of(record: Mapping[str, Any]) -> Recipe:
    """Rebuild the recipe of a cell: from its whole `recipe`, or from the `changes` that the first edition kept.

    Raises RecipeError for a field that is unknown or out of range.
    """
    if isinstance(record.get("recipe"), Mapping):
        return Recipe().but(**record["recipe"])
    return Recipe().but(**{**FIRST_EDITION, "seed": record.get("seed", 0), **record.get("changes", {})})
