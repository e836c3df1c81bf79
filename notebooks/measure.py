"""Measure each technique alone against the baseline, over folds and seeds: real runs, one line of JSON each.

    python notebooks/measure.py                 five folds, seed 0
    python notebooks/measure.py --seeds 3       three seeds

Adds what is missing to data/results/techniques.jsonl, which notebooks 02 to 06 read. Each run looks at the validation
part every 10 steps, and scores the test part at each of these looks, for notebook 06. Looking changes nothing in the
training, so the baseline and frequent evaluation share their runs: the baseline counts only the looks at the ends of
epochs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import ftlab as ft

RESULTS = Path(__file__).resolve().parent.parent / "data" / "results" / "techniques.jsonl"
LOOKS = {"eval_every": 10}
TECHNIQUES = {  # each the baseline plus one change, chosen beforehand: the article's setting, scaled to this model
    "baseline": {},
    "llrd": {"layer_decay": 0.9},
    "warmup": {"warmup": 0.1},
    "reinit": {"reinit_layers": 2},  # the article's 5 of 12 layers
    "swa": {"swa_start": 3},  # the last quarter of the run
}


class TestAtEachLook(ft.Callback):
    """Score the test part whenever the validation part is scored; nothing is chosen by it."""

    def __init__(self, data: ft.Data, fold: int) -> None:
        self.rows = data.split(fold).test
        self.targets = data.targets[self.rows]
        self.scores: list[float] = []
        self.seconds: list[float] = []

    def on_evaluate(self, history: ft.History) -> None:
        began = time.perf_counter()
        errors = self.predict(self.rows) - self.targets
        self.scores.append(float(np.sqrt(np.mean(errors**2))))
        self.seconds.append(time.perf_counter() - began)


def measure(technique: str, fold: int, seed: int) -> dict:
    """Train once and return what the notebooks need to know of it."""
    data = ft.load_data("passages")
    recipe = ft.Recipe().but(**TECHNIQUES[technique], **LOOKS, seed=seed)
    test = TestAtEachLook(data, fold)
    run = ft.fit(recipe, data, fold=fold, live=False, callbacks=[test])
    looks = [
        {"step": e["step"], "validation": e["score"], "swa_validation": e.get("swa_score"), "test": score}
        for e, score in zip(run.history.evals, test.scores, strict=True)
    ]
    per_epoch = [look for look in looks if look["step"] % run.history.steps_per_epoch == 0]
    # The time that looking took before the last step; the last look comes after it.
    looking = sum(test.seconds[:-1]) + sum(e["seconds"] for e in run.history.evals[:-1])
    chosen = min(per_epoch, key=lambda look: look["validation"])
    return {
        "technique": technique,
        "changes": TECHNIQUES[technique],
        "fold": fold,
        "seed": seed,
        "status": run.status,
        "validation": chosen["validation"],
        "test": chosen["test"],
        "frequent_validation": run.best_score,
        "frequent_test": run.test_score,
        "swa_test": run.swa_score,
        "looks": looks,
        "loss": [round(value, 6) for value in run.history.loss.tolist()],
        "training_seconds": round(run.history.seconds[-1] - looking, 1),
        "peak_memory_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Run every cell that is not in the file yet, each in a process of its own so that its memory is its own."""
    parser = argparse.ArgumentParser(description="Measure each technique alone.")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--one", nargs=3, metavar=("TECHNIQUE", "FOLD", "SEED"), help="print one run as JSON")
    args = parser.parse_args()
    if args.one:
        technique, fold, seed = args.one
        print(json.dumps(measure(technique, int(fold), int(seed))))
        return
    if os.environ.get("FTLAB_PRESET"):
        sys.exit("FTLAB_PRESET is set; results come from real runs only. Unset it and try again")
    done = set()
    if RESULTS.exists():
        rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
        done = {(row["technique"], row["fold"], row["seed"]) for row in rows}
    for seed, fold, technique in itertools.product(range(args.seeds), range(args.folds), TECHNIQUES):
        if (technique, fold, seed) in done:
            continue
        command = [sys.executable, __file__, "--one", technique, str(fold), str(seed)]
        line = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().splitlines()[-1]
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        row = json.loads(line)
        print(f"{technique} fold {fold} seed {seed}: test {row['test']:.4f}, {row['training_seconds']} s", flush=True)


if __name__ == "__main__":
    main()
