"""Learning-rate schedules as pure functions of the step, and the preview of every layer's rate.

A schedule maps the number of an optimizer update (0 for the first) to a factor; the rate of a layer at that
update is the layer's own rate times the factor. `preview` evaluates it for every layer and every update. The panel
draws that array, `fit` applies it and the history records it, so the three agree bit for bit. NumPy only.

The factors equal `transformers.get_scheduler`; the tail for stochastic weight averaging equals
`torch.optim.swa_utils.SWALR`. Warm-up: Goyal et al. 2017; linear decay: Devlin et al. 2019; cosine and restarts:
Loshchilov and Hutter 2017; inverse square root: Vaswani et al. 2017; warm-up-stable-decay: Hu et al. 2024;
stochastic weight averaging: Izmailov et al. 2018; layer-wise rates: Howard and Ruder 2018, Zhang et al. 2021. Six more
came with BERT's own optimizer, whose missing bias correction (`missing_correction`) is a schedule in effect.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ftlab import hooks
from ftlab.bert_schedules import BERT_SCHEDULES
from ftlab.checks import whole
from ftlab.errors import RecipeError
from ftlab.known_models import KNOWN_MODELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# ------------------------------------------------------------------------------------------------ the schedules
def _warm_up(step: np.ndarray, warmup_steps: int, after: np.ndarray) -> np.ndarray:
    """Rise linearly from 0 over `warmup_steps` updates, then follow `after`."""
    return np.where(step < warmup_steps, step / max(1, warmup_steps), after)


def _progress(step: np.ndarray, total_steps: int, warmup_steps: int) -> np.ndarray:
    """Share of the decay that has passed: 0 at the end of the warm-up, 1 at the end of training."""
    return (step - warmup_steps) / max(1, total_steps - warmup_steps)


def linear(step: np.ndarray, total_steps: int, warmup_steps: int) -> np.ndarray:
    """Fall on a straight line from 1 at the end of the warm-up to 0 at the end of training (Devlin et al. 2019).

    factor = (T - s) / (T - w) for w <= s <= T, with step s, warm-up w and total T in optimizer updates.
    """
    fall = np.maximum(0.0, (total_steps - step) / max(1, total_steps - warmup_steps))
    return _warm_up(step, warmup_steps, fall)


def cosine(step: np.ndarray, total_steps: int, warmup_steps: int, *, num_cycles: float = 0.5) -> np.ndarray:
    """Fall along half a cosine wave from 1 to 0 (Loshchilov and Hutter 2017).

    factor = (1 + cos(2 pi num_cycles p)) / 2, with p the share of the decay that has passed.
    """
    p = _progress(step, total_steps, warmup_steps)
    return _warm_up(step, warmup_steps, np.maximum(0.0, 0.5 * (1.0 + np.cos(math.pi * num_cycles * 2.0 * p))))


def cosine_with_restarts(step: np.ndarray, total_steps: int, warmup_steps: int, *, num_cycles: int = 1) -> np.ndarray:
    """Fall along `num_cycles` half cosine waves, jumping back to 1 between them (Loshchilov and Hutter 2017)."""
    p = _progress(step, total_steps, warmup_steps)
    wave = np.maximum(0.0, 0.5 * (1.0 + np.cos(math.pi * ((num_cycles * p) % 1.0))))
    return _warm_up(step, warmup_steps, np.where(p >= 1.0, 0.0, wave))


def constant(step: np.ndarray, total_steps: int, warmup_steps: int) -> np.ndarray:
    """Stay at 1 after the warm-up."""
    return _warm_up(step, warmup_steps, np.ones_like(step, dtype=np.float64))


def polynomial(
    step: np.ndarray, total_steps: int, warmup_steps: int, *, power: float = 1.0, end_factor: float = 0.0
) -> np.ndarray:
    """Fall from 1 to `end_factor` along (1 - p) ** power, with p the share of the decay that has passed.

    `end_factor` is the final rate divided by the full rate (`lr_end / lr` in `transformers`).
    """
    left = np.clip(1.0 - _progress(step, total_steps, warmup_steps), 0.0, 1.0)
    return _warm_up(step, warmup_steps, (1.0 - end_factor) * left**power + end_factor)


def inverse_sqrt(step: np.ndarray, total_steps: int, warmup_steps: int, *, timescale: int | None = None) -> np.ndarray:
    """Fall as 1 / sqrt(step) after the warm-up (Vaswani et al. 2017); `timescale` defaults to the warm-up."""
    timescale = timescale or warmup_steps or 10_000
    # Inside the warm-up the argument may be negative; that branch is not taken, so keep it off the square root.
    shifted = np.maximum(step, warmup_steps) + (timescale - warmup_steps)
    return _warm_up(step, warmup_steps, 1.0 / np.sqrt(shifted / timescale))


def warmup_stable_decay(
    step: np.ndarray,
    total_steps: int,
    warmup_steps: int,
    *,
    decay_steps: float = 0.2,
    decay_type: str = "cosine",
    end_factor: float = 0.0,
) -> np.ndarray:
    """Warm up, hold at 1, then fall to `end_factor` over the last `decay_steps` updates (Hu et al. 2024).

    `decay_steps`: an int is a number of updates, a float below 1 a share of the run. `decay_type`: "cosine",
    "linear" or "1-sqrt". The warm-up starts at `end_factor`, as in `transformers`.
    """
    decay = math.ceil(decay_steps * total_steps - 1e-9) if isinstance(decay_steps, float) else decay_steps
    start = max(warmup_steps, total_steps - decay)
    p = np.clip((step - start) / max(1, total_steps - start), 0.0, 1.0)
    fall = {"cosine": 0.5 * (1.0 + np.cos(math.pi * p)), "linear": 1.0 - p, "1-sqrt": 1.0 - np.sqrt(p)}[decay_type]
    rise = step / max(1, warmup_steps)
    scaled = np.where(step < warmup_steps, rise, fall) * (1.0 - end_factor) + end_factor
    return np.where((step >= warmup_steps) & (step < start), 1.0, np.maximum(0.0, scaled))


SCHEDULES: dict[str, Callable[..., np.ndarray]] = {
    "linear": linear,
    "cosine": cosine,
    "cosine_with_restarts": cosine_with_restarts,
    "constant": constant,
    "polynomial": polynomial,
    "inverse_sqrt": inverse_sqrt,
    "warmup_stable_decay": warmup_stable_decay,
}
"""Every schedule by name: factor(step, total_steps, warmup_steps, **schedule_args) -> array of factors."""
ALL_SCHEDULES: dict[str, Callable[..., np.ndarray]] = {**SCHEDULES, **BERT_SCHEDULES}
"""Whatever a recipe's field `schedule` may name."""


def schedule_arguments(name: str) -> dict[str, Any]:
    """Return a schedule's own arguments with their defaults."""
    parameters = inspect.signature(ALL_SCHEDULES[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def swa_tail(step: np.ndarray, swa_step: int, lr_at_switch: np.ndarray, swa_lr: float, anneal_steps: int) -> np.ndarray:
    """Anneal from each layer's rate at the switch to `swa_lr` along half a cosine, in optimizer updates.

    alpha = (1 - cos(pi k / anneal_steps)) / 2 with k updates since `swa_step`; rate = alpha swa_lr + (1 - alpha)
    lr_at_switch. Equal to `torch.optim.swa_utils.SWALR`, whose `anneal_epochs` counts calls of `step()`: stepped once a
    batch, as the article does, "10 epochs" are ten batches. Shapes: step (S,), lr_at_switch (L,), result (S, L).
    """
    since = (np.asarray(step) - swa_step) if anneal_steps else np.ones(len(step))
    alpha = (0.5 * (1.0 - np.cos(math.pi * np.clip(since / max(1, anneal_steps), 0.0, 1.0))))[:, None]
    return swa_lr * alpha + lr_at_switch * (1.0 - alpha)


# ------------------------------------------------------------------------------------------- the rate of each layer
def layer_names(num_layers: int) -> list[str]:
    """Name the places of a Transformer from the input up: "embeddings", "layer.0", ..., "head"."""
    return ["embeddings", *(f"layer.{i}" for i in range(num_layers)), "head"]


def layer_rates(
    num_layers: int,
    *,
    lr: float,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    group_lrs: Sequence[float] | None = None,
) -> np.ndarray:
    """Give every place its full rate, embeddings first, head last: shape (num_layers + 2,).

    Layer-wise decay (Zhang et al. 2021): layer i has lr * layer_decay ** (num_layers - 1 - i), the embeddings once
    more. Groups: with G rates, layer i belongs to group floor(i G / num_layers), the embeddings to the first. The
    head has `head_lr`, or `lr`. Raises RecipeError if there are more groups than layers.
    """
    rates = np.empty(num_layers + 2)
    if group_lrs is None:
        rate = float(lr)
        for i in reversed(range(num_layers)):  # one product a layer, as published: the same bits
            rates[1 + i] = rate
            rate *= layer_decay
        rates[0] = rate
    else:
        if len(group_lrs) > num_layers:
            raise RecipeError(
                f"group_lrs: {len(group_lrs)} groups for {num_layers} layers; give at most one rate a layer"
            )
        rates[1:-1] = [group_lrs[i * len(group_lrs) // num_layers] for i in range(num_layers)]
        rates[0] = group_lrs[0]
    rates[-1] = lr if head_lr is None else head_lr
    return rates


CONVENTIONS = {"article": 0, "Zhang et al. 2021, code": 1, "timm": 1, "ELECTRA": 2}
"""Layer-wise decay elsewhere: how often it has been applied when the top layer is reached; the head has the full rate.

article, and this package: never, the top layer has `lr`. The code of Zhang et al. 2021 (`run_glue.py`) and timm
(`param_groups_layer_decay`): once. ELECTRA (Clark et al. 2020, `_get_layer_lrs`): twice. From there on all multiply
once a layer, and once more for the embeddings.
"""


def convention_rates(convention: str, num_layers: int, *, lr: float, layer_decay: float) -> np.ndarray:
    """Give the rate of every place as another source would: shape (num_layers + 2,), embeddings first, head last.

    rate(layer i) = lr * layer_decay ** (k + L - 1 - i), embeddings lr * layer_decay ** (k + L), head lr, with k from
    `CONVENTIONS`. Raises RecipeError for an unknown convention.
    """
    if convention not in CONVENTIONS:
        raise RecipeError(f"convention: {convention!r} is unknown. Known: {', '.join(CONVENTIONS)}")
    top = lr * layer_decay ** CONVENTIONS[convention]
    return layer_rates(num_layers, lr=top, head_lr=lr, layer_decay=layer_decay)


KNOWN_LAYERS = {name: sizes[0] for name, sizes in KNOWN_MODELS.items()}


def num_layers_of(model: str) -> int | None:
    """Look up how many layers a model has without loading it: known names, a local folder, the hub's cache."""
    if model in KNOWN_LAYERS:
        return KNOWN_LAYERS[model]
    config = Path(model) / "config.json"
    if not config.is_file():
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        try:
            cached = try_to_load_from_cache(model, "config.json")
        except HFValidationError:
            return None
        if not isinstance(cached, str):
            return None
        config = Path(cached)
    try:
        fields = json.loads(config.read_text(encoding="utf-8"))
        return next(fields[k] for k in ("num_hidden_layers", "n_layer", "n_layers", "num_layers") if k in fields)
    except (OSError, ValueError, StopIteration):
        return None


# ------------------------------------------------------------------------------------------------------- preview
@dataclass(frozen=True)
class LRSchedule:
    """The rate of every layer at every update, before any training.

    steps: (S,) int64, numbers of updates from 0. layers: names, embeddings first. lr: (S, len(layers)) float64, the
    rate applied at that update. swa_step: the first update whose weights are averaged, or None.
    """

    steps: np.ndarray
    layers: list[str]
    lr: np.ndarray
    total_steps: int
    steps_per_epoch: int
    warmup_steps: int
    swa_step: int | None

    def plot(self) -> Figure:
        """Draw every layer's learning rate against the step as a matplotlib Figure."""
        return hooks.call("plot_schedule", self)


class Planned(Protocol):
    """What `preview` reads of an `ftlab.Recipe`."""

    model: str
    epochs: int
    lr: float
    head_lr: float | None
    layer_decay: float
    group_lrs: tuple[float, ...] | None
    schedule: str
    schedule_args: Any
    warmup: int | float
    reinit_layers: int
    swa_start: float | None
    swa_lr: float | None
    swa_anneal_steps: int
    planned: Mapping[str, int]


def warmup_steps_of(warmup: int | float, total_steps: int) -> int:
    """Turn the field `warmup` into updates: an int is taken as it is, a float is a share, rounded up."""
    # The small offset keeps 0.07 * 100 = 7.000000000000001 from becoming 8.
    return math.ceil(warmup * total_steps - 1e-9) if isinstance(warmup, float) else int(warmup)


def preview(
    recipe: Planned,
    steps_per_epoch: int | None = None,
    total_steps: int | None = None,
    steps: int | Sequence[int] | np.ndarray | None = None,
    num_layers: int | None = None,
) -> LRSchedule:
    """Compute the rate of every layer at every update of a run, without a model and without torch.

    steps_per_epoch: optimizer updates an epoch; the default is 27, those of `passages` with the default batch, and for
    a recipe of `ftlab.PAPER` the article's. total_steps: the length the schedule is planned for; the default is epochs
    x steps_per_epoch. steps: None for all updates, a number for at most so many evenly spread ones with the corners
    kept (for drawing), or the updates to compute. num_layers: needed only for a model that is neither well known nor on
    this machine.

    Raises RecipeError for a warm-up longer than the run, a switch to averaging after its end, more groups or
    re-initialised layers than there are layers, or an unknown number of layers.
    """
    if num_layers is None:
        num_layers = num_layers_of(recipe.model)
        if num_layers is None:
            raise RecipeError(
                f"model: how many layers {recipe.model!r} has is not known here; pass num_layers=... to preview()"
            )
    if steps_per_epoch is None:
        steps_per_epoch = recipe.planned.get("steps_per_epoch", 27)
        total_steps = recipe.planned.get("total_steps") if total_steps is None else total_steps
    steps_per_epoch = whole("steps_per_epoch", steps_per_epoch, 1)
    num_layers = whole("num_layers", num_layers, 1)
    planned = recipe.epochs * steps_per_epoch if total_steps is None else whole("total_steps", total_steps, 1)

    warmup_steps = warmup_steps_of(recipe.warmup, planned)
    if warmup_steps > planned:
        raise RecipeError(f"warmup: {warmup_steps} steps are longer than the run of {planned}; shorten it")
    swa_step = None if recipe.swa_start is None else round(recipe.swa_start * steps_per_epoch)
    if swa_step is not None and swa_step >= planned:
        raise RecipeError(f"swa_start: step {swa_step} lies after the end of the run of {planned} steps; start earlier")
    if recipe.reinit_layers > num_layers:
        raise RecipeError(
            f"reinit_layers: {recipe.reinit_layers} layers of a model that has {num_layers}; give at most {num_layers}"
        )

    rates = layer_rates(
        num_layers,
        lr=recipe.lr,
        head_lr=recipe.head_lr,
        layer_decay=recipe.layer_decay,
        group_lrs=recipe.group_lrs,
    )

    def base(at: np.ndarray, out: np.ndarray) -> None:
        factor = ALL_SCHEDULES[recipe.schedule](at, planned, warmup_steps, **recipe.schedule_args)
        np.multiply(factor[:, None], rates, out=out)

    at = _steps_at(steps, planned, warmup_steps, swa_step, recipe.swa_anneal_steps)
    lr = np.empty((len(at), num_layers + 2))
    switch = len(at) if swa_step is None else int(np.searchsorted(at, swa_step))
    base(at[:switch], lr[:switch])
    if swa_step is not None:
        lr_at_switch = np.empty((1, num_layers + 2))
        base(np.array([swa_step]), lr_at_switch)
        if recipe.swa_lr is None:
            lr[switch:] = lr_at_switch
        else:
            settled = int(np.searchsorted(at, swa_step + recipe.swa_anneal_steps))
            lr[switch:settled] = swa_tail(
                at[switch:settled], swa_step, lr_at_switch[0], recipe.swa_lr, recipe.swa_anneal_steps
            )
            lr[settled:] = recipe.swa_lr
    return LRSchedule(at, layer_names(num_layers), lr, planned, steps_per_epoch, warmup_steps, swa_step)


def _steps_at(
    steps: int | Sequence[int] | np.ndarray | None,
    total: int,
    warmup_steps: int,
    swa_step: int | None,
    anneal_steps: int,
) -> np.ndarray:
    """Resolve the argument `steps` of `preview`: all, at most so many with the corners among them, or those given."""
    if steps is None:
        return np.arange(total)
    if not isinstance(steps, (int, np.integer)):
        at = np.asarray(steps)
        if at.ndim != 1 or at.dtype.kind not in "iu" or (len(at) and (at[0] < 0 or np.any(np.diff(at) < 0))):
            raise RecipeError("steps: give whole numbers from 0 in rising order, a number of points, or None for all")
        return at.astype(np.int64)
    count = whole("steps", steps, 1)
    if count >= total:
        return np.arange(total)
    corners = [0, warmup_steps, total - 1]
    if swa_step is not None:
        corners += [swa_step - 1, swa_step, swa_step + anneal_steps]
    corners = np.unique([c for c in corners if 0 <= c < total])
    even = np.linspace(0, total - 1, max(2, count - len(corners))).round().astype(np.int64)
    return np.union1d(corners, even)
