"""The statistics of paired comparisons: interval, p-value, correction for many comparisons.

`paired_t` is the rule for cells of the plan, each with a seed of its own: the unit is a block, or a fold of a split.
`bootstrap_interval` and `sign_flip_p` belong to the first design, which crosses seeds with folds. There single pairs
are no independent draws, and a test that flips their signs finds a difference where there is none in 18 % of
studies (with seed effects of the size measured), not in 5 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ftlab.errors import DataError

LEVEL = 0.95
"""Of the intervals; a corrected p below 1 - LEVEL counts."""
FEWEST_PAIRS = 5
"""What an interval needs: no draw leaves the range of the data, so n pairs cover at most a share of 1 - 2^(1 - n)."""
EXACT_PAIRS = 16
"""Up to so many pairs every pattern of signs is tried, 2^16 of them."""


FEWEST_UNITS = 10
"""Pairs below which no verdict is given."""
POWER = 0.8


@dataclass(frozen=True)
class PairedT:
    """What paired differences allow to say of their mean.

    low, high: ends of the 95 % interval. p: two-sided, of "no difference". sees: the smallest true difference that a
    comparison like this one finds with probability 0.8, alone and uncorrected. equivalent: whether the 90 % interval
    lies within the margin.
    """

    pairs: int
    mean: float
    low: float
    high: float
    p: float
    sees: float
    equivalent: bool


def paired_t(differences: Any, *, overlap: float = 0.0, margin: float = 0.01) -> PairedT:
    """Test the mean of n paired differences by Student's t, the variance corrected for overlapping training sets.

    se^2 = sd^2 (1 / n + overlap). overlap: test rows over training rows of a fold where the folds' training sets
    overlap (Nadeau and Bengio 2003, "Inference for the generalization error"); 0 for blocks that share no row, which
    gives the ordinary paired t test. margin: half the width of what counts as no difference that matters (two one-sided
    tests, Schuirmann 1987), in the unit of the differences. Differences that are NaN are left out; with fewer than two,
    or no spread, what cannot be said is NaN.
    """
    values = np.ravel(np.asarray(differences, dtype=np.float64))
    values = values[np.isfinite(values)]
    n = len(values)
    mean, sd = (float(values.mean()) if n else math.nan), (float(values.std(ddof=1)) if n > 1 else math.nan)
    if not sd > 1e-12 * float(np.abs(values).max(initial=0.0)):  # equal but for rounding
        return PairedT(n, mean, math.nan, math.nan, math.nan, math.nan, False)
    error = sd * math.sqrt(1 / n + overlap)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * error
    narrow = float(stats.t.ppf(LEVEL, n - 1)) * error
    sees = half + float(stats.t.ppf(POWER, n - 1)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, n - 1))
    return PairedT(n, mean, mean - half, mean + half, p, sees, abs(mean) + narrow < margin)


def bootstrap_interval(differences: Any, *, draws: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """Return the ends of the 95 % interval of the mean of paired differences (folds, seeds); NaN: no such pair.

    Two-way bootstrap (Owen 2007): each draw takes as many folds and as many seeds as there are, with replacement, and
    the mean of the cells where they cross. The ends are the quantiles q and 1 - q of these means, with
    q = Phi(-sqrt(n / (n - 1)) t), t the 97.5 % quantile of Student's t with n - 1 degrees of freedom and n the number
    of pairs (Hesterberg 2015). With one fold or one seed it is the ordinary bootstrap of the pairs. NaN for fewer than
    five pairs, which cannot cover 95 %: no draw leaves the range of the data.
    """
    table = np.atleast_2d(np.asarray(differences, dtype=np.float64))
    known = np.isfinite(table)
    n = int(known.sum())
    if n < FEWEST_PAIRS:
        return math.nan, math.nan
    generator = np.random.default_rng(seed)
    folds = generator.integers(table.shape[0], size=(draws, table.shape[0], 1))
    seeds = generator.integers(table.shape[1], size=(draws, 1, table.shape[1]))
    count = known[folds, seeds].sum(axis=(1, 2))
    total = np.where(known, table, 0.0)[folds, seeds].sum(axis=(1, 2))
    means = total[count > 0] / count[count > 0]
    quantile = tail(n)
    low, high = np.quantile(means, [quantile, 1 - quantile])
    return float(low), float(high)


def tail(pairs: int) -> float:
    """Return the share of bootstrap means beyond each end of the interval, less than 0.025 where pairs are few."""
    t = stats.t.ppf((1 + LEVEL) / 2, pairs - 1)
    return float(stats.norm.cdf(-math.sqrt(pairs / (pairs - 1)) * t))


def sign_flip_p(differences: Any, *, draws: int = 20_000, seed: int = 0) -> float:
    """Return the two-sided p of "no difference": the share of sign patterns whose mean is at least as far from 0.

    Fisher (1935). differences: paired differences of any shape; those that are NaN are left out. All 2^n patterns of
    signs are tried for up to 16 pairs, so p is exact and never below 2 / 2^n; beyond, `draws` random ones. NaN without
    pairs.
    """
    values = np.ravel(np.asarray(differences, dtype=np.float64))
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return 1.0 if len(values) else math.nan
    return float(
        stats.permutation_test(
            (values,),
            lambda x, axis: np.mean(x, axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**EXACT_PAIRS if len(values) <= EXACT_PAIRS else draws,
            random_state=seed,
        ).pvalue
    )


def holm(p: Any) -> np.ndarray:
    """Correct p-values (m,) for having tried m things: Holm's (1979) step-down Bonferroni; NaN is not counted.

    In rising order the i-th, from 0, is multiplied by m - i, made at least as large as the one before, and at most 1.
    """
    p = np.asarray(p, dtype=np.float64)
    order = np.argsort(p)[: np.isfinite(p).sum()]  # NaN sorts last
    corrected = np.full(p.shape, np.nan)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (len(order) - np.arange(len(order)))))
    return corrected


def share_interval(hits: Any, clusters: Any = None) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a share, such as that of runs that failed: Clopper and Pearson (1934).

    hits: (n,) true or false. It is exact for independent runs: none of ten still allows 31 %. clusters: (n,) what runs
    share, such as their recipe. Runs that share much are worth fewer independent ones, p (1 - p) / var(p) with the
    variance between clusters (Korn and Graubard 1998); where all runs agree that is not known, and each cluster counts
    once. Raises DataError without a run, or for clusters of another length.
    """
    hits = np.asarray(hits, dtype=bool).ravel()
    n, p = len(hits), float(hits.mean()) if len(hits) else math.nan
    if not n:
        raise DataError("hits: there is no run; give one true or false a run")
    worth = float(n)
    if clusters is not None:
        labels, of = np.unique(np.asarray(clusters), return_inverse=True)
        if len(of) != n:
            raise DataError(f"clusters has {len(of)} entries for {n} runs; give one a run")
        k = len(labels)
        off = np.bincount(of, weights=hits - p)
        variance = k / (k - 1) * float(np.square(off).sum()) / n**2 if k > 1 else math.inf
        worth = min(n, max(1.0, p * (1 - p) / max(variance, 1e-12))) if 0 < p < 1 else float(k)
    found, half = p * worth, (1 - LEVEL) / 2
    low = float(stats.beta.ppf(half, found, worth - found + 1)) if found > 0 else 0.0
    high = float(stats.beta.ppf(1 - half, found + 1, worth - found)) if found < worth else 1.0
    return low, high


def paired_differences(cells: pd.DataFrame, name: str, baseline: str = "baseline") -> pd.DataFrame:
    """Return score minus the baseline's score for each pair: one row a fold, one column a seed, NaN for no pair.

    cells: the table of `load_cells`. Raises DataError for a name that is not in it.
    """
    grids = {}
    for what, wanted in (("baseline", baseline), ("name", name)):
        rows = cells[cells["name"] == wanted]
        if rows.empty:
            raise DataError(f"{what}: no cell is called {wanted!r}; there are {', '.join(cells['name'].unique())}")
        grids[wanted] = rows.pivot(index="fold", columns="seed", values="score")
    difference = grids[name] - grids[baseline]
    return difference.dropna(how="all").dropna(how="all", axis="columns")
