"""The controls of recipe fields that several panels move: label, range and help of each stand here once."""

from __future__ import annotations

from ftlab.lab.panels.base import Choice, Number, Switch
from ftlab.recipe import Recipe
from ftlab.schedules import SCHEDULES

RATES = {"low": 1e-7, "high": 1e-2, "log": True}


def epochs(recipe: Recipe, lowest: int = 1) -> Number:
    """Make the control of the number of epochs."""
    return Number("epochs", "epochs", recipe.epochs, lowest, 20, integer=True, help="passes over the training part")


def lr(recipe: Recipe, label: str = "rate (lr)") -> Number:
    """Make the control of the peak rate."""
    return Number("lr", label, recipe.lr, **RATES, help="peak rate of the top layer")


def head_lr(recipe: Recipe) -> Number:
    """Make the control of the head's own rate, which may be off."""
    return Number(
        "head_lr",
        "head's rate",
        recipe.head_lr,
        **RATES,
        optional="own rate",
        start=recipe.lr,
        help="peak rate of the head; off: the same as the top layer",
    )


def layer_decay(recipe: Recipe) -> Number:
    """Make the control of the decay from layer to layer."""
    return Number(
        "layer_decay",
        "layer decay",
        recipe.layer_decay,
        0,
        1,
        step=0.01,
        help="factor from each layer to the one below; 1: off, 0: only top layer and head learn",
    )


def schedule(recipe: Recipe) -> Choice:
    """Make the choice of the schedule, with the recipe's own among them."""
    names = tuple(dict.fromkeys([*SCHEDULES, recipe.schedule]))
    return Choice("schedule", "schedule", recipe.schedule, names, help="how the rate goes on after the warm-up")


def warmup(recipe: Recipe, total_steps: int) -> tuple[Number, Number]:
    """Make the two controls of the warm-up: as a share of the run, and in steps, which takes its place if it is on."""
    in_steps = isinstance(recipe.warmup, int) and recipe.warmup > 0
    share = Number(
        "warmup",
        "warm-up (share)",
        0.0 if in_steps else float(recipe.warmup),
        0,
        0.9,
        step=0.01,
        help="share of the run over which the rate rises from 0, rounded up to whole steps",
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


def warmup_share(recipe: Recipe) -> Number:
    """Make the control of the warm-up as a share of the run."""
    return Number(
        "warmup",
        "warm-up",
        recipe.warmup,
        0,
        0.9,
        step=0.01,
        help="share of the run in which it rises from 0; rounded up to whole steps",
    )


def seed(recipe: Recipe) -> Number:
    """Make the control of the seed."""
    return Number(
        "seed", "seed", recipe.seed, 0, 99, integer=True, help="decides the new head, the order of the data, dropout"
    )


def swa_start(recipe: Recipe, latest: float, step: float = 0.5) -> Number:
    """Make the control of the epoch from which weights are averaged, which may be off."""
    return Number(
        "swa_start",
        "averaging from",
        recipe.swa_start,
        0,
        latest,
        step=step,
        optional="average",
        start=max(0, recipe.epochs - 1),
        help="epoch, counted from 0, from which weights are averaged (SWA); off: never",
    )


def swa_lr(recipe: Recipe) -> Number:
    """Make the control of the flat rate while averaging, which may be off."""
    return Number(
        "swa_lr",
        "averaging rate",
        recipe.swa_lr,
        **RATES,
        optional="flat rate",
        start=recipe.lr / 2 or 1e-7,
        help="one rate for all layers while averaging; off: each layer keeps the rate it had at the switch",
    )


def log_axis() -> Switch:
    """Make the switch to a logarithmic axis."""
    return Switch("log_axis", "logarithmic axis", False, help="shows small rates; equal ratios look equal")
