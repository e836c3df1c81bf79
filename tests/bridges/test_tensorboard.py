"""The TensorBoard callback: event files hold what the History holds; and what happens without the package."""

from __future__ import annotations

import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

import ftlab as ft
from ftlab.errors import CheckpointError
from tests.fake_run import RECIPE, advance, start

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(path):
    """Every scalar of a folder of events: {tag: (steps, values, wall times)}; and the texts' tags."""
    events = accumulators.EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    events.Reload()
    tags = events.Tags()
    scalars = {
        tag: np.array([(e.step, e.value, e.wall_time) for e in events.Scalars(tag)]).T for tag in tags["scalars"]
    }
    texts = {tag: events.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]}
    return scalars, texts


def test_a_run_is_written_as_its_history_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    board = ft.TensorBoard(tmp_path / "logs")
    recipe = ft.Recipe(epochs=2, layer_decay=0.8, warmup=0.2, swa_start=1, eval_every=2)
    run = ft.fit(recipe, ft.load_data("passages"), live=False, callbacks=[board])
    assert board.path == tmp_path / "logs" / "run-1"
    scalars, texts = read(board.path)
    history = run.history
    assert scalars["train/loss"][0].tolist() == list(range(len(history)))
    assert np.allclose(scalars["train/loss"][1], history.loss, rtol=1e-6)
    assert np.allclose(scalars["train/grad_norm"][1], history.grad_norm, rtol=1e-6)
    for name, rates in zip(history.layers, history.lr.T, strict=True):
        assert np.allclose(scalars[f"rate/{name}"][1], rates, rtol=1e-6)
    for tag, key in (("rmse", "score"), ("loss", "loss"), ("averaged_rmse", "swa_score")):
        looks = [(look["step"], look[key]) for look in history.evals if key in look]
        steps, values, _ = scalars[f"validation/{tag}"]
        assert steps.tolist() == [step for step, _ in looks] and looks
        assert np.allclose(values, [value for _, value in looks], rtol=1e-6)
    wall = scalars["train/loss"][2]
    assert np.allclose(np.diff(wall), np.diff(history.seconds), atol=1e-3)
    [recipe_text] = texts.values()
    assert repr(run.recipe) in recipe_text
    expected = {"train/loss", "train/grad_norm", "validation/rmse", "validation/loss", "validation/averaged_rmse"}
    assert set(scalars) == expected | {f"rate/{name}" for name in history.layers}


def follow(board, *, steps, resumed=0, classes=False):
    """Let a callback follow a run that exists already up to `resumed`, and on to `steps`."""
    history, schedule = start(RECIPE, steps_per_epoch=6, metric="macro_f1" if classes else "rmse")
    for _ in range(resumed):
        advance(history, schedule)
    board.on_train_begin(history, schedule, threading.Event())
    for _ in range(steps - resumed):
        evaluated = advance(history, schedule, seconds=float(len(history)))
        if classes and evaluated:
            history.evals[-1]["accuracy"] = 0.75
        board.on_step(history)
        if evaluated:
            board.on_evaluate(history)
    return history


def test_each_run_gets_a_folder_and_a_resumed_one_is_whole(tmp_path):
    board = ft.TensorBoard(str(tmp_path))
    for resumed in (0, 7):
        history = follow(board, steps=13, resumed=resumed)
        board.on_train_end(SimpleNamespace(recipe=RECIPE))
    (tmp_path / "run-notes").mkdir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run-1", "run-2", "run-notes"]
    first, second = (read(tmp_path / name)[0] for name in ("run-1", "run-2"))
    for scalars in (first, second):
        assert scalars["train/loss"][0].tolist() == list(range(13))
        assert np.allclose(scalars["train/loss"][1], history.loss, rtol=1e-6)
        assert scalars["validation/rmse"][0].tolist() == [6, 12]
    follow(ft.TensorBoard(tmp_path), steps=1)
    assert (tmp_path / "run-3").is_dir()


def test_a_run_that_fails_leaves_what_there_was(tmp_path):
    board = ft.TensorBoard(tmp_path)
    follow(board, steps=8)
    board.on_train_end(None)
    scalars, texts = read(board.path)
    assert len(scalars["train/loss"][0]) == 8 and scalars["validation/rmse"][0].tolist() == [6] and not texts
    board.on_train_end(None)  # a second time does no harm


def test_classes_have_an_accuracy(tmp_path):
    board = ft.TensorBoard(tmp_path)
    follow(board, steps=6, classes=True)
    board.on_train_end(None)
    scalars, _ = read(board.path)
    assert scalars["validation/accuracy"][1].tolist() == [0.75] and "validation/macro_f1" in scalars


def test_writing_is_put_off_so_that_a_run_does_not_wait_for_it(tmp_path, monkeypatch):
    board = ft.TensorBoard(tmp_path)
    written = []
    original = board._write
    monkeypatch.setattr(board, "_write", lambda history: (written.append(len(history)), original(history)))
    clock = iter(np.arange(0, 100, 0.25).tolist())
    monkeypatch.setattr("ftlab.bridges.tensorboard.time.monotonic", lambda: next(clock))
    follow(board, steps=12)
    assert written[0] == 0 and {6, 12} <= set(written) and len(written) < 12


def test_a_place_that_cannot_be_written_to(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CheckpointError, match="file: cannot be written to"):
        follow(ft.TensorBoard(tmp_path / "file"), steps=1)


def test_without_the_package_an_error_says_what_to_install():
    program = "import sys; sys.modules['tensorboard'] = None; import ftlab as ft; ft.TensorBoard('logs')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "ImportError: ft.TensorBoard needs the package tensorboard" in done.stderr
    assert "pip install 'tensorboard>=2.18,<3'" in done.stderr
