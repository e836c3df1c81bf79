"""What a reader does to a notebook: runs cells again and again, out of order, interrupts, restarts.

A hundred panels and a hundred live plots later memory, figures and threads are as before. Interrupting a run and a
callback that fails are in tests/test_trainer.py and tests/test_live.py, two kernels on one study in
tests/test_study.py.
"""

from __future__ import annotations

import gc
import threading
import tracemalloc
from types import SimpleNamespace

import matplotlib.figure
import matplotlib.pyplot as plt
import pytest
from ipywidgets.widgets.widget import _instances

import ftlab as ft
from ftlab.lab import live, panels
from tests import fake_run

TIMES = 100


def figures():
    """Count the figures that are alive, registered with pyplot or not."""
    gc.collect()
    return len(plt.get_fignums()), sum(isinstance(thing, matplotlib.figure.Figure) for thing in gc.get_objects())


def assert_flat(cell, tries, allowed=400_000):
    """Run a cell TIMES times; what stays after the first ten, in bytes, figures, threads and widgets, must not grow.

    Bytes are measured in halves, of which the better one counts: what a cell leaves behind shows in both, what is
    loaded or collected once, by whatever else runs in the process, in one.
    """

    def state():
        gc.collect()
        return tracemalloc.get_traced_memory()[0], figures(), threading.active_count(), len(_instances)

    tracemalloc.start()
    try:
        for _ in range(TIMES // 10):
            cell()
        states = [state()]
        for _half in range(2):
            for _ in range((TIMES - TIMES // 10) // 2):
                cell()
            states.append(state())
    finally:
        tracemalloc.stop()
    assert states[0][1:] == states[1][1:] == states[2][1:]
    more = min(later[0] - earlier[0] for earlier, later in zip(states, states[1:], strict=False))
    assert more < allowed / 2, f"{more / 1e6:.2f} MB more"
    tries(TIMES)


@pytest.fixture
def quiet_display(monkeypatch):
    """Take what a cell displays, and forget it, as a notebook does when the cell runs again."""
    import IPython.display

    class Handle:
        def update(self, *args, **kwargs):
            pass

    monkeypatch.setattr(IPython.display, "display", lambda *args, **kwargs: Handle())
    monkeypatch.setattr(live, "in_notebook", lambda: True)


@pytest.mark.slow
@pytest.mark.fault("cell with a panel run again")
def test_a_panel_made_again_and_again(tries):
    """A front end closes the widgets of an output that is replaced; here the test does."""

    def cell():
        panel = panels.SchedulePanel(ft.Recipe(epochs=2))
        close(panel.view)
        panel.reset_button.close()

    def close(widget):
        for child in getattr(widget, "children", ()):
            close(child)
        for extra in ("layout", "style"):
            if hasattr(widget, extra):
                getattr(widget, extra).close()
        widget.close()

    assert_flat(cell, tries)


@pytest.mark.fault("cell with a panel run again")
def test_a_panel_shown_again_and_again(tries):
    panel = panels.SchedulePanel(ft.Recipe(epochs=2))
    moves = iter(range(10_000))

    def cell():
        panel.set(lr=1e-5 * (1 + next(moves) % 9))
        if next(moves) % 50 == 0:  # the stored picture takes a matplotlib figure, 0.2 s each
            assert "image/png" in panel._repr_mimebundle_()[0]

    assert_flat(cell, tries)


@pytest.mark.slow
@pytest.mark.fault("cell with a live plot run again")
@pytest.mark.parametrize("mode", ["svg", "widget"])
def test_a_live_plot_again_and_again(quiet_display, monkeypatch, mode, tries, capsys):
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    last = SimpleNamespace(_repr_mimebundle_=lambda: ({"image/png": ""}, {}), sentence="done")
    monkeypatch.setattr(live.plots, "plot_history", lambda *args: last)  # the real one is tried below

    def cell():
        history, schedule = fake_run.start(steps_per_epoch=2)
        curves = live.live_callback(mode)
        curves.interval = 0.0
        curves.on_train_begin(history, schedule, threading.Event())
        for _ in range(2):
            looked = fake_run.advance(history, schedule)
            curves.due = 0.0
            curves.on_step(history)
            if looked:
                curves.on_evaluate(history)
        curves.on_train_end(None)
        assert not curves.broken
        capsys.readouterr()

    assert_flat(cell, tries)


@pytest.mark.slow
@pytest.mark.fault("cell with a live plot run again")
def test_the_last_picture_again_and_again(tries):
    history, schedule = fake_run.start(steps_per_epoch=2)
    for _ in range(4):
        fake_run.advance(history, schedule)
    before = figures()
    for _ in range(10):
        live.plots.plot_history(history, schedule)._repr_mimebundle_()
    assert figures() == before
    tries(10)


@pytest.mark.fault("cells run out of order")
def test_cells_in_any_order(monkeypatch, tmp_path):
    """A cell that resumes before anything was saved, one that saves twice, one that loads before there is anything."""
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    data, recipe = ft.load_data("passages"), ft.Recipe(epochs=1, batch_size=24)
    with pytest.raises(ft.CheckpointError):
        ft.Run.load(tmp_path / "run")
    first = ft.fit(
        recipe, data, live=False, checkpoint_dir=tmp_path / "c", resume=True
    )  # nothing there: from the start
    again = ft.fit(recipe, data, live=False, checkpoint_dir=tmp_path / "c", resume=True)
    assert first.history == again.history and first.test_score == again.test_score
    first.save(tmp_path / "run")
    with pytest.raises(ft.CheckpointError, match="already exists"):
        again.save(tmp_path / "run")
    assert ft.Run.load(tmp_path / "run").history == first.history
