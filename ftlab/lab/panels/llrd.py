"""The panel of notebook 02: one rate a layer, by decay or by groups of layers, seen by layer and by step at once."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import numpy as np

from ftlab.lab.bench.bench import Bench
from ftlab.lab.bench.rows import Row
from ftlab.lab.chart import BLUE, Axis, Bar, Chart, Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice, Number
from ftlab.lab.plots.llrd import layer_rates_sheet
from ftlab.recipe import Recipe
from ftlab.schedules import CONVENTIONS, convention_rates, layer_rates, preview


def spread_rates(lowest: float, highest: float, groups: int) -> tuple[float, ...]:
    """Spread rates in equal ratios from `lowest` to `highest`, both included, rounded to four digits; one: `highest`.

    With equal ratios the groups do in a few stairs what a decay does layer by layer. From 0 no ratio leads upwards, so
    the steps are equal; a lowest rate above the highest counts as the highest.
    """
    if groups == 1 or lowest >= highest:
        return (highest,) * groups
    between = (np.geomspace if lowest > 0 else np.linspace)(lowest, highest, groups)[1:-1]
    return (lowest, *(float(f"{rate:.4g}") for rate in between), highest)


class LLRDPanel(Bench):
    """Move the decay, the rates of top layer and head, or cut the layers into groups; train what you see.

    Without groups the rates follow the decay; with groups they are spread in equal ratios from the lowest rate to that
    of the top layer. The bars are the full rates, the lines `ftlab.preview`: what `fit` applies. `convention` marks on
    the bars what the same numbers would mean elsewhere. data, fold, size: what to train on, see `Bench`; without data
    nothing is trained and an epoch has steps_per_epoch updates. num_layers: only for a model that is not known here.
    """

    title = "Layer-wise learning rates"
    main = ("layer_decay", "lr", "warmup")
    hints = MappingProxyType(
        {
            "layer_decay": "factor from each layer to the one below",
            "lr": "peak of the top layer; logarithmic",
            "warmup": "share of the run in which it rises from 0",
        }
    )
    extra_title = "every layer's full learning rate as bars, and how far the run has moved it"

    def __init__(
        self, recipe: Recipe | None = None, steps_per_epoch: int = 27, num_layers: int | None = None, **where: Any
    ) -> None:
        recipe = Recipe() if recipe is None else recipe
        depth = len(preview(recipe, steps_per_epoch, steps=[0], num_layers=num_layers).layers) - 2
        given = recipe.group_lrs
        self.lr, self.head_lr, self.layer_decay = fields.rates(recipe).values()
        self.groups = Number(
            "groups",
            "groups of layers",
            None if given is None else len(given),
            1,
            depth,
            integer=True,
            optional="in groups",
            start=min(3, depth),
            help="equal groups that share a rate, in place of the decay; rates in equal ratios from lowest to top",
        )
        self.lowest_lr = fields.number(
            recipe,
            "lr",
            name="lowest_lr",
            label="lowest rate",
            value=given[0] if given else max(1e-7, float(f"{recipe.lr * 0.9**depth:.3g}")),
            help="rate of the lowest group and of the embeddings, at most the top rate; needs two groups or more",
        )
        self.convention = Choice(
            "convention",
            "compare with",
            None,
            {"nobody": None, **{name: name for name in CONVENTIONS if CONVENTIONS[name]}},
            help="marks what the same decay and rate (lr) mean in another source; there lr is the head's rate",
        )
        self.log_axis = fields.log_axis()
        controls = [self.layer_decay, self.lr, self.head_lr, self.groups, self.lowest_lr]
        controls += [self.convention, self.log_axis]
        super().__init__(recipe, controls, steps_per_epoch=steps_per_epoch, num_layers=num_layers, **where)

    def adapt(self) -> None:
        """Switch off what another control makes meaningless."""
        grouped = self.groups.value is not None
        self.layer_decay.enable(not grouped)
        self.lowest_lr.enable(grouped and self.groups.value > 1)
        self.convention.list.disabled = grouped

    def changes(self) -> dict[str, Any]:
        """Return the recipe's fields that the controls decide.

        Rates of groups that the first recipe gives stay as they are until the controls that make them are moved.
        """
        made_from = (self.groups, self.lowest_lr, self.lr)
        if self.groups.value is None:
            group_lrs = None
        elif all(control.value == control.default for control in made_from):
            group_lrs = self.base.group_lrs
        else:
            group_lrs = spread_rates(self.lowest_lr.value, self.lr.value, self.groups.value)
        decay = self.layer_decay.value if group_lrs is None else 1.0
        return {**super().changes(), "layer_decay": decay, "group_lrs": group_lrs}

    def rates(self, recipe: Recipe) -> np.ndarray:
        """Compute the full rate of every layer: shape (L + 2,), embeddings first, head last."""
        return layer_rates(
            self.num_layers,
            lr=recipe.lr,
            head_lr=recipe.head_lr,
            layer_decay=recipe.layer_decay,
            group_lrs=recipe.group_lrs,
        )

    def compared(self, recipe: Recipe) -> dict[str, Any]:
        """Return the rates of the other convention and its name; none while the layers are in groups."""
        name = self.convention.value
        if name is None or recipe.group_lrs is not None:
            return {"others": None, "name": ""}
        rates = convention_rates(name, self.num_layers, lr=recipe.lr, layer_decay=recipe.layer_decay)
        return {"others": rates, "name": name}

    def alone(self, recipe: Recipe) -> Sheet:
        """Describe the full rate of every layer as bars, and the rate of every layer by step."""
        log = self.log_axis.value
        return layer_rates_sheet(self.preview(recipe), self.rates(recipe), **self.compared(recipe), log=log)

    def extra(self, recipe: Recipe) -> Sheet:
        """Describe every layer's full rate as bars, and beside it how far the run in colour has moved the layer."""
        rates = self.alone(recipe).charts[0]
        moved = {} if self.current is None else self.current.measured or {}
        names = rates.y.names
        bars = [Bar(i, 100 * moved[name], BLUE, f"{moved[name]:.2%}") for i, name in enumerate(names) if name in moved]
        title = "Moved" if self.current is None else f"Moved by {self.current.name}"
        distance = Chart(title, bars=bars, note="in % of the layer's size", x=Axis(low=0), y=Axis(names=names),
                         height=rates.height, empty="no run yet")  # fmt: skip
        return Sheet([rates, distance], sentence=f"{rates.sentence} {title}: {moved}", columns=2, least=240)

    def measure(self, row: Row) -> dict[str, float]:
        """Measure how far each layer's weights lie from where they started: |w - w0| / |w0|, of the best checkpoint."""
        from ftlab.models import layer_map
        from ftlab.trainer import prepare

        start = prepare(row.recipe, row.data, self.fold).bare_model
        places, first = layer_map(start).place, dict(start.named_parameters())
        sums = {place: np.zeros(2) for place in row.history.layers}
        for name, weights in row.run.model.named_parameters():
            before, after = first[name].detach().cpu(), weights.detach().cpu()  # on a GPU they may be apart
            sums[places[name]] += ((after - before).square().sum().item(), before.square().sum().item())
        return {place: float(np.sqrt(moved / size)) for place, (moved, size) in sums.items() if size}
