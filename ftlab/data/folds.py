"""Deal the rows of a data set out to folds, stratified by target, each repeated text in one fold."""

from __future__ import annotations

import hashlib
import math
import unicodedata
import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from ftlab.data.files import listed
from ftlab.errors import DataError

if TYPE_CHECKING:
    pass


class Split(NamedTuple):
    """Row numbers of the three parts of a fold: int64, sorted, disjoint, together every row (unless sampled)."""

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
        rare = [f"{label!r} ({counts[i]})" for i, label in enumerate(labels) if counts[i] < num_folds]
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
        for fold, (_, part) in enumerate(StratifiedKFold(num_folds).split(order, bins[order])):
            fold_of_text[order[part]] = fold
    return fold_of_text[groups]


def _target_bins(targets: np.ndarray, num_folds: int) -> np.ndarray:
    """Cut targets into floor(1 + log2 n) bins of equal width (Sturges' rule), fewer if all would be tiny."""
    for num_bins in range(math.floor(1 + math.log2(len(targets))), 1, -1):
        bins = pd.cut(targets, num_bins, labels=False)
        if np.bincount(bins).max() >= num_folds:
            return bins
    return np.zeros(len(targets), dtype=np.int64)
