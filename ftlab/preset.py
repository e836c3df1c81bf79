"""The preset for tests: with FTLAB_PRESET=tiny in the environment `fit` trains a small random model on a few rows.

Every technique that a recipe turns on stays on, so the cells that a reader sees run in seconds in a test. Results of
the preset never mix with real ones: `ftlab.trainer.conditions` keeps them apart.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from ftlab.data.folds import Split

if TYPE_CHECKING:
    from ftlab.recipe import Recipe


def preset() -> str | None:
    """Return the preset's name, None where there is none."""
    return os.environ.get("FTLAB_PRESET") or None


def is_tiny() -> bool:
    """Tell whether the preset for tests is on."""
    return preset() == "tiny"


def shrink(recipe: Recipe, split: Split) -> tuple[Recipe, Split]:
    """Make a recipe and a split that train in a second, with every technique that was on still on."""
    split = Split(split.train[:48], split.validation[:24], split.test[:24])
    epochs = min(recipe.epochs, 3)
    steps_per_epoch = math.ceil(48 / recipe.batch_size / recipe.gradient_accumulation_steps)
    swa_start = recipe.swa_start
    return recipe.but(
        epochs=epochs,
        max_length=min(recipe.max_length, 48),
        warmup=min(recipe.warmup, epochs * steps_per_epoch // 2),
        eval_every=recipe.eval_every and min(recipe.eval_every, 2),
        swa_start=swa_start if swa_start is None or swa_start < epochs else epochs - 1,
    ), split
