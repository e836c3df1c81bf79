"""A recipe: everything that decides how a model is fine-tuned, in one frozen, validated dataclass.

Every technique has a neutral value that switches it off; with all of them neutral, a recipe is plain AdamW with a
linear schedule. `PAPER` holds the recipes of the article this project grew from.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ftlab.bert_schedules import BERT_SCHEDULES
from ftlab.errors import RecipeError
from ftlab.schedules import ALL_SCHEDULES, schedule_arguments

HEADS = ("auto", "pooler", "mean", "attention", "concat4", "mix")
HEAD_INITS = ("random", "probe")
OPTIMIZERS = ("adamw", "bertadam", "sgd")
LOSSES = ("auto", "rmse")
DECAY_TYPES = ("cosine", "linear", "1-sqrt")


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune: a model, its head, the optimizer, the schedule and each technique.

    A recipe never changes: `recipe.but(lr=2e-5)` is a changed copy. Every field is checked on construction; a value
    out of range, of the wrong type, or one that contradicts another field raises RecipeError naming the field.
    """

    model: str = "minilm"
    """"minilm" (on this machine), any hub id, or a local folder."""
    head: str = "auto"
    """"auto": the hub's own ...ForSequenceClassification; or "pooler", "mean", "attention", "concat4", "mix"."""
    head_init: str = "random"
    """"random", or "probe": the final linear layer starts from the ridge (or logistic) solution on its own inputs, of
    the model before training (linear probing, then fine-tuning; Kumar et al. 2022)."""
    max_length: int = 256
    """Tokens kept of a text; longer ones are cut."""
    dropout: float | None = 0.0
    """Probability of every dropout of model and head in [0, 1); None keeps the model's own. A regression head is
    biased by dropout (its output's scale changes between training and evaluation), hence 0 by default."""
    epochs: int = 4
    """Passes over the training part."""
    batch_size: int = 16
    """Examples in one forward and backward pass."""
    gradient_accumulation_steps: int = 1
    """Batches whose gradients make one optimizer update (a step)."""
    lr: float = 2e-4
    """Peak rate of the top layer, and of everything while the layer-wise techniques are off."""
    head_lr: float | None = None
    """Peak rate of the head; None: `lr`."""
    layer_decay: float = 1.0
    """Factor in [0, 1] from a layer's rate to that of the layer below (Zhang et al. 2021); 1 = off, 0 freezes all
    but the top layer and the head."""
    group_lrs: tuple[float, ...] | None = None
    """Peak rates of equal groups of layers, lowest layers first; None = off. Excludes `layer_decay`."""
    weight_decay: float = 0.01
    """Decoupled weight decay (Loshchilov and Hutter 2019) on matrices; none on biases and norms (1-D tensors)."""
    optimizer: str = "adamw"
    """"adamw", "bertadam" (Adam without bias correction) or "sgd"."""
    max_grad_norm: float | None = 1.0
    """The gradient's largest norm; a longer one is scaled down (Pascanu et al. 2013). None = off."""
    schedule: str = "linear"
    """Name in `ftlab.schedules.SCHEDULES`, or one of BERT's own in `BERT_SCHEDULES`."""
    schedule_args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the schedule, such as {"num_cycles": 2}."""
    warmup: int | float = 0
    """Updates over which the rate rises from 0: an int counts steps, a float below 1 is a share of the run."""
    reinit_layers: int = 0
    """Top layers that start from a fresh initialisation, together with the pooler (Zhang et al. 2021); 0 = off."""
    swa_start: float | None = None
    """Epoch, counted from 0, from which weights are averaged (Izmailov et al. 2018); None = off."""
    swa_lr: float | None = None
    """Rate while averaging: None keeps each layer's at the switch; a number is the same for every layer."""
    swa_anneal_steps: int = 10
    """Steps to anneal to `swa_lr`."""
    eval_every: int | None = None
    """Evaluate every so many steps, and at the end of each epoch; None = once an epoch."""
    patience: int | None = None
    """Stop after so many evaluations in a row without a new best; None = off."""
    seed: int = 0
    """Decides the fresh head, the order of the data and dropout."""
    loss: str = "auto"
    """"auto": mean squared error, or cross entropy for classes; "rmse": the root of the batch's mean squared error, as
    in the article (regression only)."""

    def __post_init__(self) -> None:
        for f in dataclasses.fields(self):
            object.__setattr__(self, f.name, _CHECKS[f.name](f.name, getattr(self, f.name)))
        _check_schedule_args(self.schedule, self.schedule_args)
        if self.group_lrs is not None and self.layer_decay != 1.0:
            raise RecipeError(
                f"group_lrs and layer_decay={self.layer_decay:g} exclude each other; "
                "set layer_decay=1.0 or group_lrs=None"
            )
        if self.swa_start is not None and self.swa_start >= self.epochs:
            raise RecipeError(
                f"swa_start: epoch {self.swa_start:g} lies after the end of {self.epochs} epochs; start earlier"
            )

    def __hash__(self) -> int:
        values = [getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "schedule_args"]
        return hash((*values, *sorted(self.schedule_args.items())))

    def __repr__(self) -> str:
        """Show only what differs from the defaults."""
        changed = ", ".join(f"{name}={new!r}" for name, (_, new) in self.diff(Recipe()).items())
        return f"Recipe({changed})"

    def but(self, /, **changes: Any) -> Recipe:
        """Return a copy with some fields changed. Raises RecipeError for an unknown field or a bad value."""
        known = [f.name for f in dataclasses.fields(self)]
        for name in changes:
            if name not in known:
                raise RecipeError(f"{name}: no such field{_nearest(name, known)}. Fields: {', '.join(known)}")
        return dataclasses.replace(self, **changes)

    @property
    def planned(self) -> Mapping[str, int]:
        """The steps that `preview` assumes where none are given: the article's for a recipe of `PAPER`, else none."""
        return _PLANNED.get(self, {})

    def diff(self, other: Recipe) -> dict[str, tuple[Any, Any]]:
        """Name the fields in which this recipe differs from `other`: {field: (other's value, this one's)}."""
        pairs = {f.name: (getattr(other, f.name), getattr(self, f.name)) for f in dataclasses.fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain Python values that JSON can hold."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        values["schedule_args"] = dict(self.schedule_args)
        values["group_lrs"] = None if self.group_lrs is None else list(self.group_lrs)
        return values

    def key_fields(self) -> dict[str, Any]:
        """Return the fields that name a run in checkpoints and studies.

        A field that came after the first edition is left out while it is neutral, so that what was named before it
        existed keeps its name.
        """
        return {name: value for name, value in self.to_dict().items() if _LATER.get(name, _NEVER) != value}

    def to_json(self) -> str:
        """Write the recipe as JSON; `Recipe.from_json` reads it back to an equal recipe."""
        return json.dumps(self.to_dict(), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read a recipe from JSON text; fields that are left out keep their defaults. Raises RecipeError."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise RecipeError(f"recipe: not valid JSON ({error}); write it with Recipe.to_json()") from None
        if not isinstance(values, dict):
            raise RecipeError(f"recipe: the JSON text holds a {type(values).__name__}, not an object of fields")
        return cls().but(**values)


_LATER: dict[str, Any] = {"head_init": "random"}
"""Fields added after the first edition (0.1.0), with their neutral values."""
_NEVER = object()

# ------------------------------------------------------------------------------------------------------- checks


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _real(name: str, value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) or not isinstance(value, numbers.Real) else float(value)
    except OverflowError:  # a whole number beyond 1.8e308
        number = math.inf
    if not math.isfinite(number):
        raise RecipeError(f"{name}: {value!r} is not a finite number")
    return number


def _number(low: float, high: float = math.inf, *, above: bool = False, below: bool = False, optional: bool = False):
    """Check a float in [low, high]; `above` and `below` exclude the ends; `optional` allows None."""
    allowed = f"{'(' if above else '['}{low:g}, {high:g}{')' if below or high == math.inf else ']'}"

    def check(name: str, value: Any) -> float | None:
        if value is None and optional:
            return None
        number = _real(name, value)
        if not low <= number <= high or (above and number == low) or (below and number == high):
            raise RecipeError(f"{name}: {value!r} is out of range; allowed: {allowed}{' or None' if optional else ''}")
        return number

    return check


def _integer(low: int, *, optional: bool = False):
    def check(name: str, value: Any) -> int | None:
        if value is None and optional:
            return None
        if isinstance(value, bool) or not isinstance(value, numbers.Integral):
            raise RecipeError(f"{name}: {value!r} is not a whole number{' or None' if optional else ''}")
        if value < low:
            raise RecipeError(f"{name}: {value!r} is out of range; allowed: {low} or more")
        if value > 2**31 - 1:
            raise RecipeError(f"{name}: {value!r} is out of range; allowed: {low} to {2**31 - 1}")
        return int(value)

    return check


def _choice(options: Any):
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            raise RecipeError(f"{name}: {value!r} is unknown{_nearest(value, options)}. Known: {', '.join(options)}")
        return value

    return check


def _text(name: str, value: Any) -> str:
    value = str(value) if hasattr(value, "__fspath__") else value
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{name}: {value!r} is not a model name, hub id or folder")
    return value


def _warmup(name: str, value: Any) -> int | float:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return _integer(0)(name, value)
    number = _real(name, value)
    if not 0 <= number < 1:
        raise RecipeError(
            f"{name}: {value!r} is out of range; a share of the run is in [0, 1), steps are a whole number"
        )
    return number


def _group_lrs(name: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise RecipeError(f"{name}: {value!r} is not a list of rates, lowest layers first")
    rates = tuple(_number(0)(f"{name}[{i}]", rate) for i, rate in enumerate(value))
    if not rates:
        raise RecipeError(f"{name}: the list of rates is empty; give at least one, or None")
    return rates


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise RecipeError(f"{name}: {value!r} is not a dictionary of arguments")
    return _FrozenDict(value)


class _FrozenDict(dict):
    """A dictionary that refuses changes, so that a recipe stays what it was when it was checked."""

    def _refuse(self, *args: Any, **kwargs: Any) -> None:
        raise RecipeError("schedule_args: a recipe never changes; use recipe.but(schedule_args={...})")

    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = __ior__ = _refuse

    def __reduce__(self):
        return _FrozenDict, (dict(self),)


_SCHEDULE_ARGS = {
    "num_cycles": _number(0, above=True),
    "power": _number(0, above=True),
    "end_factor": _number(0, 1),
    "timescale": _integer(1, optional=True),
    "decay_type": _choice(DECAY_TYPES),
    "decay_steps": _warmup,
    "decay_rate": _number(0, 1, above=True),
    "degree": _number(0, above=True),
    "warm_degree": _number(0, above=True),
}


def _check_schedule_args(schedule: str, args: Mapping[str, Any]) -> None:
    allowed = schedule_arguments(schedule)
    for name, value in args.items():
        if name not in allowed:
            known = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise RecipeError(f"schedule_args: {schedule!r} has no argument {name!r}; {known}")
        if schedule == "cosine_with_restarts":
            _integer(1)(f"schedule_args[{name!r}]", value)
        elif schedule in BERT_SCHEDULES and name == "decay_steps":
            _number(0, above=True, optional=True)(f"schedule_args[{name!r}]", value)
        else:
            _SCHEDULE_ARGS[name](f"schedule_args[{name!r}]", value)


_CHECKS = {
    "model": _text,
    "head": _choice(HEADS),
    "head_init": _choice(HEAD_INITS),
    "max_length": _integer(4),
    "dropout": _number(0, 1, below=True, optional=True),
    "epochs": _integer(1),
    "batch_size": _integer(1),
    "gradient_accumulation_steps": _integer(1),
    "lr": _number(0),
    "head_lr": _number(0, optional=True),
    "layer_decay": _number(0, 1),
    "group_lrs": _group_lrs,
    "weight_decay": _number(0),
    "optimizer": _choice(OPTIMIZERS),
    "max_grad_norm": _number(0, above=True, optional=True),
    "schedule": _choice(ALL_SCHEDULES),
    "schedule_args": _mapping,
    "warmup": _warmup,
    "reinit_layers": _integer(0),
    "swa_start": _number(0, optional=True),
    "swa_lr": _number(0, optional=True),
    "swa_anneal_steps": _integer(0),
    "eval_every": _integer(1, optional=True),
    "patience": _integer(1, optional=True),
    "seed": _integer(0),
    "loss": _choice(LOSSES),
}

# ------------------------------------------------------------------------------------------- the article's recipes

_BASELINE = Recipe(  # every field is named, so that no default of today or tomorrow reaches the article's recipes
    model="roberta-base",
    head="pooler",
    head_init="random",
    max_length=250,
    dropout=None,
    epochs=20,
    batch_size=16,
    gradient_accumulation_steps=1,
    lr=1e-6,
    head_lr=None,
    layer_decay=1.0,
    group_lrs=None,
    weight_decay=0.01,
    optimizer="adamw",
    max_grad_norm=None,
    schedule="linear",
    schedule_args={},
    warmup=0,
    reinit_layers=0,
    swa_start=None,
    swa_lr=None,
    swa_anneal_steps=10,
    eval_every=None,
    patience=4,  # "more than 3 epochs without progress"
    seed=0,
    loss="rmse",
)
_LLRD = _BASELINE.but(epochs=5, lr=3.5e-6, head_lr=3.6e-6, layer_decay=0.9)
_GROUPED = _LLRD.but(layer_decay=1.0, group_lrs=(1e-6, 1.75e-6, 3.5e-6))
_SWA = {"swa_start": 3, "swa_lr": 2e-6, "swa_anneal_steps": 10}

PAPER: Mapping[str, Recipe] = MappingProxyType(
    {
        "baseline": _BASELINE,
        "llrd": _LLRD,
        "grouped_llrd": _GROUPED,
        "llrd+warmup": _LLRD.but(warmup=50),
        "llrd+warmup+swa": _LLRD.but(warmup=50, **_SWA),
        "grouped_llrd+warmup+swa": _GROUPED.but(warmup=50, **_SWA),
        "all": _GROUPED.but(
            epochs=15,
            warmup=50,
            reinit_layers=5,
            eval_every=10,
            patience=51,  # "more than 50 looks without progress"
            **_SWA,
        ),
    }
)
"""The article's recipes for `roberta-base` on CommonLit. The schedules of its figures run over 5 epochs of 142 steps;
the baseline trains for at most 20 epochs and everything together for at most 15."""

PAPER_STEPS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {
        name: MappingProxyType({"steps_per_epoch": 142, "total_steps": total})
        for name, total in {
            "baseline": 2832,
            "llrd": 708,
            "grouped_llrd": 708,
            "llrd+warmup": 708,
            "llrd+warmup+swa": 1699,
            "grouped_llrd+warmup+swa": 2125,
            "all": 2124,
        }.items()
    }
)
"""What the schedule of each recipe in `PAPER` was planned for: `ft.preview(ft.PAPER[name], **ft.PAPER_STEPS[name])`
draws the published picture, and so does `ft.preview(ft.PAPER[name])`. The article plans
int(rows / 16 * epochs) updates, with 2,266 or 2,267 rows to train on by the fold; its two figures of averaging are of
plans for 12 and for 15 epochs."""
_PLANNED = {PAPER[name]: steps for name, steps in PAPER_STEPS.items()}
