"""Devices that are not at hand: one without 64-bit numbers and with a random state of its own, and float16's scaler."""

from __future__ import annotations

import math
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

import ftlab as ft
from ftlab import trainer
from ftlab.checkpoint import load_checkpoint
from ftlab.evaluate import predict_logits
from ftlab.models.rng import seeded
from ftlab.trainer import Job

RECIPE = ft.Recipe(epochs=3, batch_size=8, lr=3e-3, max_length=16, eval_every=2)  # 18 updates, 9 evaluations


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


class StopAfter(ft.Callback):
    """Stop the run after so many updates."""

    def __init__(self, steps: int) -> None:
        self.steps, self.event = steps, threading.Event()

    def on_step(self, history):
        if len(history) == self.steps:
            self.event.set()


def interrupted_and_resumed(recipe, data, folder, steps, callbacks=()):
    """Stop after so many updates and go on from the checkpoint; return the first run and the second."""
    stop = StopAfter(steps)
    first = ft.fit(recipe, data, live=False, checkpoint_dir=folder, stop=stop.event, callbacks=[stop, *callbacks])
    return first, ft.fit(recipe, data, live=False, checkpoint_dir=folder, resume=True, callbacks=callbacks)


# ------------------------------------------------------------------------------------------- as on Apple silicon


class OnMetal(torch.Tensor):
    """A tensor as on a device without float64: to become one raises, in Metal's words, until it is on the CPU."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        asked = [*args, *(kwargs or {}).values()]
        if function is torch.Tensor.double or any(value is torch.float64 for value in asked):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        result = super().__torch_function__(function, types, args, kwargs or {})
        return result.as_subclass(torch.Tensor) if function is torch.Tensor.cpu else result


def test_predictions_come_from_a_device_without_float64():
    class Model(torch.nn.Module):
        def forward(self, x):
            return SimpleNamespace(logits=(x / 3).as_subclass(OnMetal))

    batches = [np.array([5, 1]), np.array([2])]
    logits = predict_logits(Model(), lambda rows: {"x": torch.tensor(rows, dtype=torch.float32)[:, None]}, batches)
    assert logits.dtype == np.float64
    assert logits[:, 0].tolist() == (np.array([5, 1, 2], dtype=np.float32) / np.float32(3)).astype(np.float64).tolist()
    with pytest.raises(TypeError, match="float64"):
        torch.ones(2).as_subclass(OnMetal).double()


@pytest.fixture
def metal(monkeypatch):
    """A random generator that torch takes for that of an accelerator of another name than CUDA."""
    generator = torch.Generator()
    generator.manual_seed(123)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *a, **k: torch.device("mps"))
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda *a: generator.get_state())
    monkeypatch.setattr(torch.mps, "set_rng_state", lambda state, *a: generator.set_state(state))
    monkeypatch.setattr(torch.mps, "manual_seed", generator.manual_seed)
    return generator


class Draws(ft.Callback):
    """Draw from the device at every update, as its dropout does."""

    def __init__(self, generator):
        self.generator, self.drawn = generator, []

    def on_step(self, history):
        self.drawn.append(torch.rand((), generator=self.generator).item())


def test_a_resumed_run_goes_on_with_that_device_s_random_numbers(data, tmp_path, metal):
    before, draws = metal.get_state(), Draws(metal)
    whole = ft.fit(RECIPE, data, live=False, callbacks=[draws])
    assert torch.equal(metal.get_state(), before), "what the reader draws afterwards is as if nothing had been trained"
    again = Draws(metal)
    first, second = interrupted_and_resumed(RECIPE, data, tmp_path, 8, callbacks=[again])
    assert first.status == "interrupted" and len(draws.drawn) == len(whole.history) == 18
    assert again.drawn == draws.drawn and len(set(draws.drawn)) == 18
    assert second.history == whole.history
    assert {"0/cpu", "0/mps"} == set(load_checkpoint(tmp_path)[0]["random"])


def test_a_checkpoint_is_continued_on_a_machine_without_its_accelerator(data, tmp_path, metal, monkeypatch):
    ft.fit(RECIPE, data, live=False, checkpoint_dir=tmp_path)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert ft.fit(RECIPE, data, live=False, checkpoint_dir=tmp_path, resume=True).status == "completed"


def test_seeding_ends_with_its_block_though_an_error_ends_it(metal):
    states = torch.get_rng_state(), metal.get_state()
    with pytest.raises(KeyError), seeded(7) as own, own:
        drawn = torch.rand(()), torch.rand((), generator=metal)
        raise KeyError
    assert torch.equal(states[0], torch.get_rng_state()) and torch.equal(states[1], metal.get_state())
    with seeded(7) as own, own:
        assert drawn == (torch.rand(()), torch.rand((), generator=metal))


# ----------------------------------------------------------------------------------------- float16 and its scaler

START, GROWTH = 2.0**24, 3  # a scale far too large at first; it doubles after so many updates without an overflow


@pytest.fixture
def half(monkeypatch):
    """float16 as accelerate has it on a GPU, on this CPU, where it would not: autocast, and torch's scaler."""

    class OnCPU(Accelerator):
        def __init__(self):
            super().__init__()
            self.native_amp = True
            self.scaler = torch.amp.GradScaler("cpu", init_scale=START, growth_interval=GROWTH)

    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    AcceleratorState._reset_state(reset_partial_state=True)
    monkeypatch.setattr(trainer, "Accelerator", OnCPU)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


class Weights(ft.Callback):
    """The model's mean prediction after every update, which moves if the weights do."""

    def __init__(self):
        self.seen = []

    def on_step(self, history):
        self.seen.append(self.predict(np.arange(4)).tolist())


@pytest.mark.parametrize("optimizer", ["adamw", "bertadam"])  # fused and not: the scaler treats them differently
def test_an_overflow_that_the_scaler_skips_is_no_divergence(data, half, optimizer):
    recipe, weights = RECIPE.but(optimizer=optimizer), Weights()
    run = ft.fit(recipe, data, live=False, callbacks=[weights])
    skipped = ~np.isfinite(run.history.grad_norm)
    assert run.status == "completed" and skipped[0] and not skipped.all() and np.isfinite(run.history.loss).all()
    moved = [a != b for a, b in zip(weights.seen, weights.seen[1:], strict=False)]
    rates = run.history.lr.any(axis=1)[1:]
    assert moved == (~skipped[1:] & rates).tolist(), "an update is skipped whole, or made whole"
    assert "diverged" not in ft.diagnose(run)


def test_the_scaler_is_part_of_a_checkpoint(data, tmp_path, half):
    whole = ft.fit(RECIPE, data, live=False)
    first, second = interrupted_and_resumed(RECIPE, data, tmp_path, 12)
    assert first.status == "interrupted" and second.history == whole.history
    saved = load_checkpoint(tmp_path)[1]["scaler"]
    skipped = ~np.isfinite(whole.history.grad_norm)
    grown = sum(1 for _ in scale_grows(skipped))
    assert saved["scale"] == START * 2.0 ** (grown - skipped.sum())
    assert skipped[-6:].any() or grown, "the scale moves after the checkpoint too"


def scale_grows(skipped):
    """Yield each update at which the scale doubles: after GROWTH in a row without an overflow."""
    good = 0
    for i, skip in enumerate(skipped):
        good = 0 if skip else good + 1
        if good == GROWTH:
            good = 0
            yield i


def test_a_gradient_that_is_never_finite_is_a_divergence(data, half, monkeypatch):
    forward_and_backward = Job.forward_and_backward

    def poisoned(job, batches):
        if not len(job.history):
            next(job.bare_model.parameters()).register_hook(lambda gradient: gradient * math.inf)
        return forward_and_backward(job, batches)

    monkeypatch.setattr(Job, "forward_and_backward", poisoned)
    run = ft.fit(RECIPE.but(batch_size=2, eval_every=None), data, live=False)
    assert run.status == "diverged" and len(run.history) == 25, "after 24 halvings the scale is 1, and then it counts"


def test_without_a_scaler_a_gradient_that_is_not_finite_ends_the_run(data, monkeypatch):
    forward_and_backward = Job.forward_and_backward
    monkeypatch.setattr(Job, "forward_and_backward", lambda *a: (forward_and_backward(*a)[0], math.inf))
    run = ft.fit(RECIPE, data, live=False)
    assert run.status == "diverged" and len(run.history) == 1
