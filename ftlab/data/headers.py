"""Which columns a header names, and whether it is a header at all."""

from __future__ import annotations

from collections.abc import Sequence

from ftlab.data.spelling import is_number

# Column names that are recognised, after lower-casing and turning spaces and hyphens into underscores.
TEXT_NAMES = ("excerpt", "text", "passage", "sentence", "content", "document", "review")
TARGET_NAMES = ("target", "score", "label", "labels", "rating", "class", "bt_easiness", "y")
ERROR_NAMES = ("standard_error", "s.e.", "se", "std_error", "stderr")
KNOWN_NAMES = {*TEXT_NAMES, *TARGET_NAMES, *ERROR_NAMES}

SENTENCE = 4  # words of a header that is perhaps a text


def normal(name: str) -> str:
    """Return a column's name as it is compared: without case, outer space, zero-width characters."""
    return name.strip("\ufeff\u200b \t\r\n\xa0").casefold().replace(" ", "_").replace("-", "_")


def header_doubt(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Tell whether a header is a row of data: "" where it does not look so, "perhaps", or "surely".

    Perhaps, if it holds a number, a sentence, or a value that the same column has again. Surely, if a number in it fits
    the numbers of its column, or if it holds a sentence and a value that comes again. A header that counts its columns
    (0, 1, 2: pandas without names) is one; one with a name that is recognised, and is not a value too, never surely is
    data.
    """
    names = [name.strip() for name in header]
    counted = [name for name in names if name]
    if any(counted == [str(i + start) for i in range(len(counted))] for start in (0, 1)):
        return ""
    others = [row for row in rows if list(row) != list(header)]  # a header that is repeated in mid-file is one
    columns = [[row[i].strip() for row in others] for i in range(len(names))]
    again = {i for i, name in enumerate(names) if name and name in columns[i]}
    fits = {i for i, name in enumerate(names) if is_number(name) and _fits(name, columns[i])}
    sentence = any(len(name.split()) >= SENTENCE for name in names)
    known = any(normal(name) in KNOWN_NAMES and i not in again for i, name in enumerate(names))
    if (fits or (sentence and again)) and not known:
        return "surely"
    return "perhaps" if again or sentence or any(map(is_number, names)) else ""


def _fits(name: str, column: Sequence[str]) -> bool:
    """Tell whether a number may be one of a column's: a decimal among numbers; a whole one, which may be a year, among
    numbers of its size."""
    if not column or not all(map(is_number, column)):
        return False
    return "." in name or min(map(float, column)) <= float(name) <= max(map(float, column))
