"""Tests of the set `snippets`: what the published files hold, and the ways to get them."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import ftlab.data.builtin as builtin
from ftlab.data.load import load_data
from ftlab.errors import DataError
from tests.data.test_files import serving
from tests.data.test_load import assert_is_split

FOLDER = "hutto_ICWSM_2014"
SENTENCES, RATINGS = builtin.SNIPPETS_MEMBERS


def data_folder() -> Path | None:
    """Return the folder that holds the published files: FTLAB_DATA, or shared/data beside the repository."""
    folders = [os.environ.get("FTLAB_DATA"), Path(__file__).resolve().parents[3] / "shared" / "data"]
    found = (Path(folder) for folder in folders if folder and (Path(folder) / FOLDER / SENTENCES).is_file())
    return next(found, None)


PUBLISHED = data_folder()
needs_the_files = pytest.mark.skipif(
    PUBLISHED is None, reason=f"no {FOLDER}/{SENTENCES} in FTLAB_DATA or ../shared/data"
)


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("FTLAB_DATA", raising=False)


@pytest.fixture
def published(monkeypatch):
    monkeypatch.setenv("FTLAB_DATA", str(PUBLISHED))


def read_by_pandas(name: str, columns: list[str]) -> pd.DataFrame:
    return pd.read_csv(
        PUBLISHED / FOLDER / name, sep="\t", encoding="latin-1", quoting=3, header=None, names=columns, dtype=str
    )


@needs_the_files
def test_the_sentences_and_ratings_are_the_files_own(published):
    data = load_data("snippets")
    sentences = read_by_pandas(SENTENCES, ["id", "rating", "text"])
    ratings = read_by_pandas(RATINGS, ["id", "mean", "sd", "ratings"])
    assert (data.name, data.task, len(data)) == ("snippets", "regression", 10_605)
    assert data.texts == sentences["text"].tolist() == data.frame["text"].tolist()
    assert data.targets.tolist() == sentences["rating"].astype(float).tolist()
    single = [[int(rating) for rating in row.strip("[]").split(", ")] for row in ratings["ratings"]]
    assert data.frame["ratings"].tolist() == single
    np.testing.assert_allclose(data.targets, [np.mean(row) for row in single], atol=1e-10)
    np.testing.assert_allclose(data.standard_errors, [stats.sem(row) for row in single], rtol=1e-12)
    sd, n = ratings["sd"].astype(float), data.frame["raters"]
    np.testing.assert_allclose(data.standard_errors * np.sqrt(n - 1), sd, atol=1e-5)  # they divide by n
    assert_is_split(data)


@needs_the_files
def test_the_classes_are_the_signs_of_the_means(published):
    rated, classes = load_data("snippets"), load_data("snippets", task="classification")
    kept = np.flatnonzero(rated.targets)
    assert len(rated) - len(classes) == np.sum(rated.targets == 0) == 37
    assert classes.labels == ["negative", "positive"] and classes.task == "classification"
    assert classes.texts == [rated.texts[row] for row in kept]
    assert np.array_equal(classes.targets == 1, rated.targets[kept] > 0)
    assert classes.standard_errors is None, "they are the rating's"
    assert list(classes.frame.index) == list(range(len(classes))) and classes.frame["text"].tolist() == classes.texts
    assert load_data("snippets", target="sentiment").fingerprint == classes.fingerprint
    assert load_data("snippets", target="rating").fingerprint == rated.fingerprint
    assert_is_split(classes)


@needs_the_files
def test_the_data_card_states_what_was_measured(published):
    data = load_data("snippets")
    card = (Path(__file__).resolve().parents[2] / "data" / "README.md").read_text(encoding="utf-8")
    negative, positive = (data.targets < 0).sum(), (data.targets > 0).sum()
    n, words = data.frame["raters"], [len(text.split()) for text in data.texts]
    facts = [
        f"{len(data):,} sentences",
        f"{data.targets.min():.2f} to {data.targets.max():.2f}",
        f"standard deviation {data.targets.std():.2f}",
        f"{n.min()} to {n.max()} raters, median {n.median():.0f}",
        f"median {np.median(data.standard_errors):.2f}",
        f"{negative:,} negative, {positive:,} positive",
        f"{min(words)} to {max(words)} words, mean {np.mean(words):.0f}",
        f"{sum(not text.isascii() for text in data.texts)} sentences",
        f"{len(set(data.texts)):,} different",
    ]
    assert [fact for fact in facts if fact not in card] == []


# Getting the files: a small set in the place of the published one


def small_files(n: int = 40) -> dict[str, bytes]:
    """Return the two files of n sentences, written as the published ones are; one text begins with a quote."""
    generator = np.random.default_rng(0)
    ratings = generator.integers(-4, 5, (n, 15))
    ratings[5] = 0
    texts = [f"a film, number {i}" for i in range(n)]
    texts[3], texts[4] = '"a lone quote', "caf\xe9 'noir'"
    lines = [f"{i + 1}\t{row.mean():.11g}\t{text}" for i, (row, text) in enumerate(zip(ratings, texts, strict=True))]
    raw = [f"{i + 1}\t{row.mean():.9g}\t{row.std():.5f}\t{row.tolist()}" for i, row in enumerate(ratings)]
    return {SENTENCES: "\r\n".join(lines).encode("latin-1"), RATINGS: "\r\n".join(raw).encode("latin-1")}


def pack(path: Path, files: dict[str, bytes], *, link: bool = False) -> Path:
    """Write an archive that also holds what must not be read: a file outside, a link of a wanted name."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in {"../outside.txt": b"x", **{f"{FOLDER}/{name}": files[name] for name in files}}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(f"{FOLDER}/elsewhere/{SENTENCES}")
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            tar.addfile(member)
    return path


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Put a small set in the place of `snippets`, with an empty download cache and no network."""
    files = small_files()
    home = tmp_path / "home of snippets"
    home.mkdir()
    archive = pack(home / builtin.SNIPPETS_FILE, files, link=True)
    sha = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(builtin, "SNIPPETS_MEMBERS", sha)
    monkeypatch.setattr(builtin, "SNIPPETS_SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    monkeypatch.setattr(builtin, "SNIPPETS_URLS", ("http://127.0.0.1:9/none",))
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    return archive


def test_they_are_downloaded_once_and_nothing_else_is_unpacked(tmp_path, monkeypatch, small):
    with serving(small.parent) as address:
        urls = (f"{address}/gone.tar.gz", f"{address}/{small.name}")
        monkeypatch.setattr(builtin, "SNIPPETS_URLS", urls)
        first = load_data("snippets")
    assert len(first) == 40 and first.texts[3] == '"a lone quote' and first.texts[4] == "caf\xe9 'noir'"
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(kept) == sorted([small, tmp_path / "cache" / "ftlab" / small.name])
    monkeypatch.setattr(builtin, "SNIPPETS_URLS", ("http://127.0.0.1:9/none",))
    assert load_data("snippets").fingerprint == first.fingerprint
    assert len(load_data("snippets", task="classification")) == np.count_nonzero(first.targets) < 40


def test_without_network_it_is_said_how_to_get_them(small):
    with pytest.raises(DataError, match="could not be downloaded.*github.com/cjhutto.*FTLAB_DATA"):
        load_data("snippets")


def test_a_download_with_a_wrong_sha256_is_refused(tmp_path, monkeypatch, small):
    small.write_bytes(small.read_bytes() + b"!")
    with serving(small.parent) as address:
        monkeypatch.setattr(builtin, "SNIPPETS_URLS", (f"{address}/{small.name}",))
        with pytest.raises(DataError, match="SHA256.*does not match.*github.com/cjhutto"):
            load_data("snippets")
    assert not (tmp_path / "cache" / "ftlab" / small.name).exists()


def test_the_data_folder_comes_before_the_download(tmp_path, monkeypatch, small):
    """Unpacked or as the archive; a file that is missing, changed or unreadable is named."""
    monkeypatch.setenv("FTLAB_DATA", str(small.parent))
    first = load_data("snippets")
    folder = tmp_path / "data" / FOLDER
    folder.mkdir(parents=True)
    monkeypatch.setenv("FTLAB_DATA", str(folder.parent))
    for name, content in small_files().items():
        (folder / name).write_bytes(content)
    assert load_data("snippets").fingerprint == first.fingerprint

    (folder / RATINGS).write_bytes(small_files()[RATINGS].replace(b"0", b"1"))
    with pytest.raises(DataError, match=f"{RATINGS} is not the published file: its SHA-256 is"):
        load_data("snippets")
    (folder / RATINGS).unlink()
    with pytest.raises(DataError, match=f"FTLAB_DATA: .*holds no {RATINGS}"):
        load_data("snippets")


@pytest.mark.parametrize("damage", ["missing", "changed", "link only"])
def test_an_archive_with_another_content_is_refused(monkeypatch, small, damage):
    files = small_files()
    content = files.pop(SENTENCES)
    if damage == "changed":
        files[SENTENCES] = content + b"!"
    pack(small, files, link=damage == "link only")
    monkeypatch.setattr(builtin, "SNIPPETS_SHA256", hashlib.sha256(small.read_bytes()).hexdigest())
    monkeypatch.setenv("FTLAB_DATA", str(small.parent))
    with pytest.raises(DataError, match=f"{SENTENCES} is missing in it or another than the published"):
        load_data("snippets")


def test_files_that_number_other_sentences_are_refused(monkeypatch, small):
    files = small_files()
    files[RATINGS] = files[RATINGS].replace(b"\n7\t", b"\n700\t", 1)
    pack(small, files)
    monkeypatch.setattr(builtin, "SNIPPETS_SHA256", hashlib.sha256(small.read_bytes()).hexdigest())
    sha = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(builtin, "SNIPPETS_MEMBERS", {SENTENCES: sha[SENTENCES], RATINGS: sha[RATINGS]})
    monkeypatch.setenv("FTLAB_DATA", str(small.parent))
    with pytest.raises(DataError, match="do not number the same sentences"):
        load_data("snippets")
