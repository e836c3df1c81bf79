"""The bench itself: a panel that trains what its controls show, and shows every run beside the ones before.

A technique declares its controls and, if it has one, an extra picture; everything else is done here:

    class DropoutPanel(Bench):
        title = "Dropout"

        def __init__(self, recipe=None, **where):
            recipe = recipe or Recipe()
            self.dropout = Number("dropout", "dropout", recipe.dropout, 0, 0.9, help="share switched off")
            super().__init__(recipe, [self.dropout], **where)

From its button a run goes in a thread of its own, so that Stop, the controls and other cells answer meanwhile; from
`bench.train()` it goes in the cell. Both are `ftlab.fit` with the same arguments and give its numbers bit for bit,
because a run draws its random numbers from a generator of its own (`ftlab.models.rng`). Widgets may be called in any
thread: what they read and change is guarded by the panel's lock, and their errors are shown in the bench.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from html import escape
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import ipywidgets

from ftlab.checks import is_int
from ftlab.errors import FtlabError, RecipeError
from ftlab.lab import still, svg
from ftlab.lab.bench import pictures, view
from ftlab.lab.bench.pace import Pace
from ftlab.lab.bench.rows import Row
from ftlab.lab.bench.turn import TURN
from ftlab.lab.chart import Chart, Mark, Sheet
from ftlab.lab.live import Watcher, harmless
from ftlab.lab.panels import fields
from ftlab.lab.panels.base import Choice, Control, Panel
from ftlab.lab.plots.runs import METRIC_NAMES, rates_chart
from ftlab.recipe import Recipe
from ftlab.schedules import LRSchedule, preview

if TYPE_CHECKING:
    from ftlab.data import Data
    from ftlab.history import History
    from ftlab.run import Run

SIZES = (50, 100, 200, 400)
SEEDS = 3  # more, of the comparison
SPREAD = {("passages", 50): 0.083, ("passages", 100): 0.031, ("passages", 200): 0.022, ("passages", None): 0.012}
"""Standard deviation of the baseline's validation score over the seeds of committed cells, by data set and size."""
PLAIN = "The bench's picture: learning rates, losses and scores of its runs"


class Bench(Panel):
    """Controls, learning rates with a playhead, live losses over the earlier runs, and a table of all runs.

    recipe: where the controls start; the baseline is the run that changes nothing in it. data: what to train on;
    without it the bench draws the learning rates and trains nothing. fold: which fold of it. size: training rows to
    start with, None for all. steps_per_epoch: of the plan while there is no data. num_layers: only for a model that is
    not known.

    `train()` trains in this cell, the button `train_button` in a thread of its own, which `wait()` waits for; `runs`
    are the finished runs. Raises RecipeError if the first recipe cannot be drawn.
    """

    width = view.PICTURE
    main: Sequence[str] = ()
    """Names of the controls that are always visible, at most five; the others are under "more". Empty: all."""
    hints: Mapping[str, str] = MappingProxyType({})
    """Short texts under controls, where the help of the recipe's table is too long for the column."""
    extra_title = ""
    """Title of the technique's further picture, folded away below the table; empty: it has none."""

    def __init__(
        self,
        recipe: Recipe,
        controls: Sequence[Control],
        *,
        data: Data | None = None,
        fold: int = 0,
        size: int | None = SIZES[0],
        steps_per_epoch: int = 27,
        num_layers: int | None = None,
    ) -> None:
        self.data, self.fold, self._steps_per_epoch = data, fold, steps_per_epoch
        self.base = recipe
        self.num_layers = len(preview(recipe, steps_per_epoch, steps=[0], num_layers=num_layers).layers) - 2
        self.rows: list[Row] = []
        self.current: Row | None = None  # the run that is drawn in colour: the latest, or the one restored
        self.pairs: list[tuple[float, float]] = []
        self._thread: threading.Thread | None = None
        self._plays: dict[int | None, Data] = {}
        self._views: dict[int, view.RowView] = {}
        self._handle: Any = None
        self._own_cell: int | None = None  # number of the cell in which the bench has shown itself
        self._doing = ""  # what goes on in a thread, if it is not a run of the table
        self.pace: Pace | None = None
        if data is not None:
            self._train_rows = len(data.split(fold).train)
            self.pace = Pace(data, fold)
            sizes = {str(n): n for n in SIZES if n < self._train_rows}
            sizes[f"all {self._train_rows}"] = None
            if is_int(size) and size not in sizes.values():
                size = None
            help = "texts to train on; a smaller sample is part of a larger one"
            self.size = Choice("size", "train on", size, sizes, help=help, buttons=True)
            given = {control.name for control in controls}
            more = [control for control in fields.of_the_run(recipe) if control.name not in given]
            vars(self).update({control.name: control for control in more})
            controls = [*controls, *more, self.size]
        super().__init__(recipe, controls)

    # ------------------------------------------------------------------------------------------------ for the reader

    @property
    def runs(self) -> list[Run]:
        """The finished runs, oldest first; older weights lie on the disk and are read when they are asked for."""
        return [row.run for row in self.rows if row.run is not None]

    @property
    def code(self) -> str:
        """The Python that makes the same recipe from the bench's first one, called `base`, and trains it on `data`."""
        recipe = super().code
        if self.data is None:
            return recipe
        data = "data" if self.size.value is None else f"data.play({self.size.value})"
        fold = f", fold={self.fold}" if self.fold else ""
        closed = ", score_test=False" if self.size.value is None else ""
        return f"{recipe}\nrun = ft.fit(recipe, {data}{fold}{closed})"

    def train(self) -> Run:
        """Train the recipe that the controls show, in this cell, and return the run.

        While another run is training the cell waits, and says so. Interrupting the kernel, or Stop, ends the run and
        keeps what it has done. Raises what `ftlab.fit` raises; the bench stays usable.
        """
        self._need_data()
        self._show_itself()
        with self._waited_for(self._progress) as stop:
            row = self._new_row()
            run = self._train(row, stop)
        print(self.sentence(row))
        return run

    def stop(self) -> None:
        """End the run in progress after its next update and keep what it has done, here or in another bench."""
        TURN.stop.set()
        if self.data is not None:
            self._refresh()

    def wait(self, seconds: float | None = None) -> None:
        """Wait for the end of what the bench does in a thread of its own."""
        if self._thread is not None:
            self._thread.join(seconds)

    def open_test(self, row: Row | str) -> float:
        """Score the test set with a row's run, once, and return the score."""
        row = self._row(row)
        if row.test is None:
            with self._waited_for(lambda: f"scoring the test set with {row.name}"):
                self._open_test(row)
        return row.test

    def more_seeds(self, seeds: int = SEEDS) -> list[tuple[float, float]]:
        """Train the two chosen recipes under further seeds on the same sample; return the pairs of validation scores.

        The first pair is the two runs' own. Weights are not kept.
        """
        self._need_data()
        pair = self._pair()
        with self._waited_for(self._progress) as stop:
            self._more_seeds(*pair, seeds, stop)
        return self.pairs

    def restore(self, row: Row | str) -> None:
        """Put the controls to where they stood for a run, and draw that run in colour."""
        row = self._row(row)
        with self._together():
            self._put_all(row.settings)
            if row.history is not None:
                self.current = row

    def remove(self, row: Row | str) -> None:
        """Forget a run and its weights. Raises RecipeError for the one that is training."""
        row = self._row(row)
        if row.status == "training":
            raise RecipeError(f"{row.name}: it is training; press Stop first")
        with self.lock:
            self.rows.remove(row)
            if self.current is row:
                self.current = self.rows[-1] if self.rows else None
            if row.run is not None:
                row.run.delete()
            self._views.pop(id(row)).close()
            self._list_rows()
        self.redraw()
        self._store()

    def rename(self, row: Row | str, name: str) -> None:
        """Give a run another name. Raises RecipeError if it is empty or another run has it."""
        row, name = self._row(row), name.strip()
        if not name or any(other.name == name for other in self.rows if other is not row):
            raise RecipeError(f"name: {name!r} is {'another run' if name else 'empty'}; give each run its own name")
        with self.lock:
            row.name = name
            self._list_rows()
        self.redraw()
        self._store()

    def sentence(self, row: Row) -> str:
        """Say in one line how a run went."""
        if row.best is None:
            score = "no evaluation"
        else:
            score = f"best validation {METRIC_NAMES[row.history.metric]} {row.best:.3f}, selected on it"
        test = "test set closed" if row.test is None else f"test {row.test:.3f}"
        return f"{pictures.describe(row)}: {row.status}, {row.done} of {row.total} steps; {score}; {test}"

    # ------------------------------------------------------------------------------------------ what a technique adds

    def alone(self, recipe: Recipe) -> Chart | Sheet:
        """Describe the picture of a bench without data: the learning rates."""
        return rates_chart(self.preview(recipe))

    def extra(self, recipe: Recipe) -> Chart | Sheet:
        """Describe the further picture that `extra_title` names, below the table; without a title none is shown."""
        return self.alone(recipe)

    def measure(self, row: Row) -> dict[str, float]:
        """Measure what the further picture shows of a finished run; called where runs are trained, once it is seen."""
        return {}

    # ---------------------------------------------------------------------------------------------------- the picture

    @property
    def baseline(self) -> Row | None:
        """The latest run that changed nothing in the bench's first recipe."""
        return next((row for row in reversed(self.rows) if not row.changed and row.done), None)

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer updates an epoch under the present settings."""
        if self.data is None:
            return self._steps_per_epoch
        batches = math.ceil((self.size.value or self._train_rows) / self._set("batch_size"))
        return math.ceil(batches / self._set("gradient_accumulation_steps"))

    def _set(self, field: str) -> Any:
        """Return a field as a control has it, or as the first recipe does."""
        control = getattr(self, "controls", {}).get(field)
        return getattr(self.base, field) if control is None else control.value

    def preview(self, recipe: Recipe, **more: Any) -> LRSchedule:
        """Compute the learning rates to draw: at most 300 steps, corners included."""
        return preview(recipe, self.steps_per_epoch, steps=300, num_layers=self.num_layers)

    def picture(self, recipe: Recipe) -> Chart | Sheet:
        """Describe learning rates over losses, on one axis of steps with one playhead."""
        if self.data is None:
            return self.alone(recipe)
        schedule, row = self.preview(recipe), self.current
        shown = [each for each in self.rows if each.drawn and each.done]
        total = max([schedule.total_steps, *(each.total for each in shown)])
        same = row is not None and (row.recipe, row.size) == (recipe, self.size.value)
        playhead = Mark(row.done, f"step {row.done} of {row.total}") if same and row.done else None
        rates = pictures.rates(schedule, playhead, total, self._laid_over())
        losses = pictures.losses(self.rows, row, self.baseline, total, schedule)
        sentence = f"{self.title}. " + " ".join(self.sentence(each) + "." for each in shown)
        return Sheet([rates, losses], self.title, sentence, share="x", width=view.PICTURE)

    def stored_picture(self) -> Chart | Sheet:
        """Describe what a saved notebook shows: the picture, the scores in place of the table, the code."""
        sheet = self.picture(self._drawn)
        if self.data is None:
            return sheet
        scores = pictures.scores(self.rows, self.current)
        return replace(
            sheet,
            charts=[*sheet.charts, *([scores] if scores else [])],
            sentence=f"{sheet.sentence} {self.code}",
            caption=self.code.replace("\n", "; "),
            width=view.PICTURE + view.SIDE,
        )

    def _laid_over(self) -> tuple[str, LRSchedule] | None:
        """Return the run whose learning rates are to be laid over those of the controls."""
        if not self.lay_over.value:
            return None
        row = self._chosen(self.other)
        return None if row is None or row.schedule is None else (row.name, row.schedule)

    # ---------------------------------------------------------------------------------------------------- the widgets

    def arrange(self, controls: list[Control]) -> ipywidgets.Widget:
        """Put the bench together: controls beside the pictures where there is room, the table below."""
        if self.data is None:
            return super().arrange(controls)
        main = self.main or [control.name for control in controls]
        settings = [control for control in controls if control.name != "size"]
        visible = [
            view.narrow(control, self.hints.get(control.name, "")) for control in settings if control.name in main
        ]
        hidden = [control for control in settings if control.name not in main]
        self._head, self._cost = view.html(view.STYLE), view.html()
        side = [*visible, self._cost, self.size.list]
        if hidden:
            self._hidden = ipywidgets.VBox(
                [view.narrow(control, self.hints.get(control.name, "")) for control in hidden],
                layout={"display": "none"},
            )
            self.more = view.fold("more: " + ", ".join(control.label for control in hidden), self._hidden)
            side += [self.more, self._hidden]
        act = self.guarded
        reset = "Put every control back to where it stood when the bench was first shown"
        self.reset_button.close()
        self.reset_button = view.button("Reset", reset, act(self.reset), flex="1 1 60px")
        self.train_button = view.button(
            "Train", "Train the recipe that the controls show", act(self._start), "ftlab-go", flex="2 1 80px"
        )
        self.stop_button = view.button(
            "Stop",
            "End the run after this step and keep what it has done",
            act(self.stop),
            "ftlab-stop",
            flex="1 1 60px",
        )
        buttons = ipywidgets.HBox([self.train_button, self.stop_button, self.reset_button], layout={"margin": "2px 0"})
        side += [buttons, self._code, self._comparison()]
        column = ipywidgets.VBox(side, layout={"flex": f"1 1 {view.SIDE}px", "min_width": "0", "max_width": "420px"})
        column.add_class("ftlab-side")
        self._picture.layout = {"flex": f"999 1 {view.PICTURE}px", "min_width": "0", "max_width": "100%"}
        self._picture.add_class("ftlab-picture")
        both = ipywidgets.HBox(
            [column, self._picture], layout={"flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": "0 18px"}
        )
        self._table = ipywidgets.VBox([view.head()])
        self._table.add_class("ftlab-table")
        self._extra, self._pairs = view.html(), view.html()
        for picture in (self._extra, self._pairs):
            picture.add_class("ftlab-picture")
            picture.add_class("ftlab-extra")
        parts = [self._head, both, self._message, self._table, self._pairs]
        if self.extra_title:
            self._extra.layout.display = "none"
            parts += [view.fold(self.extra_title, self._extra, self.guarded(self._unfolded)), self._extra]
        whole = ipywidgets.VBox(parts)
        whole.add_class("ftlab-bench")
        return whole

    def _comparison(self) -> ipywidgets.Widget:
        """Make what compares two runs: which, their difference with what it can show, further seeds."""
        self.one, self.other = (
            ipywidgets.Dropdown(description=text, options=[], layout={"flex": "1 1 80px", "width": "auto"})
            for text in ("compare", "with")
        )
        self.lay_over = ipywidgets.Checkbox(
            False, description="rates of both", indent=False, layout={"width": "auto", "flex": "1 1 auto"}
        )
        self.lay_over.tooltip = "Lay the second run's learning rates over those of the controls"
        for widget in (self.one, self.other, self.lay_over):
            widget.observe(self.guarded(self.redraw), "value")
        for widget in (self.one, self.other):
            widget.add_class("ftlab-hidden-label")
        self._difference = view.html()
        self.seeds_button = view.button(
            f"{SEEDS} more seeds",
            "Train both recipes again under three other seeds on the same sample",
            self.guarded(self._start_seeds),
        )
        lines = [[self.one, view.html("against"), self.other], [self.lay_over, self.seeds_button]]
        first, second = (ipywidgets.HBox(parts, layout={"grid_gap": "6px", "align_items": "center"}) for parts in lines)
        self._compare = ipywidgets.VBox(
            [first, self._difference, second], layout={"display": "none", "margin": "6px 0 0"}
        )
        return self._compare

    def _draw_now(self) -> None:
        super()._draw_now()
        self._drawn = self.recipe
        if self.data is not None:
            self._code.value = f"<pre>{escape(self.code)}</pre>"
            self._refresh()

    def _refresh(self) -> None:
        """Bring everything but the big picture up to date."""
        about = f" · {self.base.model} on {self.data.name}, {self._train_rows} to train"
        heading = (
            f'<div class="name" role="heading" aria-level="3">{escape(self.title)}<span>{escape(about)}</span></div>'
        )
        self._head.value = view.STYLE + heading
        busy = TURN.owner is self
        self.train_button.disabled = self.seeds_button.disabled = busy
        self.stop_button.disabled = not TURN.taken
        if not busy:
            cost, more = self.pace.expected(self.recipe, self.size.value)
        else:
            cost = "stopping after this step" if TURN.stop.is_set() else self._progress()
            more = "Stop ends the run; interrupting the kernel does not reach a run that a button started"
        self._say(cost, more)
        baseline = self.baseline
        for row in self.rows:
            self._views[id(row)].update(self.current, baseline)
        if self.extra_title and self._extra.layout.display != "none":
            self._extra.value = svg.draw(self.extra(self.recipe), view.PICTURE)
        self._show_difference()

    @property
    def _training(self) -> Row | None:
        return next((row for row in self.rows if row.status == "training"), None)

    def _progress(self) -> str:
        """Say how far the bench's run is."""
        row = self._training
        if row is None or not row.total:
            return self._doing or "getting ready"
        left = row.left
        return f"step {row.done} of {row.total}" + ("" if left is None else f", about {left:.0f} s left")

    def _row(self, row: Row | str) -> Row:
        """Find a row by its name. Raises RecipeError if there is none."""
        found = next((each for each in self.rows if each is row or each.name == row), None)
        if found is None:
            raise RecipeError(
                f"run: {row!r} is not in this bench; its runs: {', '.join(view.names(self.rows)) or 'none'}"
            )
        return found

    def _chosen(self, chooser: ipywidgets.Dropdown) -> Row | None:
        return next((row for row in self.rows if row.name == chooser.value), None)

    def _list_rows(self) -> None:
        """Make the table and the two lists agree with `rows`, the latest run first."""
        for row in self.rows:
            if id(row) not in self._views:
                self._views[id(row)] = view.RowView(row, self._act)
                self._views[id(row)].update(self.current, self.baseline)
        self._table.children = (self._table.children[0], *(self._views[id(row)].box for row in reversed(self.rows)))
        scored = [row for row in self.rows if row.best is not None]
        self._compare.layout.display = "flex" if len(scored) > 1 else "none"
        names = view.names(scored)
        with self._still():
            first = self.current if self.current in scored else (scored[-1] if scored else None)
            others = [row for row in scored if row is not first]
            second = self.baseline if self.baseline in others else (others[-1] if others else None)
            for chooser, row in ((self.one, first), (self.other, second)):
                chooser.options = names
                chooser.value = None if row is None else row.name

    def _act(self, what: str, row: Row) -> None:
        """Do what a widget of a row asks for; its errors are shown in the bench."""
        try:
            if what == "draw":
                row.drawn = self._views[id(row)].draw.value
                self.redraw()
            elif what == "rename":
                new = self._views[id(row)].name.value
                if new != row.name:
                    try:
                        self.rename(row, new)
                    finally:
                        self._views[id(row)].name.value = row.name
            elif what == "test":
                self._in_thread(lambda stop: self._open_test(row), lambda: f"scoring the test set with {row.name}")
            else:
                getattr(self, what)(row)
        except Exception as error:
            self.show_problem(error)

    # ------------------------------------------------------------------------------------------------------- training

    def _need_data(self) -> None:
        if self.data is None:
            raise RecipeError(
                f"data: this bench has none to train on; make it with {type(self).__name__}(base, data=data)"
            )

    def _data(self, size: int | None) -> Data:
        """Return the data of a size; kept, so that its texts are tokenised once."""
        if size not in self._plays:
            self._plays[size] = self.data if size is None else self.data.play(size)
        return self._plays[size]

    def _new_row(self) -> Row:
        """Add a row for what the controls show."""
        with self.lock:
            recipe, size = self.recipe, self.size.value
            changed = {name: new for name, (_, new) in recipe.diff(self.base).items()}
            taken = set(view.names(self.rows))
            wanted = ["baseline", *(f"baseline {n}" for n in range(2, 1000))] if not changed else []
            wanted += [f"run {n}" for n in range(len(self.rows) + 1, len(self.rows) + 1000)]
            name = next(name for name in wanted if name not in taken)
            settings = {name: control.value for name, control in self.controls.items()}
            row = Row(name, recipe, changed, size, settings, self._data(size))
            self.rows.append(row)
            self.current = row
            self.show_problem("")
            self._list_rows()
        self.redraw()
        return row

    @contextmanager
    def _waited_for(self, progress: Callable[[], str]) -> Iterator[threading.Event]:
        """Hold the turn for a cell; wait while another has it, and say so."""
        try:
            with TURN.waited_for(self, self.title, progress, print) as stop:
                yield stop
        finally:
            self._refresh()

    def _start(self) -> None:
        """Start a run in a thread of its own: what the Train button calls."""
        self._in_thread(lambda stop: self._train(self._new_row(), stop), self._progress)

    def _start_seeds(self) -> None:
        pair = self._pair()
        self._in_thread(lambda stop: self._more_seeds(*pair, SEEDS, stop), self._progress)

    def _in_thread(self, work: Callable[[threading.Event], Any], progress: Callable[[], str]) -> None:
        """Do work that needs the processor, if nothing else has the turn. Raises BusyError if something has."""
        try:
            stop = TURN.take(self, self.title, progress)
            self.show_problem("")
        finally:
            self._refresh()  # Stop ends what another bench trains, too

        def do() -> None:
            try:
                work(stop)
            except Exception as error:
                if not self.message:  # of a run that failed the bench has said more already
                    self.show_problem(error)
            finally:
                TURN.give_back()
                self._refresh()

        self._thread = threading.Thread(target=do, name=f"ftlab: {self.title}", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:
            TURN.give_back()
            raise

    def _train(self, row: Row, stop: threading.Event) -> Run:
        """Train a row to its end and keep everything of it."""
        from ftlab.lab.bench.stored import StoredRun
        from ftlab.trainer import fit  # torch is loaded at the first click

        for other in self.rows:
            if other.run is not None:
                other.run.release()  # before the new run needs the memory
        try:
            watch = [_Watch(self, row)]
            run = fit(row.recipe, row.data, self.fold, live=False, callbacks=watch, stop=stop, score_test=False)
        except BaseException as error:
            row.status = "failed" if isinstance(error, Exception) else "interrupted"
            row.problem = str(error) if isinstance(error, FtlabError) else f"{type(error).__name__}: {error}"
            if "out of memory" in str(error) or "alloc" in str(error) or isinstance(error, MemoryError):
                row.problem = f"out of memory: {error}. Try a smaller batch or shorter texts; the bench goes on"
            self._finished(row)
            if isinstance(error, Exception):
                self.show_problem(f"{row.name} failed. {row.problem}")
            raise
        row.run, row.seconds, row.history = StoredRun.of(run), run.seconds, run.history
        row.status = run.status
        problem = row.run.store()
        self.pace.measure(row)
        self._finished(row)
        self._measure()
        if problem:
            self.show_problem(problem)
        return row.run

    def _finished(self, row: Row) -> None:
        with self.lock:
            self._list_rows()
        self.redraw()
        self._store()

    def _unfolded(self) -> None:
        """Measure the run in colour, unless something trains; then it is done after that."""
        self._refresh()
        if not TURN.taken and self.current is not None:
            self._in_thread(lambda stop: self._measure(), lambda: "measuring the weights")

    def _measure(self) -> None:
        """Let the technique measure the run in colour, if its picture is unfolded and has not been measured."""
        row = self.current
        unfolded = self.extra_title and self._extra.layout.display != "none"
        if unfolded and row is not None and row.run is not None and row.measured is None:
            row.measured = self.measure(row)
            if row is not self.rows[-1]:
                row.run.release()
            self._refresh()

    def _open_test(self, row: Row) -> None:
        if row.run is None:
            raise RecipeError(f"{row.name}: it has no weights to score")
        row.run.score_test()
        if row is not self.rows[-1]:
            row.run.release()
        opened = sum(each.test is not None for each in self.rows)
        self._finished(row)
        more = (
            f" One of {opened} test scores opened here: the best of {opened} flatters, as a validation score does."
            if opened > 1
            else " A test set tells the truth once: whatever you choose after seeing it, you choose by it."
        )
        self.message = ""
        text = f"Test {METRIC_NAMES[row.history.metric]} of {row.name}: {row.test:.3f}.{more}"
        self._message.value = f'<div role="status" class="ftlab-note">{escape(text)}</div>'

    # ----------------------------------------------------------------------------------------------------- comparison

    def _pair(self) -> tuple[Row, Row]:
        """Return the two chosen runs. Raises RecipeError if they cannot be compared."""
        one, other = self._chosen(self.one), self._chosen(self.other)
        if one is None or other is None or one is other:
            raise RecipeError("runs: choose two different runs that have been evaluated")
        if one.size != other.size:
            raise RecipeError(f"runs: {one.name} and {other.name} were trained on samples of different size")
        return one, other

    def _say(self, text: str, more: str = "") -> None:
        """Say beside the sizes how long a run takes, or how far it is."""
        self._cost.value = f'<div class="ftlab-two">train on <small title="{escape(more)}">{escape(text)}</small></div>'

    def _show_difference(self) -> None:
        """Write the difference of the two chosen runs, and what one pair can show."""
        try:
            one, other = self._pair()
        except RecipeError as error:
            self._difference.value = f"<small>{escape(str(error))}</small>" if self._chosen(self.one) else ""
            return
        metric = one.history.metric
        better = "higher" if one.history.higher_is_better else "lower"
        difference = one.best - other.best
        spread = SPREAD.get((self.data.name, one.size))
        noise = (
            f"From seed to seed the baseline moves by {spread:.3f} at this size (one standard deviation), so one pair "
            f"says nothing of differences below about {2 * math.sqrt(2) * spread:.2f}."
            if spread
            else "One pair proves nothing: another seed may turn it round."
        )
        opened = one.test is not None and other.test is not None
        tests = f" Test: <b>{one.test - other.test:+.3f}</b>." if opened else ""
        shown = f"Validation {METRIC_NAMES[metric]} ({better} is better): <b>{difference:+.3f}</b>.{tests}"
        self._difference.value = f"<small>{shown} {noise}</small>"

    def _more_seeds(self, one: Row, other: Row, seeds: int, stop: threading.Event) -> None:
        """Train both recipes under further seeds and draw the pairs as they come."""
        from ftlab.trainer import fit

        self.pairs, names = [(other.best, one.best)], (other.name, one.name)
        self._show_pairs(names, one)
        try:
            for seed in range(1, seeds + 1):
                scores = []
                for row in (other, one):
                    self._doing = f"seed {seed} of {seeds}: {row.name}"
                    self._refresh()
                    recipe = row.recipe.but(seed=row.recipe.seed + seed)
                    run = fit(recipe, row.data, self.fold, live=False, stop=stop, score_test=False)
                    scores.append(run.best_score)
                    if stop.is_set():
                        return
                if None not in scores:  # one that diverged has no score
                    self.pairs.append(tuple(scores))
                    self._show_pairs(names, one)
        finally:
            self._doing = ""

    def _show_pairs(self, names: tuple[str, str], row: Row) -> None:
        differences = [b - a for a, b in self.pairs]
        chart = pictures.pairs(self.pairs, names, row.history.metric)
        mean = sum(differences) / len(differences)
        text = (
            f"{names[1]} against {names[0]}, {len(differences)} seeds on the same sample: mean difference {mean:+.3f}, "
            f"from {min(differences):+.3f} to {max(differences):+.3f}. No verdict below ten pairs: see notebook 07."
        )
        self._pairs.value = (
            svg.draw(Sheet([chart], sentence=text, width=view.PICTURE)) + f"<small>{escape(text)}</small>"
        )

    # ---------------------------------------------------------------------------------------------------- the display

    def __repr__(self) -> str:
        """Name the bench in a sentence that does not change with its controls."""
        trains = " and to train" if self.data is not None else ""
        return f"Bench: {self.title}. Run the cell to move its controls{trains}."

    def _ipython_display_(self) -> None:
        """Show the widgets, and beside them the picture that a saved notebook keeps.

        These are two displays, because JupyterLab would build the widgets anew, and drop what is being typed, each time
        that the picture of one display changes. While the widgets live, their style sheet hides the picture. Without
        data nothing is trained, no picture changes, and one display does.
        """
        from IPython.display import display

        if self._own_cell is not None and self._own_cell == _this_cell():
            return  # `train()` has shown it in this cell, which ends with the bench
        if self.data is None:
            bundle, metadata = self._repr_mimebundle_()
            display(bundle, metadata=metadata, raw=True)
            return
        self.note_shown()
        widgets = self.view._repr_mimebundle_()
        display({**widgets, "text/plain": ""}, raw=True)
        bundle, metadata = self._stored()
        self._handle = display(bundle, metadata=metadata, raw=True, display_id=True)

    def _show_itself(self) -> None:
        """Show the bench in this cell, if it has not been shown yet and there is a notebook to show it in."""
        from ftlab.lab.check import in_notebook

        if self._handle is None and in_notebook():
            self._ipython_display_()
            self._own_cell = _this_cell()

    def _stored(self) -> tuple[dict[str, Any], dict[str, Any]]:
        bundle, metadata = still.draw(self.stored_picture())._repr_mimebundle_()
        return {**bundle, "text/plain": repr(self)}, metadata

    def _store(self) -> None:
        """Bring the picture up to date that a saved notebook keeps."""
        if self._handle is not None:
            bundle, metadata = self._stored()
            self._handle.update(bundle, metadata=metadata, raw=True)


def _this_cell() -> int | None:
    """Return the number of the cell that is executed, None outside of IPython."""
    from IPython import get_ipython

    return getattr(get_ipython(), "execution_count", None)


class _Watch(Watcher):
    """Draw the bench while one of its runs goes on, as often as the budget allows."""

    def __init__(self, bench: Bench, row: Row) -> None:
        super().__init__()
        self.bench, self.row = bench, row
        self.lock = bench.lock

    @harmless
    def on_train_begin(self, history: History, schedule: LRSchedule, stop: threading.Event) -> None:
        """Take over the history that will grow."""
        self.begin(history)
        self.row.history, self.row.schedule = history, schedule
        self.timed(self.bench.redraw)
        self.due = 0.0  # the first point at once

    @harmless
    def on_step(self, history: History) -> None:
        """Draw, if it is time to."""
        if self.is_due():
            self.timed(self.bench.redraw)

    @harmless
    def on_evaluate(self, history: History) -> None:
        """Draw, if it is time to."""
        if self.is_due():
            self.timed(self.bench.redraw)
