"""Numbers that are not finite: wherever they first appear, the run ends as "diverged" with what was good before.

fp16 needs a GPU (accelerate refuses it on a CPU, and fit says so); bf16 runs on a CPU and is tried here.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

import ftlab as ft
from ftlab import trainer
from tests.pairwise import pairwise

RECIPE = ft.Recipe(epochs=3, batch_size=8, eval_every=2, lr=1e-3, swa_start=1, seed=1)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


@pytest.fixture(scope="module")
def classes():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["sun", "rain", "snow", "wind"], 9)) + f" {i}" for i in range(200)]
    return ft.load_data(pd.DataFrame({"text": texts, "label": [["dry", "wet"]["rain" in t] for t in texts]}))


class Poison:
    """Put a value into the loss, the gradient or the evaluation of the tiny model, from a certain pass on."""

    def __init__(self, monkeypatch, where, value, first):
        self.where, self.value, self.first, self.passes = where, value, first, 0
        make = trainer.tiny_model

        def poisoned(*args, **kwargs):
            model = make(*args, **kwargs)
            model.register_forward_hook(self.forward)
            return model

        monkeypatch.setattr(trainer, "tiny_model", poisoned)

    def forward(self, model, inputs, output):
        evaluates = not model.training
        if evaluates != (self.where == "evaluation"):
            return
        self.passes += 1
        if self.passes <= self.first:
            return
        if self.where == "gradient":
            output.logits.register_hook(lambda gradient: gradient * self.value)
        elif self.where == "evaluation" and self.passes == self.first + 1:
            output.logits[0, 0] = self.value
        elif self.where == "loss":
            output.logits = output.logits * self.value


@pytest.mark.fault("number that is not finite")
def test_the_run_ends_and_keeps_what_was_good(data, classes, case):
    """Each two of: the task, where the number first appears, which it is, and whether at once or in mid-run."""
    factors = {
        "data": [data, classes],
        "where": ["loss", "gradient", "evaluation"],
        "value": [math.nan, math.inf, -math.inf],
        "first": [0, 3],
    }
    for chosen in pairwise(factors):
        with case(chosen) as folder, pytest.MonkeyPatch.context() as patch:
            Poison(patch, chosen["where"], chosen["value"], chosen["first"])
            run = ft.fit(RECIPE, chosen["data"], live=False, checkpoint_dir=folder)
            assert_ended_well(run, folder)


def assert_ended_well(run, folder):
    """Assert that a run has diverged, and that what was good before is what it hands back and saves."""
    assert run.status == "diverged"
    good = [e for e in run.history.evals if math.isfinite(e["score"])]
    assert all(torch.isfinite(p).all() for p in run.model.parameters())
    assert (run.best_score is None) == (not good)
    if good:
        sign = -1 if run.history.higher_is_better else 1
        assert run.best_score == sign * min(sign * e["score"] for e in good)
        assert math.isfinite(run.test_score) and len(run.predictions) == len(run.targets)
    assert run.swa_model is None and run.swa_score is None
    assert len(run.history.to_frame()) == len(run.history) > 0
    assert ft.diagnose(run)[0].name == "diverged"
    assert "diverged" in repr(run) and run.plot() is not None
    run.save(folder / "run")
    assert ft.Run.load(folder / "run").history == run.history


@pytest.mark.fault("number that is not finite")
@pytest.mark.filterwarnings("ignore:.*standard deviation:UserWarning")
def test_targets_that_overflow_when_squared(tmp_path):
    frame = pd.DataFrame({"text": [f"text number {i}" for i in range(100)], "target": np.linspace(-1, 1, 100) * 3e38})
    run = ft.fit(RECIPE, ft.load_data(frame), live=False)
    assert run.status == "diverged" and len(run.history) == 1 and run.best_score is None
    assert ft.diagnose(run)[0].name == "diverged"


@pytest.mark.fault("number that is not finite")
def test_a_run_that_diverged_diverges_again_from_its_checkpoint(monkeypatch, data, tmp_path):
    recipe = RECIPE.but(lr=1e-3, optimizer="sgd", max_grad_norm=None, swa_start=1, swa_lr=1e30, swa_anneal_steps=0)
    first = ft.fit(recipe, data, live=False, checkpoint_dir=tmp_path)
    again = ft.fit(recipe, data, live=False, checkpoint_dir=tmp_path, resume=True)
    assert first.status == again.status == "diverged" and again.history == first.history
    assert again.best_score == first.best_score and again.test_score == first.test_score


@pytest.mark.fault("number that is not finite")
@pytest.mark.parametrize("where, first", [("loss", 3), ("gradient", 0), ("evaluation", 1)])
def test_bfloat16(bf16, monkeypatch, data, where, first):
    good = ft.fit(RECIPE, data, live=False)
    assert good.status == "completed" and math.isfinite(good.test_score)
    Poison(monkeypatch, where, math.inf, first)
    run = ft.fit(RECIPE, data, live=False)
    assert run.status == "diverged" and ft.diagnose(run)[0].name == "diverged"


IN_ONE_OF_TWO = """
import json, math, os, sys
import ftlab as ft
from ftlab import trainer
from accelerate import PartialState

make, where, passes = trainer.tiny_model, sys.argv[1], 0

def poisoned(*args, **kwargs):
    model = make(*args, **kwargs)

    def forward(model, inputs, output):
        global passes
        if PartialState().process_index != 1 or model.training == (where == "evaluation"):
            return
        passes += 1
        if passes < 3:
            return
        if where == "gradient":
            output.logits.register_hook(lambda gradient: gradient * math.nan)
        else:
            output.logits = output.logits * math.nan

    model.register_forward_hook(forward)
    return model

trainer.tiny_model = poisoned
# 72 rows to evaluate are two batches: one a process.
trainer.EVALUATION_BATCH = {"cpu": 12}
recipe = ft.Recipe(epochs=3, batch_size=8, eval_every=2, lr=1e-3)
run = ft.fit(recipe, ft.load_data("passages"), live=False, checkpoint_dir=sys.argv[2])
said = {"status": run.status, "best": run.best_score, "test": run.test_score, "steps": len(run.history),
        "looks": [e["score"] for e in run.history.evals], "diagnosis": ft.diagnose(run)[0].name}
with open(os.path.join(sys.argv[2], f"said-{PartialState().process_index}.json"), "w") as file:
    json.dump(said, file)
"""


@pytest.mark.slow
@pytest.mark.fault("number that is not finite in one of two processes")
@pytest.mark.parametrize("where", ["loss", "gradient", "evaluation"])
def test_in_one_process_of_two(tmp_path, where):
    (tmp_path / "poison.py").write_text(IN_ONE_OF_TWO)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "FTLAB_PRESET": "tiny", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, str(tmp_path / "poison.py"), where, str(tmp_path)], env=environment,
                          capture_output=True, text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"said-{rank}.json").read_text()) for rank in (0, 1))
    assert json.dumps(first) == json.dumps(second), "both processes tell the same"
    assert first["status"] == first["diagnosis"] == "diverged" and first["steps"] > 1
    assert math.isfinite(first["best"]) and math.isfinite(first["looks"][0])
