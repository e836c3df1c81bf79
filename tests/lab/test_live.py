"""Live curves and progress bar: right pictures at the right time, harmless when they fail, clean when they
end.
"""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import IPython.display
import nbformat
import pytest
from nbclient import NotebookClient

from ftlab.lab import live
from ftlab.lab.live import LiveCurves, ProgressBar, live_callback
from tests.fake_run import advance, make_run, start
from tests.lab.pictures import texts_of

VIEW = "application/vnd.jupyter.widget-view+json"


class Display:
    """Stands in for the page: remembers every bundle of every display."""

    def __init__(self):
        self.shown = []

    def __call__(self, bundle, *, raw, display_id):
        assert raw and display_id
        self.shown.append([bundle])
        frames = self.shown[-1]
        return SimpleNamespace(update=lambda bundle, raw, metadata=None: frames.append(bundle))


@pytest.fixture
def display(monkeypatch):
    display = Display()
    monkeypatch.setattr(IPython.display, "display", display)
    return display


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to move."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(live.time, "perf_counter", lambda: clock.now)
    return clock


def begin(callback, **arguments):
    history, schedule = start(**arguments)
    stop = threading.Event()
    callback.on_train_begin(history, schedule, stop)
    return history, schedule, stop


# --------------------------------------------------------------------------------- which one, where


def test_which_display_depends_on_mode_and_place(monkeypatch):
    assert live_callback(False) is None and live_callback("off") is None
    assert isinstance(live_callback(), ProgressBar)
    monkeypatch.setattr(live, "in_notebook", lambda: True)
    assert isinstance(live_callback(True), LiveCurves) and not live_callback("svg").widget
    assert live_callback("widget").widget
    assert live_callback("off") is None


# ---------------------------------------------------------------------------------------- notebooks


def test_the_display_begins_and_ends_as_a_png_with_the_same_text(display, capsys):
    callback = LiveCurves()
    history, schedule, _ = begin(callback)
    button, picture = display.shown
    while len(history) < 81:
        advance(history, schedule)
        callback.on_step(history)
    run = make_run()
    callback.on_train_end(run)
    assert set(picture[0]) == set(picture[-1]) == {"image/png", "text/plain"}
    assert len(picture[-1]["image/png"]) > 10_000
    assert all(set(frame) == {"text/html", "text/plain"} for frame in picture[1:-1]) and len(picture) > 2
    assert len({frame["text/plain"] for frame in picture}) == 1
    assert VIEW in button[0] and button[-1] == {"text/plain": ""}  # no dead widget stays
    assert callback.button.comm is None  # closed
    printed = capsys.readouterr().out
    assert printed.startswith("completed: 81 of 81 steps in 1.5 s; training loss 1.2 at the start")
    assert printed.count("\n") == 1
    callback.on_train_end(run)  # a second end changes nothing
    assert capsys.readouterr().out == ""


def test_the_page_is_valid_and_names_its_parts(display, clock):
    callback = LiveCurves()
    history, schedule, _ = begin(callback)
    clock.now += 10
    for _ in range(30):
        advance(history, schedule)
    page = ElementTree.fromstring(callback.page())
    bar = page.find("progress")
    assert (bar.get("value"), bar.get("max"), bar.get("aria-label")) == ("30", "81", "steps done")
    assert bar.tail.strip() == (
        "step 30 of 81 (37%), 0:10 gone, about 0:17 left, loss 0.5346, best validation RMSE 0.561"
    )
    [picture] = page.findall("div/{http://www.w3.org/2000/svg}svg")
    assert picture.get("aria-label").startswith("30 of 81 steps; training loss 1.2 at the start")
    words = texts_of(callback.page())
    assert {"Learning rate of every layer", "Loss", "Validation RMSE", "step 30 of 81"} <= set(words)
    assert "no evaluation yet" not in words


def test_an_empty_run_has_a_page_too(display):
    callback = LiveCurves()
    begin(callback)
    assert ElementTree.fromstring(callback.page()) is not None and "no evaluation yet" in callback.page()


def test_pictures_come_at_most_four_times_a_second(display, clock):
    callback = LiveCurves()
    history, schedule, _ = begin(callback)
    frames = display.shown[1]
    first = len(frames)
    for _ in range(81):  # a step every 10 ms
        clock.now += 0.0101
        advance(history, schedule)
        callback.on_step(history)
    assert len(frames) - first == 3


def test_slow_drawing_happens_less_often(display, clock, monkeypatch):
    callback = LiveCurves()
    history, schedule, _ = begin(callback)
    frames = display.shown[1]

    def slow_page():
        clock.now += 0.1
        return ""

    monkeypatch.setattr(callback, "page", slow_page)
    clock.now += 1
    callback.on_step(history)
    drawn = len(frames)
    clock.now += 4.8  # 0.1 s is 2 % of 5 s
    callback.on_step(history)
    assert len(frames) == drawn
    clock.now += 0.3
    callback.on_step(history)
    assert len(frames) == drawn + 1


def test_the_stop_button_sets_the_event(display):
    callback = LiveCurves()
    *_, stop = begin(callback)
    assert "I, I" in callback.button.description
    callback.button.click()
    assert stop.is_set() and callback.button.disabled and "Stopping" in callback.button.description


def test_clicks_are_routed_to_the_thread_that_hears_them(monkeypatch):
    import ipywidgets

    class Comm:
        def _reply_subshell_for(self, data, default):
            return "the busy one"

    comm = Comm()
    button = SimpleNamespace(comm=comm, on_click=lambda heard: None)
    monkeypatch.setattr(ipywidgets, "Button", lambda **options: button)
    assert live._stop_button(lambda _: None) is button
    assert comm._reply_subshell_for({}, "the front end's") == "the front end's"


def test_without_ipywidgets_there_are_curves_and_no_button(display, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    callback = LiveCurves()
    begin(callback)
    callback.on_train_end(make_run())
    [picture] = display.shown
    assert "image/png" in picture[-1]


def test_widget_mode_draws_into_a_widget_and_still_ends_as_a_png(display):
    callback = LiveCurves(widget=True)
    history, schedule, _ = begin(callback)
    [picture] = display.shown
    assert set(picture[0]) == {VIEW, "image/png", "text/plain"}
    assert "<svg" in callback.html.value
    callback.on_train_end(make_run())
    assert len(picture) == 2 and set(picture[1]) == {"image/png", "text/plain"}
    assert callback.html.comm is None and callback.button.comm is None


def test_an_error_in_drawing_is_shown_once_and_the_run_goes_on(display, clock, monkeypatch, capsys):
    callback = LiveCurves()
    history, schedule, _ = begin(callback)
    monkeypatch.setattr(callback, "page", lambda: 1 / 0)
    for _ in range(5):
        clock.now += 1
        advance(history, schedule)
        callback.on_step(history)
        callback.on_evaluate(history)
    error = capsys.readouterr().err
    assert error.count("training goes on") == error.count("ZeroDivisionError") == 1
    callback.on_train_end(make_run())  # the final picture is tried all the same
    assert "image/png" in display.shown[1][-1]


def test_an_error_in_the_final_picture_is_shown_and_the_run_survives(display, monkeypatch, capsys):
    callback = LiveCurves()
    begin(callback)
    monkeypatch.setattr(live.plots, "plot_run", lambda run: 1 / 0)
    callback.on_train_end(make_run())
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_impatient_second_interrupt_does_not_lose_the_run(display, monkeypatch):
    def interrupted(run):
        raise KeyboardInterrupt

    callback = LiveCurves()
    begin(callback)
    monkeypatch.setattr(live.plots, "plot_run", interrupted)
    callback.on_train_end(make_run())


def test_an_interrupt_while_drawing_reaches_the_training_loop(display, clock, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    callback = LiveCurves()
    history, *_ = begin(callback)
    monkeypatch.setattr(callback, "page", interrupted)
    clock.now += 1
    with pytest.raises(KeyboardInterrupt):
        callback.on_step(history)
    assert callback.lock.acquire(blocking=False)


def test_a_run_that_an_error_ended_keeps_its_picture(display, capsys):
    callback = LiveCurves()
    history, schedule, _ = begin(callback)
    advance(history, schedule)
    callback.on_train_end(None)
    assert "image/png" in display.shown[1][-1]
    assert capsys.readouterr().out.startswith("ended by an error: 1 of 81 steps")


def test_a_resumed_run_estimates_its_time_from_what_it_did_itself(display, clock):
    callback = LiveCurves()
    history, schedule = start()
    for _ in range(61):
        advance(history, schedule)
    callback.on_train_begin(history, schedule, threading.Event())
    assert "left" not in callback.progress()
    clock.now += 10
    for _ in range(10):
        advance(history, schedule)
    assert "0:10 gone, about 0:10 left" in callback.progress()


def test_long_times_are_written_with_hours():
    assert [live._clock(s) for s in (0, 59.6, 3599, 3600, 36_061)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "10:01:01",
    ]


# ---------------------------------------------------------------------------------------- terminals


class Terminal(io.StringIO):
    def __init__(self, tty):
        super().__init__()
        self.tty = tty

    def isatty(self):
        return self.tty


@pytest.mark.parametrize("tty", [True, False])
def test_a_terminal_gets_a_bar_with_score_and_sentence(tty, clock, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal(tty))
    bar = ProgressBar()
    history, schedule, _ = begin(bar)
    for _ in range(81):
        clock.now += 0.3
        advance(history, schedule)
        bar.on_step(history)
    bar.on_train_end(make_run())
    printed = sys.stderr.getvalue()
    assert "81/81" in printed and "best validation RMSE 0.368" in printed
    assert printed.endswith("at the last of 3.\n") and "completed: 81 of 81 steps" in printed
    assert (printed.count("\r") > 50) == tty  # a log file gets few lines


def test_a_bar_that_fails_is_harmless(monkeypatch, clock, capsys):
    bar = ProgressBar()
    history, *_ = begin(bar)
    monkeypatch.setattr(bar, "move", lambda: 1 / 0)
    for _ in range(3):
        clock.now += 60
        bar.on_step(history)
    bar.on_train_end(None)
    assert capsys.readouterr().err.count("ZeroDivisionError") == 1


# ------------------------------------------------------------------------------------ a real kernel


@pytest.mark.slow
def test_a_saved_notebook_keeps_picture_and_text_and_passes_strict_nbval(tmp_path, monkeypatch):
    """Executed without a front end, compared with its own outputs on a second execution."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]), prepend=":")
    cells = [
        "from tests.fake_run import train",
        "train()",
        "train('widget', seconds=0.001)",
        "import ftlab as ft\nft.preview(ft.Recipe(layer_decay=0.8)).plot()",
        "panel = ft.panels.SchedulePanel()\npanel",
        "panel.set(layer_decay=0.9)\nprint(panel.code)",
        "from tests import fake_run\nfake_run.advance = lambda *a, **k: 1 / 0\ntrain()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.cells[-1].metadata["tags"] = ["raises-exception"]
    NotebookClient(notebook, timeout=60, kernel_name="python3", store_widget_state=False).execute()

    outputs = [cell.outputs for cell in notebook.cells]
    for i, message in (
        (1, "completed: 81 of 81"),
        (2, "completed: 81 of 81"),
        (6, "ended by an error: 0 of 81"),
    ):
        pictures = [o.data for o in outputs[i] if "image/png" in o.get("data", {})]
        assert [sorted(p) for p in pictures] == [["image/png", "text/plain"]] and len(pictures[0]["image/png"]) > 10_000
        assert not any(VIEW in o.get("data", {}) for o in outputs[i])
        assert message in "".join(o.get("text", "") for o in outputs[i] if o.get("name") == "stdout")
    assert outputs[6][-1].ename == "ZeroDivisionError"
    assert sorted(outputs[3][0].data) == ["image/png", "text/plain"]
    widgets, picture = outputs[4]  # two displays: JupyterLab builds the widgets of one anew with each new picture
    assert sorted(widgets.data) == [VIEW, "text/plain"] and sorted(picture.data) == ["image/png", "text/plain"]
    assert outputs[5][0].text == "recipe = base.but(layer_decay=0.9)\n"

    nbformat.write(notebook, tmp_path / "live.ipynb")
    (tmp_path / "times.cfg").write_text("[seconds]\nregex: in [0-9.]+ s\nreplace: in SECONDS\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--nbval",
        "--nbval-current-env",
        "--nbval-sanitize-with=times.cfg",
        "-q",
    ]
    done = subprocess.run([*command, "live.ipynb"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_first_picture_waits_for_no_import():
    """How long a drawing takes decides when the next one comes: an import in the first would stop all for a minute."""
    code = (
        "import sys, threading; from tests.fake_run import start; from ftlab.lab.live import LiveCurves\n"
        "curves = LiveCurves(); history, schedule = start(); curves.begin(history); curves.schedule = schedule\n"
        "before = set(sys.modules); curves.page(); print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0 and not done.stdout.split(), done.stdout + done.stderr
