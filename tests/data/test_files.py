"""Tests of ftlab.data.files: files and built-in sets are read as they are, or refused with row and remedy."""

from __future__ import annotations

import csv
import hashlib
import http.server
import os
import threading
import warnings
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import datasets
import huggingface_hub
import numpy as np
import pandas as pd
import pytest

import ftlab.data.builtin
import ftlab.data.files
from ftlab.data.builtin import CLEAR_FILE
from ftlab.data.load import load_data
from ftlab.errors import DataError
from tests.data.test_load import assert_is_split, assert_refused, lines, nasty_table, records, table, write

REPOSITORY = Path(__file__).resolve().parents[2]
PASSAGES = REPOSITORY / "data" / "passages.csv"


def clear_folder() -> Path | None:
    """Return the folder that holds the CLEAR file: FTLAB_DATA, or shared/data beside the repository."""
    folders = [os.environ.get("FTLAB_DATA"), REPOSITORY.parent / "shared" / "data"]
    return next((Path(folder) for folder in folders if folder and (Path(folder) / CLEAR_FILE).is_file()), None)


CLEAR_FOLDER = clear_folder()


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("FTLAB_DATA", raising=False)


@pytest.fixture(scope="module")
def passages():
    return load_data()


# The built-in passages


def test_passages_are_what_the_file_says(passages):
    with open(PASSAGES, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert passages.name == "passages" and passages.task == "regression" and passages.labels is None
    assert len(passages) == len(rows) == 720
    assert passages.texts == [row["excerpt"] for row in rows]
    assert passages.targets.tolist() == [float(row["target"]) for row in rows]
    assert passages.standard_errors.tolist() == [float(row["standard_error"]) for row in rows]
    assert list(passages.frame.columns) == list(rows[0]) and list(passages.frame.index) == list(range(720))
    assert passages.frame["level"].tolist() == [int(row["level"]) for row in rows]
    assert passages.num_duplicates == 0


def test_passages_load_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_data("passages")


def test_data_card_states_the_ranges_of_the_file(passages):
    card = (REPOSITORY / "data" / "README.md").read_text(encoding="utf-8")
    words = [len(text.split()) for text in passages.texts]
    facts = [
        f"{passages.targets.min():.2f} to {passages.targets.max():.2f}",
        f"{passages.standard_errors.min():.2f} to {passages.standard_errors.max():.2f}",
        f"{min(words)} to {max(words)} words",
        "CC BY 4.0",
        "No human",
        hashlib.sha256(PASSAGES.read_bytes()).hexdigest(),
        ftlab.data.builtin.CLEAR_SHA256,
        ftlab.data.builtin.SNIPPETS_SHA256,
    ]
    assert [fact for fact in facts if fact not in card] == []


def test_another_column_of_passages_can_be_the_target(passages):
    levels = load_data("passages", target="level", task="classification")
    assert levels.labels == [str(level) for level in range(1, 11)]  # by value: "10" comes last
    assert levels.standard_errors is None
    assert (levels.targets + 1).tolist() == passages.frame["level"].tolist()
    assert load_data("passages", target="level").task == "regression"


# Formats


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "ndjson", "parquet", "xlsx"])
def test_every_format_gives_the_same_data(tmp_path, ending):
    frame = nasty_table()
    data = load_data(write(frame, tmp_path / f"mine.{ending}"))
    assert data.name == f"mine.{ending}"
    assert data.texts == frame["text"].tolist()
    assert data.targets.tolist() == frame["target"].tolist()
    assert data.fingerprint == load_data(frame).fingerprint


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_nul_characters_are_kept(tmp_path, ending):
    frame = table(10)
    frame.loc[3, "text"] = "before\0after"
    path = tmp_path / f"mine.{ending}"
    if ending in ("csv", "tsv"):  # the csv module writes no NUL before Python 3.11
        mark = "," if ending == "csv" else "\t"
        path.write_text("".join(f"{a}{mark}{b}\n" for a, b in [("text", "target"), *frame.to_numpy()]), "utf-8")
    else:
        write(frame, path)
    assert load_data(path).texts[3] == "before\0after"


def test_byte_order_mark_blank_lines_and_a_string_path(tmp_path):
    rows = "".join(f'"text {i}",{i % 7}.5\r\n\r\n' for i in range(10))
    path = tmp_path / "MINE.CSV"
    path.write_bytes(b"\xef\xbb\xbf" + ("Text,Target\r\n" + rows).encode())
    data = load_data(str(path))
    assert data.texts[9] == "text 9" and list(data.frame.columns) == ["Text", "Target"]


def test_a_path_may_start_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(table(10), tmp_path / "mine.csv")
    assert len(load_data("~/mine.csv")) == 10


def test_json_lines_may_be_called_json(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(table(10).to_json(orient="records", lines=True), encoding="utf-8")
    assert load_data(path).texts == table(10)["text"].tolist()


def test_empty_fields_of_other_columns_are_missing_values(tmp_path):
    frame = table(10).assign(note=["x", *[None] * 9], year=[1999, *[None] * 9])
    data = load_data(write(frame, tmp_path / "mine.csv"))
    assert data.frame["note"].isna().sum() == 9 and data.frame["year"].isna().sum() == 9
    assert data.frame.loc[0, "note"] == "x" and data.frame.loc[0, "year"] == 1999


def test_a_frame_is_not_changed_and_loses_its_index():
    frame = table(10).set_index(pd.Index(range(100, 110)))
    before = frame.copy()
    data = load_data(frame)
    assert list(data.frame.index) == list(range(10))
    pd.testing.assert_frame_equal(frame, before)


# Bad files and unknown sources: every message names the file or set, the place, and the remedy


BAD_FILES = {
    # columns and rows
    "one column twice": ("a.csv", b"text,text,target\nx,y,1\n", {}, ["'text' occurs 2 times"]),
    "target endless": (
        "a.jsonl",
        records() + b'{"text": "x", "target": ' + b"1" * 5000 + b"}",
        {},
        ["row 11 (line 11)", "infinite"],
    ),
    "half a character": ("a.jsonl", records({"text": "a\ud83d", "target": 1}), {}, ["line 11", "surrogate"]),
    "lines counted": (
        "a.csv",
        b'text,target\n\n"two\nlines",1\n\n"more ""\n\n",2\nx,\n',
        {},
        ["row 3 (line 9)", "names no class"],
    ),
    # files
    "empty file": ("a.csv", b"", {}, ["a.csv", "empty"]),
    "empty JSONL": ("a.jsonl", b"", {}, ["a.jsonl", "empty"]),
    "blank file": ("a.csv", b"\n \n", {}, ["a.csv", "empty"]),
    "blank JSONL": ("a.jsonl", b"\n\n", {}, ["a.jsonl", "no rows"]),
    "empty JSON list": ("a.json", b"[]", {}, ["a.json", "no rows"]),
    "header only": ("a.csv", b"text,target\n", {}, ["a.csv", "no rows", "text, target"]),
    "header without line end": ("a.csv", b"text,target", {}, ["a.csv"]),
    # encodings and delimiters
    "Windows-1252": (
        "a.csv",
        lines("caf\xe9,1").replace(b"\xc3\xa9", b"\xe9"),
        {},
        ["0xe9 at position 125, line 12", "cp1252"],
    ),
    "UTF-16": ("a.csv", lines().decode().encode("utf-16"), {}, ["0xff at position 0, line 1", "'utf-16'"]),
    "UTF-16 without mark": ("a.csv", lines().decode().encode("utf-16-le"), {}, ["NUL", "UTF-16"]),
    "bad JSONL encoding": (
        "a.jsonl",
        b'{"text": "caf\xe9", "target": 1}\n',
        {},
        ["0xe9 at position 13, line 1"],
    ),
    "cut character": ("a.tsv", b"text\ttarget\nx\xf0\x9f\x98", {}, ["0xf0 at position 13, line 2"]),
    "semicolons": ("a.csv", b"text;target\nx;1,5\n", {}, ["separated by ';', not by ','", "sep=';'"]),
    "tabs in csv": ("a.csv", b"text\ttarget\nx\t1\n", {}, ["separated by '\\t', not by ','"]),
    "commas in tsv": ("a.tsv", b"text,target\nx,1\n", {}, ["separated by ',', not by '\\t'"]),
    "comma unquoted": (
        "a.csv",
        lines("hello, world,1"),
        {},
        ["row 11 (line 12)", "3 fields", "header has 2", "quotes"],
    ),
    "field missing": ("a.csv", lines("hello"), {}, ["row 11 (line 12)", "1 fields", "'hello'"]),
    "quote not closed": ("a.csv", lines('"hello,1', "b,2"), {}, ["row 11 (line 12)", "close every quote"]),
    # damage
    "not JSON": ("a.jsonl", records() + b"{oops}\n", {}, ["line 11", "JSON"]),
    "object not closed": ("a.jsonl", records() + b'{"text": "x"\n', {}, ["line 11", "JSON"]),
    "not JSON list": ("a.json", b'[{"text": "x"},\n{"text": "y"},\n oops]', {}, ["line 3", "JSON"]),
    "not an object": ("a.jsonl", records() + b"[1, 2]\n", {}, ["line 11", "column names as keys"]),
    "not an object in a list": ("a.json", b"[3]", {}, ["item 1", "column names as keys"]),
    "damaged Parquet": ("a.parquet", b"PAR1 and then nothing", {}, ["a.parquet", "damaged"]),
    "damaged workbook": ("a.xlsx", b"PK\x03\x04 and then nothing", {}, ["a.xlsx", "damaged"]),
    "unknown ending": ("a.docx", b"x", {}, ["'.docx'", ".csv, .tsv, .parquet"]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_refused_with_the_place_and_the_remedy(tmp_path, case):
    name, *rest = BAD_FILES[case]
    assert_refused(tmp_path / name, *rest)


def test_a_row_is_named_beyond_a_very_long_field(tmp_path):
    # Left alone, the csv module refuses fields of more than 131,072 characters.
    limit = csv.field_size_limit()
    (tmp_path / "a.csv").write_text("text,target\n" + "x" * 200_000 + ",1.5\ny,oops\nz,2\n")
    with pytest.raises(DataError, match=r"'target', row 2 \(line 3\): the target 'oops'"):
        load_data(tmp_path / "a.csv")
    assert csv.field_size_limit() == limit


def test_an_empty_cell_of_a_workbook_is_placed(tmp_path):
    frame = table(10)
    frame.loc[4, "target"] = None
    with pytest.raises(DataError, match=r"row 5 \(sheet row 6\): the target is empty"):
        load_data(write(frame, tmp_path / "mine.xlsx"))


def test_the_place_in_a_large_file_is_found_beyond_the_first_piece(tmp_path):
    # A two-byte character lies across the border where a reader in pieces of 1 MiB would cut.
    content = b"text,target\n" + b"x" * (2**20 - 13) + "é".encode() + b",1\nbad \xff,2\n"
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=f"0xff at position {content.index(0xFF)}, line 3"):
        load_data(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("source", "fragments"),
    [
        ("pasages", ["did you mean 'passages'", "passages, clear, snippets, commonlit, rotten_tomatoes", ".parquet"]),
        ("Clear", ["did you mean 'clear'"]),
        ("zzz", ["unknown data 'zzz'."]),
        ("x" * 5000, ["unknown data"]),
        ("no/such/folder.csv", ["there is no file"]),
        ("mine.cvs", ["no file mine.cvs", "did you mean mine.csv"]),
        ("folder", ["folder is a folder", "it holds a.tsv"]),
        ("empty", ["empty is a folder", "holds no .csv"]),
        (7, ["type int"]),
        (None, ["type NoneType"]),
    ],
)
def test_an_unknown_source_is_refused_with_the_nearest(tmp_path, monkeypatch, source, fragments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.tsv").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "mine.csv").touch()
    with pytest.raises(DataError) as caught:
        load_data(source)
    assert [fragment for fragment in fragments if fragment not in str(caught.value)] == []


def test_an_error_of_the_system_becomes_a_data_error(tmp_path, monkeypatch):
    path = write(table(10), tmp_path / "mine.csv")

    def fail(path):
        raise PermissionError("denied")

    monkeypatch.setitem(ftlab.data.files.READERS, ".csv", fail)
    with pytest.raises(DataError, match="mine.csv cannot be read .denied.*permissions"):
        load_data(path)


def test_missing_passages_are_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(ftlab.data.builtin, "__file__", str(tmp_path / "ftlab" / "sources.py"))
    with pytest.raises(DataError, match="install ftlab again"):
        load_data()


# CommonLit


def commonlit_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = table(21).rename(columns={"text": "excerpt"})
    frame = frame.assign(id=[f"r{i}" for i in range(21)], url_legal=None, license="", standard_error=0.49)
    frame.loc[7, ["target", "standard_error"]] = 0
    frame.loc[8, "target"] = 0  # a real zero: its standard error is not 0
    return write(frame, path)


def test_commonlit_loses_its_reference_row(tmp_path):
    data = load_data(commonlit_file(tmp_path / "train.csv"))
    assert len(data) == 20 and data.name == "train.csv"
    assert "r7" not in data.frame["id"].tolist() and "r8" in data.frame["id"].tolist()
    assert data.frame["excerpt"].tolist() == data.texts and list(data.frame.index) == list(range(20))
    assert data.standard_errors.tolist() == [0.49] * 20
    assert data.frame["target"].tolist() == data.targets.tolist()


@pytest.mark.parametrize("place", ["train.csv", "commonlit/train.csv"])
def test_commonlit_is_found_in_the_data_folder(tmp_path, monkeypatch, place):
    commonlit_file(tmp_path / place)
    monkeypatch.setenv("FTLAB_DATA", str(tmp_path))
    data = load_data("commonlit")
    assert data.name == "commonlit" and data.task == "regression" and len(data) == 20


def test_commonlit_elsewhere_says_how_to_get_it(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="kaggle.com/c/commonlitreadabilityprize.*train.csv.*FTLAB_DATA"):
        load_data("commonlit")
    monkeypatch.setenv("FTLAB_DATA", str(tmp_path))
    with pytest.raises(DataError, match="kaggle.com"):
        load_data("commonlit")


@pytest.mark.parametrize("name", ["commonlit", "clear", "snippets", "rotten_tomatoes"])
def test_a_missing_data_folder_is_reported(tmp_path, monkeypatch, name):
    monkeypatch.setenv("FTLAB_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="FTLAB_DATA.*not a folder"):
        load_data(name)


# CLEAR


@pytest.mark.skipif(CLEAR_FOLDER is None, reason=f"no {CLEAR_FILE} in FTLAB_DATA or ../shared/data")
def test_clear_is_read_whole(monkeypatch):
    monkeypatch.setenv("FTLAB_DATA", str(CLEAR_FOLDER))
    data = load_data("clear")
    assert data.name == "clear" and data.task == "regression" and len(data) == 4724
    assert -3.68 < data.targets.min() < -3.67 and 1.71 < data.targets.max() < 1.72
    assert np.median(data.standard_errors) == pytest.approx(0.484, abs=0.001)
    assert data.num_duplicates == 1
    assert_is_split(data)


@pytest.fixture
def small_clear(tmp_path, monkeypatch):
    """Put a small workbook in CLEAR's place, with an empty download cache."""
    folder = tmp_path / "home of clear"
    folder.mkdir()
    frame = table(12).rename(columns={"text": "Excerpt", "target": "BT_easiness"}).assign(**{"s.e.": 0.5})
    path = write(frame, folder / CLEAR_FILE)
    monkeypatch.setattr(ftlab.data.builtin, "CLEAR_SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", ("http://127.0.0.1:9/none",))
    return path


@contextmanager
def serving(folder: Path):
    """Serve a folder over HTTP on this machine; gives the folder's address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


@pytest.fixture
def served(small_clear):
    with serving(small_clear.parent) as address:
        yield address


def test_clear_is_downloaded_once_to_the_cache(tmp_path, monkeypatch, served):
    monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", (f"{served}/gone.xlsx", f"{served}/{CLEAR_FILE}"))
    first = load_data("clear")
    assert first.texts == table(12)["text"].tolist() and first.standard_errors.tolist() == [0.5] * 12
    assert (tmp_path / "cache" / "ftlab" / CLEAR_FILE).is_file()
    monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", ("http://127.0.0.1:9/none",))
    assert load_data("clear").fingerprint == first.fingerprint


def test_a_download_with_a_wrong_sha256_is_refused(tmp_path, monkeypatch, small_clear, served):
    small_clear.write_bytes(small_clear.read_bytes() + b"!")
    monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", (f"{served}/{CLEAR_FILE}",))
    with pytest.raises(DataError, match="SHA256.*does not match.*github.com/scrosseye.*FTLAB_DATA"):
        load_data("clear")
    assert not (tmp_path / "cache" / "ftlab" / CLEAR_FILE).exists()


def test_clear_without_network_says_how_to_get_it(small_clear):
    with pytest.raises(DataError, match="could not be downloaded.*github.com/scrosseye.*FTLAB_DATA"):
        load_data("clear")


def test_the_data_folder_comes_before_the_download(monkeypatch, small_clear):
    monkeypatch.setenv("FTLAB_DATA", str(small_clear.parent))
    assert len(load_data("clear")) == 12
    small_clear.write_bytes(small_clear.read_bytes() + b"!")
    with pytest.raises(DataError, match="not the published file: its SHA-256 is"):
        load_data("clear")


# Rotten Tomatoes


def hub_parts() -> datasets.DatasetDict:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    sizes = {"train": 20, "validation": 6, "test": 6}
    parts = {
        name: datasets.Dataset.from_dict(
            {"text": [f"{name} {i}" for i in range(size)], "label": [i % 2 for i in range(size)]},
            features=features,
        )
        for name, size in sizes.items()
    }
    return datasets.DatasetDict(parts)


def test_rotten_tomatoes_comes_from_the_hub_or_from_its_copy(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda self, name, timeout: None)
    monkeypatch.setattr(datasets, "load_dataset", lambda name: hub_parts())
    data = load_data("rotten_tomatoes")
    assert (data.name, data.task, data.labels, len(data)) == (
        "rotten_tomatoes",
        "classification",
        ["neg", "pos"],
        32,
    )
    assert data.texts[20] == "validation 0" and data.frame["split"].tolist()[20] == "validation"
    assert data.targets.tolist() == [i % 2 for i in range(32)]

    # What the error message tells the reader to do works.
    data.frame.to_parquet(tmp_path / "rotten_tomatoes.parquet")
    monkeypatch.setenv("FTLAB_DATA", str(tmp_path))
    monkeypatch.setattr(datasets, "load_dataset", None)
    assert load_data("rotten_tomatoes").fingerprint == data.fingerprint


def test_rotten_tomatoes_without_network_fails_without_retries(tmp_path, monkeypatch):
    asked = []

    def refuse(self, name, timeout):
        asked.append(timeout)
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    monkeypatch.setattr(huggingface_hub.HfApi, "hf_hub_download", lambda *a, **k: pytest.fail("tried the network"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    before = datasets.config.HF_HUB_OFFLINE
    with pytest.raises(DataError, match="rotten_tomatoes.parquet.*FTLAB_DATA"):
        load_data("rotten_tomatoes")
    assert asked == [ftlab.data.builtin.NETWORK_SECONDS] and datasets.config.HF_HUB_OFFLINE == before
