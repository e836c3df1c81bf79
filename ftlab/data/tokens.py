"""Turn texts into tokens, once for each tokenizer and length, as an Arrow table in memory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import is_int
from ftlab.errors import DataError

if TYPE_CHECKING:
    import datasets
    from transformers import PreTrainedTokenizerBase

TOKENISE_ROWS = 1000


def check_max_length(tokenizer: PreTrainedTokenizerBase, max_length: int) -> None:
    """Raise DataError unless `max_length` is a whole number that leaves room for a token of the text."""
    special = tokenizer.num_special_tokens_to_add()
    if not is_int(max_length) or max_length <= special:
        raise DataError(
            f"max_length is {max_length!r}; this tokenizer adds {special} special tokens to every text, so "
            f"it must be a whole number of {special + 1} or more"
        )


def tokenise(
    name: str,
    texts: list[str],
    targets: np.ndarray,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    fingerprint: str,
) -> tuple[datasets.Dataset, float]:
    """Return the tokenised texts with their targets, and the share of the texts that is cut at max_length tokens.

    name, fingerprint: of the data set, for messages and for the fingerprint of the result. Raises DataError as
    `Data.tokenise` says.
    """
    import datasets
    import pyarrow as pa

    # Arrow arrays of int32, some rows at a time: lists of Python numbers would need several times the memory.
    chunks: dict[str, list[pa.Array]] = {}
    lengths: list[int] = []
    truncated = 0
    for start in range(0, len(texts), TOKENISE_ROWS):
        some = texts[start : start + TOKENISE_ROWS]
        encoded = tokenizer(some, truncation=True, max_length=max_length, return_attention_mask=False)
        for column, rows in encoded.items():
            chunks.setdefault(column, []).append(pa.array(rows, type=pa.list_(pa.int32())))
        tokens = [len(row) for row in encoded["input_ids"]]
        lengths += tokens
        # Only a text that fills the limit can have been cut; its length without the limit tells if it was.
        full = [text for text, length in zip(some, tokens, strict=True) if length == max_length]
        if full:
            uncut = tokenizer(full, truncation=False, return_attention_mask=False, verbose=False)
            truncated += sum(len(row) > max_length for row in uncut["input_ids"])
    if 0 in lengths:
        row = lengths.index(0)
        raise DataError(
            f"{name}: row {row + 1}: the tokenizer makes no token of {texts[row][:40]!r}; drop "
            "the row or take another tokenizer"
        )
    columns = {column: pa.concat_arrays(arrays) for column, arrays in chunks.items()}
    columns["length"] = pa.array(lengths, type=pa.int32())
    columns["label"] = pa.array(targets, type=pa.float32() if targets.dtype.kind == "f" else pa.int64())
    # With a fingerprint of our own; to make its own, `datasets` would copy all the tokens several times.
    digest = hashlib.sha256(fingerprint.encode())
    for array in columns.values():
        digest.update((array.flatten() if pa.types.is_list(array.type) else array).to_numpy())
    dataset = datasets.Dataset(pa.table(columns), fingerprint=digest.hexdigest()[:16])
    return dataset, truncated / len(texts)
