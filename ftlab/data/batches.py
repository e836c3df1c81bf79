"""Batches: rows of nearly equal length together, so that little of a batch is padding.

`length_grouped_batches` says which rows, `make_batch` pads them, and `Batches` holds both for one run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.checks import is_int
from ftlab.errors import DataError

if TYPE_CHECKING:
    import datasets
    from torch import Tensor
    from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase


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


class Batches:
    """The training batches of one run: which rows make an update, and their padded tensors on the model's device.

    rows: what `Data.tokenise` returns. train: (n,) numbers of the training rows. accumulate: batches an update.
    """

    def __init__(
        self,
        rows: datasets.Dataset,
        train: np.ndarray,
        tokenizer: PreTrainedTokenizerBase,
        *,
        device: Any,
        batch_size: int = 16,
        accumulate: int = 1,
        steps_per_epoch: int = 1,
        seed: int = 0,
    ) -> None:
        self.rows, self.train, self.device = rows, train, device
        self.batch_size, self.accumulate, self.steps_per_epoch, self.seed = (
            batch_size,
            accumulate,
            steps_per_epoch,
            seed,
        )
        self.lengths = np.asarray(rows["length"])
        self.collate = collate(tokenizer)
        self._epoch: tuple[int, list[np.ndarray]] = (-1, [])

    def of(self, step: int) -> list[np.ndarray]:
        """Return the rows of the batches that make update `step`: one, or several under accumulation.

        The last update of an epoch may have fewer.
        """
        epoch, update = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            lengths = self.lengths[self.train]
            batches = length_grouped_batches(lengths, self.batch_size, seed=self.seed, epoch=epoch)
            self._epoch = (epoch, [self.train[batch] for batch in batches])
        return self._epoch[1][update * self.accumulate : (update + 1) * self.accumulate]

    def make(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Pad the rows to the longest among them, on the model's device."""
        batch = make_batch(self.rows, rows, self.collate)
        return {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}


def _check_lengths(lengths: Sequence[int] | np.ndarray, batch_size: int) -> np.ndarray:
    if not is_int(batch_size) or batch_size < 1:
        raise DataError(f"batch_size is {batch_size!r}; it must be a whole number of 1 or more")
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.ndim != 1:
        raise DataError(f"lengths has {lengths.ndim} dimensions; give one number a row")
    return lengths
