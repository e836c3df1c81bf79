"""The built-in sets, and where they are found: in the package, in the folder FTLAB_DATA, or on the network.

This project's `passages`; CLEAR (Crossley et al., 2022, "A large-scaled corpus for assessing text readability",
Behavior Research Methods); the CommonLit Readability set drawn from it (Kaggle, 2021); Rotten Tomatoes (Pang and Lee,
2005, "Seeing stars", ACL). Every refusal is a DataError that says what to do.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ftlab.data.files import READERS, Table, read_file
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
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != CLEAR_SHA256:
        raise DataError(
            f"{path} is not the published CLEAR file: its SHA-256 is {digest}, not {CLEAR_SHA256}. Delete "
            f"it and get it again from {CLEAR_HOME}; to use another version on purpose, give load_data its "
            "path"
        )
    return read_file(path)


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
    return read_file(path)


def _rotten_tomatoes() -> Table:
    path = _in_data_folder("rotten_tomatoes.parquet")
    return read_file(path) if path else Table("rotten_tomatoes", _rotten_tomatoes_from_hub())


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
