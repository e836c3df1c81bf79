"""Run the clinic's cases for real and keep their records: one line of JSON each.

    python tools/clinic_runs.py             data/results/clinic.jsonl: the runs on which the thresholds were set
    python tools/clinic_runs.py graded      data/results/clinic_graded.jsonl: new runs, to judge the rules by

The second file holds every mistake in several doses, from mild to severe, healthy runs under new seeds, and a few of
both on CLEAR (which has to be there, see `FTLAB_DATA`). Adds what is missing; a run takes a few seconds on a CPU.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ftlab as ft
from ftlab import clinic
from ftlab.clinic import cases
from ftlab.data import Data

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results"
SEEDS = range(100, 103)


def few(seed: int, count: int) -> Data:
    """Keep `count` training passages."""
    return clinic.passages(seed).few_samples(count, seed)


def shuffled(seed: int, share: float) -> Data:
    """Permute the targets of a share of the passages among each other."""
    frame = clinic.passages(seed).frame
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(frame), round(share * len(frame)), replace=False)
    targets = frame["target"].to_numpy().copy()
    targets[rows] = rng.permutation(targets[rows])
    return ft.load_data(frame.assign(target=targets), text="excerpt", target="target", seed=seed)


def padded(seed: int, pads: int) -> Data:
    """Pad validation and test texts with so many tokens that the mask does not hide."""
    plain = clinic.padded_to_evaluate(seed)
    texts = plain.frame["excerpt"].str.replace(" [PAD]" * cases.PADS, " [PAD]" * pads, regex=False)
    return ft.load_data(plain.frame.assign(excerpt=texts), text="excerpt", target="target", seed=seed)


def clear(seed: int) -> Data:
    """Draw 160 excerpts of CLEAR, their targets brought to a standard deviation of 1."""
    whole = ft.load_data("clear")
    frame = pd.DataFrame({"excerpt": whole.texts, "target": whole.targets}).sample(160, random_state=seed)
    frame["target"] = (frame["target"] - frame["target"].mean()) / frame["target"].std()
    return ft.load_data(frame, text="excerpt", target="target", seed=seed)


Change = tuple[Mapping[str, Any], Callable[[int], Data] | None]
DOSES: Mapping[str, Mapping[str, Change]] = {
    "rate 5e-3": {f"lr {lr:.0e}": ({"lr": lr}, None) for lr in (1e-3, 2e-3, 5e-3)},
    "no warm-up": {f"lr {lr:.0e}": ({"lr": lr}, None) for lr in (1e-4, 3e-4)},
    "plain SGD at 2e-5": {f"lr {lr:.0e}": ({"lr": lr}, None) for lr in (2e-3, 2e-4, 2e-5)},
    "frozen backbone": {f"head_lr {lr:.0e}": ({"head_lr": lr}, None) for lr in (1e-3, 2e-4)},
    "batch of one": {f"batch {size}": ({"batch_size": size}, None) for size in (4, 2, 1)},
    "batch too large": {f"batch {size}": ({"batch_size": size}, None) for size in (24, 48, 96)},
    "two examples": {f"{n} examples": ({"epochs": 32 // n}, partial(few, count=n)) for n in (8, 4, 2)},
    "labels shuffled": {f"{share:.0%} shuffled": ({}, partial(shuffled, share=share)) for share in (0.25, 0.5, 1)},
    "padding attended to": {f"{pads} pads": ({}, partial(padded, pads=pads)) for pads in (10, 30, 80)},
    "too many epochs": {f"{epochs} epochs": ({"epochs": epochs}, None) for epochs in (4, 8)},
    "class imbalance, not stratified": {"as it is": ({}, None)},
}
"""case: dose: (changes on top of the case's, data in place of the case's), from mild to severe."""
ON_CLEAR = ("healthy", "healthy, warm-up", "healthy, layer-wise decay", "rate 5e-3")

Job = tuple[str, str, int, Mapping[str, Any], Callable[[int], Data]]


def first_runs() -> Iterator[Job]:
    """Three seeds of every broken case, one of every healthy one."""
    for name, case in clinic.CASES.items():
        yield from ((name, "", seed, {}, case.data) for seed in range(3))
    for seed, (name, case) in enumerate(clinic.HEALTHY.items()):
        yield name, "", seed, {}, case.data


def graded_runs() -> Iterator[Job]:
    """Yield new seeds: every dose of every mistake, every healthy case, and some of both on CLEAR."""
    for seed in SEEDS:
        for name, doses in DOSES.items():
            for dose, (changes, data) in doses.items():
                yield name, dose, seed, changes, data or clinic.CASES[name].data
        for name, case in clinic.HEALTHY.items():
            yield name, "new seed", seed, {}, case.data
        for name in ON_CLEAR:
            yield name, "CLEAR", seed, {}, clear


def main(which: str = "first") -> None:
    """Run what is not in the file yet."""
    if os.environ.get("FTLAB_PRESET"):
        sys.exit("FTLAB_PRESET is set; records come from real runs only. Unset it and try again")
    jobs, path = {
        "first": (first_runs, RESULTS / "clinic.jsonl"),
        "graded": (graded_runs, RESULTS / "clinic_graded.jsonl"),
    }[which]
    done = {(run.case, run.dose, run.seed) for run in clinic.load(path)} if path.exists() else set()
    for name, dose, seed, changes, data in jobs():
        if (name, dose, seed) in done:
            continue
        began = time.perf_counter()
        run = ft.fit(clinic.find(name).recipe(seed).but(**changes), data(seed), live=False)
        with path.open("a", encoding="utf-8") as file:
            file.write(clinic.to_line(name, run, dose) + "\n")
        print(f"{name}, {dose or 'as it is'}, seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
