"""Damaged checkpoints and saved runs, full disks, folders that cannot be written to, another recipe or other data.

Each time a clear error or the good checkpoint before it, never a run that is silently another. Nothing is unpickled.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pickle
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
import torch

import ftlab as ft
from ftlab import checkpoint, study, trainer
from ftlab.__main__ import main
from ftlab.checkpoint import load_checkpoint, save_checkpoint
from ftlab.errors import CheckpointError, FtlabError
from tests.faults.harness import ALL_ON, emptied, outcome, outcomes

RECIPE = ft.Recipe(**ALL_ON)
POSIX = pytest.mark.skipif(os.name != "posix", reason="needs os.fork and resource limits")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


@pytest.fixture(scope="module")
def stopped(data, tmp_path_factory):
    """A run in peace, and the checkpoints of one that was stopped after its sixth update."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_PRESET", "tiny")
        whole = ft.fit(RECIPE, data, live=False)
        outcome(whole, folder)
        stop = threading.Event()

        class Press(ft.Callback):
            def on_step(self, history):
                if len(history) == 6:
                    stop.set()

        ft.fit(RECIPE, data, live=False, checkpoint_dir=folder / "checkpoints", stop=stop, callbacks=[Press()])
    return whole, folder


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def lengthen(path):
    with path.open("ab") as file:
        file.write(b"\0")


def empty(path):
    path.write_bytes(b"")


def take_from_before(path):
    older = min(path.parent.parent.glob("step-*"))
    shutil.copy(older / path.name, path)


def become_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGE = [truncate, flip, lengthen, empty, Path.unlink, take_from_before, become_a_folder]
PARTS = [
    "model.safetensors", "optimizer.safetensors", "best.safetensors", "average.safetensors", "random.safetensors",
    "state.json", "manifest.json",
]  # fmt: skip


def test_these_are_the_parts(stopped):
    assert {path.name for path in next(stopped[1].glob("checkpoints/step-*")).iterdir()} == set(PARTS)


@pytest.mark.fault("damaged part of a checkpoint")
def test_a_damaged_part_means_the_checkpoint_before(stopped, case):
    older, newer = sorted((stopped[1] / "checkpoints").glob("step-*"))
    expected = json.loads((older / "state.json").read_text())
    for part, damage in itertools.product(PARTS, DAMAGE):
        if damage is take_from_before and (older / part).read_bytes() == (newer / part).read_bytes():
            continue  # the same in both checkpoints
        with case(f"{damage.__name__} {part}") as folder:
            shutil.copytree(stopped[1] / "checkpoints", folder / "c")
            damage(folder / "c" / newer.name / part)
            with pytest.warns(UserWarning, match=f"{newer.name} is damaged"):
                assert load_checkpoint(folder / "c")[1] == expected
            shutil.rmtree(folder / "c" / older.name)
            with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="every checkpoint in it is damaged"):
                load_checkpoint(folder / "c")


@pytest.mark.fault("damaged part of a checkpoint")
@pytest.mark.parametrize("damage, part", [(truncate, "model.safetensors"), (flip, "state.json"), (empty, PARTS[-1])])
def test_the_run_goes_on_from_the_one_before_bit_for_bit(stopped, data, tmp_path, damage, part):
    whole, folder = stopped
    shutil.copytree(folder / "checkpoints", tmp_path / "c")
    damage(max((tmp_path / "c").glob("step-*")) / part)
    with pytest.warns(UserWarning, match="is damaged"):
        run = ft.fit(RECIPE, data, live=False, checkpoint_dir=tmp_path / "c", resume=True)
    assert run.status == whole.status == "completed"
    outcome(run, emptied(tmp_path / "out"))
    assert outcomes(tmp_path / "out") == outcomes(folder)


def tensors(value):
    return {"model": {"w": torch.full((3,), float(value))}, "best": {"w": torch.ones(2)}, "average": {}}


@pytest.mark.fault("one bit flipped in a checkpoint")
@pytest.mark.filterwarnings("ignore:.*is damaged:UserWarning")
def test_a_flipped_bit_anywhere_means_the_checkpoint_before(tmp_path, tries):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, tensors(step), {"step": step, "name": "é", "loss": float("nan")})
    flips = 0
    for path in sorted((tmp_path / "step-00000002").iterdir()):
        content = path.read_bytes()
        for i in range(len(content)):
            path.write_bytes(content[:i] + bytes([content[i] ^ 1 << i % 8]) + content[i + 1 :])
            loaded, state = load_checkpoint(tmp_path)
            assert state["step"] == 1 and loaded["model"]["w"][0] == 1, f"{path.name}, byte {i}"
            flips += 1
        path.write_bytes(content)
    assert load_checkpoint(tmp_path)[1]["step"] == 2
    tries(flips)


@pytest.mark.fault("damaged part of a checkpoint")
def test_a_manifest_that_vouches_for_nothing_means_damage(case):
    for manifest in ("{}", "null", "0", '""', "[[]]", '{"state.json": 1}', "[" * 100_000, '{"a\\u0000": ""}'):
        with case(manifest[:20]) as folder:
            for step in (1, 2):
                save_checkpoint(folder, step, tensors(step), {"step": step})
            (folder / "step-00000002" / "manifest.json").write_text(manifest)
            with pytest.warns(UserWarning, match="is damaged"):
                assert load_checkpoint(folder)[1] == {"step": 1}


@pytest.mark.fault("damaged part of a checkpoint")
def test_a_file_in_a_checkpoints_place(tmp_path):
    save_checkpoint(tmp_path, 1, tensors(1), {"step": 1})
    (tmp_path / "step-00000009").write_text("no folder")
    with pytest.warns(UserWarning, match="step-00000009 is damaged"):
        assert load_checkpoint(tmp_path)[1] == {"step": 1}
    save_checkpoint(tmp_path, 9, tensors(9), {"step": 9})
    assert load_checkpoint(tmp_path)[1] == {"step": 9}


# ------------------------------------------------------------------------------------------------------- saved runs


@pytest.mark.fault("damaged part of a saved run")
def test_a_damaged_saved_run_is_refused(stopped, case, tmp_path):
    stopped[0].save(tmp_path / "whole")
    parts = ["run.json", "recipe.json", "history.json", "model/model.safetensors", "model/config.json",
             "model/tokenizer.json", "swa_model/model.safetensors", "swa_model/config.json"]  # fmt: skip
    for part, damage in itertools.product(parts, [damage for damage in DAMAGE if damage is not take_from_before]):
        with case(f"{damage.__name__} {part}") as folder:
            shutil.copytree(tmp_path / "whole", folder / "run")
            damage(folder / "run" / part)
            with pytest.raises(CheckpointError, match="damaged|not a run"):
                ft.Run.load(folder / "run")


@pytest.mark.fault("damaged part of a saved run")
def test_a_saved_run_without_its_average_is_refused(stopped, tmp_path):
    stopped[0].save(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "swa_model")
    with pytest.raises(CheckpointError, match="swa_model"):
        ft.Run.load(tmp_path / "run")


# --------------------------------------------------------------------------------- full disks and read-only folders


def in_a_fork(action, *arguments) -> str:
    """Run action(*arguments) in a fork; return what it raised, as "Type: message", or "done: " and its result."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = f"done: {action(*arguments)}"
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writing, said.encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(child, 0)
    return said


def files_of_at_most(size: int) -> None:
    """Let every write beyond `size` bytes of a file fail in this process, as on a full disk."""
    import resource
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@POSIX
@pytest.mark.fault("disk full while writing a checkpoint")
def test_no_room_for_a_checkpoint(case):
    def large(step):
        return {**tensors(step), "optimizer": {"m": torch.ones(20_000) * step}}

    def action(folder, room):
        files_of_at_most(room)
        save_checkpoint(folder, 2, large(2), {"step": 2})

    for room in (0, 1, 100, 300, 400, 450, 5000, 50_000):
        with case(room) as folder:
            save_checkpoint(folder, 1, large(1), {"step": 1})
            said = in_a_fork(action, folder, room)
            assert said.startswith("CheckpointError: ") and "cannot write the checkpoint of step 2" in said, said
            assert load_checkpoint(folder)[1] == {"step": 1}
            assert [path.name for path in folder.iterdir()] == ["step-00000001"]


@POSIX
@pytest.mark.fault("disk full while writing a saved run")
def test_no_room_for_a_run(stopped, case):
    def action(folder, room):
        files_of_at_most(room)
        stopped[0].save(folder / "run")

    for room in (0, 200, 1000, 100_000):
        with case(room) as folder:
            said = in_a_fork(action, folder, room)
            assert said.startswith("CheckpointError: ") and "cannot write the run" in said, said
            assert list(folder.iterdir()) == []


@POSIX
@pytest.mark.fault("disk full while writing a result file")
def test_no_room_for_a_result_file(tmp_path):
    study.cells.write_lines(tmp_path / "cells.jsonl", [{"cell": 1}])

    def action():
        files_of_at_most(1000)
        study.cells.write_lines(tmp_path / "cells.jsonl", [{"cell": i} for i in range(500)])

    assert "OSError" in in_a_fork(action)
    assert (tmp_path / "cells.jsonl").read_text() == '{"cell": 1}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["cells.jsonl"]


@POSIX
@pytest.mark.fault("disk full on the command line")
def test_no_room_for_what_a_command_writes(tmp_path, capfd):
    def action():
        files_of_at_most(100)
        return main(["preview", "--out", str(tmp_path / "rates.png")])

    assert in_a_fork(action) == "done: 2"
    err = capfd.readouterr().err
    assert err.startswith("error: ") and "File too large" in err and err.count("\n") == 1


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, where mounting one is allowed."""
    place = tmp_path / "small"
    place.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)]
    if shutil.which("mount") is None or subprocess.run(options, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs is not allowed here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.fault("disk full while writing a checkpoint")
def test_a_full_disk(small_disk, tries):
    """Checkpoints grow until one does not fit: the one before it is there; on smaller ones the folder recovers."""
    good, failures = None, 0
    for step in range(1, 40):
        size = 1000 * step % 30_000
        try:
            save_checkpoint(small_disk / "c", step, {"model": {"w": torch.ones(size)}}, {"step": step})
            good = step
        except CheckpointError as error:
            failures += 1
            assert f"cannot write the checkpoint of step {step}" in str(error)
        assert load_checkpoint(small_disk / "c")[1] == {"step": good}
    assert failures and good == 39
    tries(failures)


@POSIX
@pytest.mark.fault("folder that cannot be written to")
@pytest.mark.parametrize("what", ["checkpoint", "run", "result file"])
def test_a_folder_that_cannot_be_written_to(stopped, what):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "folder")
        save_checkpoint(folder, 1, tensors(1), {"step": 1})
        os.chmod(name, 0o755)
        for path in folder.glob("*/*"):
            path.chmod(0o444)
        os.chmod(folder, 0o555)

        def action():
            if os.getuid() == 0:
                os.setuid(65534)  # permissions mean nothing to root
            assert load_checkpoint(folder)[1] == {"step": 1}, "what can be read is read"
            if what == "checkpoint":
                save_checkpoint(folder, 2, tensors(2), {"step": 2})
            elif what == "run":
                stopped[0].save(folder / "run")
            else:
                study.cells.write_lines(folder / "cells.jsonl", [{}])

        said = in_a_fork(action)
        assert ("PermissionError" if what == "result file" else "CheckpointError: ") in said and "ermission" in said, (
            said
        )
        assert sorted(path.name for path in folder.iterdir()) == ["step-00000001"]
        os.chmod(folder, 0o755)


# ----------------------------------------------------------------------------------- another recipe, other data

OTHER = {
    "model": "bert-base-uncased", "head": "mean", "head_init": "probe", "max_length": 40,
    "dropout": 0.2, "epochs": 2, "batch_size": 6,
    "gradient_accumulation_steps": 2, "lr": 1e-3, "head_lr": 1e-3, "layer_decay": 1.0, "group_lrs": [1e-3],
    "weight_decay": 0.0, "optimizer": "sgd", "max_grad_norm": 2.0, "schedule": "cosine",
    "schedule_args": {"num_cycles": 0.3}, "warmup": 4, "reinit_layers": 1, "swa_start": None, "swa_lr": None,
    "swa_anneal_steps": 9, "eval_every": 1, "patience": 8, "seed": 1, "loss": "rmse",
}  # fmt: skip


def test_other_has_every_field():
    assert set(OTHER) == {f.name for f in dataclasses.fields(ft.Recipe)}


@pytest.mark.fault("another recipe or other data on resume")
def test_a_changed_recipe_is_refused_by_the_name_of_the_field(stopped, data, case):
    along = {"group_lrs": {"layer_decay": 1.0}, "schedule_args": {"schedule": "cosine"}}  # each needs this too
    for field, value in OTHER.items():
        recipe = RECIPE.but(**{field: value}, **along.get(field, {}))
        match = f"belongs to another run; these differ: .*recipe.{field}"
        with case(field), pytest.raises(CheckpointError, match=match):
            ft.fit(recipe, data, live=False, checkpoint_dir=stopped[1] / "checkpoints", resume=True)


def changed(data, column, row, value):
    frame = data.frame.copy()
    frame.loc[row, column] = value
    return ft.load_data(frame, text="excerpt", target="target")


@pytest.mark.fault("another recipe or other data on resume")
@pytest.mark.filterwarnings("ignore:.*standard deviation:UserWarning")
def test_changed_data_are_refused(stopped, data, case):
    others = {
        "text": changed(data, "excerpt", 700, data.texts[700] + "."),
        "target": changed(data, "target", 3, data.targets[3] + 1e-9),
        "order": ft.load_data(data.frame[::-1], text="excerpt", target="target"),
        "rows": ft.load_data(data.frame[:-1], text="excerpt", target="target"),
        "folds": ft.load_data("passages", num_folds=4),
        "seed": ft.load_data("passages", seed=1),
        "sample": data.few_samples(100),
        "column": ft.load_data("passages", target="level"),
        "task": ft.load_data("passages", target="level", task="classification"),
    }
    for name, other in others.items():
        with case(name), pytest.raises(CheckpointError, match="another run; these differ: data"):
            ft.fit(RECIPE, other, live=False, checkpoint_dir=stopped[1] / "checkpoints", resume=True)


@pytest.mark.fault("another recipe or other data on resume")
def test_the_preset_for_tests_is_another_run(stopped, data, monkeypatch):
    monkeypatch.delenv("FTLAB_PRESET")
    with pytest.raises(CheckpointError, match="another run; these differ: preset"):
        ft.fit(RECIPE, data, live=False, checkpoint_dir=stopped[1] / "checkpoints", resume=True)


@pytest.mark.fault("another recipe or other data on resume")
def test_mixed_precision_is_another_run(stopped, data, bf16):
    with pytest.raises(CheckpointError, match="another run; these differ: mixed_precision"):
        ft.fit(RECIPE, data, live=False, checkpoint_dir=stopped[1] / "checkpoints", resume=True)


@pytest.mark.fault("another recipe or other data on resume")
def test_a_checkpoint_of_another_version_is_refused(stopped, data, case):
    """Whole by its hashes, and yet not what this ftlab writes."""
    spoilers = {
        "nothing": lambda state: state.clear(),
        "no step": lambda state: state.pop("step"),
        "no fingerprint": lambda state: state.pop("fingerprint"),
        "no data": lambda state: state["fingerprint"].pop("data"),
        "no recipe": lambda state: state["fingerprint"].pop("recipe"),
        "no history": lambda state: state.pop("history"),
        "no optimizer": lambda state: state.pop("optimizer"),
        "no groups": lambda state: state["optimizer"].update(groups=[]),
    }
    for name, spoil in spoilers.items():
        with case(name) as folder:
            loaded, state = load_checkpoint(stopped[1] / "checkpoints")
            spoil(state)
            save_checkpoint(folder, 4, loaded, state)
            with pytest.raises(CheckpointError):
                ft.fit(RECIPE, data, live=False, checkpoint_dir=folder, resume=True)


@pytest.mark.fault("another recipe or other data on resume")
def test_a_checkpoint_without_a_part_is_refused(stopped, data, case):
    for part in ("model", "optimizer", "best", "average", "random"):
        with case(part) as folder:
            loaded, state = load_checkpoint(stopped[1] / "checkpoints")
            del loaded[part]
            save_checkpoint(folder, 4, loaded, state)
            with pytest.raises(CheckpointError):
                ft.fit(RECIPE, data, live=False, checkpoint_dir=folder, resume=True)


# ------------------------------------------------------------------------------------------------- nothing is unpickled


class Payload:
    """What runs when it is unpickled: it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def payload(tmp_path):
    """A malicious pickle, shown to work, and the folder that it makes."""
    mark = tmp_path / "the payload ran"
    pickled = pickle.dumps(Payload(mark))
    pickle.loads(pickled)
    mark.rmdir()
    return pickled, mark


@pytest.mark.fault("malicious pickle")
@pytest.mark.filterwarnings("ignore:.*is damaged:UserWarning")
def test_a_pickle_in_a_checkpoint_is_not_run(stopped, payload, case):
    pickled, mark = payload
    for part in (*PARTS, "optimizer.pt", "model.bin", "random.pkl"):
        with case(part) as checkpoints:
            shutil.copytree(stopped[1] / "checkpoints", checkpoints, dirs_exist_ok=True)
            for folder in checkpoints.glob("step-*"):
                (folder / part).write_bytes(pickled)
                manifest = {p.name: checkpoint._sha256(p) for p in folder.iterdir() if p.name != "manifest.json"}
                if part != "manifest.json":
                    (folder / "manifest.json").write_text(json.dumps(manifest))
            if part in PARTS:
                with pytest.raises(CheckpointError):
                    load_checkpoint(checkpoints)
            else:
                load_checkpoint(checkpoints)
            assert not mark.exists()


@pytest.mark.fault("malicious pickle")
def test_a_pickle_in_a_saved_run_is_not_run(stopped, payload, case):
    pickled, mark = payload
    for part in ("pytorch_model.bin", "model.safetensors", "tokenizer.json", "training_args.bin"):
        with case(part) as folder:
            stopped[0].save(folder / "run")
            shutil.rmtree(folder / "run" / "swa_model")
            if part == "pytorch_model.bin":
                (folder / "run" / "model" / "model.safetensors").unlink()
            (folder / "run" / "model" / part).write_bytes(pickled)
            with pytest.raises(FtlabError):
                ft.Run.load(folder / "run")
            assert not mark.exists()


@pytest.mark.fault("model that brings code of its own")
def test_a_models_own_code_is_not_run(tmp_path):
    folder, mark = tmp_path / "model", tmp_path / "the code ran"
    folder.mkdir()
    code = f"import os\nos.mkdir({str(mark)!r})\nclass Evil: pass\n"
    (folder / "evil.py").write_text(code)
    names = ("AutoConfig", "AutoModel", "AutoModelForSequenceClassification", "AutoTokenizer")
    config = {"model_type": "evil", "auto_map": dict.fromkeys(names, "evil.Evil")}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps({"auto_map": {"AutoTokenizer": ["evil.Evil", None]}}))
    from ftlab.models.load import load_model, load_pretrained, load_tokenizer

    name = str(folder)
    for load in (
        lambda: load_model(ft.Recipe(model=name)),
        lambda: load_tokenizer(name),
        lambda: load_pretrained(name),
    ):
        with pytest.raises(ft.ModelError, match="code of its own"):
            load()
    assert not mark.exists()
    assert trainer.load_model is load_model
