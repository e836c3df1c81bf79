"""Run the clinic's cases for real and keep their records: one line of JSON each in data/results/clinic.jsonl.

    python tools/clinic_runs.py             three seeds of every broken case, one of every healthy one

Adds what is missing; a run takes about a quarter of a minute on one CPU core.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from ftlab import clinic

RECORDS = Path(__file__).resolve().parent.parent / "data" / "results" / "clinic.jsonl"


def main() -> None:
    """Run every case that is not in the file yet."""
    if os.environ.get("FTLAB_PRESET"):
        sys.exit("FTLAB_PRESET is set; records come from real runs only. Unset it and try again")
    RECORDS.parent.mkdir(parents=True, exist_ok=True)
    done = {(run.case, run.seed) for run in clinic.load(RECORDS)} if RECORDS.exists() else set()
    plan = [(name, seed) for name in clinic.CASES for seed in range(3)]
    plan += [(name, seed) for seed, name in enumerate(clinic.HEALTHY)]
    for name, seed in plan:
        if (name, seed) in done:
            continue
        began = time.perf_counter()
        line = clinic.to_line(name, clinic.start(name, seed))
        with RECORDS.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        print(f"{name}, seed {seed}: {time.perf_counter() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
