"""The long run: fits and panel sweeps, over and over; memory stays within 5 % after a warm-up, file handles level.

FTLAB_SOAK: for how many seconds (default 20; 3600 for the real thing).
"""

from __future__ import annotations

import gc
import os
import threading
import time

import numpy as np
import pytest

import ftlab as ft
from ftlab import panels

SECONDS = float(os.environ.get("FTLAB_SOAK", "20"))
RECIPE = ft.Recipe(epochs=2, batch_size=12, layer_decay=0.9, warmup=2, reinit_layers=1, swa_start=1, eval_every=2)


def memory_mib():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def handles():
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.soak
@pytest.mark.fault("an hour of fits and panels")
@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="only Linux tells memory and handles this way")
def test_memory_and_handles_stay_level(monkeypatch, tmp_path, tries):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    data = ft.load_data("passages")
    panel = panels.SchedulePanel(RECIPE)
    runs, seen = 0, []
    began = time.monotonic()
    while len(seen) < 8 or time.monotonic() - began < SECONDS:
        folder = tmp_path / str(runs % 3)
        run = ft.fit(RECIPE.but(seed=runs), data, fold=runs % 5, live=False, checkpoint_dir=folder)
        assert run.status == "completed"
        for control in panel.controls.values():
            if isinstance(control, panels.Number):
                for value in np.linspace(control.low, control.high, 5):
                    try:
                        control.value = round(value) if control.integer else float(value)
                    except ft.RecipeError:
                        pass
        panel.reset()
        runs += 1
        gc.collect()
        seen.append((memory_mib(), handles(), threading.active_count()))
    settled = seen[len(seen) // 4 :]  # the first quarter is warm-up
    quarter = max(1, len(settled) // 4)
    memory = np.array([s[0] for s in settled])
    early, late = np.median(memory[:quarter]), np.median(memory[-quarter:])
    assert late <= 1.05 * early, f"{early:.0f} MiB at first, {late:.0f} MiB at the end of {runs} runs"
    assert settled[-1][1] <= settled[0][1], "file handles"
    assert settled[-1][2] <= settled[0][2], "threads"
    tries(runs)
