"""The panel of notebook 08: what is set before any technique, and what each setting does to a run."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ftlab.lab.bench.bench import Bench
from ftlab.lab.panels import fields
from ftlab.recipe import Recipe


class HyperparametersPanel(Bench):
    """Move learning rate, batch, accumulation, dropout and weight decay; train what you see.

    data, fold, size: what to train on, see `Bench`; without data nothing is trained and an epoch has steps_per_epoch
    updates. num_layers: only for a model that is not known here.
    """

    title = "Hyperparameters"
    main = ("lr", "batch_size", "dropout", "weight_decay")
    hints = MappingProxyType(
        {
            "lr": "peak of every layer; logarithmic",
            "batch_size": "examples in one pass",
            "dropout": "off: the model's own",
            "weight_decay": "of matrices only",
        }
    )

    def __init__(
        self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None, **where: Any
    ) -> None:
        recipe = Recipe() if recipe is None else recipe
        names = ("lr", "batch_size", "dropout", "weight_decay", "gradient_accumulation_steps")
        controls = [fields.number(recipe, name) for name in names]
        vars(self).update({control.name: control for control in controls})
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, num_layers=num_layers, **where)
