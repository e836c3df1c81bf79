"""Checkpoints: whole or not at all, the one before when the newest is damaged, never another run's."""

import json
import os
import stat

import pytest
import torch

from ftlab.checkpoint import flatten_optimizer, load_checkpoint, save_checkpoint, unflatten_optimizer
from ftlab.errors import CheckpointError


def tensors(value):
    return {"model": {"w": torch.full((3,), float(value)), "n": torch.tensor(value)}, "empty": {}}


def test_round_trip_and_only_the_newest_two_are_kept(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, tensors(step), {"step": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000002", "step-00000003"]
    loaded, state = load_checkpoint(tmp_path)
    assert state == {"step": 3}
    assert loaded["model"]["w"].tolist() == [3.0] * 3 and loaded["model"]["n"] == 3
    assert loaded["empty"] == {}


def test_tied_weights_are_written_and_read(tmp_path):
    """safetensors refuses tensors that share memory; torch ties by sharing it."""
    word = torch.arange(6.0).reshape(2, 3)
    named = {"shared": word, "tied": word, "part": word[0], "other": torch.ones(2)}
    save_checkpoint(tmp_path, 1, {"model": named}, {})
    loaded = load_checkpoint(tmp_path)[0]["model"]
    assert {name: value.tolist() for name, value in loaded.items()} == {k: v.tolist() for k, v in named.items()}


def test_what_is_flushed_to_the_disk_was_opened_for_writing(tmp_path, monkeypatch):
    """Windows flushes no file that was opened for reading alone; a folder cannot be opened in another way."""
    fcntl = pytest.importorskip("fcntl")
    flushed = []

    def fsync(descriptor):
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        flushed.append((is_file, fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR))

    monkeypatch.setattr(os, "fsync", fsync)
    save_checkpoint(tmp_path, 1, tensors(1), {})
    assert set(flushed) == {(True, True), (False, False)}


def test_nothing_there(tmp_path):
    assert load_checkpoint(tmp_path / "none") is None
    (tmp_path / ".partial-step-00000009").mkdir()  # what a crash while writing leaves behind
    assert load_checkpoint(tmp_path) is None


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip(folder / "model.safetensors"),
        lambda folder: (folder / "model.safetensors").write_bytes(b""),
        lambda folder: (folder / "model.safetensors").unlink(),
        lambda folder: (folder / "state.json").write_text("{}"),
        lambda folder: (folder / "manifest.json").unlink(),
        lambda folder: (folder / "manifest.json").write_text("[]"),
    ],
    ids=["bit flipped", "emptied", "missing", "state changed", "no manifest", "manifest damaged"],
)
def test_damage_falls_back_to_the_one_before(tmp_path, damage):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, tensors(step), {"step": step})
    damage(tmp_path / "step-00000002")
    with pytest.warns(UserWarning, match="step-00000002 is damaged"):
        assert load_checkpoint(tmp_path)[1] == {"step": 1}
    damage(tmp_path / "step-00000001")
    with pytest.warns(UserWarning), pytest.raises(CheckpointError, match="every checkpoint in it is damaged"):
        load_checkpoint(tmp_path)


def test_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot write the checkpoint of step 1"):
        save_checkpoint(tmp_path / "file", 1, tensors(1), {})


@pytest.mark.parametrize("make", [torch.optim.AdamW, lambda g: torch.optim.SGD(g, lr=0.1, momentum=0.9)])
def test_an_optimizer_survives_the_journey_bit_for_bit(tmp_path, make):
    def trained():
        torch.manual_seed(0)
        model = torch.nn.Linear(3, 2)
        optimizer = make([{"params": [p], "name": n} for n, p in model.named_parameters()])
        return model, optimizer

    def step(model, optimizer):
        model(torch.arange(3.0)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    model, optimizer = trained()
    step(model, optimizer)
    flat, rest = flatten_optimizer(optimizer.state_dict())
    save_checkpoint(tmp_path, 1, {"optimizer": flat, "model": model.state_dict()}, {"optimizer": rest})
    loaded, state = load_checkpoint(tmp_path)
    json.dumps(state)
    again, its_optimizer = trained()
    again.load_state_dict(loaded["model"])
    its_optimizer.load_state_dict(unflatten_optimizer(loaded["optimizer"], state["optimizer"]))
    for _ in range(3):
        step(model, optimizer)
        step(again, its_optimizer)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
