"""The runs of a bench: what its table says of each, and what is drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ftlab.data import Data
    from ftlab.history import History
    from ftlab.lab.bench.stored import StoredRun
    from ftlab.recipe import Recipe
    from ftlab.schedules import LRSchedule


@dataclass
class Row:
    """One run of a bench, from the click on Train on.

    changed: the fields that differ from the bench's first recipe, with their values. settings: what the controls
    showed. size: training rows, None for all. status: "training", then the run's own, or "failed" with the error in
    `problem`. drawn: whether its curves are shown. measured: what the technique measures of a finished run, if it does.
    """

    name: str
    recipe: Recipe
    changed: dict[str, Any]
    size: int | None
    settings: dict[str, Any]
    data: Data = field(repr=False)
    schedule: LRSchedule | None = field(default=None, repr=False)
    history: History | None = field(default=None, repr=False)
    run: StoredRun | None = field(default=None, repr=False)
    status: str = "training"
    problem: str = ""
    drawn: bool = True
    measured: dict[str, float] | None = field(default=None, repr=False)
    seconds: float = 0.0

    @property
    def best(self) -> float | None:
        """The best validation score so far."""
        found = self.history.best if self.history is not None else None
        return None if found is None else found["score"]

    @property
    def test(self) -> float | None:
        """The test score of the weights that `run.predict` uses; None while the test set is closed."""
        if self.run is None:
            return None
        return self.run.test_score if self.run.swa_score is None else self.run.swa_score

    @property
    def done(self) -> int:
        """Steps done."""
        return 0 if self.history is None else len(self.history)

    @property
    def total(self) -> int:
        """Steps planned."""
        return 0 if self.schedule is None else self.schedule.total_steps

    @property
    def left(self) -> float | None:
        """Seconds left, by the steps and evaluations made so far; None before the first step."""
        if not self.done:
            return None
        seconds, evals = self.history.seconds, self.history.evals
        evaluation = sum(e["seconds"] for e in evals) / max(1, len(evals))
        first = seconds[0] if self.done > 1 else 0.0  # the first step makes what all others use
        inside = sum(e["seconds"] for e in evals if e["step"] < self.done)
        step = (seconds[-1] - first - inside) / max(1, self.done - (self.done > 1))
        every = self.recipe.eval_every or self.schedule.steps_per_epoch
        coming = -(-(self.total - self.done) // every)
        return step * (self.total - self.done) + evaluation * coming
