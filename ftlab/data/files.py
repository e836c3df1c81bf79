"""Read a table from a file, and refuse what is damaged.

Every refusal is a DataError that names file, row and remedy. Libraries that take long to import (pyarrow) are imported
where they are used.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ftlab.data.delimited import read_delimited
from ftlab.data.encoding import check_utf8
from ftlab.data.headers import header_doubt
from ftlab.data.spelling import is_missing
from ftlab.data.table import Table, brief, is_unicode, listed, short
from ftlab.errors import DataError


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


def _read_json(path: Path) -> Table:
    """Read one object a line, or a document that holds rows."""
    check_utf8(path)
    text = path.read_text(encoding="utf-8-sig")
    try:
        document = json.loads(text, parse_int=_json_integer)
    except (json.JSONDecodeError, RecursionError):
        if path.suffix.lower() == ".json" and text.lstrip().startswith(("[", "{\n", "{\r")):
            _json(path, text, 1)  # the whole file is one document: this names its bad line
        lines = enumerate(text.split("\n"), start=1)
        word, records = "line", {number: _json(path, line, number) for number, line in lines if line.strip()}
    else:
        rows = _rows_of(document)
        if rows is None and isinstance(document, dict) and all(isinstance(v, (dict, list)) for v in document.values()):
            raise DataError(
                f"{path.name}: one object with the keys {listed(document, write=short)}, which hold neither the rows "
                "nor the columns of one table; write the rows to a file of their own, one object a line"
            )
        word, records = ("line", {1: document}) if rows is None else ("item", dict(enumerate(rows, start=1)))
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
    return Table.named(path.name, frame.columns, frame, line=list(records).__getitem__, line_word=word)


def _rows_of(document: Any) -> list | None:
    """Return the rows that a JSON document holds, None if it holds none or is a row itself.

    It may be a list; an object with one list of objects, under any key; or a table as pandas and datasets write it:
    {column: {row: value}}, {column: [value, ...]}, {row: {column: value}}, {"columns": [...], "data": [[...], ...]}.
    """
    if not isinstance(document, dict):
        return document if isinstance(document, list) else None
    lists = [v for v in document.values() if isinstance(v, list) and v and all(isinstance(row, dict) for row in v)]
    if lists:
        return lists[0] if len(lists) == 1 else None
    names, rows = document.get("columns"), document.get("data")
    if isinstance(names, list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows):
        return [dict(zip(names, row, strict=False)) for row in rows]
    values = [*document.values()]
    if values and all(isinstance(value, dict) and [*value] == [*values[0]] for value in values):
        if len(values) > len(values[0]):  # more rows than columns
            return values
        values = [[*value.values()] for value in values]
    if values and all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return [dict(zip(document, row, strict=True)) for row in zip(*values, strict=True)]
    return None


def _json(path: Path, text: str, first_line: int) -> Any:
    try:
        return json.loads(text, parse_int=_json_integer)
    except RecursionError:
        raise DataError(f"{path.name}: line {first_line}: lists or objects nested too deep; write them flat") from None
    except json.JSONDecodeError as error:
        place = f"{path.name}: line {first_line + error.lineno - 1}"
        raise DataError(f"{place} is not JSON: {error.msg}; write an object a line") from None


def _json_integer(digits: str) -> int | str:
    return int(digits) if len(digits) <= 20 else digits  # neither Python nor pandas takes any length


def _read_parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:  # read_table takes no name twice
            table = file.read().replace_schema_metadata(None)  # what pandas noted there says nothing of the values
        table.validate(full=True)  # whether texts are UTF-8
        frame = table.to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: the notes are no JSON
        raise DataError(f"{path.name}: damaged, or not a Parquet file ({brief(error)}); write it again") from error
    return Table.named(path.name, table.column_names, frame)


def _read_excel(path: Path) -> Table:
    try:
        # Cells as they are: pandas would make numbers of texts such as 007, and rename repeated columns.
        cells = pd.read_excel(path, header=None, dtype=object, keep_default_na=False, na_values=[""])
    except Exception as error:  # openpyxl answers damage with whatever happened to go wrong
        raise DataError(f"{path.name}: damaged, or not an .xlsx workbook ({brief(error)}); save it again") from error
    cells = cells.dropna(how="all")
    header, frame = cells.iloc[:1], cells.iloc[1:]
    names = header.to_numpy().ravel().tolist()
    spelt = [["" if is_missing(value) else str(value) for value in row] for row in frame.to_numpy()]
    written = ["" if is_missing(name) else str(name) for name in names]
    lines = (frame.index + 1).tolist()
    return Table.named(
        path.name,
        names,
        frame.reset_index(drop=True).infer_objects(),
        line=lines.__getitem__,
        line_word="sheet row",
        doubt=header_doubt(written, spelt),
        header_remedy=" as the first row of the sheet",
    )


READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": read_delimited,
    ".tsv": read_delimited,
    ".parquet": _read_parquet,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".xlsx": _read_excel,
}
