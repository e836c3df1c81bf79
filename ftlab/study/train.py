"""A cell of a study, one recipe on one fold with one seed: its key, and how it is trained."""

from __future__ import annotations

import gc
import hashlib
import json
import math
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from ftlab.callbacks import Callback
from ftlab.data import Data
from ftlab.errors import DataError
from ftlab.evaluate import score_predictions
from ftlab.history import History
from ftlab.recipe import Recipe
from ftlab.trainer import conditions, fit
from ftlab.tuning.peak_memory import peak_of_device, peak_of_process, restart_peak


@dataclass(frozen=True)
class Cell:
    """One run of a study: a recipe by name on one fold, and which rows that is a fold of.

    n_train: training rows drawn at random; None: all. sample: the seed that draws them; None: the recipe's. split: seed
    of the random split whose fold it is; None: the data's own. rows: the part of the data that is split, as `part_of`
    names it; None: all of it.
    """

    name: str
    recipe: Recipe
    fold: int
    n_train: int | None = None
    sample: int | None = None
    split: int | None = None
    rows: str | None = None

    def data(self, data: Data) -> Data:
        """Return the data of the cell."""
        data = data if self.rows is None else part_of(data, self.rows)
        data = data if self.split is None else data.resplit(self.split)
        if self.n_train is None:
            return data
        return data.few_samples(self.n_train, seed=self.recipe.seed if self.sample is None else self.sample)

    def key(self, data: Data) -> str:
        """Name the cell by everything that decides its numbers: a changed recipe or data set makes another cell.

        data: what `Cell.data` returns.
        """
        here = conditions()
        what = [self.recipe.key_fields(), data.fingerprint, self.fold, self.n_train, here["preset"]]
        if here["mixed_precision"]:
            what.append(here["mixed_precision"])
        digest = hashlib.sha256(json.dumps(what).encode()).hexdigest()
        return f"{self.name}/{self.fold}/{self.recipe.seed}/{digest[:16]}"


POOLS = {"passages": (480, 240), "snippets": (8300, 2280), "clear": (4000, 720)}
"""Rows of each set to confirm on and to tune on; no row is in both."""
BLOCK = (432, 128, 200)
"""Training, validation and test rows of a block, as many to train on as a fold of all `passages` has."""


@lru_cache(maxsize=64)
def part_of(data: Data, rows: str) -> Data:
    """Return a part of a set: "confirm" or "tune", or a block of it that shares no row with another, "confirm/3".

    Raises DataError for a set without pools or another name.
    """
    pool, _, block = rows.partition("/")
    if data.name not in POOLS or pool not in ("confirm", "tune"):
        raise DataError(
            f"rows: {rows!r} of {data.name!r} is not known; there are confirm and tune of {', '.join(POOLS)}"
        )
    sizes = POOLS[data.name]
    found = data.blocks(2, sizes)[("confirm", "tune").index(pool)]
    return found.blocks(len(found) // sum(BLOCK), sum(BLOCK), sizes=BLOCK)[int(block)] if block else found


def run_cell(cell: Cell, data: Data, *, test_looks: bool = False) -> dict[str, Any]:
    """Train one cell and return what a study keeps of it, as plain values.

    Scores: `validation` (best, selected on), `test` (of that checkpoint), `swa_test` (of the averaged weights);
    `evals`, `loss` and `grad_norm` by step. `seconds`: wall time of training and its evaluations; `cpu_seconds` and
    `load_before` say whether other work ran beside it. `peak_memory_mib`: of the process, or of the GPU.
    Raises KeyboardInterrupt if the run is interrupted, so that its cell stays open.
    """
    watch = _TestAtEachEvaluation(data, cell.fold) if test_looks else None
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    gc.collect()  # nothing of earlier runs counts
    knows_process = restart_peak()
    cpu = time.process_time()
    run = fit(cell.recipe, data, fold=cell.fold, live=False, callbacks=[watch] if watch else [])
    if run.status == "interrupted":
        raise KeyboardInterrupt
    steps = len(run.history)
    peak = peak_of_device() or (peak_of_process() if knows_process else None)
    seconds = run.history.seconds[-1] if steps else 0.0  # up to the last update: add what follows, less our own scoring
    evals = []
    for i, e in enumerate(run.history.evals):
        looked = watch is not None and i < len(watch.scores)
        seconds += e["seconds"] if e["step"] == steps else -watch.seconds[i] if looked else 0.0
        evals.append({"step": e["step"], "validation": _finite(e["score"]), "swa_validation": e.get("swa_score")})
        if looked:
            evals[-1]["test"] = watch.scores[i]
        evals[-1]["seconds"] = round(e["seconds"], 3)
    fields = cell.recipe.to_dict()
    record = {
        "name": cell.name,
        "changes": {name: fields[name] for name in cell.recipe.diff(Recipe()) if name != "seed"},
        "recipe": cell.recipe.key_fields(),
        "data": data.name,
        "metric": run.history.metric,
        "fold": cell.fold,
        "seed": cell.recipe.seed,
        "n_train": cell.n_train,
        **{name: getattr(cell, name) for name in ("sample", "split", "rows") if getattr(cell, name) is not None},
        "status": run.status,
        "validation": run.best_score,
        "test": run.test_score,
        "swa_test": run.swa_score,
        "predictions": None if run.predictions is None else [_finite(float(value), 5) for value in run.predictions],
        "evals": evals,
        "loss": [_finite(value, 5) for value in run.history.loss],
        "grad_norm": [_finite(value, 4) for value in run.history.grad_norm],
        "seconds": round(seconds, 2),
        "evaluation_seconds": round(sum(e["seconds"] for e in run.history.evals), 2),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "load_before": None if load is None else round(load, 2),
        "peak_memory_mib": peak and round(peak / 2**20),
        "device": _device(),
        "versions": _versions(),
    }
    return record | {name: value for name, value in conditions().items() if value is not None}


class _TestAtEachEvaluation(Callback):
    """Score the test set whenever the validation set is scored; nothing is chosen by it."""

    def __init__(self, data: Data, fold: int) -> None:
        self.rows = data.split(fold).test
        self.task, self.targets = data.task, data.targets[self.rows]
        self.num_classes = 1 if data.labels is None else len(data.labels)
        self.scores: list[float] = []
        self.seconds: list[float] = []

    def on_evaluate(self, history: History) -> None:
        """Score the weights of the moment."""
        began = time.perf_counter()
        self.scores.append(score_predictions(self.task, self.predict(self.rows), self.targets, self.num_classes))
        self.seconds.append(time.perf_counter() - began)


def _finite(value: float | None, digits: int = 17) -> float | None:
    return float(f"{value:.{digits}g}") if value is not None and math.isfinite(value) else None


def _versions() -> dict[str, str]:
    found = {package: version(package) for package in ("torch", "transformers")}
    try:
        return {"ftlab": version("ftlab"), **found}
    except PackageNotFoundError:  # run from its folder
        return found


def _device() -> str:
    """Name the device that trains: results of several are never put into one mean."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
