"""A table, format by oddity: what is read, and as what; what is refused, and with which words.

The format of a file must not decide what its values mean, and nothing may be lost without a word. Sources:
apache/arrow#46853 and OpenRefine#511 (codes become numbers), johnkerl/miller#1533 (lone quotes), polars#8402 (line
breaks in a header), amaiya/ktrain#346 (multi-label), FluxML/FastAI.jl#153 (no header), and the like.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from ftlab.data.load import load_data
from ftlab.errors import DataError

FORMATS = ["csv", "tsv", "jsonl", "json", "parquet", "xlsx", "frame"]
TYPED = ["jsonl", "json", "parquet", "frame"]  # which tell 1 from "1" and hold lists
ROWS = 30


def write(ending: str, header: list[str], rows: list[list], folder: Path) -> Path | pd.DataFrame:
    """Write rows with another tool than the reader's: text files quote as little as can be, a .tsv file not at all."""
    path = folder / f"odd.{ending}"
    if ending == "frame":
        return pd.DataFrame([*map(list, rows)], columns=header, dtype=None)
    if ending == "csv":
        with open(path, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([header, *rows])
    elif ending == "tsv":
        lines = ("\t".join("" if value is None else str(value) for value in row) for row in [header, *rows])
        path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    elif ending == "jsonl":
        lines = (json.dumps(dict(zip(header, row, strict=True)), ensure_ascii=False) + "\n" for row in rows)
        path.write_text("".join(lines), encoding="utf-8")
    elif ending == "json":
        path.write_text(json.dumps([dict(zip(header, row, strict=True)) for row in rows]), encoding="utf-8")
    elif ending == "parquet":
        columns = [pa.array(list(column)) for column in zip(*rows, strict=True)]
        parquet.write_table(pa.Table.from_arrays(columns, names=header), path)
    else:
        book = openpyxl.Workbook()
        for row in [header, *rows]:
            book.active.append([str(v) if isinstance(v, (list, dict, tuple)) else v for v in row])
        book.save(path)
    return path


def outcome(source, **arguments) -> str:
    """Tell in a line what load_data makes of a source."""
    try:
        data = load_data(source, **arguments)
    except DataError as error:
        return f"refused: {error}"
    assert len(data.frame) == len(data), "the frame holds the rows"
    if data.labels is None:
        return f"{len(data)} quantities {sorted(set(data.targets.tolist()))[:4]}"
    return f"{len(data)} classes {data.labels}"


def check(cases, tmp_path) -> None:
    """Assert every outcome of (name, source or what makes it, arguments, expected); report all that differ."""
    wrong = []
    for name, source, arguments, expected in cases:
        found = outcome(source(tmp_path) if callable(source) else source, **arguments)
        words = [expected] if isinstance(expected, str) else expected
        if not all(word in found for word in words):
            wrong.append(f"{name}: expected {expected!r}, found {found!r}")
        if found.startswith("refused") and len(found) > 800:
            wrong.append(f"{name}: a message of {len(found)} characters: {found[:200]}")
    assert not wrong, "\n" + "\n".join(wrong)


MULTI = ["refused", "row 1", "multi-label"]
DECOMPOSED = unicodedata.normalize("NFD", "é")
ASKED = ["refused", "Pass task='regression' or task='classification'"]

# What the values of a target mean: name, column, values in turn, task, what is made of them in every format, and in
# those formats where it differs.
VALUES: list[tuple] = [
    ("section numbers", "label", ["1.1", "1.10", "2.3"], "classification", "classes ['1.1', '1.10', '2.3']", {}),
    ("section numbers, inferred", "label", ["1.1", "1.10", "2.3"], None, ASKED, {}),
    ("versions", "label", ["1.0", "2.0", "3.0"], "classification", "classes ['1.0', '2.0', '3.0']", {}),
    ("leading zeros", "zip", ["007", "7", "12"], "classification", "classes ['007', '7', '12']", {}),
    ("leading zeros, inferred", "zip", ["007", "7", "12"], None, "classes ['007', '7', '12']", {}),
    ("leading zeros as quantities", "zip", ["007", "7", "12"], "regression", "quantities [7.0, 12.0]", {}),
    ("codes with E", "batch", ["5E0", "5E1", "50"], "classification", "classes ['5E0', '50', '5E1']", {}),
    ("codes with E, inferred", "batch", ["1E2", "2E1", "3E4"], None, "classes ['2E1', '1E2', '3E4']", {}),
    ("codes with e, inferred", "batch", ["1e2", "2e1", "3e4"], None, "classes ['2e1', '1e2', '3e4']", {}),
    ("quantities with e", "size", ["1e-1", "2.5e+0", "0.5"], None, "quantities [0.1, 0.5, 2.5]", {}),
    ("underscores, inferred", "group", ["1_1", "1_2", "2_1"], None, "classes ['1_1', '1_2', '2_1']", {}),
    ("underscores as quantities", "group", ["1_1", "1_2", "2_1"], "regression", "'1_1' is not a number", {}),
    ("full-width digits", "group", ["１", "２", "３"], None, "classes ['１', '２', '３']", {}),
    ("class ids as text", "label", ["0", "1", "2"], None, "classes ['0', '1', '2']", {}),
    ("class ids", "label", [0, 1, 2], None, "classes ['0', '1', '2']", {}),
    ("ratings as text", "rating", ["1", "2", "3"], None, "quantities [1.0, 2.0, 3.0]", {}),
    ("ratings", "rating", [1, 2, 3], None, "quantities [1.0, 2.0, 3.0]", {}),
    ("two whole numbers as text", "rating", ["0", "1"], None, "classes ['0', '1']", {}),
    ("signs", "label", ["+1", "-1"], None, "classes ['-1', '+1']", {}),
    # A workbook stores 1.0 as it stores 1.
    ("floats", "label", [0.0, 1.0, 2.0], None, "quantities [0.0, 1.0, 2.0]", {"xlsx": "classes ['0', '1', '2']"}),
    ("floats as text", "label", ["0.0", "1.0", "2.0"], None, "quantities [0.0, 1.0, 2.0]", {}),
    ("truth values", "spam", [True, False], None, "classes ['False', 'True']", {}),
    ("truth values in small letters", "spam", ["true", "false"], None, "classes ['false', 'true']", {}),
    ("long codes", "id", ["9" * 25, "9" * 24 + "8"], "classification", [f"'{'9' * 24}8', '{'9' * 25}'"], {}),
    (
        "letters composed and not",
        "label",
        ["é", unicodedata.normalize("NFD", "é"), "e"],
        None,
        "classes ['e', 'é']",
        {},
    ),
    ("nan among words", "label", ["nan", "deu", "eng"], None, "classes ['deu', 'eng', 'nan']", {}),
    ("nan among numbers", "label", ["nan", "0", "1"], "classification", "'nan' names no class", {}),
    ("NA is a word", "label", ["NA", "EU", "None"], None, "classes ['EU', 'NA', 'None']", {}),
    ("a missing target", "score", [0.5, None, 1.5], None, "refused", {}),
    ("decimal commas", "score", ["0,5", "1,5", "2,5"], None, "Write it with a decimal point", {}),
    ("dates", "score", ["2020-01-01", "2020-01-02"], "regression", "'2020-01-01' is not a number", {}),
    ("one label a list", "labels", [[1], [2]], None, MULTI, {}),
    ("one-hot lists", "labels", [[0, 1], [1, 0], [1, 1]], None, MULTI, {}),
    ("lists of names", "labels", [["a"], ["a", "b"], []], None, MULTI, {}),
    ("lists as text", "labels", ["['a', 'b']", "['a']", "[]"], None, MULTI, {}),
    ("JSON lists as text", "labels", ['["a", "b"]', '["b"]'], None, MULTI, {}),
    ("arrays as text", "labels", ["[0 1 0]", "[1 0 0]"], None, MULTI, {}),
    ("floats in lists as text", "labels", ["[0.1, 0.9]", "[1., 0.]"], None, MULTI, {}),
    ("bare lists as text", "labels", ["[a, b]", "[b, c]"], None, MULTI, {}),
    ("arrays of PostgreSQL", "labels", ["{a,b}", "{b}", "{}"], None, MULTI, {}),
    ("tuples as text", "labels", ["(1, 2)", "(1,)"], None, MULTI, {}),
    ("objects", "labels", [{"a": 1}, {"a": 0}], None, MULTI, {}),
    ("objects as text", "labels", ['{"a": 1}', '{"a": 0}'], None, MULTI, {}),
    ("lists as quantities", "score", [[0.5], [1.5]], "regression", MULTI, {}),
    (
        "brackets in a name",
        "label",
        ["[neutral]", "(neg)", "{pos}"],
        None,
        "classes ['(neg)', '[neutral]', '{pos}']",
        {},
    ),
]


@pytest.mark.filterwarnings("ignore:.*standard deviation:UserWarning")
def test_a_target_means_the_same_in_every_format(tmp_path):
    cases = []
    for name, column, values, task, everywhere, elsewhere in VALUES:
        rows = [[f"text number {i}", values[i % len(values)]] for i in range(ROWS)]
        for ending in FORMATS:
            source = write(ending, ["text", column], rows, tmp_path)
            found = outcome(source, target=column, task=task)
            cases.append((f"{name}, {ending}", found, elsewhere.get(ending, everywhere)))
    wrong = [
        f"{name}: expected {expected!r}, found {found!r}"
        for name, found, expected in cases
        if any(word not in found for word in ([expected] if isinstance(expected, str) else expected))
        or ("refused" not in found and not found.startswith(f"{ROWS} "))
    ]
    assert not wrong, "\n" + "\n".join(wrong)


def test_values_of_types_that_only_some_formats_have(tmp_path):
    texts = [f"text number {i}" for i in range(ROWS)]

    def typed(values, kind=None):
        array = pa.array([values[i % len(values)] for i in range(ROWS)], kind)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet"
        parquet.write_table(pa.table({"text": texts, "label": array}), path)
        return path

    def framed(values):
        return pd.DataFrame({"text": texts, "label": [values[i % len(values)] for i in range(ROWS)]})

    categories = framed(["b", "a"]).astype({"label": "category"})
    cases = [
        ("bytes", typed([b"a", b"b"]), {}, ["refused", "names no class"]),
        ("bytes as quantities", typed([b"1", b"2.5"]), {"task": "regression"}, ["refused", "is not a number"]),
        ("decimals", typed([Decimal("1.10"), Decimal("2.30")]), {}, "30 quantities [1.1, 2.3]"),
        ("a dictionary", typed(["b", "a"], pa.dictionary(pa.int32(), pa.string())), {}, "30 classes ['a', 'b']"),
        ("large strings", typed(["1", "2", "3"], pa.large_string()), {}, "30 classes ['1', '2', '3']"),
        ("small whole numbers", typed([1, 2, 3], pa.uint8()), {}, "30 classes ['1', '2', '3']"),
        ("fixed lists", typed([[0, 1], [1, 0]], pa.list_(pa.int8(), 2)), {}, MULTI),
        ("categories", categories, {}, "30 classes ['a', 'b']"),
        ("nullable numbers", framed([1, 2, 3]).astype({"label": "Int64"}), {}, "30 classes ['1', '2', '3']"),
        ("tuples", framed([(1, 2), (1,)]), {}, MULTI),
        ("sets", framed([{1, 2}, {1}]), {}, MULTI),
        ("arrays", framed([np.array([0, 1]), np.array([1, 0])]), {}, MULTI),
        (
            "1, 1.0 and their texts",
            framed([1, "1", 1.0, " 1 ", 2, "2"]),
            {"task": "classification"},
            "30 classes ['1', '2']",
        ),
        ("NumPy's texts", framed([np.str_("007"), np.str_("7")]), {}, "30 classes ['007', '7']"),
    ]
    check(cases, tmp_path)


def test_headers_in_every_format(tmp_path):
    plain = [[f"text number {i}", i % 7 + 0.5, i, "x"] for i in range(ROWS)]
    headless = [
        [[str(i % 2), f"a film that is number {i}", 100.5 + i % 9, "by someone"] for i in range(ROWS)],
        [["yn"[i % 2], f"a film that is number {i}"] for i in range(ROWS)],  # "y" is a name that is recognised
        [["ab"[i % 2], f"Film number {i}", 0.5 + i] for i in range(ROWS)],  # the first is the smallest
    ]
    named = {"text": "body", "target": "ease"}
    cases = []
    for ending in FORMATS:
        twice = [] if ending in ("json", "jsonl") else [
            ("a name twice that nobody asks for", ["text", "target", "x", "x"], {}, "30 quantities"),
            ("a name twice that is asked for", ["body", "ease", "ease", "x"], named, "'ease' occurs 2 times"),
            ("a name twice that is recognised", ["text", "target", "target", "x"], {}, "'target' occurs 2 times"),
            ("standard errors twice", ["text", "target", "se", "se"], {}, "30 quantities"),
            ("no names at the right", ["body", "ease", "", ""], named, "30 quantities"),
            ("blank names", ["text", "target", " ", "  "], {}, "30 quantities"),
        ]  # fmt: skip
        for name, header, arguments, expected in [
            *twice,
            ("one without a name", ["text", "target", "", "x"], {}, "30 quantities"),
            ("spaces and case", [" Text ", "TARGET", "a", "b"], {}, "30 quantities"),
            ("a byte order mark in a name", ["\ufefftext", "target", "a", "b"], {}, "30 quantities"),
            ("marks of other formats", ["verse; all", "ease|y", "a,b", "c"],
                {"text": "verse; all", "target": "ease|y"}, "30 quantities"),
            ("counted columns", ["0", "1", "2", "3"], {"text": "0", "target": "1"}, "30 quantities"),
            ("unknown names", ["body", "ease", "a", "b"], {}, ["refused", "'body', 'ease'", "text="]),
            ("a wrong name", ["body", "ease", "a", "b"], {"text": "bodi"}, ["refused", "did you mean 'body'"]),
        ]:  # fmt: skip
            source = write(ending, header, plain, tmp_path)
            found = outcome(source, **arguments)
            cases.append((f"{name}, {ending}", found, [expected] if isinstance(expected, str) else expected))
            if name == "standard errors twice" and load_data(source).standard_errors is not None:
                cases.append((f"{name}, {ending}", "one of the two was taken", ["none"]))
        if ending in ("csv", "tsv", "xlsx"):
            for first, *rest in headless:
                source = write(ending, [str(value) for value in first], rest, tmp_path)
                for arguments in ({}, {"text": first[1]}, {"text": first[1], "target": first[0]}, {"text": "body"}):
                    found = outcome(source, **arguments)
                    expected = ["refused", "the first line looks like data", "if the file has no header, write one"]
                    cases.append((f"no header, {arguments}, {ending}", found, expected))
    wrong = [f"{name}: {found}" for name, found, words in cases if any(word not in found for word in words)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_who_follows_the_message_about_a_missing_header_loses_no_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = {
        "csv": "".join(f'"{i % 4}","Headline ""{i}""","Body, or what\nit is, of {i}"\n' for i in range(ROWS)),
        "tsv": "".join(f'{i % 4}\t"Headline {i}\tBody of article {i}\n' for i in range(ROWS)),
    }
    for ending, text in content.items():
        Path(f"news.{ending}").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match="looks like data") as caught:
            load_data(f"news.{ending}")
        command = str(caught.value).split("for example: ")[1]
        assert command.startswith(f"Path('new.{ending}').write_text(")
        eval(command, {"Path": Path})
        data = load_data(f"new.{ending}", text="column 3", target="column 1", task="classification")
        assert len(data) == ROWS and np.bincount(data.targets).tolist() == [8, 8, 7, 7]


# How text files are written


def lines(*rows: str, n: int = 20) -> str:
    good = [f"text number {i},{i % 7}.5" for i in range(n)]
    return "\n".join([*good[: n // 2], *rows, *good[n // 2 :]]) + "\n"


def tabs(*rows: str) -> str:
    return lines(*rows).replace(",", "\t")


def classes(*rows: str, mark: str = ",") -> str:
    good = [f"text number {i}{mark}{'ab'[i % 2]}" for i in range(20)]
    return "\n".join([*good[:10], *rows, *good[10:]]) + "\n"


HEAD = "text,target\n"
TAB = "text\ttarget\n"
DIALECTS: list[tuple] = [
    # name, ending, content, expected; the first lines have numbers 2 to 11
    ("line ends of Windows", "csv", (HEAD + lines()).replace("\n", "\r\n"), "20 quantities"),
    ("line ends of old Macs", "csv", (HEAD + lines()).replace("\n", "\r"), "20 quantities"),
    ("line ends of Windows", "tsv", (TAB + tabs()).replace("\n", "\r\n"), "20 quantities"),
    ("no last line end", "csv", (HEAD + lines())[:-1], "20 quantities"),
    ("blank lines", "csv", HEAD + lines("", "", ""), "20 quantities"),
    ("empty rows of a spreadsheet", "csv", HEAD + lines() + ",\n,\n", "20 quantities"),
    ("a text over two lines", "csv", HEAD + lines('"a, b\nc, d",1.5'), "21 quantities"),
    ("a text of verses", "csv", HEAD + lines('"o wind,\nif winter comes,\n\ncan",1.5'), "21 quantities"),
    ("a text over two lines", "tsv", TAB + tabs('"a\nb"\t1.5'), "21 quantities"),
    ("a tab in a text", "tsv", TAB + tabs('"a\tb"\t1.5'), "21 quantities"),
    ("doubled quotes", "csv", HEAD + lines('"say ""a""",1.5'), "21 quantities"),
    ("a quote inside", "csv", HEAD + lines('a 5" disk,1.5'), "21 quantities"),
    ("a lone quote at the end of a file", "csv", HEAD + lines() + '"lone,1.5\n', ["row 21 (line 22)", "never ends"]),
    ("two lone quotes", "csv", HEAD + lines('"lone,1.5', "x,1.5", '"again,2'), ["row 11 (line 12)", "ends in line 14"]),
    ("a lone quote closed by another", "csv", HEAD + lines('"lone,1.5', "x,1.5", 'a 5",2'),
        ["row 11 (line 12)", "ends in line 14", "each of these lines alone would be a row"]),
    ("the same of classes", "csv", HEAD + classes('"lone,a', "x,b", 'a 5",a'),
        ["row 11 (line 12)", "ends in line 14", "each of these lines alone would be a row"]),
    ("a quoted word first", "csv", HEAD + lines('"Heat" is long,1.5'), ["row 11 (line 12)", "quotation mark"]),
    ("a lone quote", "tsv", TAB + tabs('"lone\t1.5'), "21 quantities"),
    ("two lone quotes", "tsv", TAB + tabs('"lone\t1.5', "x\t1.5", '"again\t2'), "23 quantities"),
    ("a lone quote closed by another", "tsv", TAB + tabs('"lone\t1.5', "x\t1.5", 'a 5"\t2'), "23 quantities"),
    ("a lone quote and a field too many", "tsv", TAB + tabs('"lone\t1.5\t2'), ["row 11 (line 12)", "3 fields"]),
    ("escaped by backslashes", "csv", HEAD + lines(r'"say \"a\" now",1.5'), ["row 11 (line 12)", "backslash", "Spark"]),
    ("and with a comma", "csv", HEAD + lines(r'"say \", a\" now",1.5'), ["row 11 (line 12)", "backslash", "Spark"]),
    ("and at the end", "csv", HEAD + lines(r'"say \"a\"",1.5'), ["row 11 (line 12)", "backslash", "Spark"]),
    ("a backslash is a letter", "csv", HEAD + lines(r'"C:\new",1.5'), "21 quantities"),
    ("spaces before the quotes", "csv", 'text, "target"\n' + lines('"a, b", "1.5"'), "21 quantities"),
    ("spaces before the quotes of classes", "csv", HEAD + classes('"a, b", "a"', 'c, "b"'), "22 classes ['a', 'b']"),
    ("a space before a lone quote", "csv", HEAD + lines(' "lone,1.5'), "21 quantities"),
    ("names in quotes, and backslashes", "tsv", '"text"\t"target"\n' + tabs(r'"say \"a\" now"' + "\t1.5"),
        ["row 11 (line 12)", "backslash"]),
    ("semicolons", "csv", "text;target\nx;1,5\n", ["separated by ';'", "dtype=str"]),
    ("a semicolon in a quoted name", "csv", '"a; b\nc",target\n' + lines(), "present: 'a; b\\nc', 'target'"),
    ("tabs", "csv", TAB + tabs(), "separated by '\\t'"),
    ("commas", "tsv", HEAD + lines(), "separated by ','"),
    ("Excel's mark of the separator", "csv", "sep=;\ntext;target\n" + lines().replace(",", ";"), "separated by ';'"),
    ("a comment above", "csv", "# by hand\n" + HEAD + lines(), ["row 1 (line 2)", "2 fields where the header has 1"]),
    ("R's row names", "tsv", TAB + "".join(f"{i}\ta{i}\t1.5\n" for i in range(9)), "does the header lack a name?"),
    ("a byte order mark", "csv", "\ufeff" + HEAD + lines(), "20 quantities"),
    ("a byte order mark", "tsv", "\ufeff" + TAB + tabs(), "20 quantities"),
    ("a byte order mark and quotes", "csv", '\ufeff"text","target"\n' + lines(), "20 quantities"),
    ("line separators of Unicode", "csv", HEAD + lines("a\u2028b\x0bc\x85d,1.5"), "21 quantities"),
    ("line separators of Unicode", "tsv", TAB + tabs("a\u2028b\x0bc\x85d\t1.5"), "21 quantities"),
    ("the header again", "csv", HEAD + lines("text,target"), ["row 11 (line 12)", "'target' is not a number"]),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*standard deviation:UserWarning")
def test_text_files_however_written(tmp_path):
    cases = []
    for name, ending, content, expected in DIALECTS:
        path = tmp_path / f"odd.{ending}"
        path.write_bytes(content.encode("utf-8"))
        cases.append((f"{name}, {ending}", outcome(path), [expected] if isinstance(expected, str) else expected))
    wrong = [f"{name}: {found}" for name, found, words in cases if any(word not in found for word in words)]
    assert not wrong, "\n" + "\n".join(wrong)


def test_who_follows_the_message_about_backslashes_keeps_every_row(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ending, mark in [("csv", ","), ("tsv", "\t")]:
        rows = [f'"say \\"a\\"{mark} {i}"{mark}"00{i % 2}"\n' for i in range(ROWS)]
        Path(f"spark.{ending}").write_text(f'"text"{mark}"label"\n' + "".join(rows))
        with pytest.raises(DataError, match="escaped by a backslash") as caught:
            load_data(f"spark.{ending}")
        eval(str(caught.value).split("convert the file: ")[1], {"pd": pd})
        data = load_data("new.csv")
        assert data.texts == [f'say "a"{mark} {i}' for i in range(ROWS)] and data.labels == ["000", "001"]


QUOTES = ['"Heat', 'ends"', '"all of it"', 'a "word" inside', '""', '"', '"a" and "b"', "plain", "it's", 'x""y']


def test_a_tsv_file_that_was_written_without_quoting_is_read_as_it_stands(tmp_path):
    """Whatever quotation marks it holds, alone or together."""
    rng = np.random.default_rng(0)
    for trial in range(60):
        some = rng.choice(QUOTES, size=rng.integers(1, 5), replace=False).tolist()
        texts = [f"film {i}" for i in range(12)] + [f"{text} {i}" if i % 2 else text for i, text in enumerate(some)]
        texts = [text if text.strip('" ') else f"{text}x" for text in rng.permutation(texts).tolist()]
        source = write("tsv", ["text", "target"], [[text, i / 10] for i, text in enumerate(texts)], tmp_path)
        assert load_data(source).texts == texts, (trial, texts)


def test_a_tsv_file_that_was_written_with_quoting_is_read_as_it_was_meant(tmp_path):
    rng = np.random.default_rng(0)
    quotings = {"all": csv.QUOTE_ALL, "texts": csv.QUOTE_NONNUMERIC, "what needs it": csv.QUOTE_MINIMAL}
    odd = [*QUOTES, "a\tb", "two\nlines", "a, b", "tab\tand\nline"]
    for name, quoting in quotings.items():
        for _ in range(20):
            texts = [f"film {i}" for i in range(12)] + rng.choice(odd, size=4, replace=False).tolist()
            texts = [text if text.strip('" ') else f"{text}x" for text in rng.permutation(texts).tolist()]
            frame = pd.DataFrame({"text": texts, "target": np.arange(16) / 10})
            frame.to_csv(tmp_path / "odd.tsv", sep="\t", index=False, quoting=quoting)
            assert load_data(tmp_path / "odd.tsv").texts == texts, (name, texts)
    # Excel quotes what has a comma in it, too.
    texts = ["yes, no", "plain", 'say ""a""', "a", "b", "c"]
    rows = [f'"{text}"' if set(text) & set(',"') else text for text in texts]
    (tmp_path / "odd.tsv").write_text(TAB + "".join(f"{row}\t{i / 10}\n" for i, row in enumerate(rows)))
    assert load_data(tmp_path / "odd.tsv").texts == ["yes, no", "plain", 'say "a"', "a", "b", "c"]


# JSON documents


def test_json_documents(tmp_path):
    rows = [{"text": f"text number {i}", "target": i % 7 + 0.5} for i in range(ROWS)]
    frame = pd.DataFrame(rows)
    documents = {
        "a list of objects": (rows, "30 quantities"),
        "rows under a key": ({"data": rows}, "30 quantities"),
        "rows under a key, with others": ({"version": "1.0", "data": rows, "count": 30}, "30 quantities"),
        "columns": (json.loads(frame.to_json()), "30 quantities"),
        "columns of lists": (frame.to_dict(orient="list"), "30 quantities"),
        "split": (json.loads(frame.to_json(orient="split")), "30 quantities"),
        "rows by number": (json.loads(frame.to_json(orient="index")), "30 quantities"),
        "a table": (json.loads(frame.to_json(orient="table")), "30 quantities"),
        "values alone": (json.loads(frame.to_json(orient="values")), "item 1 is not an object"),
        "several sets": ({"train": rows, "test": rows}, ["refused", "'train', 'test'", "file of their own"]),
        "columns of unequal length": ({"text": ["a", "b"], "target": [1]}, ["refused", "'text', 'target'"]),
        "one object": (rows[0], "too few"),
        "nothing": ({}, "refused"),
    }
    cases = []
    for name, (document, expected) in documents.items():
        for ending, indent in [("json", None), ("json", 2), ("jsonl", None)]:
            path = tmp_path / f"{name} {indent}.{ending}"
            path.write_text(json.dumps(document, indent=indent), encoding="utf-8")
            if not (ending == "jsonl" and "with others" in name or "table" in name and ending == "jsonl"):
                cases.append((f"{name}, {ending} {indent}", path, {}, expected))
    check(cases, tmp_path)


# Messages


def test_no_message_quotes_more_than_a_line(tmp_path):
    """Values, names and files of any length: a message holds no more than some characters of each."""
    long = "Z" * 5000
    many = [f"{'Z' * 300}{i}" for i in range(40)]
    texts = [f"text number {i}" for i in range(ROWS)]
    good = {"text": texts, "target": [i % 7 + 0.5 for i in range(ROWS)]}
    refusals = {
        "target": ({**good, "target": [long, *good["target"][1:]]}, {"task": "regression"}),
        "digits without end": ({**good, "target": ["1" * 100_000 + "x"] * ROWS}, {"task": "regression"}),
        "targets": ({"text": texts, "label": [f"{long}{i}" for i in range(ROWS)]}, {}),
        "one class": ({"text": texts, "label": [long] * ROWS}, {}),
        "lists": ({"text": texts, "label": [[long, long]] * ROWS}, {}),
        "lists as text": ({"text": texts, "label": [f"[{long}, {long}]"] * ROWS}, {}),
        "texts": ({"text": [1] * ROWS, "target": good["target"]}, {}),
        "objects as texts": ({"text": [{"a": long}] * ROWS, "target": good["target"]}, {}),
        "columns": (dict.fromkeys(many, texts), {}),
        "a column": ({**good, long: texts}, {"text": long, "target": long}),
        "an unknown column": ({**good, long: texts}, {"text": long + "Y"}),
        "texts as target": (good, {"text": "target", "target": "text"}),
        "rare classes": ({"text": texts, "label": [f"{long}{i // 2}" for i in range(ROWS)]}, {}),
    }
    wrong = []
    for name, (columns, arguments) in refusals.items():
        for ending in FORMATS:
            if name == "target" and ending == "parquet":
                continue  # a column of Parquet has one type
            rows = [list(row) for row in zip(*columns.values(), strict=True)]
            found = outcome(write(ending, list(columns), rows, tmp_path), **arguments)
            if not found.startswith("refused") or len(found) > 800 or "Z" * 61 in found or "1" * 61 in found:
                wrong.append(f"{name}, {ending}: {len(found)} characters: {found[:300]}")
    for name, content in {
        "x.json": json.dumps({"text": {str(i): long for i in range(9)}, "target": 3}),
        "x.jsonl": long,
        "x.csv": f"text,target\n{long},{long},{long}\n",
        "y.csv": f'"{long}\n',
        "z.csv": f"{long};{long}\n1;2\n",
        "x.tsv": f"text\ttarget\n{long}\n",
    }.items():
        (tmp_path / name).write_text(content)
        found = outcome(tmp_path / name)
        if not found.startswith("refused") or len(found) > 800 or "Z" * 61 in found:
            wrong.append(f"{name}: {len(found)} characters: {found[:300]}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert len(repr(load_data({"frame": pd.DataFrame({"text": texts, "label": [long, "b", "c"] * 10})}["frame"]))) < 400


def test_a_library_that_quotes_a_damaged_file_is_cut_short(tmp_path):
    stream = io.BytesIO()
    pd.DataFrame({"text": ["a"] * 500, "target": range(500)}).to_excel(stream, index=False)
    content = bytearray(stream.getvalue())
    start = content.index(b"[Content_Types].xml") - 30  # its header, where the name's length stands at 26
    content[start + 26 : start + 28] = (5000).to_bytes(2, "little")
    (tmp_path / "odd.xlsx").write_bytes(content)
    found = outcome(tmp_path / "odd.xlsx")
    assert found.startswith("refused: odd.xlsx: damaged") and len(found) < 300, found


def test_damaged_notes_of_pandas_in_a_parquet_file_harm_nothing(tmp_path):
    path = tmp_path / "odd.parquet"
    pd.DataFrame({"text": [f"t {i}" for i in range(20)], "target": np.arange(20) / 10}).to_parquet(path)
    content = path.read_bytes()
    assert b'{"index_columns"' in content
    path.write_bytes(content.replace(b'{"index_columns"', b'\x01"index_columns"'))
    assert outcome(path).startswith("20 quantities")
    path.write_bytes(content.replace(b"t 19", b"t \xff9"))
    assert outcome(path).startswith("refused: odd.parquet: damaged")


# What becomes of the other columns


def test_other_columns_of_a_text_file_keep_what_they_say(tmp_path):
    frame = pd.DataFrame(
        {
            "text": [f"text number {i}" for i in range(10)],
            "label": ["1.1", "1.10"] * 5,
            "tweet": [str(1234567890123456000 + i) for i in range(10)],
            "huge": [str(10**25 + i) for i in range(10)],
            "zip": ["007", "12"] * 5,
            "year": ["1999", ""] * 5,
            "level": [str(i) for i in range(10)],
            "score": [f"{i}.50" for i in range(10)],
            "note": ["NA", ""] * 5,
        }
    )
    stream = io.StringIO()
    frame.to_csv(stream, index=False)
    (tmp_path / "odd.csv").write_text(stream.getvalue())
    found = load_data(tmp_path / "odd.csv", target="label", task="classification").frame
    assert list(found.columns) == list(frame.columns)
    assert found["label"].tolist() == frame["label"].tolist(), "as it is spelt"
    assert found["tweet"].tolist() == [1234567890123456000 + i for i in range(10)]
    assert found["huge"].tolist() == frame["huge"].tolist() and found["zip"].tolist() == frame["zip"].tolist()
    assert found["year"].isna().sum() == 5 and found["year"].iloc[0] == 1999
    assert found["level"].tolist() == list(range(10)) and found["score"].tolist() == [i + 0.5 for i in range(10)]
    assert found["note"].isna().sum() == 5 and found["note"].iloc[0] == "NA"
    scored = load_data(tmp_path / "odd.csv", target="score").frame
    assert scored["score"].tolist() == [i + 0.5 for i in range(10)] and scored["label"].tolist() == [1.1] * 10
