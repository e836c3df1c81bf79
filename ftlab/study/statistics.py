"""The statistics of paired comparisons: interval, p-value, correction for many comparisons.

PLACEHOLDER
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from ftlab.errors import DataError

if TYPE_CHECKING:
    pass

LEVEL = 0.95
"""Of the intervals; a corrected p below 1 - LEVEL counts."""
FEWEST_PAIRS = 5
"""What an interval needs: no draw leaves the range of the data, so n pairs cover at most a share of 1 - 2^(1 - n)."""
EXACT_PAIRS = 16
"""Up to so many pairs every pattern of signs is tried, 2^16 of them."""


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
