"""Live curves while `fit` runs: in a notebook a small SVG that moves, in a terminal a progress bar.

In a notebook one display is made in the running cell. It is fed hand-written SVG, at most four times a
second, and is replaced at the end, however the run ends, by a matplotlib PNG: SVG is quick to draw, PNG is
what a saved notebook shows everywhere. Interrupting the kernel stops a run. The Stop button is an extra;
whether a click is heard while a cell runs depends on the version of ipykernel (`ftlab.check()` tells).
"""

from __future__ import annotations

import functools
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ftlab.callbacks import Callback
from ftlab.checks import number
from ftlab.history import History
from ftlab.lab import svg
from ftlab.lab.check import in_notebook
from ftlab.lab.plots import runs as plots  # not on the way to the first picture, which would seem to be a slow one

if TYPE_CHECKING:
    from ftlab.run import Run
    from ftlab.schedules import LRSchedule

INTERVAL = 0.25  # seconds between two pictures, at least
WIDTH = 640  # of the moving picture, in CSS pixels
SHARE = 0.02  # of the run's time that drawing may take

# The plain text of the display never changes, so that a notebook can be compared with its stored outputs.
TEXT = "Curves of a run: training loss, validation score and learning rates by step"
# One transparent pixel. The first and the last form of the display must be of the same kind, a PNG.
BLANK = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def live_callback(mode: bool | str = True) -> Callback | None:
    """Choose what to watch a run with: curves in a notebook, a progress bar elsewhere, or None.

    mode: False or "off" for none; True or "svg" for curves in the cell's output; "widget" to draw them with
    ipywidgets instead, for front ends that do not update outputs in place.
    """
    if mode in (False, "off"):
        return None
    return LiveCurves(widget=mode == "widget") if in_notebook() else ProgressBar()


def harmless(method: Callable[..., None]) -> Callable[..., None]:
    """Keep an error in drawing away from the training: show it once and watch no further."""

    @functools.wraps(method)
    def guarded(self: Watcher, *arguments: Any) -> None:
        try:
            with self.lock:
                method(self, *arguments)
        except Exception:
            if not self.broken:
                text = f"The live display failed; training goes on.\n{traceback.format_exc()}"
                print(text, file=sys.stderr)
            self.broken = True

    return guarded


class Watcher(Callback):
    """What both displays share: when the run began, how far it is, and when the next update is due."""

    interval = INTERVAL

    def __init__(self) -> None:
        self.lock = threading.RLock()  # clicks arrive in another thread
        self.broken = False
        self.due = 0.0

    def begin(self, history: History) -> None:
        self.history = history
        self.began = time.perf_counter()
        self.first_step = len(history)

    def is_due(self) -> bool:
        """Tell whether enough time has passed since the last update."""
        return not self.broken and time.perf_counter() >= self.due

    def timed(self, update: Callable[[], None]) -> None:
        """Update the display and put the next time off for long enough to keep to the budget."""
        began = time.perf_counter()
        update()
        now = time.perf_counter()
        self.due = now + max(self.interval, (now - began) / SHARE)

    def latest(self) -> str:
        """Say the newest loss and the best validation score."""
        parts = []
        if len(self.history):
            parts.append(f"loss {number(self.history.loss[-1])}")
        if (best := self.history.best) is not None:
            parts.append(f"best validation {plots.METRIC_NAMES[self.history.metric]} {best['score']:.3f}")
        return ", ".join(parts)


# ---------------------------------------------------------------------------------------- notebooks


class LiveCurves(Watcher):
    """Draw a run while it goes on in a notebook: progress, loss, validation score and rates."""

    def __init__(self, *, widget: bool = False) -> None:
        super().__init__()
        self.widget = widget
        self.button = self.html = self.box = self.handle = self.button_handle = None

    @harmless
    def on_train_begin(self, history: History, schedule: LRSchedule, stop: threading.Event) -> None:
        """Open the display in the running cell, with the Stop button above."""
        from IPython.display import display

        self.begin(history)
        self.schedule, self.stop = schedule, stop
        first = {"image/png": BLANK, "text/plain": TEXT}
        view = "application/vnd.jupyter.widget-view+json"
        self.button = _stop_button(self.request_stop)
        if self.widget:
            import ipywidgets

            self.html = ipywidgets.HTML()
            parts = [self.html] if self.button is None else [self.button, self.html]
            self.box = ipywidgets.VBox(parts)
            first[view] = self.box._repr_mimebundle_()[view]
        elif self.button is not None:
            bundle = {view: self.button._repr_mimebundle_()[view], "text/plain": ""}
            self.button_handle = display(bundle, raw=True, display_id=True)
        self.handle = display(first, raw=True, display_id=True)
        self.timed(self.draw)

    @harmless
    def on_step(self, history: History) -> None:
        """Draw, if it is time to."""
        if self.is_due():
            self.timed(self.draw)

    @harmless
    def on_evaluate(self, history: History) -> None:
        """Draw, if it is time to."""
        if self.is_due():
            self.timed(self.draw)

    def on_train_end(self, run: Run | None) -> None:
        """Put the final picture in place of the moving one and say in one line how the run went.

        `run` is None when an error ended it.
        """
        try:
            self.end(run)
        except KeyboardInterrupt:
            pass  # a second, impatient interrupt: the run matters more than its picture

    @harmless
    def end(self, run: Run | None) -> None:
        """Close the button, show the PNG, print the sentence."""
        if self.handle is None:
            return
        picture = plots.plot_run(run) if run is not None else plots.plot_history(self.history, self.schedule)
        bundle, metadata = picture._repr_mimebundle_()
        self.handle.update({**bundle, "text/plain": TEXT}, metadata=metadata, raw=True)
        if self.button_handle is not None:
            self.button_handle.update({"text/plain": ""}, raw=True)
        for widget in (self.button, self.html, self.box):
            if widget is not None:
                # ipywidgets keeps each part for ever that is not closed by itself.
                for part in (widget.layout, getattr(widget, "style", None), widget):
                    if part is not None:
                        part.close()
        print(picture.sentence if run is not None else f"ended by an error: {picture.sentence}")
        self.handle = None

    def request_stop(self, *_: Any) -> None:
        """End the run after the update in progress; what a click on the Stop button calls."""
        self.stop.set()
        if self.button is not None:
            self.button.description = "Stopping after this step"
            self.button.disabled = True

    def draw(self) -> None:
        """Send the present state to the page."""
        page = self.page()
        if self.html is not None:
            self.html.value = page
        else:
            self.handle.update({"text/html": page, "text/plain": TEXT}, raw=True)

    def page(self) -> str:
        """Return the moving picture as HTML: a progress bar with its text, and the charts of the run."""
        done, total = len(self.history), max(1, self.history.total_steps)
        sheet = plots.run_sheet(self.history, self.schedule, live=True)
        return (
            '<div style="color:var(--jp-ui-font-color1,inherit);'
            'font:13px var(--jp-ui-font-family,system-ui,sans-serif)">'
            f'<progress value="{done}" max="{total}" aria-label="steps done" '
            f'style="width:min(100%,300px);vertical-align:middle"></progress> {self.progress()}'
            f'<div style="margin-top:6px">{svg.draw(sheet, WIDTH)}</div></div>'
        )

    def progress(self) -> str:
        """Say how far the run is, how long it has taken and will take, and where loss and score stand."""
        done, total = len(self.history), self.history.total_steps
        gone = time.perf_counter() - self.began
        made = done - self.first_step
        left = f", about {_clock(gone / made * (total - done))} left" if made and done < total else ""
        text = f"step {done} of {total} ({done / max(1, total):.0%}), {_clock(gone)} gone{left}"
        return ", ".join(part for part in (text, self.latest()) if part)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


def _stop_button(on_click: Callable[..., None]) -> Any:
    """Make a Stop button whose click is heard while the cell runs; None if ipywidgets is missing."""
    try:
        import ipywidgets
    except ImportError:
        return None
    button = ipywidgets.Button(
        description="Stop training (or press I, I)",
        tooltip="End the run after this step and keep everything so far; the same as Kernel > Interrupt",
        icon="stop",
        layout={"width": "auto"},
    )
    button.on_click(on_click)
    # ipykernel 7.4 answers a widget in the thread that made it, and that one is busy training. Its own hook
    # for choosing the thread is asked to leave the choice to the front end, as 7.2 and 7.3 do.
    if hasattr(button.comm, "_reply_subshell_for"):
        button.comm._reply_subshell_for = lambda data, default: default
    return button


# ---------------------------------------------------------------------------------------- terminals


class ProgressBar(Watcher):
    """Show a run as a progress bar with time left on standard error."""

    @harmless
    def on_train_begin(self, history: History, schedule: LRSchedule, stop: threading.Event) -> None:
        """Open the bar."""
        from tqdm import tqdm

        self.begin(history)
        if not sys.stderr.isatty():
            self.interval = 30.0  # each update is a new line in a log file
        self.bar = tqdm(
            total=history.total_steps,
            initial=self.first_step,
            desc="training",
            unit="step",
            file=sys.stderr,
            mininterval=0,
            dynamic_ncols=True,
        )
        self.due = time.perf_counter() + self.interval

    @harmless
    def on_step(self, history: History) -> None:
        """Move the bar, if it is time to."""
        if self.is_due():
            self.timed(self.move)

    def on_train_end(self, run: Run | None) -> None:
        """Close the bar and say in one line how the run went; `run` is None when an error ended it."""
        try:
            self.end(run)
        except KeyboardInterrupt:
            pass  # as in a notebook: the run matters more

    @harmless
    def end(self, run: Run | None) -> None:
        """Move the bar to where the run ended, close it, print the sentence."""
        self.move()
        self.bar.close()
        print(plots.describe(self.history if run is None else run), file=sys.stderr)

    def move(self) -> None:
        """Bring the bar up to date."""
        self.bar.set_postfix_str(self.latest(), refresh=False)
        self.bar.update(len(self.history) - self.bar.n)
