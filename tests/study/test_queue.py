"""Studies: every cell once, whatever happens to the workers; resumed from its file; the numbers are those of `fit`."""

import gc
import inspect
import json
import os
import random
import re
import signal
import threading
import time
import weakref
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
from optuna.trial import TrialState

import ftlab as ft
from ftlab import study as study_module
from ftlab.__main__ import main
from ftlab.study import FEW_SAMPLES, PAIRS, TECHNIQUES, Study, run_cell
from ftlab.study.storage import Storage
from tests.study.helpers import RECIPES, make, start, trained, untimed, where


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setenv("FTLAB_PRESET", "tiny")


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """The results of one study that one worker ran in peace."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_PRESET", "tiny")
        lines = []
        study = make(data, tmp_path_factory.mktemp("undisturbed"))
        study.run(report=lines.append)
        return study, lines


def test_a_cell_holds_the_scores_of_fit(data, undisturbed):
    study, _ = undisturbed
    record = next(r for r in study.results() if (r["name"], r["fold"], r["seed"]) == ("llrd", 1, 1))
    run = ft.fit(RECIPES["llrd"].but(seed=1), data, fold=1, live=False)
    assert (record["validation"], record["test"], record["swa_test"]) == (run.best_score, run.test_score, run.swa_score)
    assert record["changes"] == {"epochs": 2, "layer_decay": 0.8, "swa_start": 1.0}
    assert [e["step"] for e in record["evals"]] == [e["step"] for e in run.history.evals]
    assert record["loss"] == [float(f"{loss:.5g}") for loss in run.history.loss]
    assert 0 < record["evaluation_seconds"] < record["seconds"]


def test_every_cell_is_there_once_and_in_the_file(undisturbed):
    study, lines = undisturbed
    results = study.results()
    cells = [(r["name"], r["fold"], r["seed"]) for r in results]
    assert sorted(cells) == sorted((n, f, s) for n in RECIPES for f in range(2) for s in range(2))
    assert [json.loads(line) for line in study.out.read_text().splitlines()] == results
    assert str(study.progress()) == "8 of 8 cells done, 0 running, 0 left"
    assert lines[0].endswith("0 of 8 cells done, 0 running, 8 left") and len(lines) == 10


def test_nothing_is_trained_twice_neither_here_nor_on_another_machine(data, undisturbed, tmp_path, monkeypatch):
    first, _ = undisturbed

    def refuse(*args, **kwargs):
        raise AssertionError("trained again")

    monkeypatch.setattr(study_module.train, "fit", refuse)
    again = Study(RECIPES, data, folds=2, seeds=2, storage=str(first._storage.url), out=first.out)
    assert again.run(report=None).done == 8
    (tmp_path / "cells.jsonl").write_text(first.out.read_text())  # another machine: the file alone
    elsewhere = make(data, tmp_path)
    assert elsewhere.progress().left == 0
    assert elsewhere.run(report=None).done == 8 and elsewhere.results() == first.results()


def test_a_larger_study_trains_only_what_is_new_and_keeps_the_file(data, undisturbed, tmp_path, monkeypatch):
    first, _ = undisturbed
    (tmp_path / "cells.jsonl").write_text(first.out.read_text())
    trained = []
    train = study_module.run_cell
    monkeypatch.setattr(
        study_module.queue, "run_cell", lambda cell, *a, **k: trained.append(cell) or train(cell, *a, **k)
    )
    warm = RECIPES["baseline"].but(warmup=2)
    wider = Study({"warm": warm}, data, folds=[1], seeds=[5], storage=f"sqlite:///{tmp_path}/s.db",
                  out=tmp_path / "cells.jsonl")  # fmt: skip
    wider.run(report=None)
    assert [(c.name, c.fold, c.recipe.seed) for c in trained] == [("warm", 1, 5)]
    lines = (tmp_path / "cells.jsonl").read_text().splitlines()
    assert len(lines) == 9 and lines[:8] == first.out.read_text().splitlines()


def test_changed_recipes_and_data_make_other_cells(data):
    cell = study_module.Cell("a", ft.Recipe(), 0)
    keys = {
        cell.key(data),
        study_module.Cell("a", ft.Recipe(lr=1e-5), 0).key(data),
        study_module.Cell("a", ft.Recipe(seed=1), 0).key(data),
        study_module.Cell("a", ft.Recipe(), 1).key(data),
        study_module.Cell("b", ft.Recipe(), 0).key(data),
        cell.key(data.few_samples(50)),
        cell.key(data.few_samples(50, seed=1)),
    }
    assert len(keys) == 7 and cell.key(ft.load_data("passages")) == cell.key(data)


def test_a_cell_in_mixed_precision_is_another_cell_and_says_so(data, undisturbed, bf16):
    cell = study_module.Cell("baseline", RECIPES["baseline"], 0)
    whole = next(r for r in undisturbed[0].results() if (r["name"], r["fold"], r["seed"]) == ("baseline", 0, 0))
    assert cell.key(data) != whole["cell"] and "mixed_precision" not in whole
    record = run_cell(cell, data)
    assert record["mixed_precision"] == "bf16" and record["loss"] != whole["loss"]


# ------------------------------------------------------------------------------------------------- several workers


def test_two_workers_share_a_study(data, undisturbed, tmp_path):
    workers = [start(tmp_path) for _ in range(2)]
    for worker in workers:
        worker.join(timeout=300)
        assert worker.exitcode == 0, where(worker, tmp_path)
    counts = trained(tmp_path)
    assert len(counts) == 8 and set(counts.values()) == {1}, counts
    study = make(data, tmp_path)
    assert untimed(study.results()) == untimed(undisturbed[0].results())
    assert untimed([json.loads(line) for line in study.out.read_text().splitlines()]) == untimed(study.results())


@pytest.mark.fault("kill -9 of a study's worker")
@pytest.mark.skipif(os.name != "posix", reason="kill -9 is for POSIX systems")
def test_workers_killed_at_random_moments_lose_nothing(data, undisturbed, tmp_path, tries):
    """One worker after the other is killed; once a study is done in spite of that, another is begun."""
    moments = random.Random(0)
    killed, folders = 0, []
    finished = True
    while killed < int(os.environ.get("FTLAB_KILLS", "8")):
        if finished:
            folders.append(tmp_path / str(len(folders)))
            folders[-1].mkdir()
        victim = start(folders[-1])
        time.sleep(moments.uniform(0.0, 3.0))
        victim.kill()  # SIGKILL; harmless if it has just ended
        victim.join(timeout=60)
        assert victim.exitcode in (-signal.SIGKILL, 0)
        finished = victim.exitcode == 0
        killed += not finished
    tries(killed)
    survivor = start(folders[-1])
    survivor.join(timeout=300)
    assert survivor.exitcode == 0, where(survivor, folders[-1])
    for folder in folders:
        study = make(data, folder)
        assert str(study.progress()) == "8 of 8 cells done, 0 running, 0 left"
        assert untimed(study.results()) == untimed(undisturbed[0].results())
        assert untimed([json.loads(line) for line in study.out.read_text().splitlines()]) == untimed(study.results())


# ------------------------------------------------------------------------------------------------- what may go wrong


def test_a_run_that_diverges_is_a_result_and_one_that_fails_stays_open(data, tmp_path):
    recipes = {"wild": ft.Recipe(epochs=2, lr=1e30, max_grad_norm=None), "deep": ft.Recipe(epochs=2, reinit_layers=50)}
    study = Study(recipes, data, folds=1, seeds=1, storage=f"sqlite:///{tmp_path}/s.db", out=tmp_path / "c.jsonl")
    lines = []
    progress = study.run(report=lines.append)
    assert (progress.done, progress.left) == (1, 1)
    (record,) = study.results()
    assert record["name"] == "wild" and record["status"] == "diverged" and record["test"] is None
    assert any("deep fold 0 seed 0 failed: reinit_layers" in line for line in lines)
    again = Study(recipes, data, folds=1, seeds=1, storage=f"sqlite:///{tmp_path}/t.db", out=tmp_path / "c.jsonl")
    assert again.progress().done == 1


def failing(monkeypatch, errors):
    """Let cells fail: {(name, seed): error}, or a function instead of an error; returns how often each was tried."""
    tried, train = Counter(), study_module.queue.run_cell

    def run(cell, data, **options):
        tried[cell.name, cell.recipe.seed] += 1
        error = errors.get((cell.name, cell.recipe.seed))
        if isinstance(error, Exception):
            raise error
        return error() if error is not None else train(cell, data, **options)

    monkeypatch.setattr(study_module.queue, "run_cell", run)
    return tried


def test_an_error_in_a_cell_is_reported_for_what_it_is_and_ends_that_cell_alone(data, tmp_path, monkeypatch):
    errors = {
        ("baseline", 0): ValueError("Expected input batch_size (16) to match"),
        ("llrd", 0): RuntimeError("CUDA out of memory"),
        ("baseline", 1): ft.ModelError("model 'x': damaged"),
    }
    tried = failing(monkeypatch, errors)
    lines = []
    progress = make(data, tmp_path, folds=1, seeds=3).run(report=lines.append)
    assert (progress.done, progress.left) == (3, 3)
    assert set(tried.values()) == {1} and len(tried) == 6
    failed = [line for line in lines if " failed: " in line]
    assert failed == [
        "study: baseline fold 0 seed 0 failed: ValueError: Expected input batch_size (16) to match",
        "study: llrd fold 0 seed 0 failed: RuntimeError: CUDA out of memory",
        "study: baseline fold 0 seed 1 failed: model 'x': damaged",
    ]
    tracebacks = [line for line in lines if line.startswith("Traceback")]
    assert len(tracebacks) == 2 and "ValueError" in tracebacks[0]
    assert not any("another worker" in line for line in lines)
    errors.clear()  # mended: the cells are open for the next call
    assert make(data, tmp_path, folds=1, seeds=3).run(report=None).done == 6
    assert tried["baseline", 0] == 2


def test_a_cell_that_fails_is_not_handed_from_worker_to_worker(data, tmp_path, monkeypatch):
    """A second worker starts within the first one's cell, meets the failing cell, and the first leaves it alone."""
    errors = {("llrd", 0): ValueError("always")}
    tried = failing(monkeypatch, errors)

    def second():
        del errors["baseline", 0]
        assert make(data, tmp_path, folds=1, seeds=2).run(max_cells=2, report=None).left == 1
        return study_module.train.run_cell(study_module.Cell("baseline", RECIPES["baseline"], 0), data)

    errors["baseline", 0] = second
    assert make(data, tmp_path, folds=1, seeds=2).run(report=None).left == 1
    assert tried == {("baseline", 0): 1, ("llrd", 0): 1, ("baseline", 1): 1, ("llrd", 1): 1}


def test_a_worker_held_for_dead_loses_no_result_and_the_first_one_counts(data, undisturbed, tmp_path, monkeypatch):
    """The machine slept in both cells. Of the first nobody else took the cell; of the second another has a result."""
    errors = {}
    failing(monkeypatch, errors)
    cells = {(r["name"], r["seed"]): r for r in undisturbed[0].results() if r["fold"] == 0}

    def fail_running():
        other = make(data, tmp_path, folds=1, seeds=1)
        [trial] = other._trials(TrialState.RUNNING)
        other._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        return other

    def slept():
        fail_running()
        return dict(cells["baseline", 0])

    def slept_long():
        del errors["llrd", 0]
        assert fail_running().run(report=None).left == 0
        return {**cells["llrd", 0], "seconds": 1e6}

    errors.update({("baseline", 0): slept, ("llrd", 0): slept_long})
    study, lines = make(data, tmp_path, folds=1, seeds=1), []
    assert study.run(report=lines.append).done == 2
    assert untimed(study.results()) == untimed([cells["baseline", 0], cells["llrd", 0]])
    assert all(record["seconds"] < 1e6 for record in study.results())
    assert [json.loads(line) for line in study.out.read_text().splitlines()] == study.results()


def test_a_worker_shows_that_it_is_alive_before_it_looks_whether_its_cell_is_done(data, tmp_path, monkeypatch):
    """The server may go away between taking a cell and training it: that look then waits for as long as it is away."""
    study = make(data, tmp_path, folds=1, seeds=1)
    inside, looks = [], []
    alive, trials = study._storage.alive, study._trials

    @contextmanager
    def watched(trial_id):
        with alive(trial_id):
            inside.append(trial_id)
            yield
            inside.pop()

    def look(*states):
        looks.append(bool(inside))
        return trials(*states)

    monkeypatch.setattr(study._storage, "alive", watched)
    record = {"validation": 0.5, "test": 0.5, "swa_test": None, "status": "completed", "seconds": 1.0, "preset": "tiny"}
    monkeypatch.setattr(study_module.queue, "run_cell", lambda *a, **k: record)
    study.run(max_cells=0, report=None)
    trial = study._take()
    monkeypatch.setattr(study, "_trials", look)
    assert study._train(trial, lambda line: None)
    assert looks and all(looks)


def test_studies_of_one_name_do_not_take_one_anothers_cells(data, tmp_path, monkeypatch):
    """The recipes were changed between two starts: each worker trains its own cells, and none is lost."""
    errors = {}
    tried = failing(monkeypatch, errors)
    options = {"storage": f"sqlite:///{tmp_path}/s.db", "folds": 1, "seeds": 1, "heartbeat": 1}
    first = Study({"a": ft.Recipe(epochs=1), "b": ft.Recipe(epochs=1, lr=1e-5)}, data, **options)
    second = Study({"c": ft.Recipe(epochs=1, lr=1e-4)}, data, **options)

    def meanwhile():
        assert second.run(report=None).done == 1 and set(tried) == {("a", 0), ("c", 0)}
        return study_module.train.run_cell(study_module.Cell("a", ft.Recipe(epochs=1), 0), data)

    errors["a", 0] = meanwhile
    assert first.run(report=None).done == 2 and set(tried.values()) == {1}


def test_what_was_in_memory_before_a_study_is_left_out_of_its_garbage_collections(data, tmp_path, monkeypatch):
    """What a cell leaves is collected before the next one all the same."""
    left, frozen = [], []

    class Left:
        def __init__(self):
            self.itself = self  # only the garbage collector frees it
            left.append(weakref.ref(self))

    def cell():
        frozen.append(gc.get_freeze_count())
        Left()
        raise ValueError("as good as trained")

    failing(monkeypatch, {("baseline", 0): cell, ("llrd", 0): cell})
    make(data, tmp_path, folds=1, seeds=2).run(report=None)
    assert frozen[0] > 10_000 and gc.get_freeze_count() == 0
    assert [reference() for reference in left] == [None, None]


def test_a_result_is_in_the_file_though_the_database_is_lost(data, tmp_path, monkeypatch):
    study = make(data, tmp_path, folds=1, seeds=1)
    away = ft.RecipeError("storage: has not answered")
    monkeypatch.setattr(study._storage, "set_trial_user_attr", lambda *a: (_ for _ in ()).throw(away))
    with pytest.raises(ft.RecipeError, match="has not answered"):
        study.run(report=None)
    assert [json.loads(line)["name"] for line in study.out.read_text().splitlines()] == ["baseline"]


def test_time_zones_and_clocks_do_not_matter(data, tmp_path, monkeypatch):
    """A worker at the other end of the world sees that this one is alive; nothing but its silence tells otherwise."""
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # UTC+14
    time.tzset()
    east = make(data, tmp_path)
    east.run(max_cells=0, report=None)
    trial = east._take()
    monkeypatch.setenv("TZ", "Pacific/Pago_Pago")  # UTC-11
    time.tzset()
    west = make(data, tmp_path)
    with east._storage.alive(trial._trial_id):
        until = time.monotonic() + 5
        while time.monotonic() < until:
            assert trial._trial_id not in west._storage._get_stale_trial_ids(west._study._study_id)
            time.sleep(0.5)
    monkeypatch.undo()
    time.tzset()
    until = time.monotonic() + 60
    while not (stale := west._storage._get_stale_trial_ids(west._study._study_id)) and time.monotonic() < until:
        time.sleep(0.2)
    assert stale == [trial._trial_id]


def test_an_interrupt_ends_the_worker_and_leaves_the_cell_open(data, tmp_path, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(study_module.train, "fit", interrupt)
        with pytest.raises(KeyboardInterrupt):
            make(data, tmp_path).run(report=None)
    assert str(make(data, tmp_path).progress()).startswith("0 of 8 cells done, 0 running, 8 left")
    assert make(data, tmp_path, folds=1, seeds=1).run(report=None).done == 2


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_interrupt_at_any_call_of_the_database_leaves_no_cell_running_and_loses_no_result(
    data, tmp_path, monkeypatch, moment
):
    record = {"validation": 0.5, "test": 0.5, "swa_test": None, "status": "completed", "seconds": 1.0, "preset": "tiny"}
    trained = []

    def run_cell(cell, data, **options):
        trained.append(cell.name)
        return dict(record)

    monkeypatch.setattr(study_module.queue, "run_cell", run_cell)
    methods = [name for name, method in vars(Storage).items() if inspect.isfunction(method) and name[0] != "_"]

    def interrupted(at):
        """Run a study that is interrupted at one call; tell whether it has so many."""
        study = make(data, tmp_path, folds=1, seeds=1, name=f"{at}", out=tmp_path / f"{at}.jsonl", heartbeat=30)
        calls = []

        def watched(method):
            def call(*arguments, **options):
                if threading.current_thread() is threading.main_thread():
                    calls.append(method.__name__)
                    if len(calls) == at and moment == "before":
                        raise KeyboardInterrupt
                result = method(*arguments, **options)
                if len(calls) == at and moment == "after":
                    calls.append("")
                    raise KeyboardInterrupt
                return result

            return call

        for name in methods:
            monkeypatch.setattr(study._storage, name, watched(getattr(study._storage, name)))
        try:
            study.run(report=None)
        except KeyboardInterrupt:
            return True
        return False

    wrong, at = {}, 1
    while interrupted(at):
        again = make(data, tmp_path, folds=1, seeds=1, name=f"{at}", out=tmp_path / f"{at}.jsonl")
        running, before = again.progress().running, len(trained)
        if running or again.run(report=None).done != 2 or sorted(trained) != ["baseline", "llrd"]:
            wrong[at] = (running, trained[:before], trained[before:])
        trained.clear()
        at += 1
    assert not wrong and at > 15


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"folds": 0}, "folds: 0 is out of range; allowed: 1 to 10000"),
        ({"folds": [1, 1]}, "folds: .* or one twice"),
        ({"folds": 9}, "fold is 5"),
        ({"folds": None}, "folds: None names none"),
        ({"folds": True}, "folds: True names none"),
        ({"folds": [0.5]}, "folds: 0.5 is not a whole number"),
        ({"seeds": []}, "seeds: .* names none"),
        ({"seeds": 3.0}, "seeds: 3.0 names none"),
        ({"seeds": 10**12}, "seeds: 1000000000000 is out of range"),
        ({"n_train": []}, r"n_train: \[\] names none"),
        ({"n_train": 50}, "n_train: 50 names none"),
        ({"n_train": [50, 50]}, "n_train: .* or one twice"),
        ({"n_train": [0]}, "n_train: 0 is out of range"),
        ({"n_train": [10_000]}, "n: 10000 is out of range"),
        ({"storage": "nosuch://x"}, "storage: cannot open 'nosuch://x'"),
        ({"storage": "sqlite:////nosuch/folder/s.db"}, "storage: cannot open .* check the path"),
    ],
)
def test_bad_arguments(data, tmp_path, changes, words):
    with pytest.raises(ft.FtlabError, match=words):
        make(data, tmp_path, **changes)
    with pytest.raises(ft.RecipeError, match="recipes is empty"):
        Study({}, data)


def test_numpys_whole_numbers_count_as_pythons(data, tmp_path):
    counted = make(data, tmp_path, folds=np.int64(2), seeds=np.arange(2), n_train=np.array([16, 32]))
    assert list(counted.cells) == list(make(data, tmp_path, n_train=[16, 32]).cells)


@pytest.mark.parametrize(
    "line, words",
    [
        ("{", "line 2: not a cell of a study"),
        ('{"name": "x"}', "line 2: not a cell of a study .*'cell'"),
        ('{"cell": "x", "validation": 1.0}', "line 2: a cell of preset: None, and now it is 'tiny'"),
        (
            '{"cell": "x", "validation": 1.0, "preset": "tiny", "mixed_precision": "bf16"}',
            "line 2: a cell of mixed_precision: 'bf16', and now it is None",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(data, undisturbed, tmp_path, line, words):
    first = undisturbed[0].out.read_text().splitlines()[0]
    (tmp_path / "cells.jsonl").write_text(f"{first}\n{line}\n")
    with pytest.raises(ft.DataError, match=words):
        make(data, tmp_path)
    assert (tmp_path / "cells.jsonl").read_text() == f"{first}\n{line}\n"


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cells.jsonl"
    study_module.cells.write_lines(path, [{"a": 1}])
    monkeypatch.setattr(os, "replace", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        study_module.cells.write_lines(path, [{"a": 2}])
    assert path.read_text() == '{"a": 1}\n' and list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------------------------------------- few samples, command


def test_few_samples_are_nested_and_leave_the_other_parts_alone(data):
    whole, few, fewer = data.split(2), data.few_samples(100, seed=3).split(2), data.few_samples(50, seed=3).split(2)
    assert len(few.train) == 100 and len(fewer.train) == 50
    assert set(fewer.train) < set(few.train) < set(whole.train)
    assert (few.validation == whole.validation).all() and (few.test == whole.test).all()
    assert set(data.few_samples(50, seed=4).split(2).train) != set(fewer.train)
    assert data.few_samples(100, 3).few_samples(50, 3).split(2).train.tolist() == fewer.train.tolist()


def test_few_samples_reach_the_training(data, tmp_path):
    study = make(data, tmp_path, folds=1, seeds=1, n_train=[16, None])
    study.run(report=None)
    steps = {(r["name"], r["n_train"]): len(r["loss"]) for r in study.results()}
    assert steps == {("baseline", 16): 2, ("llrd", 16): 2, ("baseline", None): 6, ("llrd", None): 6}


def test_the_committed_recipes_change_what_they_say():
    """The five techniques alone, all of them together, and the pairs are sums of these."""
    assert [len(changes) for changes in TECHNIQUES.values()] == [0, 1, 1, 1, 1, 1, 5]
    union = {}
    for name in ("llrd", "warmup", "reinit", "swa", "frequent_eval"):
        union |= TECHNIQUES[name]
    assert TECHNIQUES["all"] == union
    for name, changes in PAIRS.items():
        first, second = name.split("+")
        assert changes == {**TECHNIQUES[first], **TECHNIQUES[second]}
    for changes in (*TECHNIQUES.values(), *PAIRS.values(), *FEW_SAMPLES.values()):
        ft.Recipe().but(**changes)


def test_the_command_runs_a_study_and_a_search(tmp_path, capsys):
    (tmp_path / "r.json").write_text('{"slow": {"lr": 1e-5}}')
    shared = ["--storage", f"sqlite:///{tmp_path}/s.db", "--epochs", "2"]
    command = ["study", "--recipes", "baseline", str(tmp_path / "r.json"), "--folds", "1", "3", "--seeds", "1", *shared]
    assert main([*command, "--out", str(tmp_path / "c.jsonl"), "--max_cells", "1"]) == 0
    assert main([*command, "--out", str(tmp_path / "c.jsonl")]) == 0
    assert "4 of 4 cells done" in capsys.readouterr().out
    cells = [json.loads(line) for line in (tmp_path / "c.jsonl").read_text().splitlines()]
    assert [(c["name"], c["fold"], c["changes"]) for c in cells] == [
        ("baseline", 1, {"epochs": 2}), ("slow", 1, {"epochs": 2, "lr": 1e-5}),
        ("baseline", 3, {"epochs": 2}), ("slow", 3, {"epochs": 2, "lr": 1e-5}),
    ]  # fmt: skip
    space = ["--search", "layer_decay=0.6:1.0", "reinit_layers=0:3", "schedule=linear,cosine", "--trials", "3"]
    assert main(["study", *space, *shared]) == 0
    assert "best mean validation score (selected on)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, words",
    [
        (["--recipes", "nosuch"], "--recipes: 'nosuch' is neither a file nor known. Known: techniques"),
        (["--folds", "x"], "--folds: 'x' is not a whole number"),
        (["--folds", "0"], "--folds: 0 is out of range"),
        (["--search", "lr"], "--search: 'lr' is not FIELD="),
        (["--search", "lr=1e-3:1e-5"], "lr: .* is no range"),
        (["--search", "dropout=0:2"], "dropout: "),
        (["--search", "nosuch=0:1"], "nosuch: no such field"),
        (["--search", "lr=1e-5:1e-3", "--seeds", "2"], "--seeds: has no effect beside --search; leave it out"),
        (["--search", "lr=1e-5:1e-3", "--max_cells", "0"], "--max_cells: has no effect beside --search"),
        (["--trials", "5"], "--trials: counts the trials of a search; give --search too"),
    ],
)
def test_bad_options_are_refused_without_a_traceback(tmp_path, capsys, options, words):
    code = main(["study", *options, "--storage", f"sqlite:///{tmp_path}/s.db"])
    error = capsys.readouterr().err
    assert code == 2 and re.search(words, error), error
