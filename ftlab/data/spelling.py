"""What a value's spelling says: a number, a name made of digits, a list. Decided alike for every file format.

A text file holds texts only, and a number in it is a guess: 007, 1.10, 5E1 and 1_2 are spellings that a reader who
converts at once takes for 7, 1.1, 50 and 12.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable

import numpy as np
import pandas as pd

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
# No program writes a number so: with a leading zero (007), or as whole numbers round an E (5E1).
_CODE = re.compile(r"[+-]?(0\d.*|\d+e\d+)", re.ASCII | re.IGNORECASE)
_NOT_FINITE = re.compile(r"nan|[+-]?inf(inity)?", re.IGNORECASE)
# No text: a truth value, or a date with or without a time of day.
_NO_TEXT = re.compile(r"true|false|\d{4}-\d\d-\d\d([T ][\d:.]+(Z|[+-][\d:]+)?)?", re.IGNORECASE)
# What stands in a list that is written as text: numbers, quoted texts, truth values, with or without commas.
_ITEM = r"""(?:[+-]?\d[\d.e+-]*|'[^']*'|"[^"]*"|true|false|null|none)"""
_ITEMS = re.compile(rf"({_ITEM}([\s,:]+{_ITEM})*)?[\s,]*", re.IGNORECASE)
_SEVERAL = (list, tuple, set, frozenset, dict, np.ndarray)
_BYTES = (bytes, bytearray, memoryview)


def is_missing(value: object) -> bool:
    """Tell whether a cell is empty, blank or not a number."""
    if isinstance(value, str):
        return not value.strip()
    if value is None or value is pd.NA:
        return True
    return isinstance(value, (float, np.floating, type(pd.NaT))) and value != value  # NaN, NaT


def number(value: object) -> float:
    """Return a value as a float: NaN where it is not a number, infinite where it is too large."""
    if isinstance(value, str):
        value = value.strip()
        if not _NUMBER.fullmatch(value) and not _NOT_FINITE.fullmatch(value):
            return math.nan  # Python's float would take 1_2, and digits of other scripts
    if isinstance(value, _BYTES):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan
    except OverflowError:
        return math.inf


def is_number(text: str) -> bool:
    """Tell whether a text is the spelling of a finite number, however odd: 007 and 5E1 are."""
    return bool(_NUMBER.fullmatch(text.strip()))


def is_whole(value: object) -> bool:
    """Tell whether a value is a whole number, or the spelling of one."""
    if isinstance(value, str):
        return bool(_WHOLE.fullmatch(value.strip()))
    return isinstance(value, (int, np.integer))


def are_codes(values: Iterable[object]) -> bool:
    """Tell whether some of these numbers are names made of digits, which a careless reader takes for quantities.

    A leading zero shows it (007), and an exponent between whole numbers (5E1) unless a decimal point stands in others.
    """
    texts = [value.strip() for value in values if isinstance(value, str)]
    codes = [text for text in texts if _CODE.fullmatch(text)]
    return any(text.lstrip("+-").startswith("0") for text in codes) or (
        bool(codes) and not any("." in text for text in texts)
    )


def is_not_finite(text: str) -> bool:
    """Tell whether a text is how programs write infinity or what is not a number."""
    return bool(_NOT_FINITE.fullmatch(text.strip()))


def is_no_text(text: str) -> bool:
    """Tell whether a text is a number, a truth value or a date: of a column of such, nobody learns to read."""
    return is_number(text) or bool(_NO_TEXT.fullmatch(text.strip()))


def holds_several(value: object) -> bool:
    """Tell whether a cell holds several values: a list, a set, an object, or one of these written as text.

    As text: [0, 1], ['a'], [0 1 0], {"a": 1}, (1, 2), [a, b], []; not [neutral], (neg) or (1).
    """
    if not isinstance(value, str):
        return isinstance(value, _SEVERAL)
    value = value.strip()
    brackets, inner = value[:1] + value[-1:], value.strip("[](){} \n\t")
    if brackets == "()":
        return "," in inner and bool(_ITEMS.fullmatch(inner))
    return brackets in ("[]", "{}") and ("," in inner or bool(_ITEMS.fullmatch(inner)))


def class_name(value: object) -> str:
    """Return a class's name, so that 1, 1.0 and "1" are one class; "" for what cannot be one."""
    if is_missing(value) or isinstance(value, _BYTES):
        return ""
    if isinstance(value, (float, np.floating)):
        if math.isinf(value):
            return ""
        value = int(value) if value.is_integer() else value
    return unicodedata.normalize("NFC", str(value).strip())  # letters that look the same are


def as_numbers(column: pd.Series) -> pd.Series:
    """Return a column of texts as numbers if all of it are, empty cells aside; else with its empty cells missing."""
    texts = [text.strip() for text in column]
    present = [text for text in texts if text]
    numbers: object = [text or None for text in column]
    if present and all(map(is_number, present)) and not are_codes(present):
        if not all(map(is_whole, present)):
            numbers = [number(text) for text in texts]
        elif len(present) == len(texts) and all(len(text) <= 20 and abs(int(text)) < 2**63 for text in texts):
            numbers = [int(text) for text in texts]
        elif max(map(len, present)) < 16:  # beyond, a float would be another number
            numbers = [number(text) for text in texts]
    return pd.Series(numbers, column.index, name=column.name)
