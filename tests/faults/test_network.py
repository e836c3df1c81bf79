"""A bad network, played by a server on loopback: out of reach, slow, garbage, half a file. A clear error, soon; what
was downloaded before is used; half a download is never taken for a whole one.

The hub out of reach or silent, what it refuses, and the cache without a network are in tests/test_hub.py.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from http.server import ThreadingHTTPServer

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants, file_download

import ftlab.data.builtin
import ftlab.data.files
from ftlab.data.load import load_data
from ftlab.errors import DataError, ModelError
from ftlab.models import hub
from ftlab.models.load import load_model, load_tokenizer
from tests.model_families import recipe, save
from tests.models.test_hub import Hub, cache, point_to, server  # noqa: F401 (fixtures)

BUDGET = 10.0  # seconds until the reader is told


@pytest.fixture
def soon(monkeypatch):
    """Check that the waits add up to no more than the budget, and shorten them."""
    assert ftlab.data.builtin.NETWORK_SECONDS * len(ftlab.data.builtin.CLEAR_URLS) <= BUDGET
    assert hub.PROBE_SECONDS <= BUDGET
    monkeypatch.setattr(hub, "PROBE_SECONDS", 1)
    monkeypatch.setattr(ftlab.data.builtin, "NETWORK_SECONDS", 0.3)
    # How long huggingface_hub waits for a file, and how often, once the hub has answered: its own affair.
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.3)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 0.3)
    monkeypatch.setattr(file_download, "_ETAG_RETRY_TIMEOUT", 0.3)


class Rude(Hub):
    """A hub that behaves badly, as `mode` says, for the files whose names `spoilt` holds."""

    mode = "silent"
    spoilt: tuple[str, ...] = ("config.json", "model.safetensors", "tokenizer.json")
    release = threading.Event()

    def reply(self, status, headers, content=b"", body=False):
        name = self.path.rpartition("/")[2]
        if name not in self.spoilt or self.path == "/":
            return super().reply(status, headers, content, body)
        if self.mode == "silent":
            self.release.wait(20)
            return None
        if self.mode == "closes":
            return None
        if self.mode == "garbage":  # under the file's own name and hash
            return super().reply(200, headers, b"<html>Please log in to the wireless network</html>", body)
        if self.mode == "no http":
            self.wfile.write(b"\x00\xff\x00garbage\r\n\r\n")
            return None
        if self.mode == "error":
            return super().reply(503, {}, b"", body)
        # Half of the file, under the length of the whole one.
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            if self.mode == "stalls":
                self.release.wait(20)
        self.close_connection = True
        return None


@pytest.fixture
def rude(monkeypatch, tmp_path, cache):  # noqa: F811
    """Run a rude hub that has one model, owner/model."""
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # what is tried again is tried again at once
    handler = type(
        "Handler", (Rude,), {"files": save(tmp_path / "files", "bert"), "asked": [], "release": threading.Event()}
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        running.handle_error = lambda *args: None
        threading.Thread(target=running.serve_forever, daemon=True).start()
        point_to(monkeypatch, f"http://127.0.0.1:{running.server_address[1]}")
        yield handler
        handler.release.set()
        running.shutdown()


@pytest.mark.fault("hub that fails")
@pytest.mark.parametrize("what", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("mode", ["silent", "closes", "garbage", "no http", "error", "half", "stalls"])
def test_a_hub_that_fails_is_told_and_leaves_nothing_that_passes_for_whole(soon, rude, monkeypatch, mode, what):
    rude.mode, rude.spoilt = mode, (what,)
    with pytest.raises(ModelError, match="owner/model") as caught:
        load_model(recipe("owner/model"))
    if what == "config.json" and mode in ("silent", "closes", "no http", "error"):
        assert "cannot be reached" in str(caught.value), "told by the probe, in PROBE_SECONDS"
    rude.spoilt = ()  # the network is mended: the same call now brings the true model
    rude.release.set()
    model = load_model(recipe("owner/model"))
    wanted = load_model(recipe(rude.files))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), wanted.parameters(), strict=True))


@pytest.mark.fault("hub that fails")
@pytest.mark.parametrize("mode", ["silent", "garbage", "half", "error"])
def test_what_is_in_the_cache_is_used_whatever_the_hub_does(soon, rude, mode):
    rude.spoilt = ()
    first = load_model(recipe("owner/model"))
    load_tokenizer("owner/model")
    rude.mode, rude.spoilt, asked = mode, Rude.spoilt, len(rude.asked)
    again = load_model(recipe("owner/model"))
    load_tokenizer("owner/model")
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert len(rude.asked) == asked, "the network is not asked"


# ------------------------------------------------------------------------------------------------------- data sets


@contextlib.contextmanager
def serving(answer):
    """Serve answer(handler) at every address of a server on loopback; yield its address."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with contextlib.suppress(ConnectionError):
                answer(self)

        do_HEAD = do_GET

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


CONTENT = b"the whole file" * 1000
release = threading.Event()


def send(handler, status, length, content):
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(content)
    handler.wfile.flush()


ANSWERS = {
    "silent": lambda h: release.wait(20),
    "closes": lambda h: None,
    "no http": lambda h: h.wfile.write(b"\x00garbage"),
    "error": lambda h: send(h, 503, 0, b""),
    "gone": lambda h: send(h, 404, 0, b""),
    "garbage": lambda h: send(h, 200, 6, b"<html>"),
    "empty": lambda h: send(h, 200, 0, b""),
    "half": lambda h: send(h, 200, len(CONTENT), CONTENT[: len(CONTENT) // 2]),
    "half, called whole": lambda h: send(h, 200, len(CONTENT) // 2, CONTENT[: len(CONTENT) // 2]),
    "stalls": lambda h: (send(h, 200, len(CONTENT), CONTENT[: len(CONTENT) // 2]), release.wait(20)),
    "around in circles": lambda h: (h.send_response(302), h.send_header("Location", h.path), h.end_headers()),
}


@pytest.fixture
def freed():
    release.clear()
    yield
    release.set()


@pytest.fixture
def clear(monkeypatch, tmp_path):
    """Let CLEAR be a small file with an empty download cache; return the cached file's place."""
    monkeypatch.delenv("FTLAB_DATA", raising=False)
    monkeypatch.setattr(ftlab.data.builtin, "CLEAR_SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    return tmp_path / "cache" / "ftlab" / ftlab.data.builtin.CLEAR_FILE


@pytest.mark.fault("download that fails")
@pytest.mark.parametrize("mode", ANSWERS)
def test_a_download_that_fails_is_told_and_leaves_nothing(soon, freed, clear, monkeypatch, mode):
    with serving(ANSWERS[mode]) as address:
        monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", (f"{address}/a", f"{address}/b"))
        with pytest.raises(DataError, match="CLEAR corpus could not be downloaded.*FTLAB_DATA"):
            load_data("clear")
        assert not clear.exists()
        assert not clear.parent.exists() or list(clear.parent.iterdir()) == []
    with serving(lambda h: send(h, 200, len(CONTENT), CONTENT)) as address:
        monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", (f"{address}/a",))
        assert ftlab.data.builtin._download_clear().read_bytes() == CONTENT


@pytest.mark.fault("download that fails")
def test_a_copy_that_was_damaged_in_the_cache_is_fetched_again_or_refused(soon, freed, clear, monkeypatch):
    clear.parent.mkdir(parents=True)
    clear.write_bytes(CONTENT[:-1])
    with serving(ANSWERS["half"]) as address:
        monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", (f"{address}/a",))
        with pytest.raises(DataError, match="could not be downloaded"):
            load_data("clear")
    with serving(lambda h: send(h, 200, len(CONTENT), CONTENT)) as address:
        monkeypatch.setattr(ftlab.data.builtin, "CLEAR_URLS", (f"{address}/a",))
        assert ftlab.data.builtin._download_clear().read_bytes() == CONTENT


@pytest.mark.fault("download that fails")
@pytest.mark.parametrize("mode", ANSWERS)
def test_a_set_of_the_hub_that_cannot_be_fetched(soon, freed, monkeypatch, tmp_path, mode):
    import datasets

    monkeypatch.delenv("FTLAB_DATA", raising=False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with serving(ANSWERS[mode]) as address:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.HfApi.__init__, "__defaults__", (address, *(None,) * 7), raising=False)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        with pytest.raises(DataError, match="rotten_tomatoes.*FTLAB_DATA"):
            load_data("rotten_tomatoes")
