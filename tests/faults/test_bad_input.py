"""Bad input in bulk: data files, recipes, panels, the command line, result files and saved histories.

Every case ends in an error of ftlab that names the place; on the command line in one line and a status, no traceback,
and no file. Cases that stand in the tests of the single modules are not repeated here.
"""

from __future__ import annotations

import copy
import io
import json
import math
import random
import time
import zipfile
from contextlib import contextmanager
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ftlab as ft
from ftlab import panels, results, study
from ftlab.__main__ import main
from ftlab.checkpoint import load_checkpoint, save_checkpoint
from ftlab.clinic.record import read_record
from ftlab.errors import CheckpointError, DataError, FtlabError, RecipeError
from ftlab.history import History
from ftlab.models.load import load_tokenizer, tiny_model
from ftlab.tuning.peak_memory import peak_of_process, restart_peak

DEEP = "[" * 100_000
LONG_NUMBER = "9" * 5000


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    monkeypatch.delenv("FTLAB_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@contextmanager
def refused(kind, *fragments):
    """Assert that what is within raises this error, and that its message, short and not empty, holds all of these."""
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert [fragment for fragment in fragments if fragment not in message] == [], message
    assert message.strip() and len(message) < 5000


# -------------------------------------------------------------------------------------------------------- data files


def csv(*rows):
    return "\n".join(["text,target", *(f"text {i},{i % 7}.5" for i in range(10)), *rows]).encode()


def jsonl(*lines):
    good = [json.dumps({"text": f"text {i}", "target": i % 7 + 0.5}) for i in range(10)]
    return "\n".join([*good, *lines]).encode()


def parquet(**columns):
    file = io.BytesIO()
    pd.DataFrame(columns).to_parquet(file)
    return file.getvalue()


def workbook(**columns):
    file = io.BytesIO()
    pd.DataFrame(columns).to_excel(file, index=False)
    return file.getvalue()


def zipped(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


TWENTY = [f"t{i}" for i in range(20)]

FILES = {
    # name of the file, its content, arguments of load_data, what the message must say
    "a NUL": ("a.csv", b"\0", {}, ["a.csv"]),
    "NULs": ("a.csv", b"\0" * 5000, {}, ["a.csv"]),
    "random bytes": ("a.csv", random.Random(0).randbytes(5000), {}, ["a.csv"]),
    "a picture": ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(100), {}, ["a.csv", "UTF-8"]),
    "an archive": ("a.csv", zipped(a="b"), {}, ["a.csv"]),
    "UTF-32": ("a.csv", csv().decode().encode("utf-32"), {}, ["a.csv", "UTF-8"]),
    "UTF-7 bytes over 127": ("a.csv", b"text,target\n" + bytes(range(128, 256)), {}, ["position", "line 2"]),
    "surrogates as bytes": ("a.csv", csv() + b"\n\xed\xa0\x80,1", {}, ["line 12"]),
    "overlong bytes": ("a.csv", csv() + b"\n\xc0\x80,1", {}, ["line 12"]),
    "only a mark": ("a.csv", b"\xef\xbb\xbf", {}, ["a.csv", "empty"]),
    "only commas": ("a.csv", b",,,\n,,,\n", {}, ["a.csv"]),
    "only quotes": ("a.csv", b'"""', {}, ["a.csv"]),
    "only line ends": ("a.csv", b"\r\r\r\n\n", {}, ["a.csv", "empty"]),
    "one open quote": ("a.csv", b'text,target\n"', {}, ["a.csv"]),
    "nameless columns": ("a.csv", b",\n1,2\n", {}, ["a.csv"]),
    "a header twice": ("a.csv", csv("text,target"), {}, ["row 11 (line 12)", "'target'"]),
    "a comment": ("a.csv", b"# made by hand\n" + csv(), {}, ["a.csv", "row 1"]),
    "fields too many": ("a.csv", csv("a,1,,,,,,,,"), {}, ["row 11 (line 12)", "10 fields"]),
    "fields too many everywhere": ("a.csv", b"text,target\n" + b"a,b,1\n" * 9, {}, ["row 1 (line 2)", "3 fields"]),
    "target hexadecimal": ("a.csv", csv("x,0x1F"), {}, ["row 11 (line 12)", "0x1F"]),
    "target a date": ("a.csv", b"text,target\n" + b"x,2020-01-01\n" * 9, {"task": "regression"}, ["row 1", "2020"]),
    "target a percentage": ("a.csv", csv("x,5%"), {}, ["row 11 (line 12)", "5%"]),
    "target two numbers": ("a.csv", csv("x,1 2"), {}, ["row 11 (line 12)", "1 2"]),
    "target with thousands": ("a.csv", csv('x,"1,234.5"'), {}, ["row 11 (line 12)", "1,234.5"]),
    "target beyond double": ("a.csv", csv("x,1e999"), {}, ["row 11 (line 12)", "infinite"]),
    "target Infinity": ("a.csv", csv("x,Infinity"), {}, ["row 11 (line 12)", "infinite"]),
    "target minus": ("a.csv", csv("x,-"), {}, ["row 11 (line 12)", "'-'"]),
    "target a long number": ("a.csv", csv("x," + LONG_NUMBER), {}, ["row 11 (line 12)"]),
    "target emoji": ("a.csv", csv("x,😀"), {}, ["row 11 (line 12)", "😀"]),
    "targets all missing": ("a.csv", b"text,target\n" + b"x,\n" * 9, {}, ["row 1", "8 more", "empty"]),
    "texts all missing": ("a.csv", b"text,target\n" + b",1\n" * 9, {}, ["row 1", "8 more", "empty"]),
    "text of spaces": ("a.csv", csv(" \u3000\u00a0\t,1"), {}, ["'text', row 11 (line 12)", "empty"]),
    "texts are numbers": ("a.csv", b"text,target\n" + b"1,2\n" * 9, {}, ["row 1", "expected a text", "text="]),
    "texts are truth values": ("a.csv", b"text,target\n" + b"true,2\n" * 9, {}, ["row 1", "expected a text"]),
    "texts are dates": ("a.csv", b"text,target\n" + b"2020-01-01,2\n" * 9, {}, ["row 1", "expected a text"]),
    "one row": ("a.csv", b"text,target\nx,1.5\n", {}, ["1 rows", "too few"]),
    "two columns of a name in another case": ("a.csv", b"text,TARGET,Target\nx,1,2\n", {}, ["'TARGET', 'Target'"]),
    "text named twice over": ("a.csv", csv(), {"text": "nothing"}, ["'nothing'", "present"]),
    "text a number": ("a.csv", csv(), {"text": 3}, ["3"]),
    "target a list": ("a.csv", csv(), {"target": ["target"]}, ["target"]),
    "task a number": ("a.csv", csv(), {"task": 1}, ["task is 1"]),
    "folds a text": ("a.csv", csv(), {"num_folds": "5"}, ["num_folds is '5'"]),
    "folds not a number": ("a.csv", csv(), {"num_folds": math.nan}, ["num_folds is nan"]),
    "folds without end": ("a.csv", csv(), {"num_folds": 10**30}, ["too few for"]),
    "seed too large": ("a.csv", csv(), {"seed": 2**32}, ["seed is 4294967296"]),
    "seed a text": ("a.csv", csv(), {"seed": "a"}, ["seed is 'a'"]),
    "tsv with an open quote": ("a.tsv", b'text\ttarget\n"x\t1\t2\n', {}, ["a.tsv", "row 1 (line 2)"]),
    "tsv with spaces": ("a.tsv", b"text    target\nx    1\n", {}, ["a.tsv"]),
    "tsv in UTF-16": ("a.tsv", "text\ttarget\nx\t1\n".encode("utf-16"), {}, ["a.tsv", "utf-16"]),
    "JSONL a word": ("a.jsonl", jsonl("word"), {}, ["line 11", "JSON"]),
    "JSONL a number": ("a.jsonl", jsonl("7"), {}, ["line 11", "column names"]),
    "JSONL null": ("a.jsonl", jsonl("null"), {}, ["line 11", "column names"]),
    "JSONL a text": ("a.jsonl", jsonl('"x"'), {}, ["line 11", "column names"]),
    "JSONL two in a line": ("a.jsonl", jsonl('{"text": "a", "target": 1} {"text": "b", "target": 2}'), {},
        ["line 11"]),
    "JSONL with commas": ("a.jsonl", jsonl('{"text": "a", "target": 1},'), {}, ["line 11", "JSON"]),
    "JSONL single quotes": ("a.jsonl", jsonl("{'text': 'a', 'target': 1}"), {}, ["line 11", "JSON"]),
    "JSONL a trailing comma": ("a.jsonl", jsonl('{"text": "a", "target": 1,}'), {}, ["line 11", "JSON"]),
    "JSONL a control character": ("a.jsonl", jsonl('{"text": "a\x01", "target": 1}'), {}, ["line 11", "JSON"]),
    "JSONL deep": ("a.jsonl", jsonl(DEEP), {}, ["line 11"]),
    "JSONL deep in a column": ("a.jsonl", jsonl('{"text": ' + "[" * 5000 + "]" * 5000 + "}"), {}, ["line 11"]),
    "JSONL text an object": ("a.jsonl", jsonl('{"text": {"a": 1}, "target": 1}'), {}, ["row 11 (line 11)", "dict"]),
    "JSONL text a list": ("a.jsonl", jsonl('{"text": ["a"], "target": 1}'), {}, ["row 11 (line 11)", "list"]),
    "JSONL text false": ("a.jsonl", jsonl('{"text": false, "target": 1}'), {}, ["row 11 (line 11)", "bool"]),
    "JSONL target an object": ("a.jsonl", jsonl('{"text": "a", "target": {}}'), {}, ["row 11 (line 11)"]),
    "JSONL target Infinity": ("a.jsonl", jsonl('{"text": "a", "target": Infinity}'), {}, ["row 11", "infinite"]),
    "JSONL empty object": ("a.jsonl", jsonl("{}"), {}, ["row 11 (line 11)", "empty"]),
    "JSONL empty objects": ("a.jsonl", b"{}\n" * 9, {}, ["a.jsonl"]),
    "JSONL empty name": ("a.jsonl", b'{"": 1}\n' * 9, {}, ["a.jsonl"]),
    "JSONL in UTF-16": ("a.jsonl", jsonl().decode().encode("utf-16"), {}, ["a.jsonl", "UTF-16"]),
    "JSONL surrogate in a name": ("a.jsonl", b'{"text\\ud800": "a", "target": 1}\n' * 9, {}, ["a.jsonl"]),
    "JSON cut": ("a.json", b'[{"text": "a", "target": 1', {}, ["a.json", "line 1", "JSON"]),
    "JSON deep": ("a.json", DEEP.encode(), {}, ["a.json"]),
    "JSON an object of lists": ("a.json", b'{"text": ["a"], "target": [1]}', {}, ["a.json"]),
    "JSON a number": ("a.json", b"7", {}, ["a.json"]),
    "JSON null": ("a.json", b"null", {}, ["a.json"]),
    "JSON list of lists": ("a.json", b'[["a", 1]]', {}, ["item 1"]),
    "JSON list with null": ("a.json", b'[{"text": "a", "target": 1}, null]', {}, ["item 2"]),
    "JSON two documents": ("a.json", b"[]\n[]", {}, ["a.json", "line 2"]),
    "ndjson garbage": ("a.ndjson", b"%PDF-1.4", {}, ["a.ndjson", "line 1"]),
    "Parquet of NULs": ("a.parquet", bytes(1000), {}, ["a.parquet", "damaged"]),
    "Parquet called csv.parquet": ("a.parquet", csv(), {}, ["a.parquet", "damaged"]),
    "workbook an empty archive": ("a.xlsx", zipped(), {}, ["a.xlsx", "damaged"]),
    "workbook another archive": ("a.xlsx", zipped(a="b"), {}, ["a.xlsx", "damaged"]),
    "workbook of text": ("a.xlsx", csv(), {}, ["a.xlsx", "damaged"]),
    "an ending in another alphabet": ("a.ксв", csv(), {}, ["'.ксв'"]),
    "a double ending": ("a.csv.gz", csv(), {}, ["'.gz'"]),
    "an old workbook": ("a.xls", b"x", {}, ["'.xls'"]),
    "a pickle": ("a.pkl", b"cos\nsystem\n(S'touch ran'\ntR.", {}, ["'.pkl'"]),
    "a nameless file": (".csv", csv(), {}, ["''"]),
    "classes of objects": ("a.jsonl", jsonl('{"text": "a", "target": []}'), {"task": "classification"}, ["classes"]),
}  # fmt: skip


def binary_files():
    """Return cases as in FILES whose content takes pandas and openpyxl to make."""
    good_parquet, good_workbook = (
        form(text=[f"t{i}" for i in range(10)], target=np.arange(10.0)) for form in (parquet, workbook)
    )
    return {
        "a workbook called csv": ("a.csv", good_workbook, {}, ["a.csv"]),
        "a Parquet file called csv": ("a.csv", good_parquet, {}, ["a.csv"]),
        "Parquet cut": ("a.parquet", good_parquet[:-20], {}, ["a.parquet", "damaged"]),
        "Parquet without its head": ("a.parquet", good_parquet[40:], {}, ["a.parquet"]),
        "Parquet with a hole": ("a.parquet", good_parquet[:60] + bytes(40) + good_parquet[100:], {}, ["a.parquet"]),
        "Parquet without rows": ("a.parquet", parquet(text=[], target=[]), {}, ["a.parquet", "no rows"]),
        "Parquet without columns": ("a.parquet", parquet(), {}, ["a.parquet"]),
        "Parquet texts are bytes": ("a.parquet", parquet(text=[t.encode() for t in TWENTY], target=range(20)), {},
            ["bytes"]),
        "Parquet texts are lists": ("a.parquet", parquet(text=[[t] for t in TWENTY], target=range(20)), {}, ["row 1"]),
        "Parquet targets are dates": ("a.parquet", parquet(text=TWENTY, target=pd.date_range("2020", periods=20)),
                                      {"task": "regression"}, ["row 1", "2020"]),
        "Parquet targets are lists": ("a.parquet", parquet(text=TWENTY, target=[[1]] * 20), {"task": "regression"},
            ["row 1"]),
        "Parquet targets are objects": ("a.parquet", parquet(text=TWENTY, target=[{"a": 1}] * 20),
                                        {"task": "regression"}, ["row 1"]),
        "Parquet text null": ("a.parquet", parquet(text=[*TWENTY, None], target=range(21)), {}, ["row 21", "empty"]),
        "workbook cut": ("a.xlsx", good_workbook[:-200], {}, ["a.xlsx", "damaged"]),
        "workbook without rows": ("a.xlsx", workbook(text=[], target=[]), {}, ["a.xlsx", "no rows"]),
        "workbook without anything": ("a.xlsx", workbook(), {}, ["a.xlsx", "no rows"]),
        "workbook of an error": ("a.xlsx", workbook(text=TWENTY, target=["#DIV/0!"] + [1.5] * 19), {},
            ["row 1 (sheet row 2)"]),
        "workbook a date": ("a.xlsx", workbook(text=TWENTY, target=pd.date_range("2020", periods=20)),
                            {"task": "regression"}, ["sheet row 2"]),
    }  # fmt: skip


@pytest.mark.fault("malformed data file")
def test_a_malformed_file_is_refused_by_its_place(case):
    for title, (name, content, arguments, fragments) in {**FILES, **binary_files()}.items():
        with case(title) as folder:
            (folder / name).write_bytes(content)
            with refused(DataError, *fragments):
                ft.load_data(folder / name, **arguments)
            assert [path.name for path in folder.iterdir()] == [name]


def sources():
    return [
        "", " ", ".", "..", "/", "\0", "a\0.csv", "~nobody/a.csv", "~", "a" * 300 + ".csv", "é" * 200 + ".csv",
        "a/" * 1000,
        "http://127.0.0.1:9/a.csv", "s3://a/b.csv", "file:///etc/passwd", "/dev/null", "\ud800.csv", "a.csv\n", "*.csv",
        b"passages", 0, 1.5, True, [], {}, ("passages",), object(), np.zeros(3), pd.Series([1]), pd.DataFrame(),
        pd.DataFrame({"text": []}), pd.DataFrame({"text": ["a"] * 9}), pd.DataFrame([["a", 1]] * 9),
        pd.DataFrame({"text": ["a"] * 9, "target": [object()] * 9}), pd.DataFrame({"text": [object()] * 9,
        "target": range(9)}),
        pd.DataFrame({"text": TWENTY, "target": [1 + 2j] * 20}), pd.DataFrame({("text", 1): TWENTY, ("target",
        1): range(20)}),
        pd.DataFrame({"text": TWENTY, "target": [Decimal("NaN")] * 20}),
        pd.DataFrame({"text": TWENTY, "target": [Decimal("sNaN")] * 20}),
    ]  # fmt: skip


@pytest.mark.fault("malformed data file")
def test_what_is_no_source_is_refused(case):
    for number, source in enumerate(sources()):
        with case(number):
            with refused(DataError):
                ft.load_data(source)


@pytest.mark.fault("random bytes as a data file")
@pytest.mark.filterwarnings("ignore:.*standard deviation:UserWarning")
@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet", "xlsx"])
def test_damaged_files_are_read_or_refused(tmp_path, ending, tries):
    """A good file with holes, cuts and noise in it: nothing but a Data or a DataError ever comes out."""
    frame = pd.DataFrame({"text": TWENTY, "target": np.arange(20.0)})
    good = {
        "csv": frame.to_csv(index=False).encode(),
        "tsv": frame.to_csv(index=False, sep="\t").encode(),
        "json": frame.to_json(orient="records").encode(),
        "jsonl": frame.to_json(orient="records", lines=True).encode(),
        "parquet": parquet(**frame),
        "xlsx": workbook(**frame),
    }[ending]
    chance = random.Random(ending)
    path = tmp_path / f"a.{ending}"
    for _ in range(60):
        content = bytearray(good)
        for _ in range(chance.choice([1, 1, 2, 8])):
            at = chance.randrange(len(content))
            noise = chance.randbytes(chance.choice([1, 1, 4, 30]))
            content[at : at + chance.choice([0, len(noise)])] = noise
        path.write_bytes(content[: chance.choice([None, None, chance.randrange(len(content))])])
        try:
            data = ft.load_data(path)
        except DataError as error:
            assert path.name in str(error)
        else:
            assert len(data) == len(data.targets)
    tries(60)


# ---------------------------------------------------------------------------------- names, and texts of all kinds


@pytest.mark.fault("odd file name or text")
def test_files_and_folders_of_any_name(case, capsys):
    names = ["a b  c", " lead", "naïve – ‘quoted’", "данные", "数据", "نص", "a'b\"c", "-rf", "$HOME", "%s{}", "a" * 200,
             "é" * 110]  # fmt: skip
    for name in names:
        with case(name) as folder:
            use_the_name(folder / name, name, capsys)


def use_the_name(folder, name, capsys):
    """Give a folder, and files of each kind in it, this name, and read all of them."""
    folder.mkdir()
    (folder / f"{name}.csv").write_bytes(csv())
    assert len(ft.load_data(folder / f"{name}.csv")) == 10
    save_checkpoint(folder / "c", 1, {"model": {}}, {"step": 1})
    assert load_checkpoint(folder / "c")[1] == {"step": 1}
    study.cells.write_lines(folder / f"{name}.jsonl", [CELL])
    assert len(results.load_cells(folder / f"{name}.jsonl")) == 1
    (folder / f"{name}.json").write_text(ft.Recipe(lr=1e-5).to_json())
    assert main(["preview", "--recipe", str(folder / f"{name}.json"), "--out", str(folder / f"{name}.png")]) == 0
    assert (folder / f"{name}.png").stat().st_size > 1000
    assert capsys.readouterr().err == ""


LONG = 1_000_000  # characters
TEXTS = {
    "a million letters": "a" * LONG,
    "a million characters": "word " * (LONG // 5),
    "a million line breaks": "a" + "\n" * LONG + "b",
    "a million of Chinese": "文" * 100_000 + "a" * (LONG - 100_000),
    "a million emoji and letters": "😀" * 50_000 + "a" * (LONG - 50_000),
    "a family": "👩‍👩‍👧‍👦 " * 50,
    "right to left": "שלום עולם، مرحبا بالعالم",
    "both ways": "abc \u202eשלום\u202c def",
    "NUL": "a\0b",
    "NULs": "a" + "\0" * 1000,
    "combining": "e" + "\u0301" * 5000,
    "controls": "a\x01\x02\x1b[31m\x7f\x85\u2028\u2029",
    "a mark inside": "a\ufeffb",
    "not a character": "a\uffff\U0010ffff",
    "quotes and commas": "He said: \"a, b\",\r\n'c'; d\te\\",
    "formula": "=HYPERLINK(1)",
    "spaces of all kinds": "a\u00a0\u2003\u3000\u200bb",
}


@pytest.mark.fault("odd file name or text")
def test_texts_of_all_kinds_are_kept_and_tokenised(case):
    tokenizer = load_tokenizer("minilm")
    for title, text in TEXTS.items():
        with case(title) as folder:
            frame = pd.DataFrame({"text": [text, *(f"text {i}" for i in range(9))], "target": np.arange(10.0)})
            frame.to_json(folder / "a.jsonl", orient="records", lines=True)
            data = ft.load_data(folder / "a.jsonl")
            assert data.texts == frame["text"].tolist()
            rows = data.tokenise(tokenizer, 16)
            assert 2 < rows["length"][0] <= 16


@pytest.mark.fault("odd file name or text")
def test_blank_texts_are_refused(case):
    for text in ("", " ", "\t\n\r", "\u3000", "\u00a0" * 1000, " " * LONG):
        frame = pd.DataFrame({"text": [*(f"text {i}" for i in range(9)), text], "target": np.arange(10.0)})
        with case(ascii(text[:9])):
            with refused(DataError, "'text', row 10: the text is empty"):
                ft.load_data(frame)


@pytest.mark.fault("100,000 rows in bounded memory")
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_hundred_thousand_rows_in_bounded_memory(tmp_path, ending):
    """At most eight times the file: bytes, Arrow, pandas and Python hold a copy each for a moment."""
    import pyarrow as pa

    rows = 100_000
    path = tmp_path / f"a.{ending}"
    texts = [f"The text of row {i}. " + "Some words to fill it up with. " * 8 for i in range(rows)]
    if ending == "parquet":
        pd.DataFrame({"text": texts, "target": np.arange(rows) / rows}).to_parquet(path, compression=None)
    else:
        with path.open("w") as file:
            if ending == "csv":
                file.write("text,target\n")
            line = '{{"text": "{}", "target": {}}}\n' if ending == "jsonl" else "{},{}\n"
            file.writelines(line.format(text, i / rows) for i, text in enumerate(texts))
    size = rows * len(texts[0]) / 2**20
    del texts
    pa.default_memory_pool().release_unused()
    restart_peak()
    before = _resident()
    if before is None:
        pytest.skip("the system does not tell the memory of a process")
    data = ft.load_data(path)
    assert len(data) == rows
    assert peak_of_process() / 2**20 - before < 8 * size + 100


def _resident():
    """Return the memory of this process in MiB, None where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    except (OSError, StopIteration):
        return None


# ----------------------------------------------------------------------------------------------------------- recipes

HUGE = 10**400  # no float holds it
NUMBERS = ["dropout", "lr", "head_lr", "layer_decay", "weight_decay", "max_grad_norm", "warmup", "swa_start", "swa_lr"]
WHOLES = [
    "max_length", "epochs", "batch_size", "gradient_accumulation_steps", "reinit_layers", "swa_anneal_steps",
        "eval_every",
    "patience", "seed",
]  # fmt: skip
WRONG = [HUGE, -HUGE, Fraction(-1, 3), Decimal(1), 1j, "1", b"1", [1], (1,), {1}, {}, object, np.array([1, 2]), np.nan]


ALLOWED = {("model", 5), ("group_lrs", 7), ("group_lrs", 8), ("group_lrs", 9), ("group_lrs", 12)}


@pytest.mark.fault("malformed recipe")
def test_wrong_values_are_refused_by_the_name_of_the_field(case):
    for field in (*NUMBERS, *WHOLES, "model", "head", "optimizer", "schedule", "loss", "group_lrs"):
        for number, value in enumerate(WRONG):
            if (field, number) not in ALLOWED:
                with case(f"{field}, {number}"):
                    with refused(RecipeError, field):
                        ft.Recipe(**{field: value})


RECIPES = {
    "deep": (DEEP, ["JSON"]),
    "deep value": ('{"schedule_args": ' + '{"a": ' * 20_000, ["JSON"]),
    "cut": ('{"lr": 1e-5', ["JSON"]),
    "a comment": ('{"lr": 1e-5} // fast', ["JSON"]),
    "single quotes": ("{'lr': 1e-5}", ["JSON"]),
    "a mark": ("\ufeff{}", ["JSON"]),
    "NUL": ("\0", ["JSON"]),
    "a number": ("7", ["int"]),
    "a text": ('"lr"', ["str"]),
    "true": ("true", ["bool"]),
    "a list of pairs": ('[["lr", 1e-5]]', ["list"]),
    "a long number": ('{"lr": ' + LONG_NUMBER + "}", ["JSON"]),
    "a huge number": ('{"lr": ' + str(HUGE) + "}", ["lr"]),
    "a huge whole number": ('{"epochs": ' + str(HUGE) + "}", ["epochs"]),
    "infinite": ('{"lr": 1e999}', ["lr"]),
    "Infinity": ('{"lr": -Infinity}', ["lr"]),
    "a float for a count": ('{"epochs": 3.0}', ["epochs"]),
    "a text for a number": ('{"lr": "1e-5"}', ["lr"]),
    "a list for a text": ('{"model": ["minilm"]}', ["model"]),
    "an object for a text": ('{"optimizer": {"name": "adamw"}}', ["optimizer"]),
    "null for a text": ('{"model": null}', ["model"]),
    "a blank model": ('{"model": "\\t"}', ["model"]),
    "an empty name": ('{"": 1}', ["no such field"]),
    "a name in another case": ('{"LR": 1e-5}', ["LR", "no such field"]),
    "a private name": ('{"__class__": 1}', ["__class__"]),
    "self": ('{"self": 1}', ["self"]),
    "self of a dataclass": ('{"obj": 1}', ["obj"]),
    "rates of rates": ('{"group_lrs": [[1e-5]]}', ["group_lrs[0]"]),
    "rates with null": ('{"group_lrs": [1e-5, null]}', ["group_lrs[1]"]),
    "rates of text": ('{"group_lrs": ["1e-5"]}', ["group_lrs[0]"]),
    "arguments a list": ('{"schedule": "cosine", "schedule_args": [1]}', ["schedule_args"]),
    "an argument of a list": ('{"schedule": "cosine", "schedule_args": {"num_cycles": [1]}}', ["num_cycles"]),
    "a huge argument": ('{"schedule": "cosine", "schedule_args": {"num_cycles": ' + str(HUGE) + "}}", ["num_cycles"]),
    "an argument null": ('{"schedule": "polynomial", "schedule_args": {"power": null}}', ["power"]),
    "an argument twice": ('{"schedule": "cosine", "schedule_args": {"num_cycles": 1}, "schedule": "linear"}',
                          ["linear", "num_cycles"]),
}  # fmt: skip


@pytest.mark.fault("malformed recipe")
def test_malformed_json_is_refused(case, capsys):
    for title, (text, fragments) in RECIPES.items():
        with case(title) as folder:
            with refused(RecipeError, *fragments):
                ft.Recipe.from_json(text)
            (folder / "recipe.json").write_text(text, encoding="utf-8")
            assert_one_line(["preview", "--recipe", "recipe.json"], capsys, folder)


def test_what_but_refuses():
    for changes in ({"self_": 1}, {"lr ": 1}, {"lr\0": 1}, {"": 1}):
        with refused(RecipeError, "no such field"):
            ft.Recipe().but(**changes)


# ------------------------------------------------------------------------------------------------------------- panels

PANELS = ("SchedulePanel", "WarmupPanel", "LLRDPanel", "SWAPanel", "FrequentEvalPanel", "BertAdamPanel", "MemoryPanel",
          "ReinitPanel")  # fmt: skip
VALUES = [
    math.nan,
    math.inf,
    -math.inf,
    HUGE,
    -HUGE,
    -1e9,
    1e30,
    "",
    "word",
    b"1",
    [],
    {},
    (),
    object(),
    1j,
    Decimal(1),
]


@pytest.fixture(scope="module")
def made():
    """One of each panel; what is refused must leave it as it is."""
    model = tiny_model(ft.Recipe(), task="regression", labels=None, num_layers=6)
    return {name: getattr(panels, name)(**{"model": model} if name == "ReinitPanel" else {}) for name in PANELS}


@pytest.mark.fault("wrong value in a panel")
def test_wrong_values_in_a_panel_change_nothing(made, case):
    for name, panel in made.items():
        before, picture = {n: c.value for n, c in panel.controls.items()}, panel.svg
        for control in panel.controls:
            for number, value in enumerate(VALUES):
                with case(f"{name}, {control}, {number}"):
                    with refused(RecipeError, f"{control}: ", "allowed"):
                        panel.set(**{control: value})
        with case(name):
            with refused(RecipeError, "no such control"):
                panel.set(nothing=1)
            assert {n: c.value for n, c in panel.controls.items()} == before and panel.svg == picture


@pytest.mark.fault("wrong value in a panel")
def test_a_panel_of_what_is_not_a_recipe_is_refused(case):
    for name in (name for name in PANELS if name not in ("MemoryPanel", "ReinitPanel")):
        for recipe in (3, "minilm", {"lr": 1e-5}, []):
            with case(f"{name}, {recipe}"), pytest.raises((FtlabError, AttributeError)):
                getattr(panels, name)(recipe)


# ------------------------------------------------------------------------------------------------------- command line


def assert_one_line(argv, capsys, folder):
    """Assert that a command ends in a status and an error of ftlab or argparse, and leaves no file."""
    before = sorted(folder.rglob("*"))
    try:
        status = main([str(word) for word in argv])
    except SystemExit as stop:
        status = stop.code
    out, err = capsys.readouterr()
    assert status == 2, (status, out, err)
    assert "error: " in err and "Traceback" not in err + out
    assert err.startswith("usage: ") or err.count("\n") == 1, err
    assert sorted(folder.rglob("*")) == before


FIT = ["fit", "--epochs", "1", "--quiet"]
STUDY = ["study", "--storage", "sqlite:///STORE/s.db", "--recipes", "baseline", "--folds", "1", "--seeds", "1"]
COMMANDS = [
    [], ["nothing"], ["fit", "study"], ["--version"], ["fit", "--nothing"], ["preview", "extra"], [""], ["results"],
    [*FIT, "--data"], [*FIT, "--data", ""], [*FIT, "--data", "nothing"], [*FIT, "--data", "nothing.csv"],
    [*FIT, "--data", "."], [*FIT, "--data", "/"], [*FIT, "--data", "~nobody/a.csv"], [*FIT, "--data", "x" * 5000],
    [*FIT, "--data", "bad.csv"], [*FIT, "--data", "good.csv", "--text", "nothing"], [*FIT, "--data", "empty.csv"],
    [*FIT, "--data", "good.csv", "--target", "nothing"], [*FIT, "--task", "ranking"], [*FIT, "--data", "commonlit"],
    [*FIT, "--data", "good.csv", "--target", "text", "--text", "text"], [*FIT, "--target", "excerpt"],
    [*FIT, "--fold"], [*FIT, "--fold", ""], [*FIT, "--fold", "-1"], [*FIT, "--fold", "5"], [*FIT, "--fold", "1.5"],
    [*FIT, "--fold", "ALL"], [*FIT, "--fold", str(HUGE)], [*FIT, "--fold", LONG_NUMBER], [*FIT, "--fold", "nan"],
    [*FIT, "--model", ""], [*FIT, "--model", "\t"], [*FIT, "--model", "3"], [*FIT, "--head", "x"],
    [*FIT, "--loss", "rmse", "--data", "classes.csv"], [*FIT, "--reinit_layers", "99"], [*FIT, "--swa_start", "1"],
    [*FIT, "--group_lrs", "[1,1,1,1,1,1,1,1,1]"], [*FIT, "--out", "good.csv"], [*FIT, "--out", "folder"],
    [*FIT, "--out", "good.csv/run"], [*FIT, "--fold", "all", "--out", "folder"],
    [*FIT, "--checkpoint-dir", "good.csv"], [*FIT, "--checkpoint-dir", "good.csv/c"], [*FIT, "--resume"],
    [*FIT, "--recipe", "nothing.json"], [*FIT, "--recipe", "folder"], [*FIT, "--recipe", "bad.csv"],
    [*FIT, "--recipe", "x" * 5000], [*FIT, "--recipe", "good.csv"], [*FIT, "--paper", ""],
    [*FIT, "--paper", "nothing"],
    ["preview", "--steps_per_epoch", "0"], ["preview", "--steps_per_epoch", "-3"],
    ["preview", "--steps_per_epoch", "x"],
    ["preview", "--steps_per_epoch", "1.5"], ["preview", "--num_layers", "0"], ["preview", "--num_layers", "-1"],
    ["preview", "--points", "0"], ["preview", "--points", "-1"], ["preview", "--points", "x"],
    ["preview", "--model", "nothing"], ["preview", "--out", "rates.nothing"],
    ["preview", "--out", "nothing/rates.png"], ["preview", "--out", "good.csv/rates.png"],
    ["preview", "--out", "x" * 5000],
    ["preview", "--warmup", "1000"], ["preview", "--reinit_layers", "7"], ["preview", "--swa_start", "4"],
    ["preview", "--group_lrs", "[]"], ["preview", "--group_lrs", "[1e-5"], ["preview", "--schedule_args", "{"],
    ["preview", "--schedule_args", "{'power': 1}"], ["preview", "--schedule_args", "{[]: 1}"],
    ["preview", "--schedule_args", "{{}: 1}"], ["preview", "--lr", "{[]}"], ["preview", "--lr", "1e-5e"],
    ["preview", "--lr", ""], ["preview", "--lr", "None"], ["preview", "--lr", "true"], ["preview", "--lr", "1_"],
    ["preview", "--lr", "__import__('os').mkdir('ran')"], ["preview", "--lr", "(" * 5000], ["preview", "--lr", DEEP],
    ["preview", "--lr", "-" * 50_000 + "1"], ["preview", "--lr", LONG_NUMBER], ["preview", "--lr", str(HUGE)],
    ["preview", "--lr", "1e999"], ["preview", "--lr", "nan"], ["preview", "--epochs", "1e3"],
    ["preview", "--epochs", "x"],
    ["preview", "--epochs", "0"], ["preview", "--epochs", str(2**31)], ["preview", "--seed", "-1"],
    ["preview", "--lr", "--epochs"], ["preview", "--lr", "'\\ud800'"], ["preview", "--lr", "b'1'"],
    ["preview", "--lr", "1if 2else 3"],
    [*STUDY, "--recipes", "nothing"], [*STUDY, "--recipes", "bad.csv"], [*STUDY, "--recipes", "folder"],
    [*STUDY, "--recipes", "list.json"], [*STUDY, "--recipes", "deep.json"], [*STUDY, "--recipes", "wrong.json"],
    [*STUDY, "--recipes", "none.json"], [*STUDY, "--recipes", "x" * 5000], [*STUDY, "--recipes", ""],
    [*STUDY, "--folds", "6"], [*STUDY, "--folds", "-1"], [*STUDY, "--folds", "0", "0"], [*STUDY, "--folds", "x"],
    [*STUDY, "--seeds", "0"], [*STUDY, "--seeds", "-1"], [*STUDY, "--seeds", "1", "1"],
    [*STUDY, "--seeds", str(10**12)],
    [*STUDY, "--seeds", LONG_NUMBER], [*STUDY, "--n_train", "0"], [*STUDY, "--n_train", "-5"],
    [*STUDY, "--n_train", "100000"], [*STUDY, "--n_train", "most"], [*STUDY, "--n_train", str(HUGE)],
    [*STUDY, "--max_cells", "-1"], [*STUDY, "--max_cells", "x"], [*STUDY, "--storage", "nothing"],
    [*STUDY, "--storage", ""], [*STUDY, "--storage", "sqlite://"],
    [*STUDY, "--storage", "sqlite:///:memory:"], [*STUDY, "--storage", "sqlite:///nothing/s.db"],
    [*STUDY, "--storage", "sqlite:///bad.csv"],
    [*STUDY, "--storage", "nothing://x"], [*STUDY, "--storage", "sqlite:///folder"],
    [*STUDY, "--out", "bad.csv"], [*STUDY, "--out", "folder"], [*STUDY, "--out", "latin.jsonl"],
    [*STUDY, "--out", "list.json"], [*STUDY, "--out", "deep.json"], [*STUDY, "--data", "nothing"],
    [*STUDY, "--search", "lr"], [*STUDY, "--search", "lr="], [*STUDY, "--search", "=1:2"],
    [*STUDY, "--search", "lr=1:2:3"],
    [*STUDY, "--search", "lr=2:1"], [*STUDY, "--search", "lr=1:1"], [*STUDY, "--search", "lr=a:b"],
    [*STUDY, "--search", "lr=0:1:log"], [*STUDY, "--search", "lr=-1:1"], [*STUDY, "--search", "nothing=1:2"],
    [*STUDY, "--search", "optimizer=adam,sgd"], [*STUDY, "--search", "lr=1:nan"],
    [*STUDY, "--search", "epochs=1:1.5"],
    [*STUDY, "--search", "lr=1e-5:1e-3", "--trials", "0"], [*STUDY, "--search", "lr=1e-5:1e-3", "--trials", "x"],
    [*STUDY, "--search", "lr=1e-5:1e-3", "--trials", "-3"], [*STUDY, "--search", "lr=1e-5:1e-3", "--folds", "9"],
    ["results", "nothing.jsonl"], ["results", "folder"], ["results", "bad.csv"], ["results", "empty.csv"],
    ["results", "list.json"], ["results", "deep.json"], ["results", "latin.jsonl"], ["results", "x" * 5000],
    ["results", "cells.jsonl", "--baseline", "nothing"], ["results", "cells.jsonl", "nothing.jsonl"],
]  # fmt: skip


def fill(folder):
    """Put the files that COMMANDS name into a folder."""
    (folder / "folder" / "fold-0").mkdir(parents=True)
    files = {
        "good.csv": csv(),
        "bad.csv": b'\x00\xff\xfe,\n"',
        "empty.csv": b"",
        "classes.csv": b"text,label\n" + b"".join(b"t%d,%s\n" % (i, [b"a", b"b"][i % 2]) for i in range(120)),
        "list.json": b"[1, 2]",
        "deep.json": DEEP.encode(),
        "wrong.json": b'{"a": {"lr": "fast"}}',
        "none.json": b"{}",
        "latin.jsonl": b'{"name": "caf\xe9"}\n',
        "cells.jsonl": json.dumps({**CELL, "name": "llrd"}).encode(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)


@pytest.mark.fault("wrong command line")
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_a_wrong_command_ends_in_a_line_and_leaves_nothing(case, capsys, tmp_path_factory, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # a storage that fails is tried again at once
    store = str(tmp_path_factory.mktemp("store"))
    for number, command in enumerate(COMMANDS):
        with case(f"{number}: {' '.join(command)[:60]}") as folder:
            fill(folder)
            assert_one_line([str(word).replace("STORE", f"{store}/{number}") for word in command], capsys, folder)


words = st.sampled_from(
    ["--lr", "--epochs", "--layer_decay", "--group_lrs", "--schedule", "--schedule_args", "--warmup", "--seed",
    "--points",
     "--steps_per_epoch", "--num_layers", "--paper", "1", "0", "-1", "0.5", "1e-5", "cosine", "None", "[1e-5]",
         "{}", "x", ""]
) | st.text(max_size=4)  # fmt: skip


@pytest.mark.fault("wrong command line")
@settings(max_examples=80)
@given(st.lists(words, max_size=5))
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
def test_any_words_end_in_a_status(arguments):
    try:
        assert main(["preview", *arguments]) in (0, 2)
    except SystemExit as stop:
        assert stop.code in (0, 2)


# ------------------------------------------------------------------------------------------ result files, histories

CELL = {
    "name": "baseline", "changes": {}, "data": "passages", "metric": "rmse", "fold": 0, "seed": 0, "n_train": None,
    "status": "completed", "validation": 0.5, "test": 0.6, "swa_test": None,
    "evals": [{"step": 27, "validation": 0.5, "swa_validation": None, "seconds": 1.0}], "loss": [1.0, 0.5],
    "grad_norm": [1.0, 1.0], "seconds": 10.0, "evaluation_seconds": 1.0, "cpu_seconds": 9.0, "load_before": 0.1,
    "peak_memory_mib": 500, "versions": {}, "cell": "baseline/0/0/x",
}  # fmt: skip
CELL_VALUES = {
    "name": [None, "", " ", 3, [], {}],
    "changes": [None, "", [], 3, {"nothing": 1}, {"lr": "fast"}, {"lr": HUGE}, {"self": 1}, {"": 1}],
    "data": [None, "", 3, []],
    "metric": [None, "", "accuracy", 3, [], {}],
    "fold": [None, "0", -1, 0.0, True, [], math.nan],
    "seed": [None, "0", -1, 1.5, False, {}],
    "n_train": ["100", -1, 1.5, True, []],
    "status": [None, "", "done", "interrupted", 3, [], {}],
    "validation": ["0.5", True, [], {}, HUGE],
    "test": ["0.5", False, [0.5], {}, -HUGE],
    "swa_test": ["x", True, []],
    "evals": [None, {}, "x", 3, [1], [None], [{}], [{"step": 1}], [{"validation": 1}], [[]],
        [{"step": 1, "validation": "x"}],
              [{"step": "x", "validation": 1.0}], [{"step": 1, "validation": 1.0, "swa_validation": "x"}]],
    "loss": [None, 3, "x", {}],
    "seconds": ["10", True, [], HUGE],
    "load_before": ["0", True, {}],
    "peak_memory_mib": ["1", False, []],
    "preset": [3, True, []],
    "mixed_precision": [16, True, []],
}  # fmt: skip


@pytest.mark.fault("malformed line of a result file")
def test_a_wrong_field_is_refused_by_line_and_name(case, capsys):
    good = json.dumps(CELL)
    for field, values in CELL_VALUES.items():
        for number, value in enumerate(values):
            with case(f"{field}, {number}") as folder:
                (folder / "cells.jsonl").write_text(f"{good}\n\n{json.dumps({**CELL, 'seed': 1, field: value})}\n")
                with refused(DataError, "cells.jsonl, line 3", f"field {field!r}"):
                    results.load_cells("cells.jsonl")
                assert_one_line(["results", "cells.jsonl"], capsys, folder)


LINES = {
    "a missing field": ['{"name": "baseline"}', "line 2", "missing"],
    "a cut line": [json.dumps(CELL)[:-9], "line 2", "JSON"],
    "two cells in a line": [json.dumps(CELL) * 2, "line 2", "JSON"],
    "a list": ["[]", "line 2", "list"],
    "null": ["null", "line 2", "NoneType"],
    "a number": ["7", "line 2", "int"],
    "NUL": ["\0", "line 2", "JSON"],
    "deep": [DEEP, "line 2"],
    "a long number": ['{"fold": ' + LONG_NUMBER + "}", "line 2"],
    "the same cell": [json.dumps(CELL), "line 2", "stands already", "line 1"],
    "a mark of a conflict": ["<<<<<<< HEAD", "line 2", "JSON"],
}


@pytest.mark.fault("malformed line of a result file")
def test_a_wrong_line_is_refused_by_its_number(case):
    for title, (line, *fragments) in LINES.items():
        with case(title) as folder:
            (folder / "cells.jsonl").write_text(f"{json.dumps(CELL)}\n{line}\n")
            with refused(DataError, "cells.jsonl", *fragments):
                results.load_cells(folder / "cells.jsonl")


@pytest.mark.fault("malformed line of a result file")
def test_a_study_refuses_the_same_line_and_keeps_the_file(case):
    for title in (title for title in LINES if title != "the same cell"):
        with case(title) as folder:
            text = f"{json.dumps({**CELL, 'preset': 'tiny'})}\n{LINES[title][0]}\n"
            (folder / "cells.jsonl").write_text(text)
            with refused(DataError, "cells.jsonl", "line 2"):
                make_study(folder)
            assert (folder / "cells.jsonl").read_text() == text


@pytest.mark.fault("malformed line of a result file")
def test_a_study_refuses_a_file_of_another_kind(case):
    for content in (b"\xff\xfe", b"\xe9\n", b"\x00" * 100, parquet(text=TWENTY)):
        with case(content[:4]) as folder:
            (folder / "cells.jsonl").write_bytes(content)
            with refused(DataError, "cells.jsonl"):
                make_study(folder)
            assert (folder / "cells.jsonl").read_bytes() == content


@pytest.mark.fault("malformed line of a result file")
def test_a_study_refuses_a_cell_of_its_own_with_a_wrong_score(case):
    for value in ("x", [], {}, True):
        with case(value) as folder:
            key = next(iter(make_study(folder).cells))
            cell = {**CELL, "preset": "tiny", "cell": key, "validation": value}
            (folder / "cells.jsonl").write_text(json.dumps(cell) + "\n")
            with refused(DataError, "cells.jsonl", "line 1"):
                make_study(folder)


def make_study(folder):
    return study.Study({"baseline": ft.Recipe()}, ft.load_data("passages"), folds=1, seeds=1,
                       storage=f"sqlite:///{folder}/s.db", out=folder / "cells.jsonl")  # fmt: skip


HISTORY = {
    "layers": ["embeddings", "head"], "metric": "rmse", "steps_per_epoch": 2, "total_steps": 4, "swa_step": None,
    "evals": [{"step": 2, "epoch": 1.0, "score": 0.5, "loss": 0.25, "best": True, "seconds": 0.1}],
    "rows": [[1.0, 1.0, 0.1, 1e-5, 1e-5], [0.5, 1.0, 0.2, 1e-5, 1e-5]],
}  # fmt: skip
HISTORY_VALUES = {
    "layers": [None, 3, "ab", [], [1, 2], ["one"]],
    "metric": [None, "", "accuracy", 3, []],
    "steps_per_epoch": [None, "2", 0, -1, 1.5, True, []],
    "total_steps": [None, "4", 0, -1, 1.5, False, {}],
    "swa_step": ["2", 1.5, [], True],
    "evals": [None, 3, {}, [1], [None], ["x"], [{}], [{"step": 2}], [{**HISTORY["evals"][0], "step": "x"}],
              [{**HISTORY["evals"][0], "score": "x"}], [{**HISTORY["evals"][0], "best": "x"}]],
    "rows": [None, 3, "ab", [1], [None], [[1.0]], [["a"] * 5], [[None] * 5], [[[]] * 5], {}],
}  # fmt: skip


@pytest.mark.fault("malformed history")
def test_a_malformed_history_is_refused(case):
    for key, wrong in HISTORY_VALUES.items():
        for number, value in enumerate(wrong):
            values = {**copy.deepcopy(HISTORY), key: value}
            with case(f"{key}, {number}"):
                with refused(CheckpointError, "history"):
                    History.from_dict(values)
                with refused(CheckpointError, "history"):
                    History.from_json(json.dumps(values))
                with refused(CheckpointError, "history"):
                    read_record(values, None)


@pytest.mark.fault("malformed history")
def test_a_history_without_a_part_is_refused(case):
    for key in HISTORY:
        values = {k: v for k, v in HISTORY.items() if k != key}
        with case(key):
            with refused(CheckpointError, "history", key):
                History.from_dict(values)


@pytest.mark.fault("malformed history")
def test_what_is_no_history_is_refused(case):
    for text in ("", "{", "[]", "null", "7", DEEP, "{" + "}" * 3, '{"rows": []}', "\0", "nothing.json", "."):
        with case(text[:12]) as folder:
            with refused(CheckpointError):
                History.from_json(text)
            (folder / "h.json").write_text(text)
            with refused(CheckpointError):
                History.from_json(folder / "h.json")
            if text != "[]":  # to diagnose, an empty log
                with refused(CheckpointError):
                    read_record(folder / "h.json", None)
            with refused(CheckpointError):
                History.from_parquet(folder / "h.json")


RECORDS = [
    None, 3, "nothing.json", "", [], {}, object(), [1],
        [None], {"rows": []}, {"log_history": 3}, {"log_history": None},
    {"log_history": [{"step": 1, "loss": "x"}]}, {"log_history": [{"step": 1, "loss": []}]},
    {"log_history": [{"step": 1, "loss": 1.0, "grad_norm": "x"}]}, {"log_history": [{"step": 1, "eval_loss": {}}]},
]  # fmt: skip
EMPTY = (4, 7, 8)  # a log without an entry is a log: nothing can be said about it


@pytest.mark.fault("malformed history")
def test_what_is_no_record_is_refused_by_diagnose(case):
    for number, record in enumerate(RECORDS):
        with case(number):
            if number in EMPTY:
                ft.diagnose(record)
            else:
                with refused(FtlabError):
                    ft.diagnose(record)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@pytest.mark.fault("malformed history")
@settings(max_examples=100)
@given(st.sampled_from(list(HISTORY)), json_values)
def test_any_value_makes_a_history_or_a_typed_error(key, value):
    try:
        history = History.from_dict({**copy.deepcopy(HISTORY), key: value})
    except CheckpointError:
        return
    history.to_frame()
    assert History.from_json(history.to_json()) == history
    ft.diagnose(history)


@pytest.mark.fault("malformed line of a result file")
@settings(max_examples=60)
@given(st.sampled_from(list(CELL)), json_values)
def test_any_value_makes_a_cell_or_a_typed_error(key, value):
    try:
        results.report([{**CELL, key: value}])
    except FtlabError:
        pass
