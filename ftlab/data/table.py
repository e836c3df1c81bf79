"""A source as read: its columns, and where in it a row stands, for messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from ftlab.errors import DataError

QUOTED = 60  # characters of a value that a message quotes, and about as many of several names twice over


@dataclass(frozen=True)
class Table:
    """Hold a source as read, and where in the source a data row (0-based) stands.

    frame: the columns, no name empty or twice (`named` sees to that).  repeated: how often a name of the source
    occurs, for those that occur more than once.
    as_text: whether every value is text as it stands in the file, still to be converted.
    doubt: whether the first line is a row of data and no header: "", "perhaps" or "surely".  header_remedy: how to
    write a header.
    text, target, task: the columns and the task of a built-in set; None where they are to be recognised.
    class_target: the column that takes the place of target under task="classification"; rows without a class in it
    are left out.
    Raises DataError if there are no rows.
    """

    name: str
    frame: pd.DataFrame
    line: Callable[[int], int | None] = lambda row: None
    line_word: str = "line"
    repeated: Mapping[str, int] = field(default_factory=dict)
    as_text: bool = False
    doubt: str = ""
    header_remedy: str = ""
    text: str | None = None
    target: str | None = None
    task: str | None = None
    class_target: str | None = None

    def __post_init__(self) -> None:
        if not len(self.frame):
            raise DataError(f"{self.name}: there are no rows under the header ({listed(self.frame.columns)})")

    @classmethod
    def named(cls, name: str, names: Iterable[object], frame: pd.DataFrame, **others: Any) -> Table:
        """Return a table whose columns have the source's names, made different: "x", "x.1", "Unnamed: 3".

        Columns that nobody asks for may well lack a name or share one; asking for a shared name is refused.
        """
        asked = ["" if name is None or name != name else str(name) for name in names]
        count = Counter(name for name in asked if name.strip())
        different: dict[str, None] = {}
        for i, given in enumerate(asked):
            base = new = given if given.strip() else f"Unnamed: {i}"
            number = 0
            while new in different or (number and new in count):
                number += 1
                new = f"{base}.{number}"
            different[new] = None
        repeated = {name: times for name, times in count.items() if times > 1}
        return cls(name, frame.set_axis([*different], axis=1), repeated=repeated, **others)

    def error(self, column: str, rows: Sequence[int] | np.ndarray, problem: str, remedy: str) -> DataError:
        """Return the error that says where the first of these rows stands and how many there are."""
        row = int(rows[0])
        where = place(row, self.line(row), self.line_word)
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        return DataError(f"{self.name}: column {short(column)}, {where}{more}: {problem}. {remedy}")


def place(row: int, line: int | None, line_word: str = "line") -> str:
    """Write where a data row (0-based) stands: "row 3 (line 4)"."""
    return f"row {row + 1}" + (f" ({line_word} {line})" if line is not None else "")


def short(value: object) -> str:
    """Write a value for a message: one line of QUOTED characters at most, however long the value is."""
    try:
        written = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        written = f"a value of type {type(value).__name__}"
    return written if len(written) <= QUOTED else f"{written[: QUOTED - 3]}..."


def brief(error: Exception) -> str:
    """Write the start of a library's message, which may quote a whole file."""
    said = " ".join(str(error).split())
    return said if len(said) <= 2 * QUOTED else f"{said[: 2 * QUOTED - 3]}..."


def listed(names: Iterable[object], most: int = 5, write: Callable[[Any], str] = str) -> str:
    """Return names for a message, the first few of many, in about a line."""
    names, shown = list(names), []
    for name in names[:most]:
        written = write(name)
        shown.append(written if len(written) <= QUOTED else f"{written[: QUOTED - 3]}...")
        if sum(map(len, shown)) > 2 * QUOTED:
            break
    return ", ".join(shown) + (", ..." if len(names) > len(shown) else "")


def is_unicode(text: str) -> bool:
    """Tell whether a text holds whole characters only, no lone UTF-16 surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
