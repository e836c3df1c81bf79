"""The panel of notebook 01: what the fields of a recipe do to the rate of every layer at every step."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ftlab.lab.bench.bench import Bench
from ftlab.lab.chart import Sheet
from ftlab.lab.panels import fields
from ftlab.lab.plots.runs import rates_chart
from ftlab.recipe import Recipe
from ftlab.schedules import SCHEDULES


class SchedulePanel(Bench):
    """Move the rates, the decay from layer to layer, the schedule, the warm-up and the averaging; see every
    layer's rate.

    The picture is `ftlab.preview`, so what you see is what `fit` applies. data, fold, size: what to train on, see
    `Bench`; without data nothing is trained and an epoch has steps_per_epoch updates. num_layers: only for a model that
    is not known here.
    """

    title = "Learning rate of every layer"
    main = ("lr", "schedule", "warmup", "epochs")
    hints = MappingProxyType(
        {
            "lr": "peak of the top layer; logarithmic",
            "schedule": "how it goes on after the warm-up",
            "warmup": "share of the run in which it rises from 0",
        }
    )

    def __init__(
        self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None, **where: Any
    ) -> None:
        recipe = Recipe() if recipe is None else recipe
        self.epochs = fields.number(recipe, "epochs")
        self.lr, self.head_lr, self.layer_decay = fields.rates(recipe).values()
        self.schedule = fields.choice(recipe, "schedule", SCHEDULES)
        self.warmup, self.warmup_steps = fields.warmup(recipe, recipe.epochs * steps_per_epoch)
        self.swa_start, self.swa_lr = fields.averaging(recipe, latest=recipe.epochs - 0.5)
        self.log_axis = fields.log_axis()
        training = [self.epochs, self.lr, self.head_lr, self.layer_decay, self.schedule]
        averaging = [self.swa_start, self.swa_lr]
        controls = [*training, self.warmup, self.warmup_steps, *averaging, self.log_axis]
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, num_layers=num_layers, **where)

    def adapt(self) -> None:
        """Keep warm-up and averaging inside the run; switch off what another control makes meaningless."""
        epochs, first = self.epochs.value, self.swa_start.default
        self.warmup_steps.set_range(0, epochs * self.steps_per_epoch)
        latest = epochs - 0.5 if first is None or first >= epochs else max(epochs - 0.5, first)
        self.swa_start.set_range(0, latest)
        self.warmup.enable(self.warmup_steps.value is None)
        self.swa_lr.enable(self.swa_start.value is not None)

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide.

        Another schedule drops the arguments of the first one, and a decay drops the rates given by groups.
        """
        steps = self.warmup_steps.value
        return {
            **super().changes(),
            "warmup": self.warmup.value if steps is None else steps,
            "schedule_args": self.base.schedule_args if self.schedule.value == self.base.schedule else {},
            "group_lrs": self.base.group_lrs if self.layer_decay.value == 1 else None,
        }

    def alone(self, recipe: Recipe) -> Sheet:
        """Describe the learning rate of every layer by step."""
        chart = rates_chart(self.preview(recipe), log=self.log_axis.value, height=300)
        return Sheet([chart], "learning rate of every layer by step", chart.sentence)
