"""The panel of notebook 08 on memory: what a training step holds, and which GPU has room for it."""

from __future__ import annotations

from typing import Any

from ftlab.errors import RecipeError
from ftlab.lab.chart import Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice, Panel, Switch
from ftlab.lab.plots.hyperparameters import memory_sheet
from ftlab.recipe import Recipe
from ftlab.tuning.memory import (
    ARCHITECTURES,
    OPTIMIZER_STATES,
    Architecture,
    MemoryEstimate,
    estimate_memory,
    readable,
)


class MemoryPanel(Panel):
    """Move the model, batch, length, accumulation, optimizer and precision; see what a training step holds, part by
    part, and how its peak grows with the batch, beside the sizes of common GPUs.

    The numbers are `ftlab.estimate_memory`. Batch size and accumulation are two ways to one effective batch: the first
    costs memory, the second only time. architecture: the sizes of recipe.model, if it is none of
    `ftlab.tuning.memory.ARCHITECTURES`.

    Raises RecipeError for a model of unknown sizes.
    """

    title = "Memory of a training step"

    def __init__(self, recipe: Recipe | None = None, architecture: Architecture | None = None) -> None:
        recipe = Recipe() if recipe is None else recipe
        self.architectures = dict(ARCHITECTURES)
        if architecture is not None:
            self.architectures[recipe.model] = architecture
        if recipe.model not in self.architectures:
            raise RecipeError(
                f"model: the sizes of {recipe.model!r} are not known here; known: {', '.join(ARCHITECTURES)}. For "
                "another one give architecture=ftlab.tuning.memory.Architecture.of(its configuration)"
            )
        self.model = Choice("model", "model", recipe.model, tuple(self.architectures), help="whose sizes are used")
        self.batch_size = fields.number(recipe, "batch_size")
        self.max_length = fields.number(recipe, "max_length")
        self.gradient_accumulation_steps = fields.number(recipe, "gradient_accumulation_steps")
        self.optimizer = fields.choice(recipe, "optimizer", OPTIMIZER_STATES)
        self.precision = Choice(
            "precision",
            "precision",
            "fp32",
            {"32 bits": "fp32", "mixed, bf16": "bf16", "mixed, fp16": "fp16", "all in bf16": "pure bf16"},
            help="mixed: 16 bits in the matrix products, 32 for weights, gradients and states",
        )
        self.checkpointing = Switch(
            "checkpointing",
            "gradient checkpointing",
            False,
            help="keep each layer's input alone and compute the rest anew in the backward pass: about a third slower",
        )
        self.swa = Switch(
            "swa", "averaged weights (SWA)", recipe.swa_start is not None, help="a second copy of the weights"
        )
        batch = [self.batch_size, self.max_length, self.gradient_accumulation_steps]
        switches = [self.precision, self.checkpointing, self.swa]
        super().__init__(recipe, [self.model, *batch, self.optimizer, *switches])

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide; averaging begins with the last epoch, if newly on."""
        start = None
        if self.swa.value:
            start = self.base.epochs - 1 if self.base.swa_start is None else self.base.swa_start
        return {**super().changes(), "swa_start": start}

    def estimate(self, recipe: Recipe, batch_size: int | None = None) -> MemoryEstimate:
        """Work out the memory of the recipe, at another batch size if one is given."""
        return estimate_memory(
            self.architectures[recipe.model],
            batch_size=batch_size or recipe.batch_size,
            length=recipe.max_length,
            optimizer=recipe.optimizer,
            precision=self.precision.value,
            checkpointing=self.checkpointing.value,
            swa=recipe.swa_start is not None,
            accumulate=recipe.gradient_accumulation_steps > 1,
        )

    def summary(self, recipe: Recipe) -> str:
        """Say which GPU has room, and how many texts make an update."""
        estimate = self.estimate(recipe)
        room = f"fits a GPU of {estimate.fits} GB" if estimate.fits else "too much for a GPU of 80 GB"
        effective = recipe.batch_size * recipe.gradient_accumulation_steps
        return f"{readable(estimate.peak)} at most: {room}; {effective} texts an update"

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe the parts and the peak as bars, and the peak by batch size."""
        sizes = sorted({1, *range(4, self.batch_size.high + 1, 4), recipe.batch_size})
        peaks = [self.estimate(recipe, size).peak for size in sizes]
        setting = recipe.batch_size, recipe.model, *self.summary(recipe).split(": ")
        return memory_sheet(self.estimate(recipe), sizes, peaks, *setting)
