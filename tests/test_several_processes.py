"""Two real processes, started as a reader starts them, give the numbers of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors.torch import load_file

import ftlab as ft

# Batches of 47 and of 1 row in an update of two: shares of 24 and 23 rows, then one process with none at all.
RECIPE = ft.Recipe(
    epochs=3, batch_size=47, gradient_accumulation_steps=2, lr=5e-3, layer_decay=0.8, swa_start=1, max_length=32
)


def on_two_cpu_processes(*program: str) -> subprocess.CompletedProcess[str]:
    """Run a program under `accelerate launch` on two processes of this machine's CPU.

    `accelerate launch --cpu --num_processes 2` would start one process, without a word, unless MPI is there:
    --multi_gpu starts two, ACCELERATE_USE_CPU keeps them off any GPU, and port 0 is whichever is free.
    """
    launch = ["--multi_gpu", "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
    launch += ["--dynamo_backend", "no", "--main_process_port", "0"]
    command = [sys.executable, "-m", "accelerate.commands.launch", *launch, *program]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "FTLAB_PRESET": "tiny", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as launcher:
        try:
            out, err = launcher.communicate(timeout=300)
        except BaseException:
            launcher.terminate()  # it then ends the processes that it started, which a kill would leave behind
            raise
    return subprocess.CompletedProcess(command, launcher.returncode, out, err)


needs_launcher = pytest.mark.skipif(sys.platform == "win32", reason="PyTorch's launcher needs libuv there")


@pytest.mark.slow
@needs_launcher
def test_two_processes_give_the_numbers_of_one(tmp_path, monkeypatch):
    (tmp_path / "recipe.json").write_text(RECIPE.to_json(), encoding="utf-8")
    folders = ["--out", str(tmp_path / "run"), "--checkpoint-dir", str(tmp_path / "checkpoints")]
    done = on_two_cpu_processes("-m", "ftlab", "fit", "--quiet", "--recipe", str(tmp_path / "recipe.json"), *folders)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("completed after 3 of 3 steps") == 1, "one process speaks for both"
    states = load_file(next((tmp_path / "checkpoints").rglob("random.safetensors")))
    assert {name.split("/")[0] for name in states} == {"0", "1"}, "each process has saved its random state"

    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    one, two = ft.fit(RECIPE, ft.load_data("passages"), live=False), ft.Run.load(tmp_path / "run")
    assert np.array_equal(two.history.lr, one.history.lr)
    for name in ("loss", "grad_norm"):
        assert np.allclose(getattr(two.history, name), getattr(one.history, name), rtol=0, atol=1e-4), name
    for ours, theirs in zip(one.history.evals, two.history.evals, strict=True):
        for name in ("step", "score", "loss", *(("swa_score", "swa_distance") if "swa_score" in ours else ())):
            assert theirs[name] == pytest.approx(ours[name], abs=1e-4), name
    assert two.test_score == pytest.approx(one.test_score, abs=1e-4)
    assert two.swa_score == pytest.approx(one.swa_score, abs=1e-4)
    assert np.allclose(two.predictions, one.predictions, rtol=0, atol=1e-4)
    assert np.ptp(one.history.loss) > 0.02, "the run moves enough for a mistake to show"


ROOT_STOP_AND_FINDER = """
import json, os, sys, threading
import ftlab as ft

folder, rank = sys.argv[1], int(os.environ["RANK"])
recipe, data = ft.Recipe.from_json(open(f"{folder}/recipe.json").read()), ft.load_data("passages")
run = ft.fit(recipe, data, live=False)
stop = threading.Event()

class Press(ft.Callback):
    def on_step(self, history):
        if len(history) == 1 and rank == 1:
            stop.set()

stopped = ft.fit(recipe, data, live=False, stop=stop, callbacks=[Press()])
finder = ft.find_lr(recipe, data, low=1e-4, high=1e-2, steps=20)
said = {"loss": run.history.loss.tolist(), "grad_norm": run.history.grad_norm.tolist(), "test": run.test_score,
        "stopped": [stopped.status, len(stopped.history)], "start_loss": finder.start_loss,
        "losses": finder.losses.tolist()}
with open(f"{folder}/said-{rank}.json", "w") as file:
    json.dump(said, file)
"""


@pytest.mark.slow
@needs_launcher
def test_the_articles_loss_a_stop_in_one_of_them_and_the_range_test(tmp_path, monkeypatch):
    """The root is that of the whole batch's squared error, not of a process's share; a stop anywhere ends all; the
    range test looks at the model with the wrapping off, since two processes have unequal numbers of batches."""
    recipe = RECIPE.but(loss="rmse", swa_start=None)
    (tmp_path / "recipe.json").write_text(recipe.to_json(), encoding="utf-8")
    (tmp_path / "program.py").write_text(ROOT_STOP_AND_FINDER, encoding="utf-8")
    done = on_two_cpu_processes(str(tmp_path / "program.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second, "both processes tell the same"
    assert first["stopped"] == ["interrupted", 1]

    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    one = ft.fit(recipe, ft.load_data("passages"), live=False)
    assert first["loss"] == pytest.approx(one.history.loss.tolist(), abs=1e-4)
    assert first["grad_norm"] == pytest.approx(one.history.grad_norm.tolist(), abs=1e-4)
    assert first["test"] == pytest.approx(one.test_score, abs=1e-4)
    finder = ft.find_lr(recipe, ft.load_data("passages"), low=1e-4, high=1e-2, steps=20)
    assert first["start_loss"] == pytest.approx(finder.start_loss, abs=1e-4)
    assert first["losses"] == pytest.approx(finder.losses.tolist(), abs=1e-3)
    assert np.ptp(one.history.loss) > 0.02, "the run moves enough for a mistake to show"
