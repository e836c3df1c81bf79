"""The panels of notebook 11: a bench on your own file; a whole plan for your rows and model, in steps and as code."""

from __future__ import annotations

import math
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ftlab.lab.bench.bench import Bench
from ftlab.lab.chart import Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice, Number, Panel
from ftlab.lab.plots.your_task import plan_sheet, spans_chart
from ftlab.recipe import ABOUT, Recipe
from ftlab.schedules import KNOWN_LAYERS, LRSchedule, num_layers_of, preview

if TYPE_CHECKING:
    from ftlab.data import Data


class OwnFilePanel(Bench):
    """Train every technique of the series on your own data, one beside the other.

    data: your file, as `ftlab.load_data` gives it. fold, size: what to train on, see `Bench`; without data nothing is
    trained and an epoch has steps_per_epoch updates. The further picture shows what the steps are spent on.
    """

    title = "Your task"
    main = ("lr", "layer_decay", "warmup", "epochs")
    hints = MappingProxyType(
        {
            "lr": "peak of the top layer; logarithmic",
            "layer_decay": "factor from each layer to the one below",
            "warmup": "share of the run in which it rises",
            "epochs": "passes over the training set",
        }
    )
    extra_title = "what the steps are spent on"

    def __init__(
        self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None, **where: Any
    ) -> None:
        recipe = Recipe() if recipe is None else recipe
        depth = num_layers_of(recipe.model) if num_layers is None else num_layers
        self.lr, self.layer_decay = fields.number(recipe, "lr"), fields.number(recipe, "layer_decay", step=0.01)
        self.eval_every = fields.number(recipe, "eval_every", start=10)
        self.batch_size = fields.number(recipe, "batch_size")
        self.reinit_layers = fields.number(recipe, "reinit_layers", high=max(recipe.reinit_layers, depth or 0))
        self.swa_start, _ = fields.averaging(recipe, recipe.epochs - 0.5)
        controls = [self.lr, self.layer_decay, self.eval_every, self.batch_size, self.reinit_layers, self.swa_start]
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, num_layers=num_layers, **where)

    def adapt(self) -> None:
        """Keep averaging inside the run."""
        if self.swa_start.high != (latest := self._set("epochs") - 0.5):
            self.swa_start.set_range(0, latest)

    def changes(self) -> dict[str, Any]:
        """Return the fields that the controls decide; a decay drops learning rates given by groups."""
        groups = self.base.group_lrs if self.layer_decay.value == 1 else None
        return {**super().changes(), "group_lrs": groups}

    def extra(self, recipe: Recipe) -> Sheet:
        """Describe what the steps of the run are spent on."""
        spent = spans(self.preview(recipe), recipe)
        return Sheet(
            [spans_chart(self.preview(recipe), spent, "Steps")], sentence="; ".join(n for _, n in spent.values())
        )


def spans(schedule: LRSchedule, recipe: Recipe, rows: int | None = None) -> dict[str, tuple[int, str]]:
    """Return what the steps of a run are spent on: {name: (steps, note)}. rows: of the training set, to be named."""
    epoch, total, every = schedule.steps_per_epoch, schedule.total_steps, recipe.eval_every
    often = 0 if every is None else total // every - total // math.lcm(every, epoch)
    evaluations, wait = recipe.epochs + often, min(every or epoch, epoch)
    averaged = 0 if schedule.swa_step is None else total - schedule.swa_step
    times = f" x {recipe.gradient_accumulation_steps}" if recipe.gradient_accumulation_steps > 1 else ""
    batches = "" if rows is None else f" ({rows:,} rows / {recipe.batch_size}{times})"
    return {
        "whole run": (total, f"{total:,} = {recipe.epochs} x {epoch:,}"),
        "one epoch": (epoch, f"{epoch:,}{batches}"),
        "warm-up": (schedule.warmup_steps, f"{schedule.warmup_steps:,} ({schedule.warmup_steps / total:.0%})"),
        "between evaluations": (wait, f"{wait:,} at most ({evaluations:,} evaluations)"),
        "averaged": (averaged, f"{averaged:,} ({averaged / total:.0%})"),
    }


class YourTaskPanel(Panel):
    """Say how many rows you have and which model you take; set every technique; see what the run will be.

    Above, every layer's rate by step, from `ftlab.preview`, so what you see is what `fit` applies; below, how many
    steps an epoch, the warm-up, the wait between evaluations and the averaging take. `command` trains the same in a
    terminal. data: your data, for its name and the rows of a training set; default: those of `passages`. num_layers:
    only for a model that is not known here. Raises RecipeError for a recipe that does not fit rows and model.
    """

    title = "The whole plan"

    def __init__(self, recipe: Recipe | None = None, data: Data | None = None, num_layers: int | None = None) -> None:
        recipe = Recipe() if recipe is None else recipe
        depth = num_layers_of(recipe.model) if num_layers is None else num_layers
        self.depths = {**KNOWN_LAYERS, recipe.model: depth}
        self.data_name = "passages" if data is None else data.name
        self.rows = Number(
            "rows",
            "training rows",
            432 if data is None else len(data.split(0).train),
            20,
            100_000,
            log=True,
            integer=True,
            help="texts in the training set, three fifths of all with five folds; no field of a recipe",
        )
        self.model = Choice("model", "model", recipe.model, tuple(self.depths), help=ABOUT["model"].help)
        self.batch_size = fields.number(recipe, "batch_size")
        self.gradient_accumulation_steps = fields.number(recipe, "gradient_accumulation_steps")
        self.epochs, self.lr = fields.number(recipe, "epochs"), fields.number(recipe, "lr")
        self.layer_decay = fields.number(recipe, "layer_decay", step=0.01)
        self.warmup, self.warmup_steps = fields.warmup(recipe, self.total_steps)
        self.reinit_layers = fields.number(recipe, "reinit_layers", high=max(recipe.reinit_layers, depth or 0))
        self.swa_start, _ = fields.averaging(recipe, self.latest_start)
        self.eval_every = fields.number(recipe, "eval_every", start=10)
        self.log_axis = fields.log_axis()
        self.preview(recipe)  # refuses one that does not fit these rows, which the ranges would change in silence
        size = [self.rows, self.model, self.batch_size, self.gradient_accumulation_steps, self.epochs]
        techniques = [self.lr, self.layer_decay, self.warmup, self.warmup_steps, self.reinit_layers, self.swa_start]
        super().__init__(recipe, [*size, *techniques, self.eval_every, self.log_axis])

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates an epoch, as `fit` counts them: the last batch and the last group may be smaller."""
        batches = math.ceil(self.rows.value / self.batch_size.value)
        return math.ceil(batches / self.gradient_accumulation_steps.value)

    @property
    def total_steps(self) -> int:
        """Optimizer updates of the whole run."""
        return self.epochs.value * self.steps_per_epoch

    @property
    def latest_start(self) -> float:
        """The latest epoch to average from that leaves a step to average."""
        return self.epochs.value - (0.5 if self.steps_per_epoch > 1 else 1)

    @property
    def command(self) -> str:
        """The line that trains this recipe on every fold in a terminal; columns' names may have to be added."""
        from ftlab.study import command  # here: it brings pandas, which other panels do without

        return command(self.recipe, data=self.data_name, seed=self.recipe.seed)

    def adapt(self) -> None:
        """Keep warm-up, averaging and re-initialised layers inside the run and the model."""
        self.warmup_steps.set_range(0, self.total_steps)
        first, latest = self.swa_start.default, self.latest_start
        if first is not None and round(first * self.steps_per_epoch) < self.total_steps:
            latest = max(first, latest)
        self.swa_start.set_range(0, latest)
        self.warmup.enable(self.warmup_steps.value is None)
        self.reinit_layers.set_range(0, self.depths[self.model.value] or self.reinit_layers.high)

    def changes(self) -> dict[str, Any]:
        """Return the fields that the controls decide; a decay, or too few layers, drops rates given by groups."""
        steps, groups = self.warmup_steps.value, self.base.group_lrs
        depth = self.depths[self.model.value]
        fit = self.layer_decay.value == 1 and (groups is None or depth is None or len(groups) <= depth)
        return {
            **super().changes(),
            "warmup": self.warmup.value if steps is None else steps,
            "group_lrs": groups if fit else None,
        }

    def preview(self, recipe: Recipe) -> LRSchedule:
        """Compute the rates to draw: at most 300 steps, corners included."""
        return preview(recipe, self.steps_per_epoch, steps=300, num_layers=self.depths[recipe.model])

    def spans(self, schedule: LRSchedule, recipe: Recipe) -> dict[str, tuple[int, str]]:
        """Return what the steps are spent on: {name: (steps, note)}."""
        return spans(schedule, recipe, self.rows.value)

    def heading(self, recipe: Recipe) -> str:
        """Say how many layers are re-initialised."""
        depth = self.depths[recipe.model]
        return f"The run in steps; {recipe.reinit_layers} of {depth} layers re-initialised"

    def picture(self, recipe: Recipe) -> Sheet:
        """Describe every layer's rate and what the steps are spent on."""
        schedule = self.preview(recipe)
        return plan_sheet(schedule, self.spans(schedule, recipe), self.heading(recipe), self.log_axis.value)

    def page(self, recipe: Recipe, picture: str) -> str:
        """Put the command below the picture."""
        command = escape(self.command)
        return f"{picture}<div>In a terminal:<pre style='white-space:pre-wrap;margin:0'>{command}</pre></div>"
