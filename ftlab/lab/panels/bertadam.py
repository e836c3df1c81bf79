"""The panel of notebook 09: BERT's own schedules, and the rate that its optimizer makes of them."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from ftlab.bert_schedules import BERT_SCHEDULES, missing_correction
from ftlab.lab.bench.bench import Bench
from ftlab.lab.chart import Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice
from ftlab.lab.plots.bertadam import effective_sheet
from ftlab.recipe import Recipe
from ftlab.schedules import LRSchedule, preview, schedule_arguments

OWN = ("decay_rate", "decay_steps", "degree", "warm_degree")
"""The arguments of BERT's own schedules."""


class BertAdamPanel(Bench):
    """Move the schedule, the warm-up and the schedule's own arguments; see the rate as scheduled and as it is in
    effect, given that BertAdam does not correct the bias of its averages.

    In effect means: the rate at which AdamW, which corrects it, would move as far. The scheduled rate is
    `ftlab.preview`, so what you see is what `fit` applies. Only the controls that the schedule takes are shown.
    data, fold, size: what to train on, see `Bench`; without data nothing is trained and an epoch has steps_per_epoch
    updates. num_layers: only for a model that is not known here.
    """

    title = "BertAdam: rate scheduled and in effect"
    main = ("optimizer", "schedule", "warmup", "lr")
    hints = MappingProxyType(
        {
            "optimizer": "with or without bias correction",
            "schedule": "how it goes on after the warm-up",
            "warmup": "share of the run in which it rises from 0",
            "lr": "peak of the top layer; logarithmic",
        }
    )
    extra_title = "the learning rate in effect: BertAdam does not correct the bias of its averages"

    def __init__(
        self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None, **where: Any
    ) -> None:
        if recipe is None:
            recipe = Recipe(optimizer="bertadam", schedule="warmup_linear", warmup=0.1)
        total = recipe.epochs * steps_per_epoch
        first = {key: value for name in BERT_SCHEDULES for key, value in schedule_arguments(name).items()}
        if recipe.schedule in BERT_SCHEDULES:
            first |= recipe.schedule_args
        self.optimizer = fields.choice(recipe, "optimizer", ("bertadam", "adamw"))
        self.schedule = fields.choice(recipe, "schedule", BERT_SCHEDULES)
        self.warmup, self.warmup_steps = fields.warmup(recipe, total)
        first_epochs = 1 if recipe.swa_start is None else int(recipe.swa_start) + 1
        self.epochs, self.lr = fields.number(recipe, "epochs", low=first_epochs), fields.number(recipe, "lr")
        own = [fields.argument(name, first[name]) for name in OWN]
        self.decay_rate, self.decay_steps, self.degree, self.warm_degree = own
        self.b1 = Choice("b1", "b1", 0.9, [0.0, 0.5, 0.8, 0.9, 0.95, 0.99],
                         help="share of the old in the average of gradients; no field of a recipe")  # fmt: skip
        self.b2 = Choice("b2", "b2", 0.999, [0.9, 0.95, 0.98, 0.99, 0.999, 0.9999],
                         help="share of the old in the average of squared gradients; no field of a recipe")  # fmt: skip
        planned = [self.optimizer, self.schedule, self.warmup, self.warmup_steps, self.epochs, self.lr]
        controls = [*planned, *own, self.b1, self.b2]
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, num_layers=num_layers, **where)

    def arguments(self, schedule: str) -> dict[str, Any]:
        """Return a schedule's arguments as the controls have them, those at their default left out."""
        given = self.base.schedule_args if schedule == self.base.schedule else {}
        if schedule not in BERT_SCHEDULES:
            return dict(given)
        values = {name: (self.controls[name].value, default) for name, default in schedule_arguments(schedule).items()}
        return {name: value for name, (value, default) in values.items() if name in given or value != default}

    def adapt(self) -> None:
        """Keep the warm-up inside the run; show only the controls that the schedule takes."""
        self.warmup_steps.set_range(0, self.epochs.value * self.steps_per_epoch)
        self.warmup.enable(self.warmup_steps.value is None)
        for control in (self.b1, self.b2):
            control.list.disabled = self.optimizer.value != "bertadam"
        used = schedule_arguments(self.schedule.value) if self.schedule.value in BERT_SCHEDULES else {}
        for name in OWN:
            self.controls[name].widget.layout.display = None if name in used else "none"

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide."""
        steps = self.warmup_steps.value
        return {
            **super().changes(),
            "warmup": self.warmup.value if steps is None else steps,
            "schedule_args": self.arguments(self.schedule.value),
        }

    def effective(self, recipe: Recipe) -> tuple[LRSchedule, np.ndarray]:
        """Compute the rate at every step, and by what the optimizer multiplies it in effect."""
        schedule = preview(recipe, self.steps_per_epoch, num_layers=self.num_layers)
        corrected = recipe.optimizer != "bertadam"
        factor = missing_correction(schedule.steps, self.b1.value, self.b2.value)
        return schedule, np.ones_like(factor) if corrected else factor

    def alone(self, recipe: Recipe) -> Sheet:
        """Describe the rate, scheduled and in effect, and below the factor between the two."""
        return effective_sheet(*self.effective(recipe), recipe.optimizer)

    def extra(self, recipe: Recipe) -> Sheet:
        """Describe the same: the picture of a bench that trains has the scheduled rates alone."""
        return self.alone(recipe)
