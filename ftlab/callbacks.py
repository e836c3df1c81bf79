"""What may watch a run: a Callback is told when there is something new to read in its history."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from ftlab.history import History
from ftlab.schedules import LRSchedule


class Callback:
    """Base class for things that follow a run: override what you need; nothing may be changed through it.

    While it runs, `fit` lends `predict`: row numbers of its data -> predictions (n,) of the model as it is just then.
    """

    predict: Callable[[np.ndarray], np.ndarray]

    def on_train_begin(self, history: History, schedule: LRSchedule, stop: threading.Event) -> None:
        """Called once before the first update; setting `stop` ends the run after the update in progress."""

    def on_step(self, history: History) -> None:
        """Called after each optimizer update."""

    def on_evaluate(self, history: History) -> None:
        """Called after each evaluation; the newest is `history.evals[-1]`."""

    def on_train_end(self, run: Any) -> None:
        """Called once with the `ftlab.Run` when it has ended, however it ended; None if an error ended it."""
