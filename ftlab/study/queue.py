"""A study: recipes x folds x seeds, trained by as many processes or machines as there are, none of them twice.

    study = ft.Study({"baseline": base, "llrd": base.but(layer_decay=0.9)}, data, folds=5, seeds=3)
    study.run()         # here, and in every other process that does the same with the same storage
    study.results()     # one dictionary a finished cell

A cell is one recipe on one fold with one seed (and one number of training rows). The cells stand in an Optuna storage
(Akiba et al. 2019): a SQLite file, or any database that SQLAlchemy can reach. A worker takes the next open cell and
shows with a heartbeat that it is alive; the cell of a worker that was killed is taken again by another. Every finished
cell is also written to a small JSONL file, and one that is in that file already is not trained again, on whatever
machine.
"""

from __future__ import annotations

import math
import os
import platform
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from ftlab.data import Data
from ftlab.errors import FtlabError, RecipeError
from ftlab.recipe import Recipe
from ftlab.study.cells import read_records, write_lines
from ftlab.study.train import Cell, run_cell
from ftlab.trainer import conditions


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

    recipes: {name: Recipe}; a recipe's own seed is replaced. folds, seeds: a number (0, 1, ...) or a list. n_train:
    numbers of training rows, None for all; a sample's rows are drawn by the cell's seed. storage: SQLAlchemy URL of
    the database; every worker gives the same one. name: several studies can share a storage. out: JSONL file of the
    finished cells, read before the first and written after each. test_looks: score the test part at every look too;
    nothing is chosen by it, and it is not counted in a cell's time. heartbeat: seconds between two signs of life; a
    worker silent for four of them counts as dead.

    Raises RecipeError or DataError for a list that is empty or out of range, and DataError for an `out` file that is
    damaged or holds cells of another preset or precision.
    """

    def __init__(
        self,
        recipes: Mapping[str, Recipe],
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
        folds, seeds = _numbers("folds", folds), _numbers("seeds", seeds)
        for fold in folds:
            data.split(fold)
        self.data, self.name, self.test_looks = data, name, test_looks
        self.out = None if out is None else Path(out)
        self.cells: dict[str, Cell] = {}
        # By seed, then fold: after any number of cells the recipes have been tried about equally often.
        for n, seed, fold, (label, recipe) in product(n_train, seeds, folds, recipes.items()):
            cell = Cell(label, recipe.but(seed=seed), fold, n)
            self.cells[cell.key(cell.data(data))] = cell
        self._grace = timedelta(seconds=4 * heartbeat)
        self._storage = open_storage(storage, heartbeat)
        with quiet_optuna():
            self._study = optuna.create_study(storage=self._storage, study_name=name, load_if_exists=True)
        self._read_out()

    def run(self, *, max_cells: int | None = None, report: Callable[[str], None] | None = print) -> Progress:
        """Take open cells one after the other until none is left, here or with another worker; return the progress.

        max_cells: stop after so many cells. report: called with a line after each cell, None for silence. An error of
        a cell ends that cell alone; it is said and the cell stays open for the next call.
        """
        say = report or (lambda line: None)
        failed: set[str] = set()
        finished = 0
        say(f"{self.name}: {self.progress()}")
        while max_cells is None or finished < max_cells:
            self._revive()
            waiting = self._enqueue_missing(failed)
            if not waiting:
                if not self._running():
                    break
                time.sleep(min(5.0, self._grace.total_seconds() / 8))  # another worker may die with its cell
                continue
            outcome = self._run_one(say)
            finished += outcome == "done"
            if outcome.startswith("failed "):
                failed.add(outcome[len("failed ") :])
            self.export()
        self.export()
        progress = self.progress()
        say(f"{self.name}: {progress}")
        return progress

    def results(self) -> list[dict[str, Any]]:
        """Return what is known of each finished cell of this study, in the order of the cells."""
        found = self._finished()
        return [found[key] for key in self.cells if key in found]

    def progress(self) -> Progress:
        """Count the cells, and estimate the time left from the mean time of the cells that were trained here."""
        done, running = len(self._finished()), len(self._running())
        left = len(self.cells) - done - running
        spans = [t.duration.total_seconds() for t in self._trials(TrialState.COMPLETE, TrialState.PRUNED) if t.duration]
        spans = [span for span in spans if span > 0]
        pace = float(np.mean(spans)) / max(1, running) if spans else None
        return Progress(done, running, left, None if pace is None else pace * (left + running))

    def export(self) -> None:
        """Write the finished cells to the `out` file, one line of JSON each; a crash leaves the file as it was.

        Cells that are in the file and not in this study stay there.
        """
        if self.out is None:
            return
        ours = self._finished()
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
                    optuna.trial.create_trial(
                        state=state, value=record["validation"], user_attrs={"cell": key, "result": record}
                    )
                )

    def _enqueue_missing(self, failed: set[str]) -> bool:
        """Add a trial for every cell that has none; tell whether any waits. Of two workers' trials the first counts."""
        live = self._trials(TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)
        present = {t.user_attrs["cell"] for t in live if "duplicate" not in t.user_attrs}
        missing = [key for key in self.cells if key not in present and key not in failed]
        for key in missing:
            self._study.enqueue_trial({}, user_attrs={"cell": key})
        return bool(missing) or any(t.state == TrialState.WAITING for t in live)

    def _revive(self) -> None:
        """Fail the trials of dead workers; `_enqueue_missing` opens their cells again."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(self._study)
        # A worker killed between taking a trial and its first heartbeat is unknown to Optuna's heartbeat.
        for trial in self._trials(TrialState.RUNNING):
            silent = datetime.now() - trial.datetime_start > self._grace
            if silent and "worker" not in trial.user_attrs:
                try:
                    self._study.tell(trial.number, state=TrialState.FAIL)
                except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                    pass  # another worker was quicker

    def _run_one(self, say: Callable[[str], None]) -> str:
        """Train the next open cell; return "done", "nothing" or "failed" with its key."""
        outcome = ["nothing"]

        def objective(trial: optuna.Trial) -> float:
            key = trial.user_attrs.get("cell")
            if key not in self.cells:  # the last open cell went to another worker in this moment
                raise optuna.TrialPruned("no open cell")
            self._storage.record_heartbeat(trial._trial_id)
            trial.set_user_attr("worker", f"{platform.node()}:{os.getpid()}")
            states = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.WAITING)
            earlier = [t for t in self._trials(*states) if t.user_attrs["cell"] == key and t.number < trial.number]
            if any("duplicate" not in t.user_attrs for t in earlier):
                trial.set_user_attr("duplicate", True)
                raise optuna.TrialPruned("another trial has this cell")
            cell = self.cells[key]
            try:
                record = run_cell(cell, cell.data(self.data), test_looks=self.test_looks)
            except FtlabError as error:
                outcome[0] = f"failed {key}"
                say(f"{self.name}: {cell.name} fold {cell.fold} seed {cell.recipe.seed} failed: {error}")
                raise
            trial.set_user_attr("result", {**record, "cell": key})
            outcome[0] = "done"
            score = record["test"] if record["swa_test"] is None else record["swa_test"]
            shown = "no score" if score is None else f"test {score:.4f}"
            where = f"{cell.name} fold {cell.fold} seed {cell.recipe.seed}"
            say(f"{where}: {record['status']}, {shown}, {record['seconds']} s")
            if record["validation"] is None:
                raise optuna.TrialPruned(record["status"])
            return record["validation"]

        try:
            with quiet_optuna():
                self._study.optimize(objective, n_trials=1, catch=(FtlabError,))
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError) as error:
            # Held for dead (the machine slept, say) and its cell given to another: that one's result counts.
            say(f"{self.name}: a cell was taken over by another worker ({error})")
            outcome[0] = "nothing"
        return outcome[0]


def open_storage(url: str, heartbeat: int = 30) -> optuna.storages.RDBStorage:
    """Open an Optuna storage with a heartbeat, safe for several processes on SQLite too.

    Raises RecipeError naming the address if the database cannot be opened.
    """
    sqlite = url.startswith("sqlite")
    if url in ("sqlite://", "sqlite:///", "sqlite:///:memory:"):
        raise RecipeError(f"storage: {url!r} is kept in memory, which workers cannot share; use sqlite:///study.db")
    options = {"connect_args": {"timeout": 120}} if sqlite else {"pool_pre_ping": True}
    last: Exception | None = None
    for _ in range(5):  # of two workers that make the tables at the same moment, one fails and finds them made
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                storage = optuna.storages.RDBStorage(
                    url, options, heartbeat_interval=heartbeat, grace_period=4 * heartbeat
                )
            break
        except sqlalchemy.exc.DatabaseError as error:
            last = error
            time.sleep(0.5)
        except (sqlalchemy.exc.ArgumentError, ImportError, ValueError) as error:
            raise RecipeError(f"storage: cannot open {url!r} ({error}); an example: sqlite:///study.db") from None
    else:
        reason = getattr(last, "orig", last)
        raise RecipeError(f"storage: cannot open {url!r} ({reason}); check the path, or the server and its password")
    if sqlite:
        # SQLite has no SELECT ... FOR UPDATE, with which Optuna keeps two workers from taking one trial: take the
        # write lock when a transaction begins, as SQLAlchemy's documentation of SQLite describes.
        engine = storage.engine

        @sqlalchemy.event.listens_for(engine, "connect")
        def leave_transactions_to_us(connection: Any, _: Any) -> None:
            connection.isolation_level = None

        @sqlalchemy.event.listens_for(engine, "begin")
        def lock_at_once(connection: sqlalchemy.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        engine.dispose()  # connections opened before know nothing of this
    return storage


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna from reporting each trial; what matters of it is said here."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def _numbers(name: str, given: int | Sequence[int]) -> list[int]:
    numbers = list(range(given)) if isinstance(given, int) else list(given)
    if not numbers or len(set(numbers)) < len(numbers):
        raise RecipeError(f"{name}: {given!r} names none, or one twice; give a number of 1 or more, or a list")
    return numbers
