"""Deal the rows of a data set out to folds, stratified by target, each repeated text in one fold."""

from __future__ import annotations

import hashlib
import math
import unicodedata
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from ftlab.data.table import listed, short
from ftlab.errors import DataError


class Split(NamedTuple):
    """Row numbers of a fold's train, validation and test set: int64, sorted, disjoint, all rows unless sampled."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def text_groups(texts: list[str]) -> np.ndarray:
    """Return for every row the number of its text; rows with the same text share it."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(_text_key(text), len(seen)) for text in texts], dtype=np.int64)


def _text_key(text: str) -> bytes:
    folded = unicodedata.normalize("NFC", text).casefold()
    same = unicodedata.normalize("NFC", " ".join(folded.split()))  # case folding can undo the first NFC
    return hashlib.blake2b(same.encode(), digest_size=16).digest()  # short: no second copy of all texts


def assign_folds(
    name: str, targets: np.ndarray, labels: list[str] | None, groups: np.ndarray, num_folds: int, seed: int
) -> np.ndarray:
    """Deal the rows out to the folds as the article does, each repeated text with its first occurrence.

    scikit-learn's StratifiedGroupKFold also keeps repeated texts together, but needs 14 s for 100,000 rows
    where this needs a fraction of one, and can leave a fold empty.
    """
    first = np.unique(groups, return_index=True)[1]
    n = len(first)
    if n < num_folds:
        texts = "" if n == len(groups) else f", {n} different texts"
        raise DataError(
            f"{name}: {len(groups)} rows{texts}: too few for {num_folds} folds; add rows, or lower "
            "num_folds (3 at least)"
        )
    bins = targets[first]
    if labels is None:
        bins = _target_bins(bins, num_folds)
    else:
        counts = np.bincount(bins, minlength=len(labels))
        rare = [f"{short(label)} ({counts[i]})" for i, label in enumerate(labels) if counts[i] < num_folds]
        if rare:
            raise DataError(
                f"{name}: {len(rare)} of {len(labels)} classes have fewer different texts than there are "
                f"folds ({num_folds}): {listed(rare)}. Add rows, merge or drop these classes, or lower "
                "num_folds; if the targets are quantities, pass task='regression'"
            )
    from sklearn.model_selection import StratifiedKFold

    order = pd.Series(np.arange(n)).sample(frac=1, random_state=seed).to_numpy()
    fold_of_text = np.empty(n, dtype=np.int64)
    with warnings.catch_warnings():
        # scikit-learn remarks on bins with fewer rows than folds, which it deals out rightly.
        warnings.simplefilter("ignore", UserWarning)
        for fold, (_, rows) in enumerate(StratifiedKFold(num_folds).split(order, bins[order])):
            fold_of_text[order[rows]] = fold
    return fold_of_text[groups]


def _target_bins(targets: np.ndarray, num_folds: int) -> np.ndarray:
    """Cut targets into floor(1 + log2 n) bins of equal width (Sturges' rule), fewer if all would be tiny."""
    for num_bins in range(math.floor(1 + math.log2(len(targets))), 1, -1):
        bins = pd.cut(targets, num_bins, labels=False)
        if np.bincount(bins).max() >= num_folds:
            return bins
    return np.zeros(len(targets), dtype=np.int64)


def deal(targets: np.ndarray, sizes: Sequence[int] | np.ndarray, seed: int) -> np.ndarray:
    """Deal rows out at random to sets of exactly these sizes, each with the same spread of targets.

    Rows are ranked by target (ties at random). Set i of size s_i claims the places (j + u) / s_i, j = 0 ... s_i - 1, u
    uniform in [0, 1) for each; the claims of all sets, sorted, are matched to the ranks. So any stretch of ranks gives
    every set its share, give or take a row or two, and classes are shared out likewise.

    targets: (n,), values or class ids. sizes: with sum n. Returns the number of each row's set, (n,) int64.
    """
    generator = np.random.default_rng(seed)
    ranked = np.lexsort((generator.random(len(targets)), targets))
    claims = np.concatenate([(np.arange(size) + generator.random(size)) / size for size in sizes if size])
    sets = np.empty(len(targets), dtype=np.int64)
    sets[ranked] = np.repeat(np.arange(len(sizes)), sizes)[np.argsort(claims, kind="stable")]
    return sets
