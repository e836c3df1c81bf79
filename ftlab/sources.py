"""Sources: reads a table from a file or a built-in set, and refuses what is damaged.

Every refusal is a DataError that names file, row and remedy. Libraries that take long to import (pyarrow,
datasets) are imported where they are used.

Built-in sets: this project's `passages`; CLEAR (Crossley et al., 2022, "A large-scaled corpus for assessing
text readability", Behavior Research Methods); the CommonLit Readability set drawn from it (Kaggle, 2021);
Rotten Tomatoes (Pang and Lee, 2005, "Seeing stars", ACL).
"""

from __future__ import annotations

import codecs
import csv
import difflib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ftlab.errors import DataError

CLEAR_FILE = "CLEAR_corpus_final.xlsx"
CLEAR_SHA256 = "e87a19a29c12a441e0c4f11a4e49897ff24ac7dff240ee7397283a050a902cc7"
CLEAR_HOME = "https://github.com/scrosseye/CLEAR-Corpus"
# The commit that holds the pinned file comes first; the branch is for the day that the commit is gone.
CLEAR_URLS = tuple(
    f"https://raw.githubusercontent.com/scrosseye/CLEAR-Corpus/{revision}/{CLEAR_FILE}"
    for revision in ("201de282b36107e40079b534bd0552a0dfe7210a", "main")
)
COMMONLIT_HOME = "https://www.kaggle.com/c/commonlitreadabilityprize/data"
ROTTEN_TOMATOES = "cornell-movie-review-data/rotten_tomatoes"
NETWORK_SECONDS = 5.0
CSV_BLOCK_BYTES = 64 * 2**20  # a row must fit into one block


@dataclass(frozen=True)
class Table:
    """Hold a source as read: its columns, and where in the source a data row (0-based) stands, for messages.

    text, target, task: the columns and the task of a built-in set; None where they are to be recognised.
    Raises DataError if two columns share a name, or if there are no rows.
    """

    name: str
    frame: pd.DataFrame
    line: Callable[[int], int | None] = lambda row: None
    line_word: str = "line"
    text: str | None = None
    target: str | None = None
    task: str | None = None

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


def read_table(source: object) -> Table:
    """Read a built-in set by its name, a file by its path, or a DataFrame; raises DataError for all else."""
    if isinstance(source, pd.DataFrame):
        return Table("DataFrame", source.set_axis(map(str, source.columns), axis=1).reset_index(drop=True))
    if isinstance(source, str) and source in _SETS:
        read, text, target, task = _SETS[source]
        return replace(read(), name=source, text=text, target=target, task=task)
    if not isinstance(source, (str, os.PathLike)):
        raise DataError(
            f"source is of type {type(source).__name__}; give one of {', '.join(_SETS)}, a path or a DataFrame"
        )
    path = Path(os.path.expanduser(source))  # which leaves an unknown user's home as it is
    if isinstance(source, str) and not path.suffix and path.name == source and not os.path.exists(path):
        near = difflib.get_close_matches(source.casefold(), _SETS, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise DataError(
            f"unknown data {source!r}{hint} The sets are {', '.join(_SETS)}; anything else is read as "
            f"the path to a {', '.join(_READERS)} file"
        )
    return _read_file(path)


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


def _read_file(path: Path) -> Table:
    """Read a file by its ending."""
    if os.path.isdir(path):
        inside = sorted(name for name in os.listdir(path) if Path(name).suffix.lower() in _READERS)
        holds = f"it holds {listed(inside)}" if inside else f"it holds no {', '.join(_READERS)} file"
        raise DataError(f"{path} is a folder; give the path to a file ({holds})")
    if not os.path.exists(path):
        siblings = os.listdir(path.parent) if os.path.isdir(path.parent) else []
        near = difflib.get_close_matches(path.name, siblings, n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise DataError(f"there is no file {path}{hint} (paths start from {Path.cwd()})")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: files ending in {path.suffix!r} cannot be read; convert it to one of {', '.join(_READERS)}"
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


_READERS: dict[str, Callable[[Path], Table]] = {
    ".csv": _read_delimited,
    ".tsv": _read_delimited,
    ".parquet": _read_parquet,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".json": _read_json,
    ".xlsx": _read_excel,
}


# Built-in sets ----------------------------------------------------------------------------------------------


def _passages() -> Table:
    here = Path(__file__).resolve().parent
    # Beside this module in an installed package, in data/ in a checkout.
    places = (here / "passages.csv", here.parent / "data" / "passages.csv")
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        raise DataError(f"there is neither {places[0]} nor {places[1]}; install ftlab again")
    return _read_file(path)


def _clear() -> Table:
    path = _in_data_folder(CLEAR_FILE) or _download_clear()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != CLEAR_SHA256:
        raise DataError(
            f"{path} is not the published CLEAR file: its SHA-256 is {digest}, not {CLEAR_SHA256}. Delete "
            f"it and get it again from {CLEAR_HOME}; to use another version on purpose, give load_data its "
            "path"
        )
    return _read_file(path)


def _download_clear() -> Path:
    import pooch

    known_hash, folder = f"sha256:{CLEAR_SHA256}", pooch.os_cache("ftlab")
    downloader = pooch.HTTPDownloader(timeout=NETWORK_SECONDS)
    problem: Exception | None = None
    for url in CLEAR_URLS:
        try:
            return Path(pooch.retrieve(url, known_hash, CLEAR_FILE, folder, downloader=downloader))
        except (OSError, ValueError) as error:  # no network or no such page; a wrong SHA-256
            problem = error
    raise DataError(
        f"the CLEAR corpus could not be downloaded ({problem}). With a network, get {CLEAR_FILE} from "
        f"{CLEAR_HOME}, put it in a folder and set the environment variable FTLAB_DATA to that folder; "
        "load_data('passages') needs no download"
    ) from problem


def _commonlit() -> Table:
    path = _in_data_folder("commonlit/train.csv", "train.csv")
    if path is None:
        raise DataError(
            "the CommonLit set cannot be downloaded without a Kaggle account: accept the rules at "
            f"{COMMONLIT_HOME}, download train.csv, and give its path, load_data('.../train.csv'), or set "
            "the environment variable FTLAB_DATA to a folder with commonlit/train.csv or train.csv in it. "
            "load_data('clear') is the open corpus that it was drawn from"
        )
    return _read_file(path)


def _rotten_tomatoes() -> Table:
    path = _in_data_folder("rotten_tomatoes.parquet")
    return _read_file(path) if path else Table("rotten_tomatoes", _rotten_tomatoes_from_hub())


def _rotten_tomatoes_from_hub() -> pd.DataFrame:
    """Return the hub's three parts as one frame: text, label (the class's name), split (the part's name)."""
    import datasets
    from huggingface_hub import HfApi

    offline = datasets.config.HF_HUB_OFFLINE
    try:
        # Without network `datasets` tries for 23 s before turning to its cache; a short question saves that.
        HfApi().dataset_info(ROTTEN_TOMATOES, timeout=NETWORK_SECONDS)
    except Exception:  # which class it is depends on huggingface_hub's version; each means out of reach
        datasets.config.HF_HUB_OFFLINE = True
    try:
        parts = datasets.load_dataset(ROTTEN_TOMATOES)
    except Exception as error:
        raise DataError(
            f"rotten_tomatoes could not be fetched from the Hugging Face hub ({error}). On a machine with a "
            "network run ftlab.load_data('rotten_tomatoes').frame.to_parquet('rotten_tomatoes.parquet'), "
            "copy that file into a folder here and set the environment variable FTLAB_DATA to the folder"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
    frames = [
        part.to_pandas().assign(label=part.features["label"].int2str(list(part["label"])), split=split)
        for split, part in parts.items()
    ]
    return pd.concat(frames, ignore_index=True)


def _in_data_folder(*names: str) -> Path | None:
    """Return the first of these files that the folder named by FTLAB_DATA holds, if any."""
    folder = os.environ.get("FTLAB_DATA")
    if not folder:
        return None
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise DataError(f"environment variable FTLAB_DATA: {folder!r} is not a folder; correct or unset it")
    return next((root / name for name in names if (root / name).is_file()), None)


# The reader, the text and the target column, and the task.
_SETS: dict[str, tuple[Callable[[], Table], str, str, str]] = {
    "passages": (_passages, "excerpt", "target", "regression"),
    "clear": (_clear, "Excerpt", "BT_easiness", "regression"),
    "commonlit": (_commonlit, "excerpt", "target", "regression"),
    "rotten_tomatoes": (_rotten_tomatoes, "text", "label", "classification"),
}
