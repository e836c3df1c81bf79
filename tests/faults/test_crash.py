"""kill -9 at any moment: a run that is resumed ends bit for bit as if nothing had happened, a file is old or new.

FTLAB_KILLS: how many random moments of a run are tried (default 6; 50 for a thorough look). The workers of a study,
killed at random moments, and two of them on one storage, are in tests/test_study.py.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time

import pytest
import torch

from ftlab.checkpoint import load_checkpoint, save_checkpoint
from ftlab.study.cells import write_lines
from tests.faults.harness import CONTEXT, emptied, every_moment, in_a_process, outcomes, run_it

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kill -9 is for POSIX systems")
KILLS = int(os.environ.get("FTLAB_KILLS", "6"))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """What the run gives in peace, how long it takes, and how many moments of writing it has."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert in_a_process(run_it, emptied(folder / "warm-up"), None) == 0  # the first process is slow to start
    began = time.perf_counter()
    assert in_a_process(run_it, emptied(folder / "run"), None) == 0
    seconds = time.perf_counter() - began
    return outcomes(folder / "run"), seconds, int((folder / "run" / "moments").read_text())


@pytest.mark.slow
@pytest.mark.fault("kill -9 during a run")
@pytest.mark.parametrize("where", ["at any time", "in a write"])
def test_a_killed_run_ends_as_if_nothing_had_happened(undisturbed, tmp_path, where, tries):
    """Each run is killed again and again, half of the kills each way, and then left in peace."""
    wanted, seconds, moments = undisturbed
    chance = random.Random(where)
    killed = 0
    while killed < (KILLS + 1) // 2:
        folder = emptied(tmp_path / "run")
        for _ in range(chance.choice([1, 1, 2])):
            at = chance.randrange(moments) if where == "in a write" else None
            victim = CONTEXT.Process(target=run_it, args=(folder, at))
            victim.start()
            if at is None:
                time.sleep(chance.uniform(0.1, 1.0) * seconds)
                victim.kill()  # SIGKILL; harmless if it has just ended
            victim.join(120)
            killed += victim.exitcode == -signal.SIGKILL
        assert in_a_process(run_it, folder, None) == 0
        assert outcomes(folder) == wanted
        assert not list(folder.glob("checkpoints/.partial-*")), "what a crash left behind is cleared away"
    tries(killed)


def tensors(value):
    return {"model": {"w": torch.full((300,), float(value))}, "best": {}, "optimizer": {"m": torch.ones(3) * value}}


@pytest.mark.fault("kill -9 at every write of a checkpoint")
def test_a_checkpoint_is_whole_or_not_there_at_every_moment(tmp_path, tries):
    def prepare():
        folder = emptied(tmp_path / "checkpoints")
        for step in (2, 4):
            save_checkpoint(folder, step, tensors(step), {"step": step})
        return folder, 6, tensors(6), {"step": 6}

    found = []
    for folder, *_ in every_moment(save_checkpoint, prepare):
        loaded, state = load_checkpoint(folder)
        assert loaded["model"]["w"].tolist() == [state["step"]] * 300
        found.append(state["step"])
        save_checkpoint(folder, 6, tensors(6), {"step": 6})
        assert load_checkpoint(folder)[1] == {"step": 6}
        assert [path.name for path in sorted(folder.iterdir())] == ["step-00000004", "step-00000006"]
    assert found == sorted(found) and set(found) == {4, 6}
    assert len(found) > 20
    tries(len(found))


@pytest.mark.fault("kill -9 at every write of a checkpoint")
def test_the_checkpoints_of_an_abandoned_run_do_not_outlive_a_new_one(tmp_path, tries):
    """A run is started afresh in the folder of a longer one: killed at any moment, it finds its own checkpoint, or the
    other's if it had none yet."""

    def prepare():
        folder = emptied(tmp_path / "checkpoints")
        for step in (40, 50):
            save_checkpoint(folder, step, tensors(step), {"run": "old"})
        save_checkpoint(folder, 2, tensors(2), {"run": "new", "step": 2})
        return folder, 4, tensors(4), {"run": "new", "step": 4}

    moments = 0
    for folder, *_ in every_moment(save_checkpoint, prepare):
        assert load_checkpoint(folder)[1]["run"] == "new"
        moments += 1
    assert load_checkpoint(tmp_path / "checkpoints")[1] == {"run": "new", "step": 4}
    tries(moments)


@pytest.mark.fault("kill -9 at every write of a result file")
def test_a_result_file_is_the_old_one_or_the_new_one(tmp_path, tries):
    old, new = [{"cell": i} for i in range(50)], [{"cell": i} for i in range(60)]

    def prepare():
        path = emptied(tmp_path / "results") / "cells.jsonl"
        write_lines(path, old)
        return path, new

    seen = []
    for path, _ in every_moment(write_lines, prepare):
        cells = [json.loads(line) for line in path.read_text().splitlines()]
        assert cells in (old, new)
        seen.append(len(cells))
        write_lines(path, new)
        assert path.read_text().count("\n") == 60
    assert len(seen) >= 4
    tries(len(seen))


@pytest.mark.slow
@pytest.mark.fault("kill -9 at every write of a saved run")
def test_a_saved_run_is_whole_or_not_there(saved, tmp_path, tries):
    import ftlab as ft

    def prepare():
        return (emptied(tmp_path / "out") / "run",)

    moments = 0
    for (folder,) in every_moment(saved.save, prepare):
        if folder.exists():
            assert ft.Run.load(folder).history == saved.history
        else:
            moments += 1
        shutil.rmtree(folder, ignore_errors=True)
        if moments % 10 == 1:
            saved.save(folder)  # over what the crash left behind
            assert not list(folder.parent.glob(".partial-*"))
    assert moments > 10
    tries(moments)


@pytest.fixture(scope="module")
def saved():
    import ftlab as ft

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_PRESET", "tiny")
        return ft.fit(ft.Recipe(epochs=1, batch_size=24, swa_start=0), ft.load_data("passages"), live=False)
