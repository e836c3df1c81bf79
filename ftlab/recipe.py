"""A recipe: everything that decides how a model is fine-tuned, in one frozen, validated dataclass.

Every technique has a neutral value that switches it off; with all of them neutral, a recipe is plain AdamW with a
linear schedule. `PAPER` holds the recipes of the article this project grew from.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ftlab.bert_schedules import BERT_SCHEDULES
from ftlab.checks import choice, interval, is_int, nearest, real, whole
from ftlab.errors import RecipeError
from ftlab.schedules import ALL_SCHEDULES, schedule_arguments

HEADS = ("auto", "pooler", "mean", "attention", "concat4", "mix")
HEAD_INITS = ("random", "probe")
OPTIMIZERS = ("adamw", "bertadam", "sgd")
LOSSES = ("auto", "rmse")
DECAY_TYPES = ("cosine", "linear", "1-sqrt")


def _text(name: str, value: Any) -> str:
    value = str(value) if hasattr(value, "__fspath__") else value
    if not isinstance(value, str) or not value.strip():
        raise RecipeError(f"{name}: {value!r} is not a model name, hub id or folder")
    return value


def _warmup(name: str, value: Any) -> int | float:
    if is_int(value):
        return whole(name, value)
    try:
        return real(name, value, 0, 1, below=True)
    except RecipeError:
        allowed = "a share of the run is in [0, 1), steps are a whole number"
        raise RecipeError(f"{name}: {value!r} is out of range; {allowed}") from None


def _group_lrs(name: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, (str, bytes, Mapping)) or not hasattr(value, "__iter__"):
        raise RecipeError(f"{name}: {value!r} is not a list of rates, lowest layers first")
    rates = tuple(real(f"{name}[{i}]", rate) for i, rate in enumerate(value))
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


@dataclass(frozen=True)
class About:
    """What is known of a field: the recipe checks its values by it, panels, command line and glossary speak of it.

    check: called with name, value and `limits`. shown: ends of the slider in panels, logarithmic if `log`. switch: text
    of the box that switches an optional number on. words: what is allowed, where the limits do not say it.
    """

    label: str
    help: str
    check: Callable[..., Any]
    limits: Mapping[str, Any]
    unit: str = ""
    shown: tuple[float, float] | None = None
    log: bool = False
    switch: str = ""
    words: str = ""

    @property
    def allowed(self) -> str:
        """Say which values are allowed."""
        limits = {key: value for key, value in self.limits.items() if key != "optional"}
        if self.check is choice:
            return ", ".join(limits["options"])
        text = f"whole numbers from {limits['low']}" if self.check is whole else self.words or interval(**limits)
        return text + ", or None" * self.limits.get("optional", False)


def about(default: Any, label: str, help: str, check: Callable[..., Any], *, unit: str = "",
          shown: tuple[float, float] | None = None, log: bool = False, switch: str = "", words: str = "",
          **limits: Any) -> Any:  # fmt: skip
    """Declare a field of the recipe: its default and what is known of it."""
    metadata = {"about": About(label, help, check, limits, unit, shown, log, switch, words)}
    return field(metadata=metadata, **({"default_factory": dict} if default == {} else {"default": default}))


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune: a model, its head, the optimizer, the schedule and each technique.

    A recipe never changes: `recipe.but(lr=2e-5)` is a changed copy. Every field is checked on construction; a value
    out of range, of the wrong type, or one that contradicts another field raises RecipeError naming the field.
    """

    # fmt: off
    model: str = about("minilm", "model", "minilm (comes with the installation), any hub id, or a local folder",
                       _text, words="a name or a folder")
    head: str = about("mix", "head", "mix: learned weights over the mean-pooled states of all depths (Peters et al. "
                      "2018); auto: the hub's own classification head; or another of ours", choice, options=HEADS)
    head_init: str = about(
        "random", "start of the head", "probe: the final linear layer starts from the ridge (or logistic) solution on "
        "its own inputs, of the model before training (linear probing, then fine-tuning; Kumar et al. 2022)",
        choice, options=HEAD_INITS)
    max_length: int = about(256, "length", "tokens kept of a text; longer ones are cut", whole, low=4,
                            unit="tokens", shown=(4, 512))
    dropout: float | None = about(
        0.0, "dropout", "probability of every dropout of model and head; None keeps the model's own. It biases a "
        "regression head, whose output's scale changes between training and evaluation, hence 0 by default",
        real, low=0, high=1, below=True, optional=True, shown=(0, 0.9), switch="own value")
    epochs: int = about(4, "epochs", "passes over the training set", whole, low=1, unit="passes", shown=(1, 20))
    batch_size: int = about(16, "batch size", "examples in one forward and backward pass", whole, low=1,
                            unit="examples", shown=(1, 256))
    gradient_accumulation_steps: int = about(
        1, "accumulation", "batches whose gradients make one optimizer update (a step)", whole, low=1, unit="batches",
        shown=(1, 64))
    lr: float = about(2e-4, "learning rate", "peak learning rate of the top layer, and of everything while the "
                      "layer-wise techniques are off", real, low=0, shown=(1e-7, 1e-2), log=True)
    head_lr: float | None = about(None, "head's rate", "peak learning rate of the head; None: the same as the top "
                                  "layer", real, low=0, optional=True, shown=(1e-7, 1e-2), log=True, switch="own rate")
    layer_decay: float = about(
        1.0, "layer decay", "factor from a layer's learning rate to that of the layer below (Zhang et al. 2021); 1: "
        "off, 0: only the top layer and the head learn", real, low=0, high=1, shown=(0, 1))
    group_lrs: tuple[float, ...] | None = about(
        None, "group rates", "peak learning rates of equal groups of layers, lowest layers first; excludes layer_decay",
        _group_lrs, words="a list of numbers from 0, or None")
    weight_decay: float = about(
        0.01, "weight decay", "decoupled weight decay (Loshchilov and Hutter 2019) of matrices; none of biases and "
        "norms (1-D tensors)", real, low=0, shown=(0, 0.3))
    optimizer: str = about("adamw", "optimizer", "adamw, bertadam (Adam without bias correction) or sgd", choice,
                           options=OPTIMIZERS)
    max_grad_norm: float | None = about(
        1.0, "clipping", "the gradient's largest norm; a longer one is scaled down (Pascanu et al. 2013); None: off",
        real, low=0, above=True, optional=True, shown=(0.1, 10), log=True, switch="clip")
    schedule: str = about("linear", "schedule", "how the learning rate goes on after the warm-up", choice,
                          options=tuple(ALL_SCHEDULES))
    schedule_args: Mapping[str, Any] = about({}, "schedule's arguments", "arguments of the schedule, such as "
                                             '{"num_cycles": 2}', _mapping, words="those that the schedule takes")
    warmup: int | float = about(
        0, "warm-up", "updates over which the learning rate rises from 0: a whole number counts steps, a number below "
        "1 is a share of the run", _warmup, words="whole numbers from 0, or a share in [0, 1)", shown=(0, 0.9))
    reinit_layers: int = about(
        0, "re-initialised", "top layers that start from re-initialised weights, together with the pooler (Zhang et "
        "al. 2021); 0: off", whole, low=0, unit="layers")
    swa_start: float | None = about(
        None, "averaging from", "epoch, counted from 0, from which weights are averaged (Izmailov et al. 2018); None: "
        "off", real, low=0, optional=True, unit="epochs", switch="average")
    swa_lr: float | None = about(
        None, "averaging rate", "learning rate while averaging: None keeps each layer's at the switch; a number is the "
        "same for every layer", real, low=0, optional=True, shown=(1e-7, 1e-2), log=True, switch="flat rate")
    swa_anneal_steps: int = about(10, "anneal steps", "steps over which the learning rates move to swa_lr; 0: at once",
                                  whole, low=0, unit="steps")
    eval_every: int | None = about(
        None, "evaluate every", "steps between evaluations, besides the ends of epochs; None: only these",
        whole, low=1, optional=True, unit="steps", shown=(1, 1000), log=True, switch="x steps")
    patience: int | None = about(
        None, "patience", "evaluations in a row without a new best after which the run stops; None: never",
        whole, low=1, optional=True, unit="evaluations", shown=(1, 60), switch="stop early")
    seed: int = about(0, "seed", "decides the new weights of the head, the order of the data and dropout", whole,
                      low=0, shown=(0, 100))
    loss: str = about("auto", "loss", "auto: mean squared error, or cross entropy for classes; rmse: the root of the "
                      "batch's mean squared error, as in the article (regression only)", choice, options=LOSSES)
    # fmt: on

    def __post_init__(self) -> None:
        for name, known in ABOUT.items():
            object.__setattr__(self, name, known.check(name, getattr(self, name), **known.limits))
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
                raise RecipeError(f"{name}: no such field{nearest(name, known)} Fields: {', '.join(known)}")
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


ABOUT: Mapping[str, About] = {f.name: f.metadata["about"] for f in dataclasses.fields(Recipe)}
"""What is known of every field, in the order of the recipe."""
_LATER: dict[str, Any] = {"head_init": "random"}
"""Fields added after the first edition (0.1.0), with their neutral values."""
_NEVER = object()

_SCHEDULE_ARGS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "num_cycles": (real, {"low": 0, "above": True}),
    "power": (real, {"low": 0, "above": True}),
    "end_factor": (real, {"low": 0, "high": 1}),
    "timescale": (whole, {"low": 1, "optional": True}),
    "decay_type": (choice, {"options": DECAY_TYPES}),
    "decay_steps": (_warmup, {}),
    "decay_rate": (real, {"low": 0, "high": 1, "above": True}),
    "degree": (real, {"low": 0, "above": True}),
    "warm_degree": (real, {"low": 0, "above": True}),
}


def _check_schedule_args(schedule: str, args: Mapping[str, Any]) -> None:
    allowed = schedule_arguments(schedule)
    for name, value in args.items():
        if name not in allowed:
            known = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise RecipeError(f"schedule_args: {schedule!r} has no argument {name!r}; {known}")
        check, limits = _SCHEDULE_ARGS[name]
        if schedule == "cosine_with_restarts":
            check, limits = whole, {"low": 1}
        elif schedule in BERT_SCHEDULES and name == "decay_steps":
            check, limits = real, {"low": 0, "above": True, "optional": True}
        check(f"schedule_args[{name!r}]", value, **limits)


# ------------------------------------------------------------------------------------------- the article's recipes

_BASELINE = Recipe(  # every field is named, so that no default of today or tomorrow reaches the article's recipes
    model="roberta-base", head="pooler", head_init="random", max_length=250, dropout=None, epochs=20, batch_size=16,
    gradient_accumulation_steps=1, lr=1e-6, head_lr=None, layer_decay=1.0, group_lrs=None, weight_decay=0.01,
    optimizer="adamw", max_grad_norm=None, schedule="linear", schedule_args={}, warmup=0, reinit_layers=0,
    swa_start=None, swa_lr=None, swa_anneal_steps=10, eval_every=None, seed=0, loss="rmse",
    patience=4,  # "more than 3 epochs without progress"
)  # fmt: skip
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
            epochs=15, warmup=50, reinit_layers=5, eval_every=10, **_SWA, patience=51
        ),  # "more than 50 evaluations without progress"
    }
)
"""The article's recipes for `roberta-base` on CommonLit. The schedules of its figures run over 5 epochs of 142 steps;
the baseline trains for at most 20 epochs and everything together for at most 15."""

_TOTALS = dict(zip(PAPER, (2832, 708, 708, 708, 1699, 2125, 2124), strict=True))
PAPER_STEPS: Mapping[str, Mapping[str, int]] = MappingProxyType(
    {name: {"steps_per_epoch": 142, "total_steps": total} for name, total in _TOTALS.items()}
)
"""What the schedule of each recipe in `PAPER` was planned for, as arguments of `preview`, which takes them by itself
where no steps are given: `ft.preview(ft.PAPER[name])` draws the published picture. The article plans int(rows / 16 *
epochs) updates of 2,266 or 2,267 rows, by the fold; its two figures of averaging are plans of 12 and 15 epochs."""
_PLANNED = {PAPER[name]: steps for name, steps in PAPER_STEPS.items()}
