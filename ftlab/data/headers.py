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

    Perhaps, if it holds a number, a sentence, or a value that the same column has again. Surely, if a number in it lies
    among the numbers of its column, or if it holds a sentence and a value that comes again. A header that counts its
    columns (0, 1, 2: pandas without names) is one, and one with a name that is recognised is never surely data.
    """
    names = [name.strip() for name in header]
    counted = [name for name in names if name]
    if any(counted == [str(i + start) for i in range(len(counted))] for start in (0, 1)):
        return ""
    sentence = any(len(name.split()) >= SENTENCE for name in names)
    numbers = [i for i, name in enumerate(names) if is_number(name)]
    others = [row for row in rows if list(row) != list(header)]  # a header that is repeated in mid-file is one
    again = any(name and any(row[i].strip() == name for row in others) for i, name in enumerate(names))
    among = False
    for i in numbers:
        column = [row[i] for row in others]
        if column and all(map(is_number, column)):
            among |= min(map(float, column)) <= float(names[i]) <= max(map(float, column))
    if (among or (sentence and again)) and not any(normal(name) in KNOWN_NAMES for name in names):
        return "surely"
    return "perhaps" if numbers or sentence or again else ""
