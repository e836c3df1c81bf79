"""The panel of notebook 01: what the fields of a recipe do to the rate of every layer at every step."""

from __future__ import annotations

from typing import Any

from ftlab import plots, svg
from ftlab.panels.base import Choice, Number, Panel, Switch
from ftlab.recipe import Recipe
from ftlab.schedules import SCHEDULES, LRSchedule, preview


class SchedulePanel(Panel):
    """Move the rates, the decay from layer to layer, the schedule, the warm-up and the averaging; see every
    layer's rate.

    The picture is `ftlab.preview`, so what you see is what `fit` applies. steps_per_epoch: optimizer updates
    an epoch (27 for `passages` with batches of 16). num_layers: only for a model that is not known here.
    """

    title = "Learning rate of every layer"

    def __init__(
        self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None
    ) -> None:
        recipe = Recipe() if recipe is None else recipe
        self.steps_per_epoch, self.num_layers = steps_per_epoch, num_layers
        in_steps = isinstance(recipe.warmup, int) and recipe.warmup > 0
        rates = {"low": 1e-7, "high": 1e-2, "log": True}
        self.epochs = Number(
            "epochs", "epochs", recipe.epochs, 1, 20, integer=True, help="passes over the training part"
        )
        self.lr = Number("lr", "rate (lr)", recipe.lr, **rates, help="peak rate of the top layer")
        self.head_lr = Number(
            "head_lr",
            "head's rate",
            recipe.head_lr,
            **rates,
            optional="own rate",
            start=recipe.lr,
            help="peak rate of the head; off: the same as the top layer",
        )
        self.layer_decay = Number(
            "layer_decay",
            "layer decay",
            recipe.layer_decay,
            0,
            1,
            step=0.01,
            help="factor from a layer's rate to the one below it; 1: off, 0: only the top layer learns",
        )
        self.schedule = Choice(
            "schedule",
            "schedule",
            recipe.schedule,
            tuple(SCHEDULES),
            help="how the rate falls after the warm-up",
        )
        self.warmup = Number(
            "warmup",
            "warm-up (share)",
            0.0 if in_steps else float(recipe.warmup),
            0,
            0.9,
            step=0.01,
            help="share of the run over which the rate rises from 0",
        )
        self.warmup_steps = Number(
            "warmup_steps",
            "warm-up steps",
            recipe.warmup if in_steps else None,
            0,
            recipe.epochs * steps_per_epoch,
            integer=True,
            optional="in steps",
            start=0,
            help="the warm-up as a number of steps, in place of the share",
        )
        self.swa_start = Number(
            "swa_start",
            "averaging from",
            recipe.swa_start,
            0,
            recipe.epochs - 0.5,
            step=0.5,
            optional="average",
            start=max(0, recipe.epochs - 1),
            help="epoch, counted from 0, from which weights are averaged (SWA); off: never",
        )
        self.swa_lr = Number(
            "swa_lr",
            "averaging rate",
            recipe.swa_lr,
            **rates,
            optional="flat rate",
            start=recipe.lr / 2 or 1e-7,
            help="one rate for all layers while averaging; off: each layer keeps the rate it had",
        )
        self.log_axis = Switch(
            "log_axis", "logarithmic axis", False, help="shows small rates; equal ratios look equal"
        )
        training = [self.epochs, self.lr, self.head_lr, self.layer_decay, self.schedule]
        averaging = [self.swa_start, self.swa_lr]
        super().__init__(recipe, [*training, self.warmup, self.warmup_steps, *averaging, self.log_axis])

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

    def preview(self, recipe: Recipe) -> LRSchedule:
        """Compute the rates to draw: at most 300 steps, corners included."""
        return preview(recipe, self.steps_per_epoch, steps=300, num_layers=self.num_layers)

    def draw(self, recipe: Recipe) -> str:
        """Return the rate of every layer by step as SVG text."""
        schedule = self.preview(recipe)
        return svg.line_chart(
            svg.rate_lines(schedule.layers, schedule.steps, schedule.lr),
            title=self.title,
            label=plots.describe(schedule),
            x_label=f"step ({schedule.steps_per_epoch} an epoch)",
            y_label="rate",
            width=580,
            height=400,
            x_range=(0, schedule.total_steps),
            y_range=None if self.log_axis.value else (0, 1.08 * float(schedule.lr.max()) or 1.0),
            log_y=self.log_axis.value,
            marks=plots.schedule_marks(schedule),
            empty="every rate is 0",
        )

    def figure(self, recipe: Recipe) -> plots.Picture:
        """Return the rate of every layer by step as a matplotlib figure."""
        return plots.plot_schedule(self.preview(recipe))
