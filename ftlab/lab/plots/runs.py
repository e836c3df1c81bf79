"""Schedules and runs: every layer's learning rate, the loss and the scores by step, and what they show in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    Axis,
    Chart,
    Line,
    Mark,
    Sheet,
    layer_groups,
    rate_lines,
    smooth,
    smoothing_window,
    thin,
)
from ftlab.lab.layout import ROW
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.history import History
    from ftlab.lab.figure import Picture
    from ftlab.run import Run
    from ftlab.schedules import LRSchedule

METRIC_NAMES = {"rmse": "RMSE", "macro_f1": "macro F1"}


def step_axis(source: LRSchedule | History, label: str = "") -> Axis:
    """Make the axis of optimizer steps, with a tick at the end of each epoch while these are few."""
    epoch, total = source.steps_per_epoch, max(1, source.total_steps)
    ticks = {step: f"{step:,}" for step in range(0, total + 1, epoch)} if 2 <= total / epoch <= 8 else {}
    return Axis(label or f"optimizer step ({epoch:,} an epoch)", 0, total, whole=True, ticks=ticks)


def schedule_marks(schedule: LRSchedule) -> list[Mark]:
    """Return a schedule's vertical lines: end of warm-up, start of averaging, and (faint) the epochs."""
    marks = []
    if schedule.warmup_steps:
        marks.append(Mark(schedule.warmup_steps, "warm-up ends"))
    if schedule.swa_step is not None:
        marks.append(Mark(schedule.swa_step, "averaging starts"))
    return marks + epoch_marks(schedule)


def epoch_marks(source: LRSchedule | History) -> list[Mark]:
    """Return faint lines at the ends of epochs, unless these are too many to tell apart."""
    epochs = range(source.steps_per_epoch, source.total_steps, source.steps_per_epoch)
    return [Mark(step) for step in epochs] if len(epochs) <= 30 else []


def rates_chart(
    schedule: LRSchedule,
    lines: Sequence[Line] | None = None,
    *,
    title: str = "Learning rate",
    note: str = "of every layer",
    log: bool = False,
    height: float = 180,
) -> Chart:
    """Describe every layer's learning rate by step, or other `lines` in the same frame."""
    lines = rate_lines(schedule.layers, schedule.steps, schedule.lr) if lines is None else lines
    named = sum(bool(line.label) for line in lines)  # the labels of a model of twelve layers need 14 rows
    highest = max((float(np.nanmax(line.y)) for line in lines if len(line.y)), default=0.0)
    return Chart(
        title,
        lines,
        note=note,
        marks=schedule_marks(schedule),
        x=step_axis(schedule),
        y=Axis(log=True) if log else Axis(low=0, high=1.06 * highest or 1.0),
        labels="peak",
        height=max(height, ROW * min(named, 14)),
        empty="every learning rate is 0",
        sentence=describe_schedule(schedule),
    )


def loss_chart(history: History, *, title: str = "Loss", height: float = 140) -> Chart:
    """Describe the loss by step: each step, smoothed, and that on the validation set.

    The axis is logarithmic when the loss has exploded, so that what came before stays visible. An evaluation stands at
    the number of updates done, where the loss is that of the same weights.
    """
    loss = history.loss
    steps = np.arange(len(loss))
    mean = smooth(loss, smoothing_window(history.total_steps))
    lines = [
        Line("each step", *thin(steps, loss), GREY, width=1.0, opacity=0.6),
        Line("smoothed", *thin(steps, mean), BLUE, width=2.2),
    ]
    if history.evals:
        at = np.array([e["step"] for e in history.evals])
        measured = np.array([e["loss"] for e in history.evals], dtype=np.float64)
        marker = "circle" if len(at) <= 40 else ""
        lines.append(Line("validation", *thin(at, measured), ORANGE, "5 3", 1.2, marker=marker))
    known = loss[np.isfinite(loss)]
    log = bool(len(known) and known.min() > 0 and known.max() > 1e3 * np.median(known))
    return Chart(title, lines, marks=epoch_marks(history), x=step_axis(history), y=Axis(log=log), height=height,
                 empty="no step yet", sentence=describe(history))  # fmt: skip


def score_chart(history: History, *, height: float = 100) -> Chart:
    """Describe the validation scores by step: the model, the averaged weights if any, the best with its value."""
    at = np.array([e["step"] for e in history.evals], dtype=np.int64)
    marker = "circle" if len(at) <= 40 else ""
    scores = np.array([e["score"] for e in history.evals], dtype=np.float64)
    averaged = np.array([e.get("swa_score", np.nan) for e in history.evals], dtype=np.float64)
    lines = [Line("model", *thin(at, scores), INK, width=1.2, marker=marker)] if history.evals else []
    if np.isfinite(averaged).any():
        lines.append(Line("averaged", *thin(at, averaged), BLUE, "5 3", 1.8, marker=marker))
    if (best := history.best) is not None:
        where = np.array([best["step"]]), np.array([best["score"]])
        lines.append(Line("best", *where, ORANGE, width=0, marker="dot", note=f"{best['score']:.3f}"))
    return Chart(f"Validation {METRIC_NAMES[history.metric]}", lines, marks=epoch_marks(history), x=step_axis(history),
                 height=height, empty="no evaluation yet", sentence=describe(history))  # fmt: skip


def applied_lines(history: History, schedule: LRSchedule | None = None) -> list[Line]:
    """Return the lines of the learning rates as applied and, faintly, as planned while that is ahead."""
    planned, groups = [], None
    if schedule is not None:
        groups = layer_groups(schedule.layers, schedule.lr)
        if len(history) < schedule.total_steps:
            lines = rate_lines(schedule.layers, schedule.steps, schedule.lr, groups=groups)
            planned = [replace(line, label="", opacity=0.35, width=1.2) for line in lines]
    applied = rate_lines(history.layers, np.arange(len(history)), history.lr, groups=groups) if len(history) else []
    return planned + applied


def run_sheet(history: History, schedule: LRSchedule | None = None, sentence: str = "", live: bool = False) -> Sheet:
    """Describe a run as far as it has come: learning rates, loss and validation score over the same steps.

    live: with a playhead at the step that training has reached.
    """
    head = Mark(len(history), f"step {len(history):,} of {history.total_steps:,}") if live else None
    frame = {"title": "Learning rate", "note": "of every layer"}
    lines = applied_lines(history, schedule)
    if schedule is not None:
        rates = rates_chart(schedule, lines, height=150)
    else:
        rates = Chart(**frame, lines=lines, x=step_axis(history), y=Axis(low=0), labels="peak", height=150)
    charts = [replace(rates, playhead=head, empty="no step yet"), loss_chart(history), score_chart(history)]
    if head is not None:
        charts[1:] = [replace(chart, playhead=Mark(head.x)) for chart in charts[1:]]
    name = "training loss, validation score and learning rates by step"
    return Sheet(charts, name, sentence or describe(history), share="x")


def plot_schedule(schedule: LRSchedule) -> Picture:
    """Draw every layer's rate by step, with the end of the warm-up, the epochs, the start of averaging."""
    return draw(Sheet([rates_chart(schedule)], "learning rate of every layer by step", describe(schedule)))


def plot_schedules_beside(schedules: Mapping[str, LRSchedule]) -> Picture:
    """Draw several schedules beside each other on one scale: {title: schedule}."""
    sentence = " ".join(f"{title}: {describe_schedule(schedule)}" for title, schedule in schedules.items())
    charts = [rates_chart(schedule, title=title, note="") for title, schedule in schedules.items()]
    # The layers are the same, so they are named once, beside the last.
    charts[:-1] = [replace(c, lines=[replace(line, label="") for line in c.lines]) for c in charts[:-1]]
    name = "learning rates of every layer, side by side"
    return draw(Sheet(charts, name, sentence, columns=len(charts), least=180, share="y"))


def plot_run(run: Run) -> Picture:
    """Draw a run: every learning rate, loss (raw, smoothed, validation), validation score with the best marked."""
    return draw(run_sheet(run.history, run.schedule, describe(run)))


def plot_history(history: History, schedule: LRSchedule | None = None) -> Picture:
    """Draw what a history holds, also while it grows: rates as applied, loss, validation score."""
    return draw(run_sheet(history, schedule))


def describe(source: Run | History | LRSchedule | Picture) -> str:
    """Say in one sentence what a picture shows: start, best and last values."""
    if hasattr(source, "sentence"):  # a picture carries it
        return source.sentence
    if hasattr(source, "warmup_steps"):
        return describe_schedule(source)
    history = getattr(source, "history", source)
    text = f"{len(history)} of {history.total_steps} steps"
    if hasattr(source, "status"):
        text = f"{source.status}: {text} in {source.seconds:.1f} s"
    loss = smooth(history.loss, smoothing_window(history.total_steps))
    if len(loss):
        first, last = number(history.loss[0]), number(loss[-1])
        text += f"; training loss {first} at the start, {last} at the end (smoothed)"
    if history.evals:
        text += f"; validation {METRIC_NAMES[history.metric]} {history.evals[0]['score']:.3f} at first, "
        if history.best is not None:
            text += f"best {history.best['score']:.3f} after step {history.best['step']}, "
        text += f"{history.evals[-1]['score']:.3f} at the last of {len(history.evals)}"
    return text + "."


def describe_schedule(schedule: LRSchedule) -> str:
    """Say in one sentence the highest and the last rates of a schedule, and where its phases begin."""
    peaks = schedule.lr.max(axis=0)
    parts = [
        f"{name} {number(peaks[i])} at step {schedule.steps[schedule.lr[:, i].argmax()]}"
        for name, i in layer_groups(schedule.layers, schedule.lr)
    ]
    if len(parts) > 3:
        parts = [parts[0], parts[-2], parts[-1]]
    text = f"Learning rate over {schedule.total_steps} steps; highest: {', '.join(parts)}; at the last step "
    low, high = schedule.lr[-1].min(), schedule.lr[-1].max()
    text += number(low) if low == high else f"{number(low)} to {number(high)}"
    if schedule.warmup_steps:
        text += f"; warm-up ends at step {schedule.warmup_steps}"
    if schedule.swa_step is not None:
        text += f"; averaging starts at step {schedule.swa_step}"
    return text + "."
