"""The built-in sets, and where they are found: in the package, in the folder FTLAB_DATA, or on the network.

This project's `passages`; CLEAR (Crossley et al., 2022, "A large-scaled corpus for assessing text readability",
Behavior Research Methods); the CommonLit Readability set drawn from it (Kaggle, 2021); `snippets`, rated sentences of
film reviews (Hutto and Gilbert, 2014, "VADER", ICWSM); Rotten Tomatoes (Pang and Lee, 2005, "Seeing stars", ACL). Every
refusal is a DataError that says what to do.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ftlab.data.files import READERS, read_file
from ftlab.data.table import Table, short
from ftlab.errors import DataError

CLEAR_FILE = "CLEAR_corpus_final.xlsx"
CLEAR_SHA256 = "e87a19a29c12a441e0c4f11a4e49897ff24ac7dff240ee7397283a050a902cc7"
CLEAR_HOME = "https://github.com/scrosseye/CLEAR-Corpus"

# The commit that holds the pinned file comes first; the branch is for the day that the commit is gone.
CLEAR_URLS = tuple(
    f"https://raw.githubusercontent.com/scrosseye/CLEAR-Corpus/{revision}/{CLEAR_FILE}"
    for revision in ("201de282b36107e40079b534bd0552a0dfe7210a", "main")
)
SNIPPETS_FILE = "hutto_ICWSM_2014.tar.gz"
SNIPPETS_SHA256 = "d5bb07d87474b3eb8d30b4deccbc23f19d742a6c5718fbacc65485b70b95c5fa"
SNIPPETS_HOME = "https://github.com/cjhutto/vaderSentiment"
SNIPPETS_URLS = tuple(
    f"https://raw.githubusercontent.com/cjhutto/vaderSentiment/{revision}/additional_resources/{SNIPPETS_FILE}"
    for revision in ("44fc044cd877310ee8278a0eadf34bcd50d41d06", "master")
)
# The two files of the archive that are read, and their SHA-256: sentences with mean ratings; the single ratings.
SNIPPETS_MEMBERS = {
    "movieReviewSnippets_GroundTruth.txt": "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
    "movieReviewSnippets_anonDataRatings.txt": "658a086bc7239b98b750baa232cab80e6447789020f96a6c847cc1248d7c82f4",
}
COMMONLIT_HOME = "https://www.kaggle.com/c/commonlitreadabilityprize/data"
ROTTEN_TOMATOES = "cornell-movie-review-data/rotten_tomatoes"
NETWORK_SECONDS = 5.0


def read_table(source: object) -> Table:
    """Read a built-in set by its name, a file by its path, or a DataFrame; raises DataError for all else."""
    if isinstance(source, pd.DataFrame):
        return Table.named("DataFrame", source.columns, source.reset_index(drop=True))
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
            f"unknown data {short(source)}{hint} The sets are {', '.join(_SETS)}; anything else is read as "
            f"the path to a {', '.join(READERS)} file"
        )
    return read_file(path)


def _passages() -> Table:
    here = Path(__file__).resolve().parent
    # Beside this module in an installed package, in data/ in a checkout.
    places = (here / "passages.csv", here.parents[1] / "data" / "passages.csv")
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        raise DataError(f"there is neither {places[0]} nor {places[1]}; install ftlab again")
    return read_file(path)


def _clear() -> Table:
    path = _in_data_folder(CLEAR_FILE) or _download_clear()
    _published(path, CLEAR_SHA256, CLEAR_HOME)
    return read_file(path)


def _download_clear() -> Path:
    return _download(CLEAR_FILE, CLEAR_URLS, CLEAR_SHA256, "the CLEAR corpus", CLEAR_HOME)


def _download(file: str, urls: Sequence[str], sha256: str, what: str, home: str) -> Path:
    """Return a file of the download cache, fetched from the first address that has it if it is not there yet."""
    import pooch

    downloader = pooch.HTTPDownloader(timeout=NETWORK_SECONDS)
    problem: Exception | None = None
    for url in urls:
        try:
            return Path(pooch.retrieve(url, f"sha256:{sha256}", file, pooch.os_cache("ftlab"), downloader=downloader))
        except (OSError, ValueError) as error:  # no network or no such page; a wrong SHA-256
            problem = error
    raise DataError(
        f"{what} could not be downloaded ({problem}). With a network, get {file} from "
        f"{home}, put it in a folder and set the environment variable FTLAB_DATA to that folder; "
        "load_data('passages') needs no download"
    ) from problem


def _published(path: Path, sha256: str, home: str) -> bytes:
    """Return the content of a file. Raises DataError if it is not the published one."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error}); check the file and its permissions") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256:
        raise DataError(
            f"{path} is not the published file: its SHA-256 is {digest}, not {sha256}. Delete it and get it again "
            f"from {home}; to use another version on purpose, give load_data its path"
        )
    return content


def _snippets() -> Table:
    """Return the rated sentences: text, rating (the mean), standard_error, raters, ratings, sentiment.

    standard_error = s / sqrt(n), where s is the standard deviation (with n - 1) of a sentence's n single ratings.
    sentiment: "negative" or "positive", the sign of the mean; None where the mean is 0.
    """
    sentences, ratings = (_tab_separated(content) for content in _snippet_files())
    if [row[0] for row in sentences] != [row[0] for row in ratings]:
        raise DataError(f"snippets: the two files do not number the same sentences; get them from {SNIPPETS_HOME}")
    single = [json.loads(row[3]) for row in ratings]
    means = np.array([float(row[1]) for row in sentences])
    frame = pd.DataFrame(
        {
            "id": [int(row[0]) for row in sentences],
            "text": [row[2] for row in sentences],
            "rating": means,
            "standard_error": [np.std(row, ddof=1) / np.sqrt(len(row)) for row in single],
            "raters": [len(row) for row in single],
            "ratings": single,
            "sentiment": [("negative", None, "positive")[int(sign) + 1] for sign in np.sign(means)],
        }
    )
    return Table("snippets", frame, class_target="sentiment")


def _snippet_files() -> list[bytes]:
    """Return the two files' contents: of the data folder, else of the archive, of which nothing is unpacked to disk."""
    found = [_in_data_folder(f"hutto_ICWSM_2014/{name}") for name in SNIPPETS_MEMBERS]
    if any(found):
        lacking = next((name for name, path in zip(SNIPPETS_MEMBERS, found, strict=True) if path is None), None)
        if lacking:
            raise DataError(
                f"environment variable FTLAB_DATA: its folder hutto_ICWSM_2014 holds no {lacking}; put it there, from "
                f"{SNIPPETS_FILE} of {SNIPPETS_HOME}, or remove that folder"
            )
        pairs = zip(found, SNIPPETS_MEMBERS.values(), strict=True)
        return [_published(path, sha256, SNIPPETS_HOME) for path, sha256 in pairs if path is not None]
    archive = _in_data_folder(SNIPPETS_FILE) or _download(
        SNIPPETS_FILE, SNIPPETS_URLS, SNIPPETS_SHA256, "the film sentences (snippets)", SNIPPETS_HOME
    )
    with tarfile.open(fileobj=io.BytesIO(_published(archive, SNIPPETS_SHA256, SNIPPETS_HOME))) as tar:
        inside = {Path(member.name).name: member for member in tar if member.isfile()}
        contents = {name: tar.extractfile(inside[name]).read() for name in SNIPPETS_MEMBERS if name in inside}
    for name, sha256 in SNIPPETS_MEMBERS.items():
        if hashlib.sha256(contents.get(name, b"")).hexdigest() != sha256:
            raise DataError(f"{archive}: {name} is missing in it or another than the published; delete the archive")
    return [contents[name] for name in SNIPPETS_MEMBERS]


def _tab_separated(content: bytes) -> list[list[str]]:
    """Return the fields of a file as these two are written: latin-1, a row a line, tabs between fields, no quoting."""
    return [line.split("\t") for line in content.decode("latin-1").replace("\r\n", "\n").split("\n") if line]


def _commonlit() -> Table:
    path = _in_data_folder("commonlit/train.csv", "train.csv")
    if path is None:
        raise DataError(
            "the CommonLit set cannot be downloaded without a Kaggle account: accept the rules at "
            f"{COMMONLIT_HOME}, download train.csv, and give its path, load_data('.../train.csv'), or set "
            "the environment variable FTLAB_DATA to a folder with commonlit/train.csv or train.csv in it. "
            "load_data('clear') is the open corpus that it was drawn from"
        )
    return read_file(path)


def _rotten_tomatoes() -> Table:
    path = _in_data_folder("rotten_tomatoes.parquet")
    return read_file(path) if path else Table("rotten_tomatoes", _rotten_tomatoes_from_hub())


def _rotten_tomatoes_from_hub() -> pd.DataFrame:
    """Return the hub's three sets as one frame: text, label (the class's name), split (the set's name)."""
    import datasets
    from huggingface_hub import HfApi

    offline = datasets.config.HF_HUB_OFFLINE
    try:
        # Without network `datasets` tries for 23 s before turning to its cache; a short question saves that.
        HfApi().dataset_info(ROTTEN_TOMATOES, timeout=NETWORK_SECONDS)
    except Exception:  # which class it is depends on huggingface_hub's version; each means out of reach
        datasets.config.HF_HUB_OFFLINE = True
    try:
        sets = datasets.load_dataset(ROTTEN_TOMATOES)
    except Exception as error:
        raise DataError(
            f"rotten_tomatoes could not be fetched from the Hugging Face hub ({error}). On a machine with a "
            "network run ftlab.load_data('rotten_tomatoes').frame.to_parquet('rotten_tomatoes.parquet'), "
            "copy that file into a folder here and set the environment variable FTLAB_DATA to the folder"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = offline
    frames = [
        rows.to_pandas().assign(label=rows.features["label"].int2str(list(rows["label"])), split=split)
        for split, rows in sets.items()
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
    "snippets": (_snippets, "text", "rating", "regression"),
    "commonlit": (_commonlit, "excerpt", "target", "regression"),
    "rotten_tomatoes": (_rotten_tomatoes, "text", "label", "classification"),
}
