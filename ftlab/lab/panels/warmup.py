"""The panel of notebook 03: how the rate rises, and every way in which it can fall."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ftlab.errors import RecipeError
from ftlab.lab.bench import pictures
from ftlab.lab.bench.bench import Bench
from ftlab.lab.chart import Chart, Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice, Number, Switch
from ftlab.lab.plots.warmup import gallery_sheet, warmup_sheet
from ftlab.recipe import DECAY_TYPES, Recipe
from ftlab.schedules import SCHEDULES, LRSchedule

ARGUMENTS: Mapping[str, dict[str, Any]] = {
    name: {p.name: p.default for p in inspect.signature(factor).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for name, factor in SCHEDULES.items()
}
"""The arguments that each schedule takes, with their defaults."""
OWN = ("num_cycles", "restarts", "power", "end_factor", "timescale")


class WarmupPanel(Bench):
    """Move the warm-up, the schedule and the schedule's own arguments; see the rate at every step.

    With `gallery` on, every schedule is drawn, each with the arguments that it takes and the chosen one in bold; off,
    the chosen one alone, with its corners and, dashed, the same schedule without warm-up. Only the controls that the
    pictures depend on are shown. The picture is `ftlab.preview`, so what you see is what `fit` applies. data, fold,
    size: what to train on, see `Bench`; without data nothing is trained and an epoch has steps_per_epoch updates.
    num_layers: only for a model that is not known here.
    """

    title = "Warm-up and schedules"
    main = ("warmup", "schedule", "lr", "epochs")
    hints = MappingProxyType(
        {
            "warmup": "share of the run in which it rises from 0",
            "schedule": "how it goes on after the warm-up",
            "lr": "peak of the top layer; logarithmic",
        }
    )
    extra_title = "the gradient's norm, which the warm-up is there for"

    def __init__(
        self,
        recipe: Recipe | None = None,
        steps_per_epoch: int = 27,
        num_layers: int | None = None,
        gallery: bool = True,
        **where: Any,
    ) -> None:
        recipe = Recipe() if recipe is None else recipe
        if recipe.schedule not in SCHEDULES:
            raise RecipeError(
                f"schedule: {recipe.schedule!r} is not among the schedules of this panel, {', '.join(SCHEDULES)}; "
                "BertAdamPanel shows it"
            )
        total = recipe.epochs * steps_per_epoch
        first = {name: value for args in ARGUMENTS.values() for name, value in args.items()}
        first |= {"num_cycles": 0.5, "restarts": 1, **recipe.schedule_args}
        if recipe.schedule == "cosine_with_restarts":  # there, num_cycles counts the falls
            first |= {"restarts": first["num_cycles"], "num_cycles": 0.5}
        decay = first["decay_steps"]
        self.schedule = fields.choice(recipe, "schedule", SCHEDULES)
        trains = where.get("data") is not None
        gallery = gallery and not trains
        self.gallery = Switch("gallery", "show every schedule", gallery, help="all of them, or the chosen one alone")
        self.warmup, self.warmup_steps = fields.warmup(recipe, total)
        first_epochs = 1 if recipe.swa_start is None else int(recipe.swa_start) + 1
        self.epochs, self.lr = fields.number(recipe, "epochs", low=first_epochs), fields.number(recipe, "lr")
        own = {name: fields.argument(name, first[name]) for name in OWN}
        self.num_cycles, self.restarts, self.power, self.end_factor, self.timescale = own.values()
        self.decay = fields.argument("decay", decay if isinstance(decay, float) else 0.2)
        self.decay_steps = Number(
            "decay_steps",
            "decay steps",
            None if isinstance(decay, float) else decay,
            0,
            total,
            integer=True,
            optional="in steps",
            start=0,
            help="the decay as a number of steps, in place of the share",
        )
        self.decay_type = Choice(
            "decay_type", "shape of the decay", first["decay_type"], DECAY_TYPES, help="of warmup_stable_decay"
        )
        everywhere = [self.schedule, *([] if trains else [self.gallery]), self.warmup, self.warmup_steps]
        arguments = [*own.values(), self.decay, self.decay_steps, self.decay_type]
        controls = [*everywhere, self.epochs, self.lr, *arguments]
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, num_layers=num_layers, **where)

    def controls_of(self, schedule: str) -> dict[str, list[Number | Choice]]:
        """Return the controls of each argument that a schedule takes: {argument: controls}."""
        other = {"decay_steps": [self.decay, self.decay_steps]}
        if schedule == "cosine_with_restarts":
            other["num_cycles"] = [self.restarts]
        return {name: other.get(name) or [self.controls[name]] for name in ARGUMENTS[schedule]}

    def arguments(self, schedule: str) -> dict[str, Any]:
        """Return a schedule's arguments as the controls have them, those at their default left out."""
        given = self.base.schedule_args if schedule == self.base.schedule else {}
        values = {name: controls[-1].value for name, controls in self.controls_of(schedule).items()}
        if "decay_steps" in values and values["decay_steps"] is None:
            values["decay_steps"] = self.decay.value
        return {name: v for name, v in values.items() if name in given or v != ARGUMENTS[schedule][name]}

    def adapt(self) -> None:
        """Keep warm-up and decay inside the run; show only the controls that the pictures depend on."""
        for share, steps in ((self.warmup, self.warmup_steps), (self.decay, self.decay_steps)):
            steps.set_range(0, self.epochs.value * self.steps_per_epoch)
            share.enable(steps.value is None)
        shown = SCHEDULES if self.gallery.value else [self.schedule.value]
        used = {id(c) for name in shown for controls in self.controls_of(name).values() for c in controls}
        for name in SCHEDULES:
            for controls in self.controls_of(name).values():
                for control in controls:
                    control.widget.layout.display = None if id(control) in used else "none"

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide."""
        steps = self.warmup_steps.value
        return {
            **super().changes(),
            "warmup": self.warmup.value if steps is None else steps,
            "schedule_args": self.arguments(self.schedule.value),
        }

    def schedules(self, recipe: Recipe) -> dict[str, LRSchedule]:
        """Compute every schedule under the recipe's warm-up, each with the arguments that it takes."""
        return {name: self.preview(recipe.but(schedule=name, schedule_args=self.arguments(name))) for name in SCHEDULES}

    def alone(self, recipe: Recipe) -> Sheet:
        """Describe the rate by step: one chart a schedule, or the chosen one alone."""
        if self.gallery.value:
            return gallery_sheet(self.schedules(recipe), recipe.schedule)
        return warmup_sheet(self.preview(recipe), self.preview(recipe.but(warmup=0)))

    def extra(self, recipe: Recipe) -> Chart:
        """Describe the norm of each run's gradient at its first steps."""
        return pictures.norms(self.rows, self.current, self.baseline)
