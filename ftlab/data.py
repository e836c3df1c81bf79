"""Data: texts with targets, the folds they fall into, and the batches they are trained in.

`load_data` checks every row of a source (see `ftlab.sources`) and returns a `Data`. Every fold has three
parts: train, validation (selection, early stopping) and test, so that a score is reported on texts that
nothing was chosen by. Batches are grouped by length, so that little of a batch is padding.

Libraries that take long to import (pyarrow, scikit-learn, datasets, transformers) are imported where they are
used.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import numbers
import os
import unicodedata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from ftlab.errors import DataError
from ftlab.sources import Table, is_unicode, listed, read_table

if TYPE_CHECKING:
    import datasets
    from torch import Tensor
    from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

# Column names that are recognised, after lower-casing and turning spaces and hyphens into underscores.
TEXT_NAMES = ("excerpt", "text", "passage", "sentence", "content", "document", "review")
TARGET_NAMES = ("target", "score", "label", "labels", "rating", "class", "bt_easiness", "y")
ERROR_NAMES = ("standard_error", "s.e.", "se", "std_error", "stderr")

# Under these names whole numbers are class ids, as long as there are at most MAX_CLASS_IDS different ones.
CLASS_NAMES = ("label", "labels", "class")
MAX_CLASS_IDS = 20

COMMONLIT_COLUMNS = {"url_legal", "license", "excerpt", "target", "standard_error"}
TOKENISE_ROWS = 1000


class Split(NamedTuple):
    """Row numbers of the three parts of a fold: int64, sorted, disjoint, together every row (unless sampled)."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


@dataclass(frozen=True, repr=False, eq=False)
class Data:
    """Hold n texts with their targets and folds; made by `load_data`.

    name: the set's or the file's name.  task: "regression" or "classification".
    texts: list of n strings.  targets: (n,) float64 values, or int64 class ids that index `labels`.
    labels: the class names, sorted (numbers by value); None in regression.
    frame: all columns of the source, rows in its order, index 0..n-1.
    standard_errors: (n,) float64, the standard error of each target; None if the source has none.
    folds: (n,) int64, the fold whose test part the row is in.  num_folds, seed: as given.
    num_duplicates: rows whose text (NFC, case folded, white space collapsed) stands in an earlier row too.
    fingerprint: SHA-256 over texts, targets, task, labels, folds and, if it is not None, sample.
    sample: the number and the seed of the training rows that `few_samples` keeps; None keeps all.
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
    _tokenised: dict[tuple, tuple[datasets.Dataset, float]] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        if self.labels is None:
            what = f"target mean {self.targets.mean():.2f}, sd {self.targets.std():.2f}"
        else:
            what = f"{len(self.labels)} classes ({listed(self.labels)})"
        return (
            f"Data({self.name!r}: {len(self):,} texts, {self.task}, {what}; {self.num_folds} folds, "
            f"seed {self.seed}; duplicates: {self.num_duplicates})"
        )

    def split(self, fold: int) -> Split:
        """Return the rows of the three parts of a fold.

        test = fold `fold`, validation = fold (fold + 1) % num_folds, train = all others: with 5 folds 20, 20
        and 60 % of the rows. Raises DataError for a fold outside 0..num_folds-1.
        """
        if not _is_int(fold) or not 0 <= fold < self.num_folds:
            raise DataError(f"fold is {fold!r}; {self.name} has folds 0 to {self.num_folds - 1}")
        test = self.folds == fold
        validation = self.folds == (fold + 1) % self.num_folds
        train, validation, test = (np.flatnonzero(part) for part in (~(test | validation), validation, test))
        if self.sample is not None:
            n, seed = self.sample
            train = np.sort(np.random.default_rng(seed).permutation(train)[:n])
        return Split(train, validation, test)

    def few_samples(self, n: int, seed: int = 0) -> Data:
        """Return the same data with n training rows in every fold, drawn at random; validation and test stay whole.

        The n rows of a seed are among the m > n rows of that seed, so a larger sample adds to a smaller one. This is
        how Zhang et al. (2021), "Revisiting few-sample BERT fine-tuning", make small data out of large. Raises
        DataError if a fold has fewer training rows.
        """
        fewest = min(len(dataclasses.replace(self, sample=None).split(fold).train) for fold in range(self.num_folds))
        if not _is_int(n) or not 1 <= n <= fewest:
            raise DataError(f"n: {n!r} is out of range; {self.name} has 1 to {fewest} training rows in every fold")
        if not _is_int(seed) or seed < 0:
            raise DataError(f"seed: {seed!r} is out of range; give a whole number, 0 or more")
        digest = hashlib.sha256(f"{self.fingerprint} {n} {seed}".encode()).hexdigest()
        return dataclasses.replace(self, sample=(int(n), int(seed)), fingerprint=digest)

    def tokenise(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> datasets.Dataset:
        """Return the tokenised texts: one row a text, cut at max_length tokens, not padded, in memory only.

        Columns: what the tokenizer gives (input_ids, ...) as int32 lists, without attention_mask (nothing is
        padded yet; the collator adds it); `length` in tokens, special ones counted; `label`, float32 or int64
        class ids. The result is kept: a second call with the same tokenizer and max_length returns the same
        object. Raises DataError if max_length leaves no room for a text, or if the tokenizer makes no token
        of one.
        """
        return _tokenise(self, tokenizer, max_length)[0]

    def share_truncated(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> float:
        """Return the share of texts, 0 to 1, that lose their end at max_length tokens."""
        return _tokenise(self, tokenizer, max_length)[1]


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

    source: "passages" (comes with the package), "clear" (downloaded on first use), "commonlit" (Kaggle's
        train.csv in the folder that the environment variable FTLAB_DATA names), "rotten_tomatoes" (Hugging
        Face hub); or a .csv, .tsv, .parquet, .jsonl, .ndjson, .json or .xlsx file, in UTF-8 where it is text;
        or a pandas DataFrame. FTLAB_DATA is searched before anything is downloaded.
    text, target: the columns' names. Without them a column named as in TEXT_NAMES or TARGET_NAMES is taken,
        whatever its case; two that fit are an error, never a guess.
    task: "regression" or "classification". Without it, targets are classes if most of them are not numbers,
        if they are truth values, if they are whole numbers with two different values, or if they are whole
        numbers in a column named as in CLASS_NAMES with at most MAX_CLASS_IDS different values. All others
        are regression.
    num_folds: 3 or more.  seed: shuffles the rows before they are dealt out to the folds.

    Folds are the article's: shuffle, cut the target into floor(1 + log2 n) bins of equal width (a class is
    its own bin), stratified k-fold over the bins. Rows with the same text always share a fold. A file with
    CommonLit's columns loses its reference row (target 0, standard error 0), as in the article.

    Raises DataError, which names file, column, row and remedy. Warns if the standard deviation of a
    regression target is below 0.1 or above 10.
    """
    _check_arguments(task, num_folds, seed)
    table = read_table(source)
    text = _column(table, "text", text or table.text, TEXT_NAMES)
    target = _column(table, "target", target or table.target, TARGET_NAMES)
    if text == target:
        raise DataError(f"{table.name}: text and target are both column {text!r}; name two different columns")
    frame = table.frame
    texts = _texts(table, text)
    values = frame[target].tolist()
    task = task or (table.task if target == table.target else None) or _infer_task(target, values)
    labels = None
    if task == "regression":
        targets = _regression_targets(table, target, values)
    else:
        targets, labels = _classification_targets(table, target, values)
    # A built-in set's standard errors belong to its own target, not to another column chosen in its place.
    errors = _standard_errors(frame) if table.target in (None, target) else None

    if COMMONLIT_COLUMNS <= set(frame.columns) and target == "target" and errors is not None:
        kept = np.flatnonzero((targets != 0) | (errors != 0))
        frame = frame.iloc[kept].reset_index(drop=True)
        texts, targets, errors = [texts[i] for i in kept], targets[kept], errors[kept]

    if labels is None:
        _check_spread(table.name, targets)
    groups = _text_groups(texts)
    folds = _assign_folds(table.name, targets, labels, groups, num_folds, seed)
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


# Batches ----------------------------------------------------------------------------------------------------


def length_grouped_batches(
    lengths: Sequence[int] | np.ndarray, batch_size: int, *, seed: int, epoch: int
) -> list[np.ndarray]:
    """Return training batches of rows of nearly equal length, in random order.

    Rows are ranked by length (ties at random); each rank gets uniform noise from [0, batch_size); rows in the
    order of their noisy ranks are cut into batches. Neighbours in length trade places, so a row's company
    changes from epoch to epoch, and the ranks within a batch span less than 3 batch sizes. If the rows do not
    fill the last batch, the smaller one is cut at a random place, so that it is not always the longest rows'.
    Every row occurs once.

    lengths: (n,) tokens a row. Returns int64 arrays. A pure function of its arguments.
    Raises DataError for lengths that are not one-dimensional or a batch size below 1.
    Source: bucketing by length, as in Khomenko et al. (2016), "Accelerating recurrent neural network training
    using sequence bucketing and multi-GPU data parallelization".
    """
    lengths = _check_lengths(lengths, batch_size)
    n = len(lengths)
    generator = np.random.default_rng([seed, epoch])
    by_length = np.lexsort((generator.random(n), lengths))
    order = by_length[np.argsort(np.arange(n) + generator.uniform(0, batch_size, n), kind="stable")]
    sizes = np.full(n // batch_size, batch_size)
    if n % batch_size:
        sizes = np.insert(sizes, generator.integers(len(sizes) + 1), n % batch_size)
    batches = np.split(order, np.cumsum(sizes)[:-1]) if n else []
    return [batches[i] for i in generator.permutation(len(batches))]


def evaluation_batches(lengths: Sequence[int] | np.ndarray, batch_size: int) -> list[np.ndarray]:
    """Return evaluation batches: every row once, sorted by length, longest first, always the same.

    Longest first, so that a batch too large for the memory fails at once and not at the end.
    Raises DataError as `length_grouped_batches` does.
    """
    lengths = _check_lengths(lengths, batch_size)
    order = np.argsort(-lengths, kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def padding_share(lengths: Sequence[int] | np.ndarray, batches: Sequence[np.ndarray]) -> float:
    """Return the share of all tokens, 0 to 1, that is padding when each batch is padded to its longest row.

    share = 1 - sum of lengths / sum over batches of (rows x longest); 0 without batches.
    """
    lengths = np.asarray(lengths)
    filled = sum(int(lengths[batch].sum()) for batch in batches)
    total = sum(int(lengths[batch].max()) * len(batch) for batch in batches)
    return (total - filled) / total if total else 0.0


def collate(tokenizer: PreTrainedTokenizerBase) -> DataCollatorWithPadding:
    """Return the transformers collator that pads a batch to its longest row, for `make_batch`.

    Raises DataError if the tokenizer has no padding token.
    """
    if tokenizer.pad_token_id is None:
        raise DataError(
            f"the tokenizer {tokenizer.name_or_path!r} has no padding token, so rows of different length "
            "cannot share a batch; set tokenizer.pad_token = tokenizer.eos_token, and "
            "model.config.pad_token_id to its id"
        )
    from transformers import DataCollatorWithPadding

    return DataCollatorWithPadding(tokenizer)


def make_batch(
    dataset: datasets.Dataset, indices: Sequence[int] | np.ndarray, collator: DataCollatorWithPadding
) -> dict[str, Tensor]:
    """Return rows of a tokenised set as a padded batch for a model.

    Each tensor is (rows, longest row of the batch) int64; `labels` is (rows,) float32, or int64 class ids.
    """
    columns = dataset[np.asarray(indices).tolist()]
    del columns["length"]
    rows = zip(*columns.values(), strict=True)
    return dict(collator([dict(zip(columns, row, strict=True)) for row in rows]))


def _check_lengths(lengths: Sequence[int] | np.ndarray, batch_size: int) -> np.ndarray:
    if not _is_int(batch_size) or batch_size < 1:
        raise DataError(f"batch_size is {batch_size!r}; it must be a whole number of 1 or more")
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.ndim != 1:
        raise DataError(f"lengths has {lengths.ndim} dimensions; give one number a row")
    return lengths


# Tokens -----------------------------------------------------------------------------------------------------


def _tokenise(data: Data, tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[datasets.Dataset, float]:
    """Return the tokenised texts, and the share of them that is cut; made once, kept in the Data."""
    import datasets
    import pyarrow as pa

    special = tokenizer.num_special_tokens_to_add()
    if not _is_int(max_length) or max_length <= special:
        raise DataError(
            f"max_length is {max_length!r}; this tokenizer adds {special} special tokens to every text, so "
            f"it must be a whole number of {special + 1} or more"
        )
    name = tokenizer.name_or_path or tokenizer  # one built in memory has no name
    key = (name, type(tokenizer).__name__, len(tokenizer), tokenizer.truncation_side, max_length)
    if key in data._tokenised:
        return data._tokenised[key]
    # Arrow arrays of int32, some rows at a time: lists of Python numbers would need several times the memory.
    chunks: dict[str, list[pa.Array]] = {}
    lengths: list[int] = []
    truncated = 0
    for start in range(0, len(data), TOKENISE_ROWS):
        texts = data.texts[start : start + TOKENISE_ROWS]
        encoded = tokenizer(texts, truncation=True, max_length=max_length, return_attention_mask=False)
        for column, rows in encoded.items():
            chunks.setdefault(column, []).append(pa.array(rows, type=pa.list_(pa.int32())))
        tokens = [len(row) for row in encoded["input_ids"]]
        lengths += tokens
        # Only a text that fills the limit can have been cut; its length without the limit tells if it was.
        full = [text for text, length in zip(texts, tokens, strict=True) if length == max_length]
        if full:
            uncut = tokenizer(full, truncation=False, return_attention_mask=False, verbose=False)
            truncated += sum(len(row) > max_length for row in uncut["input_ids"])
    if 0 in lengths:
        row = lengths.index(0)
        raise DataError(
            f"{data.name}: row {row + 1}: the tokenizer makes no token of {data.texts[row][:40]!r}; drop "
            "the row or take another tokenizer"
        )
    columns = {column: pa.concat_arrays(arrays) for column, arrays in chunks.items()}
    columns["length"] = pa.array(lengths, type=pa.int32())
    columns["label"] = pa.array(data.targets, type=pa.float32() if data.labels is None else pa.int64())
    # With a fingerprint of our own; to make its own, `datasets` would copy all the tokens several times.
    digest = hashlib.sha256(data.fingerprint.encode())
    for array in columns.values():
        digest.update((array.flatten() if pa.types.is_list(array.type) else array).to_numpy())
    dataset = datasets.Dataset(pa.table(columns), fingerprint=digest.hexdigest()[:16])
    data._tokenised[key] = dataset, truncated / len(data)
    return data._tokenised[key]


# Columns, texts, targets ------------------------------------------------------------------------------------


def _is_int(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_arguments(task: str | None, num_folds: int, seed: int) -> None:
    if task not in (None, "regression", "classification"):
        raise DataError(f"task is {task!r}; it must be 'regression', 'classification' or None (inferred)")
    if not _is_int(num_folds) or num_folds < 3:
        raise DataError(
            f"num_folds is {num_folds!r}; it must be a whole number of 3 or more: one fold for test, one for "
            "validation, the rest for training"
        )
    if not _is_int(seed) or not 0 <= seed < 2**32:
        raise DataError(f"seed is {seed!r}; it must be a whole number from 0 to 2**32 - 1")


def _normal(name: str) -> str:
    return name.strip().casefold().replace(" ", "_").replace("-", "_")


def _column(table: Table, role: str, wanted: str | None, known: tuple[str, ...]) -> str:
    present = list(table.frame.columns)
    if wanted is not None and not isinstance(wanted, str):
        raise DataError(f"{table.name}: {role} is {wanted!r}; give the name of a column")
    if wanted in present:
        return wanted
    names = known if wanted is None else (_normal(wanted),)
    found = [name for name in present if _normal(name) in names]
    if len(found) == 1:
        return found[0]
    if found:
        problem = (
            f"several columns may hold the {role}: {', '.join(map(repr, found))}. Say which, for example "
            f"load_data(..., {role}={found[0]!r})."
        )
    elif wanted is None:
        problem = (
            f"no column has one of the names recognised for the {role} ({', '.join(known)}). Say which holds "
            f"it, load_data(..., {role}=...)."
        )
    else:
        by_normal = {_normal(name): name for name in present}
        near = difflib.get_close_matches(_normal(wanted), by_normal, n=1)
        hint = f"; did you mean {by_normal[near[0]]!r}?" if near else "."
        problem = f"there is no column {wanted!r}{hint}"
    raise DataError(f"{table.name}: {problem} Columns present: {', '.join(map(repr, present))}")


def _texts(table: Table, column: str) -> list[str]:
    texts = table.frame[column].tolist()
    missing = [i for i, text in enumerate(texts) if _is_missing(text)]
    if missing:
        raise table.error(column, missing, "the text is empty", "Fill it in or delete the row")
    wrong = [i for i, text in enumerate(texts) if not isinstance(text, str)]
    if wrong:
        value = texts[wrong[0]]
        problem = f"expected a text, found {value!r} of type {type(value).__name__}"
        raise table.error(column, wrong, problem, "Make it a string, or name the right column with text=")
    broken = [i for i, text in enumerate(texts) if not is_unicode(text)]
    if broken:
        problem = "the text holds half a character (a lone UTF-16 surrogate)"
        raise table.error(column, broken, problem, "Repair or delete that character")
    return texts


def _is_missing(value: object) -> bool:
    if isinstance(value, str):
        return not value.strip()
    if value is None or value is pd.NA:
        return True
    return isinstance(value, (float, np.floating, type(pd.NaT))) and value != value  # NaN, NaT


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    except OverflowError:
        return math.inf


def _infer_task(column: str, values: list) -> str:
    present = [value for value in values if not _is_missing(value)]
    if not present:
        return "regression"
    words = sum(math.isnan(_number(value)) for value in present)
    if words > len(present) / 2 or all(isinstance(value, (bool, np.bool_)) for value in present):
        return "classification"
    if all(isinstance(value, numbers.Integral) for value in present):
        distinct = len(set(present))
        if distinct == 2 or (_normal(column) in CLASS_NAMES and distinct <= MAX_CLASS_IDS):
            return "classification"
    return "regression"


def _regression_targets(table: Table, column: str, values: list) -> np.ndarray:
    targets = np.array([_number(value) for value in values], dtype=np.float64)
    # Labels are float32 on their way to the model and must be finite there as well.
    bad = np.flatnonzero(~(np.abs(targets) <= np.finfo(np.float32).max))
    if not len(bad):
        return targets
    value = values[bad[0]]
    problem = f"the target {value!r} is not a number"
    remedy = "Correct it; if the targets are names of classes, pass task='classification'"
    if _is_missing(value):
        problem, remedy = "the target is empty or NaN", "Give it a number or delete the row"
    elif not math.isnan(targets[bad[0]]):
        problem, remedy = f"the target {value!r} is infinite or overflows float32", "Correct it or delete it"
    elif isinstance(value, str) and not math.isnan(_number(value.replace(",", ".", 1))):
        remedy = "Write it with a decimal point"
    raise table.error(column, bad, problem, remedy)


def _classification_targets(table: Table, column: str, values: list) -> tuple[np.ndarray, list[str]]:
    names = [_class_name(value) for value in values]
    bad = [i for i, name in enumerate(names) if not name]
    if bad:
        remedy = "Give it a class or delete the row"
        raise table.error(column, bad, f"the target {values[bad[0]]!r} names no class", remedy)
    labels = sorted(set(names))
    if all(math.isfinite(_number(label)) for label in labels):
        labels.sort(key=_number)
    if len(labels) == 1:
        raise DataError(
            f"{table.name}: column {column!r}: every target is {labels[0]!r}; at least two classes are needed"
        )
    ids = {label: i for i, label in enumerate(labels)}
    return np.array([ids[name] for name in names], dtype=np.int64), labels


def _class_name(value: object) -> str:
    """Return a class's name, so that 1, 1.0 and "1" are one class; "" for what cannot be one."""
    if _is_missing(value):
        return ""
    if isinstance(value, (float, np.floating)):
        if math.isinf(value):
            return ""
        value = int(value) if value.is_integer() else value
    return str(value).strip()


def _standard_errors(frame: pd.DataFrame) -> np.ndarray | None:
    found = [name for name in frame.columns if _normal(name) in ERROR_NAMES]
    if len(found) != 1:
        return None
    errors = np.array([_number(value) for value in frame[found[0]].tolist()], dtype=np.float64)
    return errors if np.all(np.isfinite(errors) & (errors >= 0)) else None


def _check_spread(name: str, targets: np.ndarray) -> None:
    if len(np.unique(targets.astype(np.float32))) == 1 and len(targets) > 1:
        raise DataError(f"{name}: every target is {targets[0]:g}: nothing to learn; choose another target=")
    spread = targets.std()
    if not 0.1 <= spread <= 10 and len(targets) > 1:
        warnings.warn(
            f"{name}: the targets have standard deviation {spread:.3g}; losses and learning rates here suit "
            "targets of about mean 0 and sd 1. Standardise them, (target - mean) / sd, and undo it on the "
            "predictions.",
            stacklevel=3,
        )


# Folds ------------------------------------------------------------------------------------------------------


def _text_groups(texts: list[str]) -> np.ndarray:
    """Return for every row the number of its text; rows with the same text share it."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(_text_key(text), len(seen)) for text in texts], dtype=np.int64)


def _text_key(text: str) -> bytes:
    folded = unicodedata.normalize("NFC", text).casefold()
    same = unicodedata.normalize("NFC", " ".join(folded.split()))  # case folding can undo the first NFC
    return hashlib.blake2b(same.encode(), digest_size=16).digest()  # short: no second copy of all texts


def _assign_folds(
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


def _fingerprint(texts: list[str], targets: np.ndarray, task: str, labels: list[str] | None, folds: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps([task, labels, len(texts)]).encode())
    for text in texts:
        encoded = text.encode()
        # The length in front keeps a text from borrowing from its neighbour.
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    for values in (targets, folds):
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()
