"""The panel of notebook 05: when averaging starts, which rate it runs at, and how much of the run it covers."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from ftlab.lab.bench import pictures
from ftlab.lab.bench.bench import Bench
from ftlab.lab.chart import Sheet
from ftlab.lab.panels import fields
from ftlab.lab.plots.swa import averaging_sheet
from ftlab.recipe import Recipe


class SWAPanel(Bench):
    """Move the start of averaging, its rate, the steps of annealing and the decay from layer to layer; see every
    layer's rate with the averaging phase drawn bold, and how many steps it holds.

    The rates are `ftlab.preview`, so what you see is what `fit` applies. data, fold, size: what to train on, see
    `Bench`; without data nothing is trained and an epoch has steps_per_epoch updates. num_layers: only for a model that
    is not known here.
    """

    title = "Averaging the weights"
    main = ("swa_start", "swa_lr", "lr", "layer_decay")
    hints = MappingProxyType(
        {
            "swa_start": "epoch from which weights are averaged",
            "swa_lr": "off: each layer keeps its rate",
            "layer_decay": "factor from each layer to the one below",
            "lr": "peak of the top layer; logarithmic",
        }
    )
    extra_title = "the averaged model beside the live one, and how far apart they are"

    def __init__(
        self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None, **where: Any
    ) -> None:
        recipe = Recipe() if recipe is None else recipe
        latest = recipe.epochs - (0.5 if steps_per_epoch > 1 else 1)
        self.swa_start, self.swa_lr = fields.averaging(recipe, latest, step=0.25)
        self.swa_anneal_steps = fields.number(recipe, "swa_anneal_steps", high=2 * steps_per_epoch)
        self.layer_decay = fields.number(recipe, "layer_decay", step=0.01)
        self.log_axis = fields.log_axis()
        averaging = [self.swa_start, self.swa_lr, self.swa_anneal_steps]
        controls = [*averaging, self.layer_decay, self.log_axis]
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, num_layers=num_layers, **where)

    def adapt(self) -> None:
        """Switch off what has no meaning: a rate without averaging, annealing without a flat rate."""
        averaging = self.swa_start.value is not None
        if self.data is not None:
            self.swa_start.set_range(0, self.epochs.value - 1 / self.steps_per_epoch)
        self.swa_lr.enable(averaging)
        self.swa_anneal_steps.enable(averaging and self.swa_lr.value is not None)

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide; a decay drops rates given by groups."""
        return {
            **super().changes(),
            "group_lrs": self.base.group_lrs if self.layer_decay.value == 1 else None,
        }

    def alone(self, recipe: Recipe) -> Sheet:
        """Describe the rates by step and, below, how many steps come before, while annealing and after."""
        return averaging_sheet(self.preview(recipe), _anneal_steps(recipe), self.log_axis.value)

    def extra(self, recipe: Recipe) -> Sheet:
        """Describe the validation scores of the live and the averaged model, and the distance of their weights."""
        return pictures.averages(self.current)


def _anneal_steps(recipe: Recipe) -> int:
    """Steps of annealing that the recipe really has: none while each layer keeps its rate."""
    return 0 if recipe.swa_lr is None else recipe.swa_anneal_steps
