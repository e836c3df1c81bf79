"""The controls of a recipe's fields: label, range and help of each are those that the recipe's own table has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ftlab.checks import whole
from ftlab.lab.panels.base import Choice, Number, Switch
from ftlab.recipe import ABOUT, Recipe

ARGUMENTS: dict[str, tuple[str, float, float, dict[str, Any], str]] = {  # label, ends of the slider, options, help
    "num_cycles": ("waves (cosine)", 0.1, 4, {"step": 0.1},
                   "num_cycles of cosine: whole waves; 0.5 falls once, 1 falls and rises again"),
    "restarts": ("falls (restarts)", 1, 6, {"integer": True},
                 "num_cycles of cosine_with_restarts: how many times the rate falls from the top"),
    "power": ("power", 0.25, 4, {"step": 0.25},
              "of polynomial: 1 is a straight line, more falls early, less falls late"),
    "end_factor": ("end factor", 0, 1, {"step": 0.05},
                   "of polynomial and warmup_stable_decay: last rate as a share of the full one"),
    "timescale": ("timescale", 1, 200, {"integer": True, "optional": "own scale", "start": 27},
                  "of inverse_sqrt, in steps: three times as much after the warm-up halves the rate; off: the length "
                  "of the warm-up"),
    "decay": ("decay (share)", 0, 0.99, {"step": 0.01},
              "of warmup_stable_decay: share of the run over which the rate falls at the end"),
    "decay_rate": ("decay rate", 0.01, 1, {"step": 0.01},
                   "of the exponential decays: the factor by which the rate falls every so many steps"),
    "decay_steps": ("decay steps", 1, 500, {"optional": "in steps", "start": 27, "step": 1},
                    "of the exponential decays: so many steps; off: the whole decay, so that it ends at the decay "
                    "rate"),
    "degree": ("degree", 0.25, 6, {"step": 0.25},
               "of warmup_exp_decay_exp: power of the rise; of warmup_exp_decay_poly: power of the fall"),
    "warm_degree": ("degree of the rise", 0.25, 6, {"step": 0.25}, "of warmup_exp_decay_poly: power of the rise"),
}  # fmt: skip
"""What panels say of the arguments of schedules."""


def argument(name: str, value: float | None) -> Number:
    """Make the control of a schedule's argument."""
    label, low, high, options, help = ARGUMENTS[name]
    return Number(name, label, value, low, high, help=help, **options)


def number(recipe: Recipe, field: str, /, **given: Any) -> Number:
    """Make the control of a field that is a number, as `ftlab.recipe.ABOUT` describes it, except for what is given."""
    known = ABOUT[field]
    low, high = known.shown or (0, 1)
    options = {"label": known.label, "low": low, "high": high, "log": known.log, "help": known.help,
               "integer": known.check is whole, "optional": known.switch, "value": getattr(recipe, field)}  # fmt: skip
    return Number(**{"name": field, **options, **given})


def choice(recipe: Recipe, name: str, options: Iterable[str] | None = None) -> Choice:
    """Make the choice among the values of a field, or some of them, with the recipe's own."""
    known, own = ABOUT[name], getattr(recipe, name)
    names = known.limits["options"] if options is None else options
    return Choice(name, known.label, own, tuple(dict.fromkeys([*names, own])), help=known.help)


def rates(recipe: Recipe) -> dict[str, Number]:
    """Make the controls of the learning rates that move layer by layer: lr, head_lr, layer_decay."""
    head_lr = number(recipe, "head_lr", start=recipe.lr)
    return {"lr": number(recipe, "lr"), "head_lr": head_lr, "layer_decay": number(recipe, "layer_decay", step=0.01)}


def warmup(recipe: Recipe, total_steps: int) -> tuple[Number, Number]:
    """Make the two controls of the warm-up: as a share of the run, and in steps, which takes its place if it is on."""
    in_steps = isinstance(recipe.warmup, int) and recipe.warmup > 0
    share = number(
        recipe,
        "warmup",
        label="warm-up (share)",
        value=0.0 if in_steps else float(recipe.warmup),
        step=0.01,
        help="share of the run over which the learning rate rises from 0, rounded up to whole steps",
    )
    steps = Number(
        "warmup_steps",
        "warm-up steps",
        recipe.warmup if in_steps else None,
        0,
        total_steps,
        integer=True,
        optional="in steps",
        start=0,
        help="the warm-up as a number of steps, in place of the share",
    )
    return share, steps


def of_the_run(recipe: Recipe) -> list[Number]:
    """Make the controls that a bench offers for every technique: rate, warm-up (unless in steps), epochs, seed."""
    in_steps = isinstance(recipe.warmup, int) and recipe.warmup > 0
    warmup = [] if in_steps else [number(recipe, "warmup", value=float(recipe.warmup), step=0.01)]
    return [number(recipe, "lr"), *warmup, number(recipe, "epochs"), number(recipe, "seed")]


def averaging(recipe: Recipe, latest: float, step: float = 0.5) -> tuple[Number, Number]:
    """Make the controls of averaging, which may be off: the epoch from which on, and the flat rate."""
    start = number(recipe, "swa_start", high=latest, step=step, start=max(0, recipe.epochs - 1))
    return start, number(recipe, "swa_lr", start=recipe.lr / 2 or 1e-7)


def log_axis() -> Switch:
    """Make the switch to a logarithmic axis."""
    return Switch("log_axis", "logarithmic axis", False, help="shows small rates; equal ratios look equal")
