"""Texts with targets, the folds they fall into, and the batches they are trained in."""

from ftlab.data.batches import collate, evaluation_batches, length_grouped_batches, make_batch, padding_share
from ftlab.data.builtin import read_table
from ftlab.data.folds import Split
from ftlab.data.load import Data, load_data

__all__ = [
    "Data",
    "Split",
    "collate",
    "evaluation_batches",
    "length_grouped_batches",
    "load_data",
    "make_batch",
    "padding_share",
    "read_table",
]
