"""Schedules and runs: every layer's rate, the loss and the scores by step, and what they show in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import METRIC_NAMES, Picture, draw_lines, draw_marks

if TYPE_CHECKING:
    from ftlab.history import History
    from ftlab.run import Run
    from ftlab.schedules import LRSchedule


def plot_schedule(schedule: LRSchedule) -> Picture:
    """Draw every layer's rate by step, with the end of the warm-up, the epochs, the start of averaging."""
    figure = Picture(name="learning rate of every layer by step", sentence=describe(schedule))
    axes = figure.subplots()
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    draw_lines(axes, lines, "learning rate of every layer", step_label(schedule), "rate", x_end=schedule.total_steps)
    draw_marks(axes, schedule_marks(schedule))
    axes.set_ylim(bottom=0)
    return figure


def plot_schedules_beside(schedules: Mapping[str, LRSchedule]) -> Picture:
    """Draw several schedules beside each other on one scale: {title: schedule}."""
    sentence = " ".join(f"{title}: {describe_schedule(schedule)}" for title, schedule in schedules.items())
    figure = Picture(8.4, 3.4, name="learning rates of every layer, side by side", sentence=sentence)
    panes = figure.subplots(1, len(schedules), sharey=True, squeeze=False)[0]
    for axes, (title, schedule) in zip(panes, schedules.items(), strict=True):
        lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
        if axes is not panes[-1]:  # one legend, at the right of the last
            lines = [replace(line, label="") for line in lines]
        label = "rate" if axes is panes[0] else ""
        draw_lines(axes, lines, title, step_label(schedule), label, x_end=schedule.total_steps)
        draw_marks(axes, schedule_marks(schedule))
    panes[0].set_ylim(bottom=0)
    return figure


def plot_run(run: Run) -> Picture:
    """Draw a run: loss (raw, smoothed, validation), validation score with the best marked, every rate."""
    return _plot_progress(run.history, run.schedule, describe(run))


def plot_history(history: History, schedule: LRSchedule | None = None) -> Picture:
    """Draw what a history holds, also while it grows: loss, validation score, rates as applied."""
    return _plot_progress(history, schedule, describe(history))


def _plot_progress(history: History, schedule: LRSchedule | None, sentence: str) -> Picture:
    figure = Picture(height=4.0, name="training loss, validation score and learning rates by step", sentence=sentence)
    panes = figure.subplot_mosaic([["loss", "rate"], ["score", "rate"]], width_ratios=[1, 1.1])
    end = max(history.total_steps, len(history))
    loss, log = loss_lines(history)
    draw_lines(panes["loss"], loss, "loss", "", "loss", x_end=end, log=log, empty="no step yet")
    metric = METRIC_NAMES[history.metric]
    scores = score_lines(history)
    draw_lines(panes["score"], scores, f"validation {metric}", "step", metric, x_end=end, empty="no evaluation yet")
    rates = rate_lines(history, schedule)
    draw_lines(
        panes["rate"],
        rates,
        "learning rate of every layer",
        step_label(history),
        "rate",
        x_end=end,
        empty="no step yet",
    )
    if rates:
        panes["rate"].set_ylim(bottom=0)
    if schedule is not None:
        draw_marks(panes["rate"], schedule_marks(schedule))
    return figure


def loss_lines(history: History) -> tuple[list[svg.Line], bool]:
    """Return the lines of the loss pane (each step, smoothed, validation) and whether its axis should be
    logarithmic.

    It should when the loss has exploded, so that what came before stays visible. An evaluation stands at the
    number of updates done, where the loss is that of the same weights.
    """
    loss = history.loss
    steps = np.arange(len(loss))
    mean = svg.smooth(loss, svg.smoothing_window(history.total_steps))
    lines = [
        svg.Line("each step", *svg.thin(steps, loss), svg.GREY, width=1.0, opacity=0.6),
        svg.Line("smoothed", *svg.thin(steps, mean), svg.BLUE, width=2.2),
    ]
    if history.evals:
        at = np.array([e["step"] for e in history.evals])
        measured = np.array([e["loss"] for e in history.evals], dtype=np.float64)
        lines.append(svg.Line("validation", *svg.thin(at, measured), svg.ORANGE, "5 3", 1.2, dots=len(at) <= 40))
    known = loss[np.isfinite(loss)]
    return lines, bool(len(known) and known.min() > 0 and known.max() > 1e3 * np.median(known))


def score_lines(history: History) -> list[svg.Line]:
    """Return the score pane's lines: the model, the averaged weights if any, the best as a dot."""
    if not history.evals:
        return []
    at = np.array([e["step"] for e in history.evals])
    dots = len(at) <= 40
    scores = np.array([e["score"] for e in history.evals], dtype=np.float64)
    averaged = np.array([e.get("swa_score", np.nan) for e in history.evals], dtype=np.float64)
    lines = [svg.Line("model", *svg.thin(at, scores), svg.INK, width=1.2, dots=dots)]
    if np.isfinite(averaged).any():
        lines.append(svg.Line("averaged", *svg.thin(at, averaged), svg.BLUE, "5 3", 1.8, dots=dots))
    if (best := history.best) is not None:
        where = np.array([best["step"]]), np.array([best["score"]])
        lines.append(svg.Line(f"best {best['score']:.3f}", *where, svg.ORANGE, dots=True))
    return lines


def rate_lines(history: History, schedule: LRSchedule | None = None) -> list[svg.Line]:
    """Return the rate pane's lines: rates as applied and, faintly, as planned while that is ahead."""
    planned, groups = [], None
    if schedule is not None:
        groups = svg.layer_groups(schedule.layers, schedule.lr)
        if len(history) < schedule.total_steps:
            lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr, groups=groups)
            planned = [replace(line, label="", opacity=0.35, width=1.0) for line in lines]
    applied = svg.rate_lines(history.layers, np.arange(len(history)), history.lr, groups=groups) if len(history) else []
    return planned + applied


def schedule_marks(schedule: LRSchedule) -> list[svg.Mark]:
    """Return a schedule's vertical lines: end of warm-up, start of averaging, and (faint) the epochs."""
    marks = []
    if schedule.warmup_steps:
        marks.append(svg.Mark(schedule.warmup_steps, "warm-up ends"))
    if schedule.swa_step is not None:
        marks.append(svg.Mark(schedule.swa_step, "averaging starts"))
    epochs = range(schedule.steps_per_epoch, schedule.total_steps, schedule.steps_per_epoch)
    if len(epochs) <= 30:
        marks += [svg.Mark(step) for step in epochs]
    return marks


def step_label(source: LRSchedule | History) -> str:
    """Label the axis of steps with how many make an epoch."""
    return f"step ({source.steps_per_epoch} an epoch)"


def describe(source: Run | History | LRSchedule | Picture) -> str:
    """Say in one sentence what a picture shows: start, best and last values."""
    if isinstance(source, Picture):
        return source.sentence
    if hasattr(source, "warmup_steps"):
        return describe_schedule(source)
    history = getattr(source, "history", source)
    text = f"{len(history)} of {history.total_steps} steps"
    if hasattr(source, "status"):
        text = f"{source.status}: {text} in {source.seconds:.1f} s"
    loss = svg.smooth(history.loss, svg.smoothing_window(history.total_steps))
    if len(loss):
        first, last = svg.number(history.loss[0]), svg.number(loss[-1])
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
        f"{name} {svg.number(peaks[i])} at step {schedule.steps[schedule.lr[:, i].argmax()]}"
        for name, i in svg.layer_groups(schedule.layers, schedule.lr)
    ]
    if len(parts) > 3:
        parts = [parts[0], parts[-2], parts[-1]]
    text = f"Learning rate over {schedule.total_steps} steps; highest: {', '.join(parts)}; at the last step "
    last = schedule.lr[-1]
    text += (
        f"{svg.number(last.min())}"
        if last.min() == last.max()
        else f"{svg.number(last.min())} to {svg.number(last.max())}"
    )
    if schedule.warmup_steps:
        text += f"; warm-up ends at step {schedule.warmup_steps}"
    if schedule.swa_step is not None:
        text += f"; averaging starts at step {schedule.swa_step}"
    return text + "."
