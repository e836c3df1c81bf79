"""The panel of notebook 04: how many top layers are re-initialised, and what that does to every layer."""

from __future__ import annotations

import copy
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ftlab.errors import RecipeError
from ftlab.lab.bench.bench import Bench
from ftlab.lab.chart import Sheet
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice
from ftlab.lab.plots.reinit import before_after_sheet
from ftlab.recipe import ABOUT, Recipe

if TYPE_CHECKING:
    from torch import nn

STATISTICS = {  # what the bars can show: {name in the list: its axis}
    "matrices": "standard deviation of the matrices' weights",
    "LayerNorm scale": "mean scale of the LayerNorms",
    "biases": "size of biases and shifts (root mean square)",
}


class ReinitPanel(Bench):
    """Choose how many top layers are re-initialised; see each layer's weights before and after.

    The model is loaded and measured once, as it comes and with all its layers re-initialised, so that moving the number
    of layers costs no more than a drawing. Another seed draws other weights (a fraction of a second for
    MiniLM, and only the first time). model: measure this loaded model in place of `recipe.model`; it stays as it is.
    data, fold, size: what to train on, see `Bench`; without data nothing is trained.

    Raises RecipeError if the recipe asks for more layers than there are, ModelError if the model cannot be loaded or
    its layers share one set of weights.
    """

    title = "Which layers are re-initialised"
    main = ("reinit_layers", "lr", "warmup", "seed")
    hints = MappingProxyType(
        {
            "reinit_layers": "top layers that start anew; 0: off",
            "lr": "peak of the top layer; logarithmic",
            "warmup": "share of the run in which it rises from 0",
            "seed": "draws the new weights, orders the data",
        }
    )
    extra_title = "every layer's weights, before and after"

    def __init__(self, recipe: Recipe | None = None, model: nn.Module | None = None, **where: Any) -> None:
        from ftlab.models import layer_map, load_model  # here: they bring torch, which other panels do without

        recipe = Recipe() if recipe is None else recipe
        self._model = load_model(recipe) if model is None else copy.deepcopy(model)
        layers = layer_map(self._model)
        layers.require_separate_layers("re-initialisation of the top layers")
        depth = layers.num_layers
        if recipe.reinit_layers > depth:
            raise RecipeError(
                f"reinit_layers: {recipe.reinit_layers!r} is not allowed here; allowed: whole numbers 0 to {depth}, "
                f"since {recipe.model} has {depth} layers"
            )
        # The pooler is re-initialised with the layers, the rest of the head is new in any case.
        pooler = {} if layers.pooler is None else {id(p): "pooler" for p in layers.pooler.parameters()}
        self._place = {n: pooler.get(id(p), layers.place[n]) for n, p in self._model.named_parameters()}
        self.places = [*layers.layers[:-1], *(["pooler"] if pooler else [])]
        counts = dict.fromkeys([*self.places, layers.layers[-1]], 0)
        for name, place in self._place.items():
            counts[place] += layers.sizes[name]
        self.counts = counts
        self.before = self._measure()
        self._fresh: dict[int, dict[str, dict[str, float]]] = {}
        self._fresh_start(recipe.seed)  # now, so that the slider need not wait for it
        remark = "; from 1 on the pooler goes with them" if pooler else "; this head has no pooler"
        known = ABOUT["reinit_layers"].help + remark
        self.reinit_layers = fields.number(recipe, "reinit_layers", high=depth, help=known)
        self.seed = fields.number(recipe, "seed")
        self.shown = Choice(
            "shown",
            "bars show",
            "matrices",
            tuple(STATISTICS),
            help="what is measured in each layer",
        )
        super().__init__(recipe, [self.reinit_layers, self.seed, self.shown], num_layers=depth, **where)

    def fresh_places(self, n: int) -> list[str]:
        """Name the places that a re-initialisation of the top `n` layers reaches."""
        blocks = [place for place in self.places if place.startswith("layer.")]
        return blocks[len(blocks) - n :] + (["pooler"] if n and "pooler" in self.places else [])

    def after(self, recipe: Recipe) -> dict[str, dict[str, float]]:
        """Return {place: {statistic: value}} as it is once the recipe's top layers have been re-initialised."""
        fresh = self.fresh_places(recipe.reinit_layers)
        start = self._fresh_start(recipe.seed) if fresh else {}
        return {place: (start if place in fresh else self.before)[place] for place in self.places}

    def summary(self, recipe: Recipe) -> str:
        """Say how many parameters are re-initialised."""
        total, fresh = sum(self.counts.values()), self.fresh_places(recipe.reinit_layers)
        count = sum(self.counts[place] for place in fresh)
        return f"{count:,} of {total:,} parameters ({count / total:.1%}) re-initialised"

    def alone(self, recipe: Recipe) -> Sheet:
        """Describe two bars a layer, before and after."""
        key, after = self.shown.value, self.after(recipe)
        return before_after_sheet(
            {place: self.before[place][key] for place in self.places},
            {place: after[place][key] for place in self.places},
            changed=self.fresh_places(recipe.reinit_layers),
            unit=STATISTICS[key],
            title=self.summary(recipe),
            end=self._longest(key),
        )

    def extra(self, recipe: Recipe) -> Sheet:
        """Describe the same: the picture of a bench that trains has rates and losses."""
        return self.alone(recipe)

    def _longest(self, key: str) -> float:
        """End of the axis: the same wherever the sliders stand, so that bars can be compared as they move."""
        parts = (self.before, self._fresh_start(self.base.seed))
        known = [measured[key] for part in parts for measured in part.values()]
        return max((value for value in known if math.isfinite(value)), default=0.0) * 1.05 or 1.0

    def _fresh_start(self, seed: int) -> dict[str, dict[str, float]]:
        """Measure all layers and the pooler once re-initialised; the weights as loaded are measured by now."""
        if seed not in self._fresh:
            from ftlab.models import layer_map
            from ftlab.models.rng import own_generator
            from ftlab.techniques.reinit import reinit_top_layers

            with own_generator(seed):
                reinit_top_layers(self._model, layer_map(self._model).num_layers)
            self._fresh[seed] = self._measure()
        return self._fresh[seed]

    def _measure(self) -> dict[str, dict[str, float]]:
        """Return {place: {statistic: value}}; NaN where a place has nothing of the kind."""
        parts: dict[str, dict[str, list]] = {place: {key: [] for key in STATISTICS} for place in self.places}
        for name, parameter in self._model.named_parameters():
            place = self._place[name]
            if place not in parts:
                continue
            owner = self._model.get_submodule(name.rpartition(".")[0])
            kind = "matrices" if parameter.ndim > 1 else "biases"
            if parameter.ndim == 1 and name.endswith("weight") and "Norm" in type(owner).__name__:
                kind = "LayerNorm scale"
            parts[place][kind].append(parameter.detach())
        return {
            place: {
                "matrices": _spread(kinds["matrices"]),
                "LayerNorm scale": _mean(kinds["LayerNorm scale"]),
                "biases": _size(kinds["biases"]),
            }
            for place, kinds in parts.items()
        }


def _mean(tensors: list) -> float:
    count = sum(t.numel() for t in tensors)
    return sum(float(t.cpu().double().sum()) for t in tensors) / count if count else math.nan


def _size(tensors: list) -> float:
    """Root mean square."""
    count = sum(t.numel() for t in tensors)
    return math.sqrt(sum(float(t.cpu().double().norm()) ** 2 for t in tensors) / count) if count else math.nan


def _spread(tensors: list) -> float:
    """Standard deviation around the mean of all."""
    return math.sqrt(max(0.0, _size(tensors) ** 2 - _mean(tensors) ** 2)) if tensors else math.nan
