"""A run without a model, for the tests of what only reads a run: callbacks and plots cannot tell it from a
real one.
"""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np

from ftlab.history import History
from ftlab.lab.live import live_callback
from ftlab.recipe import Recipe
from ftlab.schedules import preview

RECIPE = Recipe(epochs=3, lr=1e-4, layer_decay=0.8, warmup=0.1)


def start(recipe=RECIPE, *, steps_per_epoch=27, metric="rmse"):
    """Return an empty history and the schedule of the run that will fill it."""
    schedule = preview(recipe, steps_per_epoch)
    history = History(
        schedule.layers,
        metric=metric,
        steps_per_epoch=steps_per_epoch,
        total_steps=schedule.total_steps,
        swa_step=schedule.swa_step,
    )
    return history, schedule


def advance(history, schedule, *, every=None, seconds=0.0):
    """Make one step, and an evaluation if it is time for one; tell whether there was one."""
    i = len(history)
    history.append(
        loss=0.2 + float(np.exp(-i / 20)) + 0.05 * (i % 3),
        grad_norm=1.0,
        lr=schedule.lr[i].tolist(),
        seconds=seconds,
    )
    if (i + 1) % (every or history.steps_per_epoch):
        return False
    score = 0.3 + 0.5 * float(np.exp(-i / 40))
    score = 1 - score if history.higher_is_better else score
    history.evals.append(
        {
            "step": i + 1,
            "epoch": (i + 1) / history.steps_per_epoch,
            "score": score,
            "loss": score**2,
            "seconds": 0.1,
            "best": True,
        }
    )
    if history.swa_step is not None and i >= history.swa_step:
        history.evals[-1]["swa_score"] = score - 0.02
    return True


def make_run(recipe=RECIPE, *, steps=None, status="completed", every=None, **start_arguments):
    """Return a run of `steps` steps (default: all)."""
    history, schedule = start(recipe, **start_arguments)
    for _ in range(schedule.total_steps if steps is None else steps):
        advance(history, schedule, every=every)
    return SimpleNamespace(recipe=recipe, history=history, schedule=schedule, status=status, seconds=1.5)


def train(mode=True, *, steps_per_epoch=27, seconds=0.01):
    """Go through a run with live curves, each step keeping the processor busy for so many seconds."""
    history, schedule = start(steps_per_epoch=steps_per_epoch)
    callback, stop, began = live_callback(mode), threading.Event(), time.perf_counter()
    callback.on_train_begin(history, schedule, stop)
    status = "completed"
    try:
        while len(history) < schedule.total_steps:
            if stop.is_set():
                status = "interrupted"
                break
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                pass
            evaluated = advance(history, schedule, seconds=time.perf_counter() - began)
            callback.on_step(history)
            if evaluated:
                callback.on_evaluate(history)
    except KeyboardInterrupt:
        status = "interrupted"
    except ArithmeticError:
        callback.on_train_end(None)
        raise
    taken = time.perf_counter() - began
    callback.on_train_end(SimpleNamespace(history=history, schedule=schedule, status=status, seconds=taken))
