"""A run's record in one form, whatever it was read from: a Run, a History, or the log of Hugging Face's Trainer."""

from __future__ import annotations

import json
import math
import numbers
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ftlab.checks import number
from ftlab.errors import CheckpointError
from ftlab.history import History
from ftlab.recipe import Recipe


@dataclass(frozen=True)
class Record:
    """A record in one form, whatever it was read from; S logged losses, E looks at the validation part.

    step (S,), loss (S,), norm (S,), lr (S, P) of the places named: as logged. look_* (E,): NaN where not measured.
    batch: examples behind one loss, or None. examples: about how many there are to train on, or None. chance: loss of
    the mean predictor, from the targets if `measured`, else the level at which the training loss began.
    """

    step: np.ndarray
    loss: np.ndarray
    norm: np.ndarray
    lr: np.ndarray
    places: Sequence[str]
    look_step: np.ndarray
    look_loss: np.ndarray
    look_score: np.ndarray
    look_accuracy: np.ndarray
    macro_f1: bool
    losses_per_epoch: float
    steps_per_loss: float
    share_done: float
    status: str | None
    recipe: Recipe | None
    described: str
    targets: np.ndarray | None = None
    predictions: np.ndarray | None = None
    classes: bool = False
    batch: int | None = None
    examples: int | None = None

    @property
    def measured(self) -> bool:
        """Whether the targets are known, and so what knowing nothing costs."""
        return self.targets is not None and len(self.targets) > 1

    @property
    def chance(self) -> float:
        """Loss of a model that has learned nothing."""
        if self.measured and self.classes:
            shares = np.unique(self.targets, return_counts=True)[1] / len(self.targets)
            return float(-(shares * np.log(shares)).sum()) or math.log(2)
        if self.measured:
            return float(np.var(self.targets)) or 1.0
        # The mean over 64 examples scatters by a sixth of its value; more than a third of the run is not spent on it.
        # Where the batch is not known, 8 is a guess on the small side.
        count = len(self.loss)
        if not count:
            return math.nan
        first = self.loss[: max(1, min(math.ceil(64 / (self.batch or 8 * self.steps_per_loss)), count // 3))]
        # A run that blows up at once began where its very first loss was, which no update had touched yet.
        level = float(first.mean())
        return (float(first[0]) if level > 3 * first[0] > 0 else level) or 1.0

    @property
    def yardstick(self) -> str:
        """What to call chance in a sentence."""
        what = ("the classes' shares give" if self.classes else "the mean predictor's") if self.measured else "at first"
        return f"{number(self.chance)} {what}"

    @property
    def last(self) -> slice:
        """The losses at the end: an epoch of them if the run is long enough, so that each example counts once."""
        count = len(self.loss)
        return slice(count - max(1, count // 6, min(round(self.losses_per_epoch), count // 3)), count)

    @property
    def final(self) -> float:
        """Training loss at the end, as a share of chance."""
        return float(self.loss[self.last].mean()) / self.chance

    @property
    def looks(self) -> np.ndarray:
        """Validation losses that are numbers."""
        return self.look_loss[np.isfinite(self.look_loss)]

    @property
    def best_look(self) -> float:
        """Best validation loss as a share of chance; infinite without a look."""
        return float(self.looks.min()) / self.chance if len(self.looks) else math.inf

    @property
    def noise(self) -> float:
        """How far one loss scatters about its value by the choice of the batch alone."""
        return math.sqrt(2 / (self.batch or 1))

    @property
    def halfway(self) -> bool:
        """Whether the run has come far enough to be judged by what it reached."""
        return self.share_done >= 0.5 or self.status in ("completed", "early_stopped")


def read_record(record: Any, recipe: Recipe | None) -> Record:
    """Bring a record into one form. Raises CheckpointError if it is none."""
    if isinstance(record, (str, os.PathLike)):
        record = _load(Path(record))
    if isinstance(record, Mapping) and "rows" in record:
        record = History.from_dict(dict(record))
    if isinstance(record, History):
        return _from_history(record, recipe)
    if isinstance(getattr(record, "history", None), History):
        return _from_history(
            record.history,
            recipe or getattr(record, "recipe", None),
            status=getattr(record, "status", None),
            targets=getattr(record, "targets", None),
            predictions=getattr(record, "predictions", None),
        )
    state = getattr(record, "state", record)  # a Trainer holds its log there
    if hasattr(state, "log_history"):
        state = vars(state)
    if isinstance(state, list):
        state = {"log_history": state}
    if isinstance(state, Mapping) and isinstance(state.get("log_history"), list):
        return _from_trainer(state, recipe)
    raise CheckpointError(
        f"record: {type(record).__name__} is neither a Run, a History, nor the state of a transformers Trainer "
        "(trainer_state.json, with log_history in it); hand one of these to diagnose"
    )


def _load(path: Path) -> Any:
    """Read a JSON file, or the trainer_state.json in a folder."""
    path = path / "trainer_state.json" if path.is_dir() else path
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON ({error})") from None


def _from_history(
    history: History,
    recipe: Recipe | None,
    *,
    status: str | None = None,
    targets: np.ndarray | None = None,
    predictions: np.ndarray | None = None,
) -> Record:
    batch = None if recipe is None else recipe.batch_size * recipe.gradient_accumulation_steps
    looks = {key: _column(history.evals, key) for key in ("step", "loss", "score", "accuracy")}
    known = targets is not None and predictions is not None
    return Record(
        step=np.arange(len(history)),
        # The article's loss is the root of a batch's mean squared error; the looks' losses are squared.
        loss=history.loss**2 if recipe is not None and recipe.loss == "rmse" else history.loss,
        norm=history.grad_norm,
        lr=history.lr,
        places=history.layers,
        look_step=looks["step"],
        look_loss=looks["loss"],
        look_score=looks["score"],
        look_accuracy=looks["accuracy"],
        macro_f1=history.metric == "macro_f1",
        losses_per_epoch=history.steps_per_epoch,
        steps_per_loss=1.0,
        share_done=len(history) / max(1, history.total_steps),
        status=status,
        recipe=recipe,
        described=f"{len(history)} of {history.total_steps} steps and {len(history.evals)} looks",
        targets=np.asarray(targets) if known else None,
        predictions=np.asarray(predictions) if known else None,
        classes=history.metric == "macro_f1",
        batch=batch,
        examples=None if batch is None else batch * history.steps_per_epoch,
    )


def _from_trainer(state: Mapping[str, Any], recipe: Recipe | None) -> Record:
    """Read what `transformers.Trainer` logged: a loss is the mean since the last one, a norm the newest step's."""
    entries = [entry for entry in state["log_history"] if isinstance(entry, Mapping) and _is_number(entry.get("step"))]
    losses = list({entry["step"]: entry for entry in entries if "loss" in entry}.values())  # the last one of a step
    looks = list({entry["step"]: entry for entry in entries if "eval_loss" in entry}.values())
    step = _column(losses, "step")
    between = float(np.median(np.diff(step, prepend=0.0))) if len(step) else 1.0
    last = max(entries, key=lambda entry: entry["step"], default={"step": 0})
    epochs, planned = last.get("epoch"), state.get("max_steps")
    per_epoch = last["step"] / epochs if _is_number(epochs) and epochs > 0 else max(1.0, last["step"])
    total = planned if _is_number(planned) and planned > 0 else last["step"]
    rows = state.get("train_batch_size") if recipe is None else recipe.batch_size * recipe.gradient_accumulation_steps
    rows = rows if _is_number(rows) and rows >= 1 else None
    f1 = next((key for key in ("eval_macro_f1", "eval_f1_macro") if looks and key in looks[0]), "eval_f1")
    return Record(
        step=step,
        loss=_column(losses, "loss"),
        norm=_column(losses, "grad_norm", missing=0.0),
        lr=_column(losses, "learning_rate")[:, None],
        places=["all layers"],
        look_step=_column(looks, "step"),
        look_loss=_column(looks, "eval_loss"),
        look_score=_column(looks, f1),
        look_accuracy=_column(looks, "eval_accuracy"),
        macro_f1=f1 != "eval_f1",
        losses_per_epoch=per_epoch / max(1.0, between),
        steps_per_loss=max(1.0, between),
        share_done=last["step"] / max(1, total),
        status=None,
        recipe=recipe,
        described=f"{len(losses)} losses up to step {last['step']} of {total}, and {len(looks)} looks",
        classes=any(key in entry for entry in looks for key in ("eval_accuracy", "eval_f1", f1)),
        batch=rows and int(rows * max(1.0, between)),
        examples=rows and round(rows * per_epoch),
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def _column(entries: Sequence[Mapping[str, Any]], key: str, missing: float = math.nan) -> np.ndarray:
    """Collect a number of every entry as float64. Raises CheckpointError for what is no number."""
    values = [entry.get(key, missing) for entry in entries]
    try:
        return np.array([missing if value is None else float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise CheckpointError(f"{key}: the log holds something that is not a number; the file is damaged") from None
