"""The luck of many evaluations: how far the best of many noisy validation scores flatters.

Measured on invented scores whose true quality is known. Their noise has two parts (see `simulate_looks`), because all
evaluations of a run see the same validation texts. Everywhere here lower scores are better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ftlab.checks import real, whole
from ftlab.errors import DataError, RecipeError


def rmse_noise(errors: Sequence[float] | np.ndarray) -> float:
    """Estimate the standard error of a root mean squared error from the errors behind it (delta method).

    se(RMSE) = sd(e^2) / (2 RMSE sqrt(n)); for normal errors about RMSE / sqrt(2 n). errors: (n,), in the target's unit,
    as is the result. It is 0 where all errors have the same size. Raises DataError for fewer than two errors.
    """
    squares = np.square(np.asarray(errors, dtype=np.float64))
    if squares.ndim != 1 or len(squares) < 2:
        raise DataError(f"errors has shape {squares.shape}; give two or more numbers in one dimension")
    mean = squares.mean()
    return float(squares.std(ddof=1) / (2 * math.sqrt(mean) * math.sqrt(len(squares)))) if mean > 0 else 0.0


def expected_minimum(looks: int | Sequence[int] | np.ndarray) -> np.ndarray:
    """Compute the expected minimum of k independent standard normal draws, for every k in `looks`.

    E[min] = -E[max] = integral of F(x)^k over x < 0, minus that of 1 - F(x)^k over x > 0, with F the normal
    distribution function (David and Nagaraja 2003, Order Statistics). 0 for k = 1, -1/sqrt(pi) for k = 2, -1.54 for
    k = 10, about -3.24 for k = 1,000: it grows like -sqrt(2 ln k). Raises RecipeError for a k below 1.
    """
    looks = np.asarray(looks)
    if (looks < 1).any():
        raise RecipeError(f"looks: {looks.min()} is out of range; allowed: 1 or more")
    x, step = np.linspace(-10, 10, 801, retstep=True)
    below = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x]) ** looks[..., None]
    return step * np.where(x < 0, below, np.where(x > 0, below - 1, below - 0.5)).sum(axis=-1)


def simulate_looks(
    quality: Sequence[float] | np.ndarray, *, noise: float, correlation: float = 0.0, runs: int = 2000, seed: int = 0
) -> np.ndarray:
    """Draw the validation scores (runs, k) that k evaluations of known true quality would show.

    score_i = quality_i + noise (sqrt(c) shared + sqrt(1 - c) own_i), with `shared` and `own_i` standard normal.

    quality: (k,) scores on an endless validation set. noise: standard error of one evaluation, as from `rmse_noise`.
    correlation: c in [0, 1], the share of its variance that is common to all evaluations of a run, which see the same
    texts: it moves all of a run's scores alike, and so cannot change which is best. A pure function of its arguments;
    further evaluations leave the draws of the first ones as they are. Raises RecipeError for a number out of range.
    """
    quality = np.asarray(quality, dtype=np.float64)
    if quality.ndim != 1 or not len(quality):
        raise RecipeError(f"quality has shape {quality.shape}; give one number an evaluation, and one at least")
    real("noise", noise)
    real("correlation", correlation, 0, 1)
    whole("runs", runs, 1)
    draws = np.random.default_rng(seed).standard_normal((1 + len(quality), runs))
    own = math.sqrt(1 - correlation) * draws[1:] + math.sqrt(correlation) * draws[0]
    return quality + noise * own.T


def kept_looks(scores: np.ndarray, patience: int | None = None) -> np.ndarray:
    """Tell which evaluation would be the one kept after each: the best so far, as `BestScore` follows it.

    scores: (..., k), lower is better. Returns the evaluations' numbers, from 0, in the same shape: once `patience` of
    them in a row have brought no new best the run stops, and what it kept then stays.
    """
    scores = np.asarray(scores, dtype=np.float64)
    look = np.broadcast_to(np.arange(scores.shape[-1]), scores.shape)
    best = np.minimum.accumulate(scores, axis=-1)
    new = np.concatenate([np.ones_like(look[..., :1], dtype=bool), best[..., 1:] < best[..., :-1]], axis=-1)
    kept = np.maximum.accumulate(np.where(new, look, 0), axis=-1)
    if patience is None:
        return kept
    stops = look - kept >= patience
    last = np.where(stops.any(axis=-1), stops.argmax(axis=-1), scores.shape[-1] - 1)
    return np.take_along_axis(kept, np.minimum(look, last[..., None]), axis=-1)


def optimism(
    quality: Sequence[float] | np.ndarray,
    *,
    noise: float,
    correlation: float = 0.0,
    patience: int | None = None,
    runs: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """Estimate by simulation how far the best of the first 1, 2, ..., k evaluations flatters its checkpoint.

    optimism_j = E[quality of the evaluation kept after j - its score], in the unit of the score; above 0: too good to
    be true. With equal qualities and no patience it is -noise sqrt(1 - correlation) expected_minimum(j), which is as
    large as it gets. Arguments as for `simulate_looks` and `kept_looks`; returns (k,). The selection bias of Cawley and
    Talbot (2010), "On over-fitting in model selection and subsequent selection bias in performance evaluation".
    """
    quality = np.asarray(quality, dtype=np.float64)
    scores = simulate_looks(quality, noise=noise, correlation=correlation, runs=runs, seed=seed)
    kept = kept_looks(scores, patience)
    return (quality[kept] - np.take_along_axis(scores, kept, axis=-1)).mean(axis=0)
