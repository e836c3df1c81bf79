"""A run's record in one form, whatever it was read from: a Run, a History, or the log of Hugging Face's Trainer."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ftlab.checks import is_int, number
from ftlab.errors import CheckpointError
from ftlab.history import History
from ftlab.recipe import Recipe

NO_EVALUATION = "no validation loss: whether other texts profit (overfitting, label noise) is open"
OTHER_SCALE = 3.0  # times the validation loss beside it; dropout and chance explain less


@dataclass(frozen=True)
class Record:
    """A record in one form, whatever it was read from; S logged losses, E evaluations of one validation set.

    step (S,), loss (S,), norm (S,), lr (S, L) of the layers named: as logged, NaN where nothing was. broken (S,): a
    loss or a norm was logged that is no finite number. eval_* (E,): NaN where not measured; dataset names the set where
    there are several. steps_per_loss: updates that one loss is the mean of; counted: it is not known, the losses are
    only counted. batch: examples behind one loss, or None. examples: about how many there are to train on, or None.
    chance: loss of the mean predictor: known_chance if given, from the targets if `measured`, else the level at which
    the training loss began.
    scored: the set that targets and predictions are of. notes: what the record lacks or how it was read, for the
    reader to know.
    """

    step: np.ndarray
    loss: np.ndarray
    norm: np.ndarray
    broken: np.ndarray
    lr: np.ndarray
    layers: Sequence[str]
    eval_step: np.ndarray
    eval_loss: np.ndarray
    eval_score: np.ndarray
    eval_accuracy: np.ndarray
    macro_f1: bool
    steps_per_epoch: float
    steps_per_loss: float
    share_done: float
    status: str | None
    recipe: Recipe | None
    described: str
    counted: bool = False
    dataset: str = ""
    known_chance: float | None = None
    targets: np.ndarray | None = None
    predictions: np.ndarray | None = None
    scored: str = "test"
    classes: bool = False
    batch: int | None = None
    examples: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def losses_per_epoch(self) -> float:
        """Logged losses an epoch."""
        return self.steps_per_epoch / self.steps_per_loss

    @property
    def measured(self) -> bool:
        """Whether the targets are known, and so the loss of a model that has learned nothing."""
        return self.targets is not None and len(self.targets) > 1

    @property
    def chance_known(self) -> bool:
        """Whether the loss of a model that has learned nothing was given or follows from the targets."""
        return self.known_chance is not None or self.measured

    @property
    def starts_at_chance(self) -> bool:
        """Whether the chance level is known: from the targets, or from losses that were logged before much was learned.

        The mean over the first tenth of a run, or over more, is no longer the loss of a model that knows nothing.
        """
        every_step = self.steps_per_loss == 1 and not self.counted and len(self.loss) > 0
        return self.chance_known or every_step or len(self.loss) >= 10

    @property
    def chance(self) -> float:
        """Loss of a model that has learned nothing."""
        if self.known_chance is not None:
            return self.known_chance
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
        # A run that blows up at once began where its very first loss was, which no update had touched yet. But that may
        # be of a few texts that happened to be easy, and no model that learned anything validates worse than chance.
        level = float(first.mean())
        began = max(float(first[0]), float(np.median(self.validation)) if len(self.validation) else 0.0)
        return (began if level > 3 * began > 0 else level) or 1.0

    @property
    def yardstick(self) -> str:
        """What to call chance in a sentence."""
        what = "the classes' shares give" if self.classes else "the mean predictor's"
        what = what if self.chance_known else "at first"
        return f"{number(self.chance)} {what}"

    @property
    def last(self) -> slice:
        """The losses at the end: an epoch of them if the run is long enough, so that each example counts once."""
        count = len(self.loss)
        return slice(count - max(1, count // 6, min(round(self.losses_per_epoch), count // 3)), count)

    @property
    def final(self) -> float:
        """Training loss at the end, as a share of chance; NaN without a loss."""
        return float(self.loss[self.last].mean()) / self.chance if len(self.loss) else math.nan

    @property
    def validation(self) -> np.ndarray:
        """Validation losses that are numbers."""
        return self.eval_loss[np.isfinite(self.eval_loss)]

    @property
    def best_validation(self) -> float:
        """Best validation loss as a share of chance; infinite without an evaluation."""
        return float(self.validation.min()) / self.chance if len(self.validation) else math.inf

    @property
    def noise(self) -> float:
        """How far one loss scatters about its value by the choice of the batch alone."""
        return math.sqrt(2 / (self.batch or 1))

    @property
    def halfway(self) -> bool:
        """Whether the run has come far enough to be judged by what it reached."""
        return self.share_done >= 0.5 or self.status in ("completed", "early_stopped")

    def without(self, entries: np.ndarray) -> Record:
        """Return the record without some of its losses; entries: (S,) of bool."""
        kept = {name: getattr(self, name)[~entries] for name in ("step", "loss", "norm", "broken", "lr")}
        return replace(self, **kept)


def read_record(record: Any, recipe: Recipe | None) -> list[Record]:
    """Bring a record into one form: one for each validation set that was evaluated, at least one.

    Raises CheckpointError for anything else.
    """
    if isinstance(record, (str, os.PathLike)):
        record = _load(Path(record))
    if isinstance(record, Mapping) and "rows" in record:
        record = History.from_dict(dict(record))
    if isinstance(record, History):
        return [_from_history(record, recipe)]
    if isinstance(getattr(record, "history", None), History):
        run = _from_history(
            record.history,
            recipe or getattr(record, "recipe", None),
            status=getattr(record, "status", None),
            targets=getattr(record, "targets", None),
            predictions=getattr(record, "predictions", None),
            scored=getattr(record, "scored", "test"),
        )
        return [run]
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
    scored: str = "test",
) -> Record:
    batch = None if recipe is None else recipe.batch_size * recipe.gradient_accumulation_steps
    known = targets is not None and predictions is not None
    return Record(
        step=np.arange(len(history)),
        # The article's loss is the root of a batch's mean squared error; the evaluations' losses are squared.
        loss=history.loss**2 if recipe is not None and recipe.loss == "rmse" else history.loss,
        norm=history.grad_norm,
        broken=~np.isfinite(history.loss) | ~np.isfinite(history.grad_norm),
        lr=history.lr,
        layers=history.layers,
        eval_step=_column(history.evals, "step"),
        eval_loss=_column(history.evals, "loss"),
        eval_score=_column(history.evals, "score"),
        eval_accuracy=_column(history.evals, "accuracy"),
        macro_f1=history.metric == "macro_f1",
        steps_per_epoch=history.steps_per_epoch,
        steps_per_loss=1.0,
        share_done=len(history) / max(1, history.total_steps),
        status=status,
        recipe=recipe,
        described=f"{len(history)} of {history.total_steps} steps{_with([_count(len(history.evals), 'evaluation')])}",
        targets=np.asarray(targets) if known else None,
        predictions=np.asarray(predictions) if known else None,
        scored=scored,
        classes=history.metric == "macro_f1",
        batch=batch,
        examples=None if batch is None else batch * history.steps_per_epoch,
        notes=() if history.evals else (NO_EVALUATION,),
    )


# ------------------------------------------------------------------------------------------------ logs of Trainer


def _from_trainer(state: Mapping[str, Any], recipe: Recipe | None) -> list[Record]:
    """Read what `transformers.Trainer` logged: a loss is the mean since the last one, a norm the newest step's."""
    entries, counted, notes = _with_steps(state)
    losses = _of_each_step(entries, "loss")
    step, loss = _column(losses, "step"), _column(losses, "loss")
    between = max(1.0, float(np.median(np.diff(step, prepend=0.0)))) if len(step) else 1.0
    last = max(entries, key=lambda entry: entry["step"], default={"step": 0})
    epochs, planned = _real(last.get("epoch")), _real(state.get("max_steps"))
    total = planned if planned > 0 else last["step"]
    per_epoch = max(1.0, last["step"])
    if epochs > 0:
        per_epoch = last["step"] / epochs
    elif _real(state.get("num_train_epochs")) > 0:
        per_epoch = total / _real(state["num_train_epochs"])

    rows = _real(state.get("train_batch_size")) if recipe is None else recipe.batch_size
    rows *= 1 if recipe is None else recipe.gradient_accumulation_steps
    examples = round(rows * per_epoch) if rows >= 1 else None
    if examples and recipe is None and (seen := _examples_of_summary(entries)):
        # With gradients accumulated, or on several devices, an update has more rows than the state says.
        rows, examples = max(rows, seen / per_epoch), seen

    norm = _column(losses, "grad_norm")
    logged = np.array([entry.get("grad_norm") is not None for entry in losses], dtype=bool)
    if not logged.any() and len(losses):
        notes.append("no gradient norm: exploding gradients are open")
    sets = _validation_sets(entries)
    if not sets:
        notes.append(NO_EVALUATION)
    if unread := _unread(state["log_history"], sets):
        notes.append(f"not read: {', '.join(unread)}")
    evaluations = [_count(len(found), "evaluation") + (f" of {name}" if name else "") for name, found in sets.items()]
    common = dict(
        step=step,
        loss=loss,
        norm=norm,
        broken=~np.isfinite(loss) | (logged & ~np.isfinite(norm)),
        lr=_column(losses, "learning_rate")[:, None],
        layers=["all layers"],
        steps_per_epoch=per_epoch,
        steps_per_loss=between,
        share_done=last["step"] / max(1, total),
        status=None,
        recipe=recipe,
        counted=counted,
        described=f"{_count(len(losses), 'loss')} up to step {last['step']:g} of {total:g}{_with(evaluations)}",
        batch=int(rows * between) if rows >= 1 else None,
        examples=examples,
    )
    records = [_with_set(common, name, found, notes) for name, found in sets.items()]
    return records or [_with_set(common, "", [], notes)]


def _with_set(common: dict[str, Any], name: str, found: list[Mapping[str, Any]], notes: list[str]) -> Record:
    """Add the evaluations of one validation set, with the training losses on its scale."""
    prefix = f"eval_{name}_" if name else "eval_"
    f1 = next((key for key in ("macro_f1", "f1_macro") if found and f"{prefix}{key}" in found[0]), "f1")
    record = Record(
        **common,
        dataset=name,
        eval_step=_column(found, "step"),
        eval_loss=_column(found, f"{prefix}loss"),
        eval_score=_column(found, f"{prefix}{f1}"),
        eval_accuracy=_column(found, f"{prefix}accuracy"),
        macro_f1=f1 != "f1",
        classes=any(f"{prefix}{key}" in entry for entry in found for key in ("accuracy", "f1", f1)),
        notes=tuple(notes),
    )
    if (scale := _scale(record)) == 1:
        return record
    more, less = ("training", "validation") if scale > 1 else ("validation", "training")
    text = (
        f"the {more} losses{f' of {name}' if name and scale < 1 else ''} are about {max(scale, 1 / scale):.2g} times "
        f"as large as the {less} losses beside them, as if summed or divided over accumulated batches; the training "
        "losses are brought to the others' scale here"
    )
    return replace(record, loss=record.loss / scale, notes=(*record.notes, text))


def _with_steps(state: Mapping[str, Any]) -> tuple[list[dict[str, Any]], bool, list[str]]:
    """Give every entry of a log a step: its own, else that of its epoch, else how many losses there are up to it.

    Returns the entries, whether the losses had to be counted, and what to say about it.
    """
    log = [entry for entry in state["log_history"] if isinstance(entry, Mapping)]
    entries = [{**entry, "step": _real(entry.get("step"))} for entry in log]
    without = [entry for entry in entries if _losses_in(entry) and not math.isfinite(entry["step"])]
    if not without:
        return [entry for entry in entries if math.isfinite(entry["step"])], False, []
    said = f"{_count(len(without), 'entry', 'entries')} without a step"
    planned, epochs = _real(state.get("max_steps")), _real(state.get("num_train_epochs"))
    per_epoch = [entry["step"] / _real(entry.get("epoch")) for entry in entries if _real(entry.get("epoch")) > 0]
    per_epoch = [rate for rate in per_epoch if rate > 0] or [planned / epochs] * (planned > 0 and epochs > 0)
    if per_epoch and all(math.isfinite(_real(entry.get("epoch"))) for entry in without):
        for entry in without:
            entry["step"] = float(round(_real(entry["epoch"]) * float(np.median(per_epoch))))
        return [entry for entry in entries if math.isfinite(entry["step"])], False, [f"{said}: placed by their epoch"]
    losses = sum("loss" in _losses_in(entry) for entry in entries)
    each = planned / losses if planned > 0 and losses else 1.0  # as if the log were that of a finished run
    if all(math.isfinite(_real(entry.get("epoch"))) for entry in without):
        entries = [entry for entry in entries if math.isfinite(_real(entry.get("epoch")))]
        entries.sort(key=lambda entry: (_real(entry["epoch"]), "loss" not in entry))
    done = 0
    for entry in entries:
        done += "loss" in _losses_in(entry)
        entry["step"] = done * each
    for found in _validation_sets(entries, of_each_step=False).values():
        if len({entry["step"] for entry in found}) < len(found):  # all of them after the losses: evenly, then
            for i, entry in enumerate(found, start=1):
                entry["step"] = max(done, len(found)) * each * i / len(found)
    return entries, True, [f"{said}: the losses are counted, so that steps and examples are uncertain"]


def _losses_in(entry: Mapping[str, Any]) -> list[str]:
    """Name the keys of an entry that hold a loss which is read: "loss", "eval_loss", "eval_<name>_loss"."""
    return [key for key in entry if re.fullmatch(r"loss|eval_(.+_)?loss", str(key)) and entry[key] is not None]


def _validation_sets(entries: Sequence[Any], *, of_each_step: bool = True) -> dict[str, list[dict[str, Any]]]:
    """Sort the evaluations by validation set, "" for the only one: Trainer logs a dictionary's as eval_<name>_loss.

    A loss beside another of its own set, such as eval_mlm_loss beside eval_loss, is a part of it and no set.
    """
    sets: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        names = [key.removeprefix("eval_").removesuffix("loss") for key in _losses_in(entry) if key != "loss"]
        for name in names:
            if not any(name != other and name.startswith(other) for other in names):
                sets.setdefault(name.removesuffix("_"), []).append(entry)
    if not of_each_step:
        return sets
    return {name: _of_each_step(found, f"eval_{name}_loss" if name else "eval_loss") for name, found in sets.items()}


def _unread(log: Sequence[Any], sets: Mapping[str, Any]) -> list[str]:
    """Name what looks like a loss or like an evaluation without one, and is not among what is read."""
    read = {"loss", "train_loss", *(f"eval_{name}_loss" if name else "eval_loss" for name in sets)}
    unread: dict[str, None] = {}
    for entry in (entry for entry in log if isinstance(entry, Mapping)):
        measured = [] if _losses_in(entry) else [key for key in entry if re.match(r"(eval|val|test)\w*[_/]", str(key))]
        measured = [key for key in measured if not re.search(r"runtime|per_second|time$", str(key))]
        unread |= dict.fromkeys(str(key) for key in [*entry, *measured] if key in measured or "loss" in str(key))
    names = [key for key in unread if key not in read]
    return names[:6] + [f"and {len(names) - 6} more"] * (len(names) > 6)


def _of_each_step(entries: Sequence[Mapping[str, Any]], key: str) -> list[Mapping[str, Any]]:
    """Return the entries that hold a key, in order of their steps; of a step logged again, after resuming, the last."""
    held = {entry["step"]: entry for entry in entries if entry.get(key) is not None}
    return [held[step] for step in sorted(held)]


def _examples_of_summary(entries: Sequence[Mapping[str, Any]]) -> int | None:
    """Return how many training examples there are by the summary that Trainer logs at the end."""
    for entry in reversed(entries):
        seen = _real(entry.get("train_samples_per_second")) * _real(entry.get("train_runtime"))
        if seen > 0 and _real(entry.get("epoch")) > 0:
            return max(1, round(seen / _real(entry["epoch"])))
    return None


def _scale(record: Record) -> float:
    """Return how many times as large the training losses are as the validation losses, 1 where they are alike.

    Compared at the first evaluation, where the two differ least. More than three times as large on both sides of it is
    another scale. A third or less is one only if the training loss began there, so that nothing had been learned by
    heart, and if the validation loss improves, so that it is not the validation set that is fed wrongly.
    """
    validation = np.isfinite(record.eval_loss) & (record.eval_loss > 0)
    finite = np.isfinite(record.loss) & (record.loss > 0)
    if not validation.any() or finite.sum() < 3:
        return 1.0
    at, first = record.eval_step[validation][0], float(record.eval_loss[validation][0])
    step, loss = record.step[finite], record.loss[finite]
    i = int(np.searchsorted(step, at, side="right"))
    beside = loss[max(0, i - 1) : i + 1]
    if beside.min() > OTHER_SCALE * first:
        return float(f"{beside.mean() / first:.2g}")
    improves = record.eval_loss[validation].min() < 0.95 * first
    if improves and max(beside.max(), loss[: max(1, len(loss) // 10)].max()) < first / OTHER_SCALE:
        return float(f"{beside.mean() / first:.2g}")
    return 1.0


# ------------------------------------------------------------------------------------------------------- numbers


def _count(n: int, singular: str, plural: str = "") -> str:
    """Write a number of things: 1 loss, 2 losses, no evaluation."""
    plural = plural or (f"{singular}es" if singular.endswith("s") else f"{singular}s")
    return f"no {singular}" if n == 0 else f"{n} {singular if n == 1 else plural}"


def _with(evaluations: Sequence[str]) -> str:
    """Go on with the evaluations of one or several sets after what was said of the losses."""
    made = [text for text in evaluations if not text.startswith("no ")]
    return f" and {' and '.join(made)}" if made else ", without an evaluation"


def _real(value: Any) -> float:
    """Return a number, also one that was logged as text; NaN for anything else."""
    if isinstance(value, bool) or not (is_int(value) or isinstance(value, (float, np.floating, str))):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def _column(entries: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    """Collect a number of every entry as float64, NaN where there is none. Raises CheckpointError for another value."""
    values = [entry.get(key) for entry in entries]
    try:
        return np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise CheckpointError(f"{key}: the log holds something that is not a number; the file is damaged") from None
