"""A study: recipes x folds x seeds, trained by as many processes or machines as there are, none of them twice.

    study = ft.Study({"baseline": base, "llrd": base.but(layer_decay=0.9)}, data, folds=5, seeds=3)
    study.run()         # here, and in every other process that does the same with the same storage
    study.results()     # one dictionary a finished cell

A cell is one recipe on one fold with one seed (and one number of training rows). The cells stand in an Optuna storage
(Akiba et al. 2019): a SQLite file, or any database that SQLAlchemy can reach. A worker takes the next open cell and
shows with a heartbeat that it is alive; the cell of a worker that was killed is taken again by another. Every finished
cell is also written to a small JSONL file, and one that is in that file already is not trained again, on whatever
machine. Only the database's clock is used, in UTC, so the workers' clocks and time zones do not matter.
"""

from __future__ import annotations

import gc
import math
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState, create_trial

from ftlab.checks import is_int, whole
from ftlab.data import Data
from ftlab.errors import FtlabError, RecipeError
from ftlab.recipe import Recipe
from ftlab.study.cells import read_records, write_lines
from ftlab.study.storage import open_storage
from ftlab.study.train import Cell, run_cell
from ftlab.trainer import conditions

MOST_COUNTED = 10_000
"""Folds or seeds that one number may stand for; a mistyped one must not fill the memory."""


@dataclass(frozen=True)
class Progress:
    """How far a study is: numbers of cells, and the time that is left at the present pace (None: not known yet)."""

    done: int
    running: int
    left: int
    seconds_left: float | None

    def __str__(self) -> str:
        """Say it in one line."""
        cells = self.done + self.running + self.left
        text = f"{self.done} of {cells} cells done, {self.running} running, {self.left} left"
        if self.seconds_left is not None and self.running + self.left:
            minutes = math.ceil(self.seconds_left / 60)
            text += f", about {minutes // 60} h {minutes % 60:02d} min to go"
        return text


class Study:
    """Recipes x folds x seeds, in a storage that several workers share.

    recipes: {name: Recipe}; a recipe's own seed is replaced. Or cells, such as a plan's, which have folds, seeds and
    rows of their own; those given here then play no part. folds, seeds: a number (0, 1, ...) or a list. n_train:
    numbers of training rows, None for all; a sample's rows are drawn by the cell's seed. storage: SQLAlchemy URL of
    the database; every worker gives the same one. name: several studies can share a storage. out: JSONL file of the
    finished cells, read before the first and written after each. test_looks: score the test set at every evaluation;
    nothing is chosen by it, and it is not counted in a cell's time. heartbeat: seconds between two signs of life; a
    worker silent for four of them counts as dead.

    Raises RecipeError or DataError for a list that is empty or out of range, and DataError for an `out` file that is
    damaged or holds cells of another preset or precision.
    """

    def __init__(
        self,
        recipes: Mapping[str, Recipe] | Sequence[Cell],
        data: Data,
        *,
        folds: int | Sequence[int] = 5,
        seeds: int | Sequence[int] = 3,
        n_train: Sequence[int | None] = (None,),
        storage: str = "sqlite:///ftlab-study.db",
        name: str = "study",
        out: str | Path | None = None,
        test_looks: bool = False,
        heartbeat: int = 30,
    ) -> None:
        if not recipes:
            raise RecipeError("recipes is empty; a study needs at least one")
        if isinstance(recipes, Mapping):
            folds, seeds = whole_numbers("folds", folds, count=True), whole_numbers("seeds", seeds, count=True)
            recipes = _product(recipes, data, folds, seeds, whole_numbers("n_train", n_train, 1, optional=True))
        self.data, self.name, self.test_looks = data, name, test_looks
        self.out = None if out is None else Path(out)
        self.cells: dict[str, Cell] = {cell.key(cell.data(data)): cell for cell in recipes}
        self._heartbeat = heartbeat
        self._end = _nothing  # what an interrupt still has to do: open a cell again, or keep its result
        self._storage = open_storage(storage, heartbeat)
        with quiet_optuna():
            self._study = optuna.create_study(storage=self._storage, study_name=name, load_if_exists=True)
        self._read_out()

    def run(self, *, max_cells: int | None = None, report: Callable[[str], None] | None = print) -> Progress:
        """Take open cells one after the other until none is left, here or with another worker; return the progress.

        max_cells: stop after so many cells; 0 only queues the open ones. report: called with a line after each cell,
        None for silence. An error in a cell, of whatever kind, ends that cell alone: it is reported, no worker that is
        running now tries the cell again, and it is open for the next call.
        """
        say = report or (lambda line: None)
        self._storage.report = lambda line: say(f"{self.name}: {line}")
        say(f"{self.name}: {self.progress()}")
        earlier = {trial.number for trial in self._trials(TrialState.FAIL)}
        finished = 0
        self._enqueue_missing(earlier)
        with quiet_optuna(), _settled_heap(), self._ended_at_an_interrupt():
            while max_cells is None or finished < max_cells:
                optuna.storages.fail_stale_trials(self._study)  # the next line opens the cells of dead workers again
                self._enqueue_missing(earlier)
                trial = self._take()
                if trial is not None:
                    finished += self._train(trial, say)
                elif self._running():
                    time.sleep(min(5.0, self._heartbeat / 2))  # another worker may die with its cell
                else:
                    break
        self.export()
        progress = self.progress()
        say(f"{self.name}: {progress}")
        return progress

    def results(self) -> list[dict[str, Any]]:
        """Return what is known of each finished cell of this study, in the order of the cells."""
        found = self._finished()
        return [found[key] for key in self.cells if key in found]

    def progress(self) -> Progress:
        """Count the cells, and estimate the time left from the mean time of the finished ones."""
        finished = self._finished()
        done, running = len(finished), len(self._running())
        left = len(self.cells) - done - running
        spans = [s for record in finished.values() if isinstance(s := record.get("seconds"), (int, float)) and s > 0]
        pace = float(np.mean(spans)) / max(1, running) if spans else None
        return Progress(done, running, left, None if pace is None else pace * (left + running))

    def export(self, more: Mapping[str, dict[str, Any]] = MappingProxyType({})) -> None:
        """Write the finished cells to the `out` file, one line of JSON each; a crash leaves the file as it was.

        Cells that are in the file and not in this study stay there. more: {key: result} beside those in the database.
        """
        if self.out is None:
            return
        ours = {**more, **self._finished()}
        kept = [record for key, record in read_records(self.out, conditions()).items() if key not in ours]
        write_lines(self.out, [*kept, *(ours[key] for key in self.cells if key in ours)])

    # ---------------------------------------------------------------------------------------- the storage's trials

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False, states=states or None)
        return [trial for trial in trials if trial.user_attrs.get("cell") in self.cells]

    def _finished(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        for trial in self._trials(TrialState.COMPLETE, TrialState.PRUNED):
            if "result" in trial.user_attrs:
                found.setdefault(trial.user_attrs["cell"], trial.user_attrs["result"])
        return found

    def _running(self) -> set[str]:
        return {trial.user_attrs["cell"] for trial in self._trials(TrialState.RUNNING)} - set(self._finished())

    def _read_out(self) -> None:
        """Take over the cells that the `out` file holds."""
        if self.out is None or not self.out.exists():
            return
        known = self._finished()
        for key, record in read_records(self.out, conditions()).items():
            if key in self.cells and key not in known:
                state = TrialState.PRUNED if record["validation"] is None else TrialState.COMPLETE
                self._study.add_trial(
                    create_trial(state=state, value=record["validation"], user_attrs={"cell": key, "result": record})
                )

    def _enqueue_missing(self, earlier: set[int]) -> None:
        """Add a trial for every cell that has none and did not fail since; `earlier` holds the failures before.

        Of two workers' trials for one cell the first counts.
        """
        present = {
            trial.user_attrs["cell"]
            for trial in self._trials()
            if _has_its_cell(trial) or ("error" in trial.user_attrs and trial.number not in earlier)
        }
        for key in self.cells:
            if key not in present:
                self._study.enqueue_trial({}, user_attrs={"cell": key})

    def _take(self) -> FrozenTrial | None:
        """Take the first trial that waits for one of these cells."""
        for trial in self._trials(TrialState.WAITING):
            self._end = partial(self._reopen, trial)  # before: an interrupt may come after the database's answer
            # A sign of life first: a worker killed between these two calls must be known to be dead.
            self._storage.record_heartbeat(trial._trial_id)
            try:
                if self._storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING):
                    return trial
            except UpdateFinishedTrialError:
                pass  # another worker took it and is done with it
            self._end = _nothing
        return None

    def _train(self, trial: FrozenTrial, say: Callable[[str], None]) -> bool:
        """Train the cell of a trial that was taken; tell whether it is finished."""
        key = trial.user_attrs["cell"]
        cell = self.cells[key]
        where = f"{cell.name} fold {cell.fold} seed {cell.recipe.seed}"
        with self._storage.alive(trial._trial_id):  # until the result is stored, however long the database is away
            earlier = (t for t in self._trials() if t.number < trial.number)
            if any(t.user_attrs["cell"] == key and _has_its_cell(t) for t in earlier):
                self._finish(trial, TrialState.PRUNED, duplicate=True)
                return False
            try:
                result = run_cell(cell, cell.data(self.data), test_looks=self.test_looks)
                record = {"study": self.name, **result, "cell": key}
            except Exception as error:
                kind = "" if isinstance(error, FtlabError) else f"{type(error).__name__}: "
                self._finish(trial, TrialState.FAIL, error=f"{kind}{error}")
                say(f"{self.name}: {where} failed: {kind}{error}")
                if kind:
                    say(traceback.format_exc().rstrip())
                return False
            try:
                self.export({key: record})  # into the file first, which is never away
            finally:
                state = TrialState.PRUNED if record["validation"] is None else TrialState.COMPLETE
                self._finish(trial, state, result=record)
        score = record["test"] if record["swa_test"] is None else record["swa_test"]
        shown = "no score" if score is None else f"test {score:.4f}"
        say(f"{where}: {record['status']}, {shown}, {record['seconds']} s")
        return True

    @contextmanager
    def _ended_at_an_interrupt(self) -> Iterator[None]:
        """At Ctrl-C leave no trial running, at whatever moment it comes: the cell is open again, or its result kept."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self._end()
            raise

    def _reopen(self, trial: FrozenTrial) -> None:
        if self._storage.get_trial(trial._trial_id).state == TrialState.RUNNING:
            self._close(trial, TrialState.FAIL)

    def _finish(self, trial: FrozenTrial, state: TrialState, **attributes: Any) -> None:
        """Close a trial; an interrupt meanwhile closes it once more."""
        self._end = partial(self._close, trial, state, **attributes)
        self._end()
        self._end = _nothing

    def _close(self, trial: FrozenTrial, state: TrialState, **attributes: Any) -> None:
        """End a trial, with what is to be known about it."""
        value = attributes["result"]["validation"] if state == TrialState.COMPLETE else None
        try:
            for name, content in attributes.items():
                self._storage.set_trial_user_attr(trial._trial_id, name, content)
            self._storage.set_trial_state_values(trial._trial_id, state, None if value is None else [value])
        except UpdateFinishedTrialError:
            # Held for dead (the machine slept, say): another worker trains the cell now, and the first result counts.
            if "result" in attributes and trial.user_attrs["cell"] not in self._finished():
                self._study.add_trial(
                    create_trial(state=state, value=value, user_attrs={**trial.user_attrs, **attributes})
                )


def _nothing() -> None:
    pass


def _has_its_cell(trial: FrozenTrial) -> bool:
    """Tell whether a trial waits, runs, or has a result; one that failed or came second has none."""
    if trial.state.is_finished():
        return trial.state != TrialState.FAIL and "result" in trial.user_attrs
    return "duplicate" not in trial.user_attrs


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from reporting each trial; what matters of it is reported here."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            warnings.filterwarnings("ignore", "Heartbeat of storage")  # meant for Optuna's loop; ours has its own
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def _settled_heap() -> Iterator[None]:
    """Keep what is in memory now out of the garbage collections: of the libraries' objects alone each took 0.2 s."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _product(
    recipes: Mapping[str, Recipe], data: Data, folds: list[int], seeds: list[int], n_train: Sequence[int | None]
) -> list[Cell]:
    """Combine all with all, by seed, then fold: after any number of cells recipes were tried about equally often."""
    for fold in folds:
        data.split(fold)
    every = product(n_train, seeds, folds, recipes.items())
    return [Cell(label, recipe.but(seed=seed), fold, n) for n, seed, fold, (label, recipe) in every]


def whole_numbers(name: str, given: Any, low: int = 0, *, count: bool = False, optional: bool = False) -> list[Any]:
    """Return a list of different whole numbers, `low` or more; None may be one of them where `optional`.

    count: a number n stands for 0 to n - 1. Raises RecipeError, which names it, for anything else.
    """
    values = range(whole(name, given, 1, MOST_COUNTED)) if count and is_int(given) else given
    numbers = [whole(name, each, low, optional=optional) for each in values] if isinstance(values, Iterable) else []
    if not numbers or len(set(numbers)) < len(numbers):
        how = "a whole number, 1 or more, or a list" if count else "a list"
        raise RecipeError(f"{name}: {given!r} names none, or one twice; give {how}")
    return numbers
