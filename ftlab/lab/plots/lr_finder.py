"""The pictures of the range test and of a grid of learning rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
)
from ftlab.lab.plots.runs import METRIC_NAMES
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture
    from ftlab.run import Run
    from ftlab.tuning.lr_finder import LRFinder


def range_sheet(finder: LRFinder, chosen: str = "") -> Sheet:
    """Describe the loss of a range test by learning rate, each batch and smoothed, with the suggestions.

    chosen: the rule whose suggestion stands out by a pointer before its name.
    """
    rates, smoothed = finder.rates, finder.smoothed
    ends = rates[[0, -1]] if len(rates) else np.empty(0)
    lines = [
        Line("each batch", rates, finder.losses, GREY, width=1.0, opacity=0.6),
        Line("smoothed", rates, smoothed, BLUE, width=2.4),
        Line("before training", ends, np.full(len(ends), finder.start_loss), INK, "5 3", 1.2),
    ]
    marks = []
    if not finder.refusal:
        suggestions = finder.suggestions
        pointer = {rule: "▶ " if rule == chosen else "" for rule in suggestions}
        marks = [Mark(rate, f"{pointer[rule]}{rule} {number(rate)}") for rule, rate in suggestions.items()]
        at = np.array(sorted(suggestions.values()))
        height = np.interp(np.log(at), np.log(rates), smoothed)
        lines.append(Line("", at, height, ORANGE, width=0.0, marker="dot"))
    # High enough for the whole fall, not for the explosion behind it.
    seen = smoothed[np.isfinite(smoothed)][: max(1, int(np.argmin(smoothed)) + 1 if len(smoothed) else 1)]
    top = 1.6 * max(finder.start_loss, *seen.tolist(), 0.0)
    x = Axis("learning rate of the top layer", *(ends * (1 / 1.2, 1.2) if len(ends) else ()), log=True)
    note = f"of a range test, {finder.status} after {len(finder.history)} of {finder.history.total_steps} updates"
    chart = Chart("Loss", lines, marks=marks, note=note, x=x, y=Axis(low=0, high=top), labels="above", height=240,
                  empty="no update yet")  # fmt: skip
    return Sheet([chart], "loss by learning rate in a range test", describe_lr_finder(finder))


def describe_lr_finder(finder: LRFinder) -> str:
    """Say in one sentence how far a range test came and what it suggests."""
    text = f"Range test, {finder.status} after {len(finder.history)} of {finder.history.total_steps} updates"
    if len(finder.history):
        text += f" at rates from {finder.rates[0]:.1e} to {finder.rates[-1]:.1e}"
    text += f"; loss {number(finder.start_loss)} before training"
    if finder.refusal:
        return f"{text}; no suggestion."
    lowest = finder.usable.start + int(finder.smoothed[finder.usable].argmin())
    text += f", lowest smoothed {number(finder.smoothed[lowest])} at {finder.rates[lowest]:.1e}; suggestions: "
    return text + ", ".join(f"{rule} {rate:.1e}" for rule, rate in finder.suggestions.items()) + "."


def plot_lr_finder(finder: LRFinder) -> Picture:
    """Draw the loss of a range test against the learning rate, each batch and smoothed, with the suggestions."""
    return draw(range_sheet(finder))


def plot_rate_grid(runs: Mapping[str, Sequence[Run]], marks: Mapping[str, float] | None = None) -> Picture:
    """Draw the best validation score by learning rate: {label: runs that differ in their rate}, up to three curves.

    The best of each curve is named with its score. marks: {label: rate} to stand as vertical lines, such as a range
    test's suggestions. A run that diverged before its first evaluation has no point.
    """
    every = [run for group in runs.values() for run in group]
    history = every[0].history
    metric, worst = METRIC_NAMES[history.metric], -np.inf if history.higher_is_better else np.inf
    styles = [(ORANGE, "", "dot", 2.4), (BLUE, "7 2.5", "square", 1.8), (GREY, "2 2.5", "diamond", 1.8)]
    lines, parts = [], []
    for (label, group), (colour, dash, marker, width) in zip(runs.items(), styles, strict=False):
        found = sorted((run.recipe.lr, worst if run.best_score is None else run.best_score) for run in group)
        rates, scores = (np.array(column) for column in zip(*found, strict=True))
        best = int(np.argmax(scores) if history.higher_is_better else np.argmin(scores))
        values = ["" if i != best else f"{score:.3f}" for i, score in enumerate(scores)]
        lines.append(Line(label, rates, np.where(np.isfinite(scores), scores, np.nan), colour, dash, width,
                          marker=marker, values=values))  # fmt: skip
        text = "; ".join(f"{lr:.1e}: {score:.3f}" if np.isfinite(score) else f"{lr:.1e}: none" for lr, score in found)
        parts.append(f"{label}: {text}" if label else text)
    known = np.concatenate([line.y[np.isfinite(line.y)] for line in lines])
    ends = (known.min(), known.max()) if len(known) else (0.0, 1.0)
    room = 0.1 * (ends[1] - ends[0]) or 0.1
    marked = {} if marks is None else marks
    at = np.array([*(run.recipe.lr for run in every), *marked.values()])
    chart = Chart(f"Best validation {metric}", lines, note="by learning rate",
                  marks=[Mark(rate, label) for label, rate in marked.items()], empty="no score", height=230,
                  y=Axis(low=ends[0] - room, high=ends[1] + room),
                  x=Axis("learning rate", at.min() / 1.6, at.max() * 1.6, log=True))  # fmt: skip
    sentence = f"Best validation {metric} by rate. {'. '.join(parts)}."
    return draw(Sheet([chart], "runs with different rates", sentence))
