"""Read comma- and tab-separated files: every value as text, in the dialect the file is written in.

A .csv file quotes as RFC 4180 says: a text in double quotes, a quotation mark in it doubled. A .tsv file knows no
quoting (IANA, text/tab-separated-values), but Excel and pandas quote all the same; which of the two was meant is told
from the whole file. What fits neither is refused with its line: a reader that guesses swallows rows without a word.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ftlab.data.encoding import check_utf8
from ftlab.data.headers import header_doubt
from ftlab.data.spelling import is_number
from ftlab.data.table import Table, place, short
from ftlab.errors import DataError


class Record(NamedTuple):
    """One row: its fields, and the first and last line, from 1, that it stands on."""

    first: int
    last: int
    fields: list[str]


def read_delimited(path: Path) -> Table:
    """Read a .csv or .tsv file. Raises DataError naming the line at which it cannot be read."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    check_utf8(path)
    with _fields_of_any_length():
        _check_header(path, delimiter)
        read = _read_tsv if delimiter == "\t" else _read_csv
        header, *rows = read(path)
    fields = [row.fields for row in rows]
    names = delimiter.join(f"column {i + 1}" for i in range(len(header.fields)))
    rest = f"Path({path.name!r}).read_text('utf-8-sig'), 'utf-8')"
    return Table.named(
        path.name,
        header.fields,
        pd.DataFrame(fields, columns=range(len(header.fields)), dtype=object),
        line=lambda row: rows[row].first,
        as_text=True,
        doubt=header_doubt(header.fields, fields),
        header_remedy=f", for example: Path('new{path.suffix}').write_text({names + chr(10)!r} + {rest}",
    )


def _read_csv(path: Path) -> list[Record]:
    """Read comma-separated rows, with spaces before the quotes or without."""
    problem: DataError | None = None
    records: list[Record] = []
    try:
        records = _checked(path, ",")
    except DataError as error:
        problem = error
    if problem or any(field.startswith(' "') for record in records for field in record.fields):
        with suppress(DataError):
            return _checked(path, ",", skipinitialspace=True)
    if problem:
        raise problem
    return records


def _read_tsv(path: Path) -> list[Record]:
    """Read tab-separated rows without quoting, or with it if the whole file shows that it was written so."""
    plain = _records(path, "\t", quoting=csv.QUOTE_NONE)
    if not any(field.startswith('"') for record in plain for field in record.fields):
        _check_widths(path, "\t", plain)
        return plain  # the same either way
    try:
        quoted = _checked(path, "\t")
    except DataError:
        if all(field.startswith('"') for field in plain[0].fields):
            raise  # names in quotes: it was written with quoting, and badly
        _check_widths(path, "\t", plain)
        return plain
    if len(quoted) < len(plain) or any(len(record.fields) != len(plain[0].fields) for record in plain):
        return quoted  # line ends or tabs in texts
    return quoted if _shows_quoting(plain) else plain


def _checked(path: Path, delimiter: str, **dialect: Any) -> list[Record]:
    """Return the records of a file with quoting. Raises DataError where it was not written so."""
    records = _records(path, delimiter, **dialect)
    _check_widths(path, delimiter, records)
    _check_swallowed(path, delimiter, records)
    return records


def _shows_quoting(plain: Sequence[Record]) -> bool:
    """Tell whether rows, one a line, were written with quotes: a whole column, or just what needed them.

    Python's csv module and pandas quote a field with a quotation mark in it, Excel one with a comma as well.
    """
    fields = [field for record in plain for field in record.fields]
    for marks in ('"', '",'):
        if all(field.startswith('"') == _contains(field, marks) for field in fields):
            return True
    columns = zip(*(record.fields for record in plain[1:]), strict=True)
    return any(all(field.startswith('"') for field in column) for column in columns)


def _contains(field: str, marks: str) -> bool:
    inner = field[1:-1] if field.startswith('"') else field
    return any(mark in inner for mark in marks)


def _records(path: Path, delimiter: str, **dialect: Any) -> list[Record]:
    """Return the records of a file, without lines that hold nothing. Raises DataError for quotes that do not close."""
    records: list[Record] = []
    first = 1
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True, **dialect)
        try:
            for fields in reader:
                if any(fields):
                    records.append(Record(first, reader.line_num, fields))
                first = reader.line_num + 1
        except csv.Error as error:
            problem = _bad_quotes(path, delimiter, first, reader.line_num, str(error))
            where = place(len(records) - 1, first) if records else f"the header (line {first})"
            raise DataError(f"{path.name}: {where}: {problem}") from error
    return records


def _bad_quotes(path: Path, delimiter: str, first: int, last: int, error: str) -> str:
    if '\\"' in "".join(_lines(path, first, last)):
        return _backslash(path, delimiter)
    if "NUL" in error:  # Python 3.10
        return "a NUL character; delete it, or read the file with Python 3.11 or later"
    problem = f"a quoted text begins here and ends in line {last}, where {delimiter!r} or the line's end must follow"
    if "unexpected end" in error:
        problem = "a quoted text begins here and never ends"
    return (
        f"{problem}. Write a quotation mark in a quoted text twice, and close every quote; if the file was written "
        "without quoting, save it as .tsv, with tabs"
    )


def _backslash(path: Path, delimiter: str) -> str:
    read = f"pd.read_csv({path.name!r}, sep={delimiter!r}, escapechar='\\\\', dtype=str, keep_default_na=False)"
    return (
        "quotation marks are escaped by a backslash, as Spark and MySQL write them; they must be doubled. With Spark "
        f"write with .option('escape', '\"'), or convert the file: {read}.to_csv('new.csv', index=False)"
    )


def _check_widths(path: Path, delimiter: str, records: Sequence[Record]) -> None:
    """Raise DataError with the first row that has not as many fields as the header."""
    width = len(records[0].fields)
    wrong = [row for row, record in enumerate(records[1:]) if len(record.fields) != width]
    if not wrong:
        return
    record = records[wrong[0] + 1]
    has = len(record.fields)
    problem = (
        f"{place(wrong[0], record.first)} has {has} fields where the header has {width}: "
        f"{short(delimiter.join(record.fields))}"
    )
    if '\\"' in "".join(_lines(path, record.first, record.last)):
        raise DataError(f"{path.name}: {problem}. Its {_backslash(path, delimiter)}")
    all_alike = len(records) > 2 and all(len(r.fields) == has for r in records[1:])
    also = "So have all rows: does the header lack a name? " if all_alike else ""
    raise DataError(
        f"{path.name}: {problem}. {also}Put double quotes round a text that contains {delimiter!r} or a line break, "
        "and close every quote"
    )


def _check_swallowed(path: Path, delimiter: str, records: Sequence[Record]) -> None:
    """Raise DataError for a quoted text over several lines, each of which alone would be a row of the table.

    So it is where a lone quotation mark opens a text and another one, rows later, closes it.
    """
    wide = [row for row, record in enumerate(records[1:]) if record.last > record.first]
    if not wide:
        return
    rows = [record.fields for record in records[1:] if record.last == record.first]
    columns = [set(column) for column in zip(*rows, strict=True)]
    numeric = [sum(map(is_number, values)) > 0.9 * len(values) for values in columns]
    closed = [len(values) <= len(rows) / 2 for values in columns]
    told = [i for i in range(len(columns)) if numeric[i] or closed[i]]

    def is_row(line: str) -> bool:
        fields = [field.strip('"') for field in line.rstrip("\r\n").split(delimiter)]
        fits = (is_number(fields[i]) if numeric[i] else fields[i] in columns[i] for i in told)
        return len(fields) == len(columns) and all(fits)

    for row in wide if told else ():
        record = records[row + 1]
        if all(is_row(line) for line in _lines(path, record.first, record.last) if line.strip()):
            raise DataError(
                f"{path.name}: {place(row, record.first)}: a quoted text begins here and ends in line {record.last}, "
                "but each of these lines alone would be a row. Write a quotation mark that is part of a text twice, "
                "and the text in quotes; if the file was written without quoting, save it as .tsv, with tabs"
            )


def _check_header(path: Path, delimiter: str) -> None:
    header = _first_record(path, delimiter)
    if not header:
        raise DataError(f"{path.name}: the file is empty")
    if any("\0" in name for name in header):
        raise DataError(f"{path.name}: NUL bytes in the header; it is perhaps UTF-16: save it as UTF-8")
    other = next((mark for mark in ",;\t|" if len(header) == 1 < len(_first_record(path, mark))), None)
    if other is not None:
        raise DataError(
            f"{path.name}: columns are separated by {other!r}, not by {delimiter!r} as in a {path.suffix} "
            f"file (header: {short(header[0])}). Save it with {delimiter!r}, for example: "
            f"pd.read_csv({path.name!r}, sep={other!r}, dtype=str, keep_default_na=False)"
            f".to_csv('new{path.suffix}', sep={delimiter!r}, index=False)"
        )


def _first_record(path: Path, delimiter: str) -> list[str]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.reader(file, delimiter=delimiter)
            return next((fields for fields in reader if any(field.strip() for field in fields)), [])
        except csv.Error:  # NUL before Python 3.11
            return ["\0"]


def _lines(path: Path, first: int, last: int) -> Iterator[str]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        for number, line in enumerate(file, start=1):
            if number > last:
                return
            if number >= first:
                yield line


@contextmanager
def _fields_of_any_length() -> Iterator[None]:
    """Let the csv module read fields of more than 131,072 characters."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)
