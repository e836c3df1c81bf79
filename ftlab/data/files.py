"""Read a table from a file, and refuse what is damaged.

Every refusal is a DataError that names file, row and remedy. Libraries that take long to import (pyarrow) are imported
where they are used.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ftlab.errors import DataError

CSV_BLOCK_BYTES = 64 * 2**20  # a row must fit into one block


@dataclass(frozen=True)
class Table:
    """Hold a source as read: its columns, and where in the source a data row (0-based) stands, for messages.

    text, target, task: the columns and the task of a built-in set; None where they are to be recognised.
    class_target: the column that takes the place of target under task="classification"; rows without a class in it
    are left out.
    Raises DataError if two columns share a name, or if there are no rows.
    """

    name: str
    frame: pd.DataFrame
    line: Callable[[int], int | None] = lambda row: None
    line_word: str = "line"
    text: str | None = None
    target: str | None = None
    task: str | None = None
    class_target: str | None = None

    def __post_init__(self) -> None:
        columns = list(self.frame.columns)
        repeated = [name for name in columns if columns.count(name) > 1]
        if repeated:
            raise DataError(
                f"{self.name}: column name {repeated[0]!r} occurs {columns.count(repeated[0])} times; rename "
                "the columns"
            )
        if not len(self.frame):
            raise DataError(f"{self.name}: there are no rows under the header ({', '.join(columns)})")

    def error(self, column: str, rows: Sequence[int] | np.ndarray, problem: str, remedy: str) -> DataError:
        """Return the error that says where the first of these rows stands and how many there are."""
        row = int(rows[0])
        place = _place(row, self.line(row), self.line_word)
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        return DataError(f"{self.name}: column {column!r}, {place}{more}: {problem}. {remedy}")


def listed(names: Sequence[str], most: int = 5) -> str:
    """Return names for a message, the first few of many."""
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def is_unicode(text: str) -> bool:
    """Tell whether a text holds whole characters only, no lone UTF-16 surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _place(row: int, line: int | None, line_word: str = "line") -> str:
    return f"row {row + 1}" + (f" ({line_word} {line})" if line is not None else "")


# Files ------------------------------------------------------------------------------------------------------
def read_file(path: Path) -> Table:
    """Read a file by its ending."""
    if os.path.isdir(path):
        inside = sorted(name for name in os.listdir(path) if Path(name).suffix.lower() in READERS)
        holds = f"it holds {listed(inside)}" if inside else f"it holds no {', '.join(READERS)} file"
        raise DataError(f"{path} is a folder; give the path to a file ({holds})")
    if not os.path.exists(path):
        siblings = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise DataError(f"there is no file {path}{hint} (paths start from {Path.cwd()})")
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: files ending in {path.suffix!r} cannot be read; convert it to one of {', '.join(READERS)}"
        )
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: the file is empty")
        return reader(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check the file and its permissions") from error


def _read_delimited(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    _check_utf8(path)
    _check_header(path, delimiter)
    line = partial(_csv_line, path, delimiter)
    misfits: list[arrow_csv.InvalidRow] = []

    def note(row: arrow_csv.InvalidRow) -> str:
        misfits.append(row)
        return "error"

    try:
        table = arrow_csv.read_csv(
            path,
            # One thread: only then does a misfit know its row number.
            read_options=arrow_csv.ReadOptions(use_threads=False, block_size=CSV_BLOCK_BYTES),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note
            ),
            # "NA", "None" and the like are words here; only an empty field is missing.
            convert_options=arrow_csv.ConvertOptions(null_values=[""], strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        if not misfits:
            raise DataError(f"{path.name}: not readable as a {path.suffix} file ({error})") from error
        misfit = misfits[0]
        row = misfit.number - 2  # it counts from 1, and the header too
        raise DataError(
            f"{path.name}: {_place(row, line(row))} has {misfit.actual_columns} "
            f"fields where the header has {misfit.expected_columns}: {misfit.text[:60]!r}. Put double "
            f"quotes round a text that contains {delimiter!r} or a line break, and close every quote"
        ) from error
    return Table(path.name, table.to_pandas(), line)


def _check_utf8(path: Path) -> None:
    """Raise DataError with the first byte that is not UTF-8; reads a line at a time."""
    position = 0
    with open(path, "rb") as file:
        for number, line in enumerate(file, start=1):  # noqa: B007 (the error names the line)
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                position += error.start
                break
            position += len(line)
        else:
            return
    likely, encoding = "it may be Windows-1252, as spreadsheets on Windows write it", "cp1252"
    if position == 0 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        likely, encoding = "it is UTF-16", "utf-16"
    raise DataError(
        f"{path.name}: not UTF-8 (byte 0x{byte:02x} at position {position}, line {number}); {likely}. Save "
        "it as UTF-8, for example: "
        f"Path('utf8{path.suffix}').write_text(Path({path.name!r}).read_text({encoding!r}), 'utf-8')"
    )


def _check_header(path: Path, delimiter: str) -> None:
    with open(path, encoding="utf-8-sig") as file:
        header = next((line for line in file if line.strip()), "").strip("\r\n")
    if not header:
        raise DataError(f"{path.name}: the file is empty")
    if "\0" in header:
        raise DataError(f"{path.name}: NUL bytes in the header; it is perhaps UTF-16: save it as UTF-8")
    other = next((mark for mark in ",;\t|" if mark in header), None)
    if delimiter not in header and other is not None:
        raise DataError(
            f"{path.name}: columns are separated by {other!r}, not by {delimiter!r} as in a {path.suffix} "
            f"file (header: {header[:80]!r}). Save it with {delimiter!r}, for example: "
            f"pd.read_csv({path.name!r}, sep={other!r}).to_csv('new{path.suffix}', sep={delimiter!r}, "
            "index=False)"
        )


def _csv_line(path: Path, delimiter: str, row: int) -> int | None:
    """Return the line, from 1, on which data row `row` starts; None if the csv module cannot read as far."""
    record, start = -1, 1
    # csv.Error: a NUL before Python 3.11, or a field beyond the csv module's limit.
    with open(path, encoding="utf-8-sig", newline="") as file, suppress(csv.Error):
        reader = csv.reader(file, delimiter=delimiter)
        for fields in reader:
            if fields and record == row:
                return start
            record += bool(fields)  # an empty line is no record
            start = reader.line_num + 1
    return None


def _read_json(path: Path) -> Table:
    """Read one object a line, or a .json file that is one list of objects."""
    _check_utf8(path)
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json" and text.lstrip().startswith("["):
        word, records = "item", dict(enumerate(_json(path, text, 1), start=1))
    else:
        lines = enumerate(text.split("\n"), start=1)
        word, records = "line", {number: _json(path, line, number) for number, line in lines if line.strip()}
    for number, record in records.items():
        if not isinstance(record, dict):
            raise DataError(
                f"{path.name}: {word} {number} is not an object with column names as keys, such as "
                '{"text": "...", "target": 0.5}'
            )
    try:
        frame = pd.DataFrame(list(records.values()))
    except UnicodeEncodeError:  # pandas 3 keeps strings as UTF-8
        spelt = ((number, json.dumps(record, ensure_ascii=False)) for number, record in records.items())
        broken = next(number for number, text in spelt if not is_unicode(text))
        raise DataError(
            f"{path.name}: {word} {broken} holds half a character (a lone UTF-16 surrogate); repair or "
            "delete that character"
        ) from None
    return Table(path.name, frame, list(records).__getitem__, word)


def _json(path: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text, parse_int=_json_integer)
    except RecursionError:
        raise DataError(f"{path.name}: line {first_line}: lists or objects nested too deep; write them flat") from None
    except json.JSONDecodeError as error:
        place = f"{path.name}: line {first_line + error.lineno - 1}"
        raise DataError(f"{place} is not JSON: {error.msg}; write an object a line") from None


def _json_integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= 20 else float(digits)  # neither Python nor pandas takes any length


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name}: damaged, or not a Parquet file ({error}); write it again") from error
    return Table(path.name, table.to_pandas(ignore_metadata=True))


def _read_excel(path: Path) -> Table:
    try:
        frame = pd.read_excel(path, keep_default_na=False, na_values=[""])
    except Exception as error:  # openpyxl answers damage with whatever happened to go wrong
        raise DataError(f"{path.name}: damaged, or not an .xlsx workbook ({error}); save it again") from error
    frame = frame.rename(columns=str).dropna(how="all")
    lines = (frame.index + 2).tolist()
    return Table(path.name, frame.reset_index(drop=True), lines.__getitem__, "sheet row")


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".parquet": _read_parquet,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".xlsx": _read_excel,
}
