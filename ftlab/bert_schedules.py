"""The learning-rate schedules of BERT's own optimizer, and what its missing bias correction amounts to.

As in Microsoft's DeepSpeedExamples, with BertAdam (`ftlab.techniques.bertadam`), and in pytorch-pretrained-bert up to
0.5; x = s / T is the share of the run that has passed. Cosine, line and polynomial fall from the start of the run, not
from the end of the warm-up, and so jump down by its share when it ends. From pytorch-pretrained-bert 0.6 on, its line
and cosine fall from the end of the warm-up instead, as `ftlab.schedules.linear` and `cosine` do: with a warm-up of 0.35
the line is then 35 % lower here. The warm-up may be a fraction of a step; -1 is none. NumPy only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ftlab.checks import real


def warmup_cosine(step: np.ndarray, total_steps: int, warmup_steps: float) -> np.ndarray:
    """Rise to 1, then fall along half a cosine wave over the whole run: (1 + cos(pi x)) / 2, and 0 beyond its end."""
    x = np.minimum(step / total_steps, 1.0)
    return _warm_up(step, warmup_steps, 0.5 * (1.0 + np.cos(math.pi * x)))


def warmup_linear(step: np.ndarray, total_steps: int, warmup_steps: float) -> np.ndarray:
    """Rise to 1, then fall along 1 - x, and 0 beyond the end; 1 throughout, as published, if the warm-up is exactly 0.

    A warm-up below 0, BertAdam's default, is the straight fall without one.
    """
    if warmup_steps == 0:
        return np.ones_like(step, dtype=np.float64)
    return _warm_up(step, warmup_steps, np.maximum(0.0, 1.0 - step / total_steps))


def warmup_linear_decay_exp(
    step: np.ndarray,
    total_steps: int,
    warmup_steps: float,
    *,
    decay_rate: float = 0.1,
    decay_steps: float | None = None,
) -> np.ndarray:
    """Rise to 1, then fall by `decay_rate` every `decay_steps` updates: decay_rate ** ((s - w) / decay_steps).

    decay_steps: None for the whole decay, so that the run ends at `decay_rate`. The fall goes on beyond the end. As
    published, a warm-up of exactly 0 gives 1 throughout; and -1 counts as a share too, w = -T, so that the fall began a
    whole run before the first update.
    """
    return _warm_up(step, warmup_steps, _exponential(step, total_steps, warmup_steps, decay_rate, decay_steps))


def warmup_exp_decay_exp(
    step: np.ndarray,
    total_steps: int,
    warmup_steps: float,
    *,
    decay_rate: float = 0.1,
    decay_steps: float | None = None,
    degree: float = 2.0,
) -> np.ndarray:
    """Rise as (s / w) ** degree, then fall as `warmup_linear_decay_exp` does."""
    fall = _exponential(step, total_steps, warmup_steps, decay_rate, decay_steps)
    return _power_warm_up(step, warmup_steps, fall, degree)


def warmup_exp_decay_poly(
    step: np.ndarray, total_steps: int, warmup_steps: float, *, warm_degree: float = 1.5, degree: float = 2.0
) -> np.ndarray:
    """Rise as (s / w) ** warm_degree, then fall along (1 - x) ** degree, and 0 beyond the end."""
    x = np.minimum(step / total_steps, 1.0)
    return _power_warm_up(step, warmup_steps, (1.0 - x) ** degree, warm_degree)


def warmup_constant(step: np.ndarray, total_steps: int, warmup_steps: float) -> np.ndarray:
    """Rise to 1, then stay there."""
    return _warm_up(step, warmup_steps, np.ones_like(step, dtype=np.float64))


def _warm_up(step: np.ndarray, warmup_steps: float, after: np.ndarray) -> np.ndarray:
    """Rise linearly from 0, then follow `after`."""
    return np.where(step < warmup_steps, step / max(1, warmup_steps), after)


def _power_warm_up(step: np.ndarray, warmup_steps: float, after: np.ndarray, degree: float) -> np.ndarray:
    """Rise from 0 as a power of the step, then follow `after`."""
    return np.where(step < warmup_steps, np.minimum(1.0, step / max(1, warmup_steps)) ** degree, after)


def _exponential(
    step: np.ndarray, total_steps: int, warmup_steps: float, decay_rate: float, decay_steps: float | None
) -> np.ndarray:
    """Fall by `decay_rate` every `decay_steps` updates from the end of the warm-up."""
    if warmup_steps == 0:
        return np.ones_like(step, dtype=np.float64)
    start = warmup_steps if warmup_steps > 0 else -total_steps
    # Inside the warm-up the exponent is negative and the power may overflow; that branch is not taken.
    since = np.maximum(step - start, 0.0)
    return decay_rate ** (since / (max(1.0, total_steps - start) if decay_steps is None else decay_steps))


BERT_SCHEDULES: dict[str, Callable[..., np.ndarray]] = {
    "warmup_cosine": warmup_cosine,
    "warmup_constant": warmup_constant,
    "warmup_linear": warmup_linear,
    "warmup_linear_decay_exp": warmup_linear_decay_exp,
    "warmup_exp_decay_exp": warmup_exp_decay_exp,
    "warmup_exp_decay_poly": warmup_exp_decay_poly,
}
"""The six schedules of `ftlab.techniques.bertadam.BertAdam` by name; a recipe takes them too."""


def missing_correction(step: np.ndarray, b1: float = 0.9, b2: float = 0.999) -> np.ndarray:
    """Return how many times farther Adam without bias correction moves than Adam with it, at equal rates.

    factor = (1 - b1^t) / sqrt(1 - b2^t) at the t-th update, t = step + 1: both moving averages start at 0 and are too
    small by 1 - b^t (Kingma and Ba 2015), and the second one's root divides. Epsilon is taken as 0. Raises RecipeError
    unless b1 and b2 are in [0, 1).
    """
    b1, b2 = real("b1", b1, 0, 1, below=True), real("b2", b2, 0, 1, below=True)
    t = np.asarray(step, dtype=np.float64) + 1.0
    return (1.0 - b1**t) / np.sqrt(1.0 - b2**t)
