"""TensorBoard: a callback that writes what a History records as event files, for TensorBoard to draw.

run = ft.fit(recipe, data, callbacks=[ft.TensorBoard("logs")])

tensorboard --logdir logs          in a terminal; in a notebook %load_ext tensorboard, %tensorboard --logdir logs
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from accelerate import PartialState

from ftlab.callbacks import Callback
from ftlab.errors import CheckpointError
from ftlab.history import History

if TYPE_CHECKING:
    from ftlab.run import Run
    from ftlab.schedules import LRSchedule

INTERVAL = 2.0  # seconds between two writings, at least, so that a long run does not wait for its log


class TensorBoard(Callback):
    """Log a run for TensorBoard: loss, gradient norm, every layer's rate, validation scores, and the recipe as text.

    folder: each run gets a folder of its own in it, run-1, run-2, ..., so that TensorBoard draws them as lines beside
    each other; `path` is that of the last run. A resumed run is written whole. Tags: train/loss, train/grad_norm,
    rate/<layer>, validation/loss, validation/<metric>, for classes validation/accuracy, of averaged weights
    validation/averaged_<metric>. Steps are the History's: updates from 0, and for evaluations the number of updates
    done. With several processes only the first writes.

    Raises ImportError, which says what to install, without the package tensorboard; CheckpointError if `folder` cannot
    be written to.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError(
                "ft.TensorBoard needs the package tensorboard; install it with: pip install 'tensorboard>=2.18,<3'"
            ) from error
        self.folder = Path(folder)
        self.path: Path | None = None
        self._make_writer = SummaryWriter
        self._writer = None

    def on_train_begin(self, history: History, schedule: LRSchedule, stop: threading.Event) -> None:
        """Open the run's folder and write what there is already."""
        if not PartialState().is_main_process:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            taken = [int(p.name[4:]) for p in self.folder.glob("run-*") if p.name[4:].isdecimal()]
            self.path = self.folder / f"run-{max(taken, default=0) + 1}"
            self.path.mkdir()
        except OSError as error:
            raise CheckpointError(f"{self.folder}: cannot be written to ({error}); choose another folder") from None
        self._writer = self._make_writer(str(self.path))
        self._history = history
        self._began = time.time() - (float(history.seconds[-1]) if len(history) else 0.0)
        self._rows = self._evals = 0
        self._write(history)

    def on_step(self, history: History) -> None:
        """Write what is new, if it is time."""
        if self._writer is not None and time.monotonic() >= self._due:
            self._write(history)

    def on_evaluate(self, history: History) -> None:
        """Write what is new."""
        if self._writer is not None:
            self._write(history)

    def on_train_end(self, run: Run | None) -> None:
        """Write the rest and the recipe, and close the file."""
        if self._writer is None:
            return
        self._write(self._history)
        if run is not None:
            self._writer.add_text("recipe", f"    {run.recipe!r}")
        self._writer.close()
        self._writer = None

    def _write(self, history: History) -> None:
        """Write the updates and evaluations made since the last time, and flush them to the disk."""
        losses, norms, rates, seconds = history.loss, history.grad_norm, history.lr, history.seconds
        for step in range(self._rows, len(losses)):
            values = {"train/loss": losses[step], "train/grad_norm": norms[step]}
            values |= {f"rate/{name}": rate for name, rate in zip(history.layers, rates[step], strict=True)}
            self._scalars(values, step, seconds[step])
        for made in history.evals[self._evals :]:
            values = {"loss": made["loss"], history.metric: made["score"]}
            values |= {"accuracy": made.get("accuracy"), f"averaged_{history.metric}": made.get("swa_score")}
            done = made["step"]
            self._scalars({f"validation/{name}": value for name, value in values.items()}, done, seconds[done - 1])
        self._rows, self._evals = len(losses), len(history.evals)
        self._writer.flush()
        self._due = time.monotonic() + INTERVAL

    def _scalars(self, values: dict[str, float | None], step: int, seconds: float) -> None:
        for tag, value in values.items():
            if value is not None:
                self._writer.add_scalar(tag, float(value), step, walltime=self._began + float(seconds))
