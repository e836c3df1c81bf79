"""The bench: `fit`'s numbers from its button and in a cell; its table, its comparisons, and what goes wrong."""

from __future__ import annotations

import json
import math
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import IPython.display
import nbformat
import numpy as np
import pytest
import torch
from nbclient import NotebookClient

import ftlab as ft
from ftlab import run as run_module
from ftlab import trainer
from ftlab.errors import RecipeError
from ftlab.lab.bench.bench import SPREAD, Bench
from ftlab.lab.bench.pace import Pace
from ftlab.lab.bench.turn import TURN, BusyError
from ftlab.lab.panels import LLRDPanel, Number
from ftlab.trainer import Job, prepare

RESULTS = Path(ft.__file__).parents[1] / "data" / "results"
VIEW = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def data():
    return ft.load_data("passages")


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """A small random model, unless a test takes this back; afterwards nothing may be left training."""
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    yield
    assert not TURN.taken, "a test left something training"


@pytest.fixture
def slow(monkeypatch):
    """Updates that wait until they are let go on, one by one or for good."""
    gate = SimpleNamespace(waiting=threading.Semaphore(0), going=threading.Semaphore(0), open=False)
    work = Job.forward_and_backward

    def wait_and_work(job, batches):
        gate.waiting.release()
        if not gate.open:
            assert gate.going.acquire(timeout=60)
        return work(job, batches)

    def release():
        gate.open = True
        gate.going.release(1000)

    gate.release = release
    monkeypatch.setattr(Job, "forward_and_backward", wait_and_work)
    yield gate
    release()


def train_by_button(bench):
    bench.train_button.click()
    bench.wait(120)
    return bench.rows[-1]


# ------------------------------------------------------------------------------------------------- the same numbers


def test_button_and_cell_give_fits_numbers_whatever_else_happens(data, slow):
    recipe = ft.Recipe(dropout=0.2, head="attention")
    expected_gate, slow.open = slow.open, True
    expected = ft.fit(recipe.but(layer_decay=0.8), data.play(50), live=False)
    slow.open = expected_gate
    bench = LLRDPanel(recipe, data=data)
    bench.layer_decay.value = 0.8
    torch.manual_seed(1)
    bench.train_button.click()
    drawn = []
    for step in range(expected.history.total_steps):  # in the middle of every step
        assert slow.waiting.acquire(timeout=60)
        bench.lr.slider.value = 10 ** (-4 + 0.05 * step)
        drawn.append(torch.rand(2))
        slow.going.release()
    slow.release()
    bench.wait(60)
    row = bench.rows[0]
    assert row.status == "completed" and row.run.history == expected.history and row.best == expected.best_score
    torch.manual_seed(1)
    assert torch.equal(torch.stack(drawn), torch.stack([torch.rand(2) for _ in drawn])), "a cell's numbers were rewound"
    bench.restore(row)
    run = bench.train()
    assert run.history == expected.history and run.best_score == expected.best_score
    assert np.array_equal(run.predict(["A text.", "Another."]), expected.predict(["A text.", "Another."]))


REAL = {
    "LLRDPanel": {"layer_decay": 0.8},
    "WarmupPanel": {"warmup": 0.2},
    "ReinitPanel": {"reinit_layers": 2},
    "SWAPanel": {"swa_start": 1},
    "FrequentEvalPanel": {"eval_every": 2},
    "HyperparametersPanel": {"batch_size": 8, "lr": 5e-4},
    "BertAdamPanel": {"optimizer": "bertadam", "warmup": 0.2},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_a_whole_run_of_the_real_model_has_fits_numbers_too(name, data, monkeypatch):
    """The default recipe on 50 texts: what a reader's first click trains. Dropout draws from torch's generator."""
    monkeypatch.delenv("FTLAB_PRESET")
    recipe = ft.Recipe(dropout=0.1)
    expected = ft.fit(recipe.but(**REAL[name]), data.play(50), live=False)
    bench = getattr(ft.panels, name)(recipe, data=data)
    bench.set(**REAL[name])
    row = train_by_button(bench)
    assert row.recipe == expected.recipe and row.status == "completed"
    assert row.run.history == expected.history and row.best == expected.best_score
    assert bench.open_test(row) == expected.score_test()


# ----------------------------------------------------------------------------------------------------- the controls


def test_the_code_makes_the_run(data):
    bench = LLRDPanel(ft.Recipe(), data=data, size=100)
    bench.set(layer_decay=0.9, warmup=0.2)
    place = {"base": ft.Recipe(), "data": data, "ft": ft}
    exec(bench.code, place)
    assert place["recipe"] == bench.recipe
    assert bench.train().history == place["run"].history and place["run"].test_score is None
    bench.set(size=None)
    assert bench.code.endswith("run = ft.fit(recipe, data, score_test=False)")


def test_at_most_five_controls_are_visible_and_all_others_under_more(data):
    bench = LLRDPanel(ft.Recipe(), data=data)
    assert len(bench.main) + 1 <= 5 and set(bench.main) < set(bench.controls)
    assert bench._hidden.layout.display == "none"
    bench.more.click()
    assert bench._hidden.layout.display == "flex"
    hidden = {name for name in bench.controls if name not in (*bench.main, "size")}
    assert all(bench.controls[name].label in bench.more.description for name in hidden)


def test_sizes_fit_the_data(data):
    assert list(LLRDPanel(ft.Recipe(), data=data).size.options.values()) == [50, 100, 200, 400, None]
    few = LLRDPanel(ft.Recipe(), data=data.few_samples(60))
    assert few.size.options == {"50": 50, "all 60": None}
    assert LLRDPanel(ft.Recipe(), data=data.few_samples(30)).size.value is None


def test_without_data_nothing_trains():
    bench = LLRDPanel(ft.Recipe(), 27)
    for train in (bench.train, bench.more_seeds):
        with pytest.raises(RecipeError, match="data=data"):
            train()


def test_a_bench_without_data_stops_what_another_one_trains():
    bench = LLRDPanel()
    bench.stop()
    assert TURN.stop.is_set()
    bench.wait()


# -------------------------------------------------------------------------------------------------------- the table


@pytest.fixture(scope="module")
def trained(data):
    """A bench with three runs: baseline, run 2, run 3."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FTLAB_PRESET", "tiny")
        bench = LLRDPanel(ft.Recipe(), data=data)
        for decay in (1.0, 0.8, 0.6):
            bench.layer_decay.value = decay
            bench.train()
    return bench


def test_rows_say_what_changed_and_how_it_went(trained):
    assert [row.name for row in trained.rows] == ["baseline", "run 2", "run 3"]
    assert [row.changed for row in trained.rows] == [{}, {"layer_decay": 0.8}, {"layer_decay": 0.6}]
    view = trained._views[id(trained.rows[1])]
    assert "layer_decay 0.8" in view.changed.value and "completed" in view.status.value
    assert f"{trained.rows[1].best:.3f}" in view.validation.value and view.test.description == "closed · open"
    assert len(trained._table.children) == 1 + 3
    assert [run.recipe.layer_decay for run in trained.runs] == [1.0, 0.8, 0.6]
    assert all(run.test_score is None for run in trained.runs)


def test_the_picture_shows_rates_with_a_playhead_and_all_losses(trained):
    rates, losses = trained.picture(trained.recipe).charts
    assert rates.playhead.x == trained.rows[-1].done and rates.lines[0].planned
    assert {line.label for line in losses.lines} >= {"baseline", "run 2", "run 3"}
    assert [line.dash for line in losses.lines if line.label == "baseline"] == ["5 4"]
    [circles] = [line for line in losses.lines if line.marker and line.values]
    assert circles.y.tolist() == [e["score"] for e in trained.rows[-1].history.evals]
    assert rates.x.high == losses.x.high


def test_a_row_is_drawn_or_not(trained):
    view = trained._views[id(trained.rows[1])]
    view.draw.value = False
    assert "run 2" not in {line.label for line in trained.picture(trained.recipe).charts[1].lines}
    view.draw.value = True
    assert "run 2" in {line.label for line in trained.picture(trained.recipe).charts[1].lines}


def test_a_row_is_restored(trained):
    trained.set(layer_decay=0.3, epochs=9)
    assert trained.picture(trained.recipe).charts[0].playhead is None, "the controls have moved on"
    trained._views[id(trained.rows[1])].restore.click()
    assert trained.recipe == ft.Recipe(layer_decay=0.8) and trained.current is trained.rows[1]
    trained._views[id(trained.rows[2])].restore.click()


def test_a_row_is_renamed(trained):
    view = trained._views[id(trained.rows[1])]
    view.name.value = "mild"
    assert trained.rows[1].name == "mild" and "mild" in trained.one.options
    view.name.value = "baseline"  # taken
    assert trained.rows[1].name == view.name.value == "mild" and "another run" in trained.message
    view.name.value = "run 2"
    assert trained.rows[1].name == "run 2" and not trained.message


def test_two_runs_are_compared(trained):
    assert (trained.one.value, trained.other.value) == ("run 3", "baseline")
    difference = trained.rows[2].best - trained.rows[0].best
    said = trained._difference.value
    assert f"{difference:+.3f}" in said and "of differences below about 0.23" in said
    assert f"{SPREAD['passages', 50]:.3f}" in trained._difference.value
    trained.lay_over.value = True
    chart = trained.picture(trained.recipe).charts[0]
    assert "thin: baseline" in chart.note and any(line.dash == "3 3" for line in chart.lines)
    trained.lay_over.value = False


def test_the_spread_from_seed_to_seed_is_that_of_the_committed_cells():
    lines = [line for name in ("few_samples", "techniques") for line in (RESULTS / f"{name}.jsonl").open()]
    scores: dict = {}
    for cell in map(json.loads, lines):
        if cell["name"] == "baseline":
            scores.setdefault((cell["data"], cell["n_train"]), {}).setdefault(cell["fold"], []).append(
                cell["validation"]
            )
    for key, spread in SPREAD.items():
        variances = [np.var(found, ddof=1) for found in scores[key].values()]
        assert round(math.sqrt(np.mean(variances)), 3) == spread, key


def test_only_the_latest_weights_stay_in_memory(trained):
    assert [bool(run._weights) for run in trained.runs] == [False, False, True]
    assert all(run.folder.is_dir() for run in trained.runs)
    first, last = trained.runs[0].predict(["A text."]), trained.runs[-1].predict(["A text."])
    assert first.shape == last.shape == (1,)
    trained.runs[0].release()


def test_a_row_is_removed_with_its_weights(data):
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train()
    bench.layer_decay.value = 0.7
    bench.train()
    folder = bench.runs[0].folder
    bench._views[id(bench.rows[0])].remove.click()
    assert [row.name for row in bench.rows] == ["run 2"] and not folder.exists() and len(bench._table.children) == 2
    bench.remove("run 2")
    assert bench.rows == [] and bench.current is None and not bench.message
    with pytest.raises(RecipeError, match="not in this bench"):
        bench.remove("run 2")


def test_the_test_set_opens_once_with_a_sentence(data):
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train()
    bench.layer_decay.value = 0.7
    bench.train()
    expected = ft.fit(ft.Recipe(), data.play(50), live=False).score_test()
    view = bench._views[id(bench.rows[0])]
    view.test.click()
    bench.wait(60)
    assert bench.rows[0].test == expected and view.test.description == f"{expected:.3f}" and view.test.disabled
    assert "tells the truth once" in bench._message.value and not bench.message and bench.rows[1].test is None
    bench.open_test("run 2")
    assert "best of 2 flatters" in bench._message.value and "Test:" in bench._difference.value


def test_weights_from_the_disk_are_scored_on_the_device_of_the_batches(data, monkeypatch):
    """On a GPU they are read back to the CPU; "meta" stands for the GPU here, and its tensors hold no numbers."""
    bench, devices = LLRDPanel(ft.Recipe(swa_start=1), data=data), []
    bench.train()
    bench.train()
    run = bench.runs[0]
    assert not run._weights, "released"

    def predict_rows(model, batches, rows, accelerator):
        devices.append({each.device.type for each in model.parameters()})
        return np.zeros((len(rows), 1))

    monkeypatch.setattr(run_module, "predict_rows", predict_rows)
    monkeypatch.setattr(run.test_set.batches, "device", "meta")
    assert bench.open_test("baseline") == run.swa_score
    assert devices == [{"meta"}, {"meta"}], "of the best checkpoint and of the average"


def test_three_more_seeds(data):
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train()
    bench.layer_decay.value = 0.5
    bench.train()
    bench.seeds_button.click()
    bench.wait(120)
    play = data.play(50)
    expected = [
        tuple(ft.fit(ft.Recipe(seed=s, layer_decay=d), play, live=False).best_score for d in (1.0, 0.5))
        for s in range(4)
    ]
    assert bench.pairs == expected and len(bench.rows) == 2
    mean = np.mean([b - a for a, b in expected])
    assert f"{mean:+.3f}" in bench._pairs.value and "No verdict" in bench._pairs.value and "<svg" in bench._pairs.value


def test_runs_of_different_size_are_not_compared(data):
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train()
    bench.set(size=100, layer_decay=0.5)
    bench.train()
    with pytest.raises(RecipeError, match="different size"):
        bench.more_seeds()


# ------------------------------------------------------------------------------------------------ every technique's

TECHNIQUES = {  # what is moved at the bench of each
    "SchedulePanel": {"schedule": "cosine"},
    "LLRDPanel": {"groups": 3},
    "WarmupPanel": {"warmup_steps": 4, "schedule": "polynomial", "power": 2},
    "ReinitPanel": {"reinit_layers": 2},
    "SWAPanel": {"swa_start": 1.0},
    "FrequentEvalPanel": {"eval_every": 2},
    "HyperparametersPanel": {"batch_size": 8, "dropout": 0.1},
    "BertAdamPanel": {"lr": 1e-4},
    "OwnFilePanel": {"layer_decay": 0.8, "swa_start": 2.0, "eval_every": 2},
}


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_technique_has_a_bench(data, name):
    make = getattr(ft.panels, name)
    bench = make(data=data)
    assert len(bench.main) <= 4 and set(bench.main) <= set(bench.controls)
    base, baseline = bench.base, bench.train()
    bench.set(**TECHNIQUES[name])
    place = {"base": base, "data": data, "ft": ft}
    exec(bench.code.splitlines()[0], place)
    assert place["recipe"] == bench.recipe != base
    row = train_by_button(bench)
    assert row.status == "completed" and not bench.message and row.changed
    assert row.run.history == ft.fit(bench.recipe, data.play(50), live=False).history != baseline.history
    if bench.extra_title:
        fold = bench.view.children[-2]
        assert fold.description == f"▸ {bench.extra_title}" and bench._extra.layout.display == "none"
        fold.click()
        bench.wait(60)
        assert fold.description == f"▾ {bench.extra_title}" and bench._extra.layout.display == "flex"
        assert bench._extra.value.startswith("<svg") and "no run yet" not in bench._extra.value
    assert bench.figure(bench.recipe).png().startswith(b"\x89PNG")
    bench.restore("baseline")
    assert bench.recipe == base


def test_how_far_a_run_has_moved_each_layer(data):
    recipe = ft.Recipe(head="auto", layer_decay=0.0, weight_decay=0.0)  # 0: top layer and head alone learn
    bench = LLRDPanel(recipe, data=data)
    bench.view.children[-2].click()
    run = bench.train()
    start = prepare(bench.recipe, data.play(50)).bare_model.state_dict()
    change = {n: (w - start[n]).norm() / start[n].norm() for n, w in run.model.state_dict().items() if start[n].norm()}
    moved = bench.rows[0].measured
    assert [place for place, share in moved.items() if share > 0] == ["layer.5", "head"]
    assert moved["head"] == pytest.approx(float(change["classifier.weight"]), rel=0.2)
    names, values = bench.extra(bench.recipe).charts[1].y.names, bench.extra(bench.recipe).charts[1].bars
    assert {names[bar.row]: bar.value / 100 for bar in values} == pytest.approx(moved)


class OnAnotherDevice(torch.Tensor):
    """A tensor that meets those of the CPU only after `cpu()`, as one on a GPU does."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if any(isinstance(each, torch.Tensor) and not isinstance(each, cls) for each in args):
            raise RuntimeError("Expected all tensors to be on the same device")
        result = super().__torch_function__(function, types, args, kwargs or {})
        return result.as_subclass(torch.Tensor) if function is torch.Tensor.cpu else result


@pytest.mark.parametrize("where", ["start", "run"])
def test_how_far_a_run_has_moved_is_measured_across_devices(data, monkeypatch, where):
    """On a GPU `prepare` makes the weights of the start there, and those of an earlier run come back to the CPU."""
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train()
    [row] = bench.rows
    expected = bench.measure(row)
    job = prepare(row.recipe, row.data)
    model = job.bare_model if where == "start" else row.run.model
    found = [(name, weights.detach().as_subclass(OnAnotherDevice)) for name, weights in model.named_parameters()]
    monkeypatch.setattr(trainer, "prepare", lambda *arguments: job)
    monkeypatch.setattr(model, "named_parameters", lambda: iter(found))
    assert bench.measure(row) == expected and expected["head"] > 0


# ------------------------------------------------------------------------------------------------- one at a time, Stop


def test_stop_ends_a_run_within_two_steps_and_keeps_it(data, slow):
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train_button.click()
    for _ in range(3):
        assert slow.waiting.acquire(timeout=60)
        slow.going.release()
    assert bench.train_button.disabled and not bench.stop_button.disabled
    bench.stop_button.click()
    slow.release()
    bench.wait(60)
    row = bench.rows[0]
    assert row.status == "interrupted" and row.done <= 5 and row.run is not None
    assert not bench.train_button.disabled and bench.stop_button.disabled
    assert "interrupted at" in bench._views[id(row)].status.value


def test_while_one_trains_another_button_refuses_and_a_cell_waits(data, slow, capsys):
    one, other = LLRDPanel(ft.Recipe(), data=data), LLRDPanel(ft.Recipe(layer_decay=0.9), data=data)
    one.train_button.click()
    assert slow.waiting.acquire(timeout=60)
    other.train_button.click()
    assert "is training" in other.message and "press Stop" in other.message and not other.rows
    slow.going.release()
    finished = []
    waiting = threading.Thread(target=lambda: finished.append(other.train()))
    waiting.start()
    assert slow.waiting.acquire(timeout=60) and not finished and not other.rows
    slow.release()
    waiting.join(60)
    one.wait(60)
    assert finished[0].status == one.rows[0].status == "completed"
    assert "This cell waits for its end" in capsys.readouterr().out


def test_interrupting_a_cell_that_waits_ends_the_waiting_only(data, monkeypatch):
    TURN.take(None, "another bench", lambda: "step 1 of 9")
    try:
        bench = LLRDPanel(ft.Recipe(), data=data)

        def interrupted(text):
            raise KeyboardInterrupt

        monkeypatch.setattr("builtins.print", interrupted)
        with pytest.raises(KeyboardInterrupt):
            bench.train()
        assert TURN.taken and not bench.rows
        with pytest.raises(BusyError, match="another bench is training, step 1 of 9"):
            TURN.take(None, "x", str)
    finally:
        TURN.give_back()


def test_interrupting_a_cell_that_trains_keeps_what_it_has_done(data, monkeypatch):
    bench = LLRDPanel(ft.Recipe(), data=data)
    work, calls = Job.forward_and_backward, []

    def impatient(job, batches):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return work(job, batches)

    monkeypatch.setattr(Job, "forward_and_backward", impatient)
    run = bench.train()
    assert run.status == "interrupted" and bench.rows[0].done == 2


def test_a_value_out_of_range_while_training_disturbs_nothing(data, slow):
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train_button.click()
    assert slow.waiting.acquire(timeout=60)
    bench.lr.box.value = 7.0
    assert "lr: 7.0 is not allowed" in bench.message and bench.lr.value == 2e-4
    slow.release()
    bench.wait(60)
    assert bench.rows[0].status == "completed"


# --------------------------------------------------------------------------------------------------------- accidents


def test_a_run_that_fails_is_marked_and_the_bench_lives_on(data, monkeypatch):
    bench = LLRDPanel(ft.Recipe(), data=data)

    def no_memory(job, batches):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(Job, "forward_and_backward", no_memory)
        row = train_by_button(bench)
        assert row.status == "failed" and "out of memory" in bench.message and "smaller batch" in bench.message
        with pytest.raises(RuntimeError, match="allocate"):
            bench.train()
    assert "failed" in bench._views[id(row)].status.value and bench._views[id(row)].test.disabled
    assert train_by_button(bench).status == "completed" and not bench.message


def test_a_run_that_diverges_is_drawn_as_far_as_it_went(data, monkeypatch):
    bench = LLRDPanel(ft.Recipe(), data=data)
    work = Job.forward_and_backward

    def exploding(job, batches):
        loss, norm = work(job, batches)
        return (loss * 10.0 ** len(job.history) if len(job.history) < 6 else math.nan), norm

    monkeypatch.setattr(Job, "forward_and_backward", exploding)
    row = train_by_button(bench)
    assert row.status == "diverged" and row.done == 7 and not bench.message
    chart = bench.picture(bench.recipe).charts[1]
    assert math.isfinite(chart.y.high) and "<svg" in bench.svg
    assert bench._views[id(row)].status.value.count("diverged")


def test_a_model_that_disappears_is_said(data, tmp_path):
    bench = LLRDPanel(ft.Recipe(model=str(tmp_path)), data=data, num_layers=6)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("FTLAB_PRESET")
        row = train_by_button(bench)
    assert row.status == "failed" and "config.json" in bench.message


def test_weights_that_find_no_room_stay_in_memory(data, monkeypatch):
    from ftlab.errors import CheckpointError
    from ftlab.lab.bench.stored import StoredRun

    def full(run, folder):
        raise CheckpointError("no space left")

    bench = LLRDPanel(ft.Recipe(), data=data)
    monkeypatch.setattr(StoredRun, "save", full)
    for _ in range(2):
        train_by_button(bench)
    assert "stay in memory" in bench.message and "no space left" in bench.message
    assert all(run._weights for run in bench.runs)


def test_an_error_in_a_technique_is_shown_and_the_run_goes_on(data):
    class Broken(Bench):
        title = "Broken"

        def __init__(self, **where):
            self.dropout = Number("dropout", "dropout", 0.0, 0, 0.9, help="share switched off")
            super().__init__(ft.Recipe(), [self.dropout], **where)

        def picture(self, recipe):
            if self.rows and self.rows[-1].done:
                raise ZeroDivisionError("no picture")
            return super().picture(recipe)

    bench = Broken(data=data)
    row = train_by_button(bench)
    assert row.status == "completed" and "ZeroDivisionError: no picture" in bench.message


# ---------------------------------------------------------------------------------------------------------- the display


def test_a_stored_bench_is_one_png_that_is_brought_up_to_date(data, monkeypatch):
    shown = []

    def display(bundle, *, raw, metadata=None, display_id=None):
        shown.append([(bundle, metadata)])
        frames = shown[-1]
        return SimpleNamespace(update=lambda bundle, raw, metadata: frames.append((bundle, metadata)))

    monkeypatch.setattr(IPython.display, "display", display)
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench._ipython_display_()
    widgets, picture = shown
    assert VIEW in widgets[0][0] and "image/png" not in widgets[0][0] and not widgets[0][0]["text/plain"]
    train_by_button(bench)
    bench.layer_decay.value = 0.8
    bench.train()
    assert len(widgets) == 1 and len(picture) == 3 and len({frame["text/plain"] for frame, _ in picture}) == 1
    assert len({frame["image/png"] for frame, _ in picture}) == 3
    alt = picture[-1][1]["image/png"]["alt"]
    assert "run 2 (layer_decay 0.8): completed" in alt and "base.but(layer_decay=0.8)" in alt
    assert repr(bench) == "Bench: Layer-wise learning rates. Run the cell to move its controls and to train."


def test_a_bench_that_showed_itself_is_not_shown_again_at_the_end_of_that_cell(data, monkeypatch):
    shown = []
    shell = SimpleNamespace(kernel=object(), execution_count=7)
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    monkeypatch.setattr(IPython.display, "display", lambda bundle, **more: shown.append(bundle))
    bench = LLRDPanel(ft.Recipe(), data=data)
    bench._show_itself()
    assert len(shown) == 2, "the widgets and the picture"
    bench._ipython_display_()
    assert len(shown) == 2
    shell.execution_count = 8
    bench._ipython_display_()
    assert len(shown) == 4


def test_a_notebook_executed_without_a_page_keeps_the_last_picture(tmp_path):
    make = "import ftlab as ft\nbench = ft.panels.LLRDPanel(ft.Recipe(), data=ft.load_data('passages'))\nbench"
    cells = [make, "run = bench.train()", "bench.layer_decay.value = 0.8\nrun = bench.train()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": "."}}).execute()
    widgets, picture = notebook.cells[0].outputs
    assert VIEW in widgets.data and widgets.data["text/plain"] == ""
    alt = picture.metadata["image/png"]["alt"]
    assert "baseline: completed" in alt and "run 2 (layer_decay 0.8): completed" in alt
    assert picture.data["text/plain"].startswith("Bench: Layer-wise learning rates.")
    assert [cell.outputs[0].text.partition(":")[0] for cell in notebook.cells[1:]] == [
        "baseline",
        "run 2 (layer_decay 0.8)",
    ]


def test_expected_and_remaining_time(data, monkeypatch):
    pace = Pace(data, 0)
    recipe = ft.Recipe()
    assert pace.seconds(recipe, 50) < pace.seconds(recipe, 200) < pace.seconds(recipe, None)
    assert "matrix product" in pace.expected(recipe, 50)[1]
    assert pace.seconds(ft.Recipe(model="nobody/knows"), 50) is None
    evals = [{"step": 4 * (i + 1), "score": 1.0, "seconds": 3.2} for i in range(4)]
    seconds = np.cumsum([0.25 + (3.2 if i and i % 4 == 0 else 0) for i in range(16)])
    history = SimpleNamespace(evals=evals, seconds=seconds, steps_per_epoch=4, __len__=lambda: 16)
    history = type("History", (), {**vars(history), "__len__": lambda self: 16})()
    pace.measure(SimpleNamespace(history=history, size=50, recipe=recipe))
    # 16 steps of a quarter of a second and four evaluations of 3.2 s
    assert pace.seconds(recipe, 50) == pytest.approx(1.5 + 16 * 0.25 + 4 * 3.2, rel=0.05)
    assert pace.expected(recipe, 50)[0] == "about 18 s here"


def test_a_busy_kernel_ends_its_run_when_it_is_shut_down(data, slow):
    from ftlab.lab.bench.turn import _end_training

    bench = LLRDPanel(ft.Recipe(), data=data)
    bench.train_button.click()
    assert slow.waiting.acquire(timeout=60)
    slow.release()
    began = time.perf_counter()
    _end_training()
    assert not TURN.taken and time.perf_counter() - began < 60
    bench.wait(60)
    assert bench.rows[0].status == "interrupted"
