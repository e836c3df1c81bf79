"""Load a data set: texts with targets, checked row by row, and the folds they fall into.

Every fold has three sets of rows: train, validation (selection, early stopping) and test, so that a score is reported
on texts that nothing was chosen by.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ftlab.checks import is_int
from ftlab.data.builtin import read_table
from ftlab.data.columns import (
    check_spread,
    checked_targets,
    checked_texts,
    choose_column,
    classification_targets,
    converted,
    infer_task,
    regression_targets,
    standard_errors_of,
)
from ftlab.data.folds import Split, assign_folds, deal, text_groups
from ftlab.data.headers import TARGET_NAMES, TEXT_NAMES
from ftlab.data.table import listed, short
from ftlab.data.tokens import check_max_length, tokenise
from ftlab.errors import DataError

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

COMMONLIT_COLUMNS = {"url_legal", "license", "excerpt", "target", "standard_error"}
PLAY_VALIDATION_ROWS = 64


@dataclass(frozen=True, repr=False, eq=False)
class Data:
    """Hold n texts with their targets and folds; made by `load_data`.

    name: the set's or the file's name.  task: "regression" or "classification".
    texts: list of n strings.  targets: (n,) float64 values, or int64 class ids that index `labels`.
    labels: the class names, sorted (numbers by value); None in regression.
    frame: all columns of the source, rows in its order, index 0..n-1.
    standard_errors: (n,) float64, the standard error of each target; None if the source has none.
    folds: (n,) int64, the fold whose test set the row is in.  num_folds, seed: as given. With num_folds 1 there is one
        fixed split, and folds holds 0 for test, 1 for validation, 2 for training rows.
    num_duplicates: rows whose text (NFC, case folded, white space collapsed) stands in an earlier row too.
    fingerprint: SHA-256 over texts, targets, task, labels, folds and, where they are set, sample and closed_test.
    sample: the number and the seed of the training rows that `few_samples` keeps; None keeps all.
    closed_test: whether `play` made it: PLAY_VALIDATION_ROWS validation rows, and a test set that stays closed.
    block: which of the blocks that `blocks` made it is, from 0; None if it is not one.
    """

    name: str
    task: str
    texts: list[str]
    targets: np.ndarray
    labels: list[str] | None
    frame: pd.DataFrame
    standard_errors: np.ndarray | None
    folds: np.ndarray
    num_folds: int
    seed: int
    num_duplicates: int
    fingerprint: str
    sample: tuple[int, int] | None = None
    closed_test: bool = False
    block: int | None = None
    _tokenised: dict[tuple, tuple[datasets.Dataset, float]] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        if self.labels is None:
            what = f"target mean {self.targets.mean():.2f}, sd {self.targets.std():.2f}"
        else:
            what = f"{len(self.labels)} classes ({listed(self.labels)})"
        how = "one split" if self.num_folds == 1 else f"{self.num_folds} folds"
        return (
            f"Data({self.name!r}{self._block_name}: {len(self):,} texts, {self.task}, {what}; {how}, "
            f"seed {self.seed}; duplicates: {self.num_duplicates})"
        )

    @property
    def _block_name(self) -> str:
        return "" if self.block is None else f", block {self.block}"

    def split(self, fold: int) -> Split:
        """Return the rows of a fold's train, validation and test set.

        test = fold `fold`, validation = fold (fold + 1) % num_folds, train = all others: with 5 folds 20, 20
        and 60 % of the rows. Raises DataError for a fold outside 0..num_folds-1.
        """
        if not is_int(fold) or not 0 <= fold < self.num_folds:
            raise DataError(f"fold is {fold!r}; {self.name} has folds 0 to {self.num_folds - 1}")
        test = self.folds == fold
        validation = self.folds == (fold + 1) % max(self.num_folds, 3)  # a fixed split has one fold, of three sets
        train, validation, test = (np.flatnonzero(rows) for rows in (~(test | validation), validation, test))
        if self.sample is not None:
            n, seed = self.sample
            train = np.sort(np.random.default_rng(seed).permutation(train)[:n])
        if self.closed_test:
            validation = np.sort(np.random.default_rng(0).permutation(validation)[:PLAY_VALIDATION_ROWS])
        return Split(train, validation, test)

    def few_samples(self, n: int, seed: int = 0) -> Data:
        """Return the same data with n training rows in every fold, drawn at random; validation and test stay whole.

        The n rows of a seed are among the m > n rows of that seed, so a larger sample adds to a smaller one. This is
        how Zhang et al. (2021), "Revisiting few-sample BERT fine-tuning", make small data out of large. Raises
        DataError if a fold has fewer training rows.
        """
        fewest = min(len(dataclasses.replace(self, sample=None).split(fold).train) for fold in range(self.num_folds))
        if not is_int(n) or not 1 <= n <= fewest:
            name = f"{self.name}{self._block_name}"
            raise DataError(f"n: {n!r} is out of range; {name} has 1 to {fewest} training rows in every fold")
        if not is_int(seed) or seed < 0:
            raise DataError(f"seed: {seed!r} is out of range; give a whole number, 0 or more")
        digest = hashlib.sha256(f"{self.fingerprint} {n} {seed}".encode()).hexdigest()
        return self._with(sample=(int(n), int(seed)), fingerprint=digest)

    def play(self, n: int, seed: int = 0) -> Data:
        """Return the same data for quick tries: n training rows, few validation rows, the test set closed.

        Training rows are those of `few_samples(n, seed)`. Validation keeps PLAY_VALIDATION_ROWS rows of each fold, the
        same for every n and seed, so that tries can be compared. `closed_test` asks `fit` not to score the test set.
        Raises DataError as `few_samples` does.
        """
        few = self.few_samples(n, seed)
        digest = hashlib.sha256(f"{few.fingerprint} play".encode()).hexdigest()
        return few._with(closed_test=True, fingerprint=digest)

    def resplit(self, seed: int) -> Data:
        """Return the same rows dealt out anew: `load_data(..., seed=seed)` without reading them again.

        A sample of the training rows is drawn again, of the same size and seed; a fixed split keeps its sizes. Raises
        DataError for a seed that is not a whole number from 0 to 2**32 - 1.
        """
        _check_seed(seed)
        if self.num_folds == 1:
            folds = deal(self.targets, np.bincount(self.folds), seed)
        else:
            groups = text_groups(self.texts)
            folds = assign_folds(self.name, self.targets, self.labels, groups, self.num_folds, seed)
        fingerprint = _fingerprint(self.texts, self.targets, self.task, self.labels, folds)
        return self._sampled(
            self._with(folds=folds, seed=seed, fingerprint=fingerprint, sample=None, closed_test=False)
        )

    def _sampled(self, other: Data) -> Data:
        """Draw a sample of this size and seed from other data, with a closed test set if this one is closed."""
        if self.sample is None:
            return other
        return other.play(*self.sample) if self.closed_test else other.few_samples(*self.sample)

    def blocks(
        self, k: int, n: int | Sequence[int], *, sizes: tuple[int, int, int] | None = None, seed: int = 0
    ) -> list[Data]:
        """Return k blocks of n rows each that share no row and no text, with the same spread of targets.

        Runs on different blocks are independent, which runs on different folds are not: two folds' training sets
        overlap. Rows are drawn by `ftlab.data.folds.deal`; of a repeated text only the first row can be in a block.
        A sample of the training rows is drawn again in every block, of the same size and seed; a closed test set stays
        closed.

        n: rows of a block, or k numbers of rows. sizes: the numbers of training, validation and test rows, with sum
        n, for one fixed split a block, `split(0)`; without it a block has num_folds folds, as all other data, so data
        of one fixed split need it. seed: draws the blocks and deals out each. A block's `block` is its number; its row
        i is row i of its `frame`.

        Raises DataError if k, n, sizes or seed is out of range, if there are fewer than k n different texts, or if a
        block has fewer training rows than the sample.
        """
        _check_seed(seed)
        if not is_int(k) or k < 1:
            raise DataError(f"k: {k!r} is out of range; give the number of blocks, 1 or more")
        rows = [n] * k if is_int(n) else list(n) if isinstance(n, Sequence) and not isinstance(n, str) else []
        if len(rows) != k or not all(is_int(size) and size >= 1 for size in rows):
            raise DataError(f"n: {n!r} is out of range; give the rows of a block, 1 or more, or {k} such numbers")
        if sizes is None and self.num_folds == 1:
            raise DataError(
                f"sizes: None stands for folds, and {self.name} has one fixed split; give the numbers of training, "
                f"validation and test rows of a block, with the sum n = {n!r}"
            )
        if sizes is not None:
            whole = (
                isinstance(sizes, Sequence) and len(sizes) == 3 and all(is_int(size) and size >= 1 for size in sizes)
            )
            if not whole or {sum(sizes)} != set(rows):
                raise DataError(
                    f"sizes: {sizes!r} is out of range; give the numbers of training, validation and test rows of a "
                    f"block, 1 or more each, with the sum n = {n!r}"
                )
        first = np.unique(text_groups(self.texts), return_index=True)[1]
        left = len(first) - sum(rows)
        if left < 0:
            raise DataError(
                f"{self.name}: {k} blocks of n = {n!r} rows need {sum(rows)} different texts, and there are "
                f"{len(first)}; ask for fewer or smaller blocks"
            )
        block_of = deal(self.targets[first], [*rows, left], seed)
        return [self._sampled(self._block(i, first[block_of == i], sizes, seed)) for i in range(k)]

    def _block(self, i: int, rows: np.ndarray, sizes: tuple[int, int, int] | None, seed: int) -> Data:
        texts, targets = [self.texts[row] for row in rows], self.targets[rows]
        if sizes is None:
            name = f"{self.name}, block {i}"
            folds = assign_folds(name, targets, self.labels, np.arange(len(rows)), self.num_folds, seed)
        else:
            folds = deal(targets, sizes[::-1], seed)
        return Data(
            name=self.name,
            task=self.task,
            texts=texts,
            targets=targets,
            labels=self.labels,
            frame=self.frame.iloc[rows].reset_index(drop=True),
            standard_errors=None if self.standard_errors is None else self.standard_errors[rows],
            folds=folds,
            num_folds=self.num_folds if sizes is None else 1,
            seed=seed,
            num_duplicates=0,
            fingerprint=_fingerprint(texts, targets, self.task, self.labels, folds),
            block=i,
        )

    def _with(self, **changes: Any) -> Data:
        """Return the same rows with other fields; what was tokenised is shared, since the texts are the same."""
        other = dataclasses.replace(self, **changes)
        object.__setattr__(other, "_tokenised", self._tokenised)
        return other

    def tokenise(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> datasets.Dataset:
        """Return the tokenised texts: one row a text, cut at max_length tokens, not padded, in memory only.

        Columns: what the tokenizer gives (input_ids, ...) as int32 lists, without attention_mask (nothing is
        padded yet; the collator adds it); `length` in tokens, special ones counted; `label`, float32 or int64
        class ids. The result is kept: a second call with the same tokenizer and max_length returns the same
        object. Raises DataError if max_length leaves no room for a text, or if the tokenizer makes no token
        of one.
        """
        return self._tokens(tokenizer, max_length)[0]

    def share_truncated(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> float:
        """Return the share of texts, 0 to 1, that lose their end at max_length tokens."""
        return self._tokens(tokenizer, max_length)[1]

    def _tokens(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[datasets.Dataset, float]:
        check_max_length(tokenizer, max_length)
        name = tokenizer.name_or_path or tokenizer  # one built in memory has no name
        key = (name, type(tokenizer).__name__, len(tokenizer), tokenizer.truncation_side, max_length)
        if key not in self._tokenised:
            self._tokenised[key] = tokenise(
                self.name, self.texts, self.targets, tokenizer, max_length, self.fingerprint
            )
        return self._tokenised[key]


def load_data(
    source: str | os.PathLike[str] | pd.DataFrame = "passages",
    *,
    text: str | None = None,
    target: str | None = None,
    task: str | None = None,
    num_folds: int = 5,
    seed: int = 3377,
) -> Data:
    """Load a built-in set, a file or a DataFrame, check every row, and assign the folds.

    source: "passages" (comes with the package), "clear" and "snippets" (downloaded on first use), "commonlit"
        (Kaggle's train.csv in the folder that the environment variable FTLAB_DATA names), "rotten_tomatoes" (Hugging
        Face hub); or a .csv, .tsv, .parquet, .jsonl, .ndjson, .json or .xlsx file, in UTF-8 where it is text;
        or a pandas DataFrame. FTLAB_DATA is searched before anything is downloaded.
    text, target: the columns' names. Without them a column named as in TEXT_NAMES or TARGET_NAMES is taken,
        whatever its case; two that fit are an error, never a guess. Columns that nobody asks for may lack a name or
        share one.
    task: "regression" or "classification". Without it, targets are classes if most of them are not numbers,
        if they are truth values, if they are codes (007, 5E1: digits as no program writes a number), if they are
        whole numbers with two different values, or if they are whole numbers in a column named as in CLASS_NAMES with
        at most MAX_CLASS_IDS different values. All others are regression. What counts is how a value is spelt, not
        the type that a file format gives it; 1.1 beside 1.10 is an error that asks. Classes are named as they stand
        in the file. Under "classification" the classes of "snippets" are negative and positive, the sign of the mean
        rating; the 37 sentences with mean 0 are neither and are left out.
    num_folds: 3 or more.  seed: shuffles the rows before they are dealt out to the folds.

    Folds are the article's: shuffle, cut the target into floor(1 + log2 n) bins of equal width (a class is
    its own bin), stratified k-fold over the bins. Rows with the same text always share a fold. A file with
    CommonLit's columns loses its reference row (target 0, standard error 0), as in the article.

    Raises DataError, which names file, column, row and remedy. Warns if the standard deviation of a
    regression target is below 0.1 or above 10.
    """
    _check_arguments(task, num_folds, seed)
    table = read_table(source)
    text = choose_column(table, "text", text or table.text, TEXT_NAMES)
    if table.class_target and (target == table.class_target or (target is None and task == "classification")):
        target = table.class_target
        table = dataclasses.replace(table, frame=table.frame.dropna(subset=target).reset_index(drop=True))
    target = choose_column(table, "target", target or table.target, TARGET_NAMES)
    if text == target:
        raise DataError(f"{table.name}: text and target are both column {short(text)}; name two different columns")
    texts, values = checked_texts(table, text), checked_targets(table, target)
    task = task or (table.task if target == table.target else None) or infer_task(table, target, values)
    labels = None
    if task == "regression":
        targets = regression_targets(table, target, values)
    else:
        targets, labels = classification_targets(table, target, values)
    frame = converted(table, text, target, targets if labels is None else None)
    # A built-in set's standard errors belong to its own target, not to another column chosen in its place.
    errors = standard_errors_of(table) if table.target in (None, target) else None

    if COMMONLIT_COLUMNS <= set(frame.columns) and target == "target" and errors is not None:
        kept = np.flatnonzero((targets != 0) | (errors != 0))
        frame = frame.iloc[kept].reset_index(drop=True)
        texts, targets, errors = [texts[i] for i in kept], targets[kept], errors[kept]

    if labels is None:
        check_spread(table.name, targets)
    groups = text_groups(texts)
    folds = assign_folds(table.name, targets, labels, groups, num_folds, seed)
    return Data(
        name=table.name,
        task=task,
        texts=texts,
        targets=targets,
        labels=labels,
        frame=frame,
        standard_errors=errors,
        folds=folds,
        num_folds=num_folds,
        seed=seed,
        num_duplicates=len(texts) - len(np.unique(groups)),
        fingerprint=_fingerprint(texts, targets, task, labels, folds),
    )


def _check_arguments(task: str | None, num_folds: int, seed: int) -> None:
    if task not in (None, "regression", "classification"):
        raise DataError(f"task is {task!r}; it must be 'regression', 'classification' or None (inferred)")
    if not is_int(num_folds) or num_folds < 3:
        raise DataError(
            f"num_folds is {num_folds!r}; it must be a whole number of 3 or more: one fold for test, one for "
            "validation, the rest for training"
        )
    _check_seed(seed)


def _check_seed(seed: int) -> None:
    if not is_int(seed) or not 0 <= seed < 2**32:
        raise DataError(f"seed is {seed!r}; it must be a whole number from 0 to 2**32 - 1")


def _fingerprint(texts: list[str], targets: np.ndarray, task: str, labels: list[str] | None, folds: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps([task, labels, len(texts)]).encode())
    for text in texts:
        encoded = text.encode()
        # The length in front keeps a text from borrowing from its neighbour.
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    for values in (targets, folds):
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
