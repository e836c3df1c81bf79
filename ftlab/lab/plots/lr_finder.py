"""The pictures of the range test and of a grid of rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import METRIC_NAMES, Picture, draw_lines, draw_marks

if TYPE_CHECKING:
    from ftlab.run import Run
    from ftlab.tuning.lr_finder import LRFinder


def range_lines(finder: LRFinder) -> tuple[list[svg.Line], list[svg.Mark], float]:
    """Return a range test's lines over the rate, its suggestions as marks, and a height that shows the fall whole."""
    rates, smoothed = finder.rates, finder.smoothed
    ends = rates[[0, -1]] if len(rates) else np.empty(0)
    lines = [
        svg.Line("each batch", rates, finder.losses, svg.GREY, width=1.0, opacity=0.6),
        svg.Line("smoothed", rates, smoothed, svg.BLUE, width=2.4),
        svg.Line("before training", ends, np.full(len(ends), finder.start_loss), svg.INK, "5 3", 1.2),
    ]
    marks = []
    if not finder.refusal:
        suggestions = finder.suggestions
        marks = [svg.Mark(rate, f"{rule} {rate:.1e}") for rule, rate in suggestions.items()]
        at = np.array(sorted(suggestions.values()))
        height = np.interp(np.log(at), np.log(rates), smoothed)
        lines.append(svg.Line("suggestions", at, height, svg.ORANGE, width=0.0, dots=True))
    seen = smoothed[np.isfinite(smoothed)][: max(1, int(np.argmin(smoothed)) + 1 if len(smoothed) else 1)]
    return lines, marks, 1.6 * max(finder.start_loss, *seen.tolist(), 0.0)


def describe_lr_finder(finder: LRFinder) -> str:
    """Say in one sentence how far a range test came and what it suggests."""
    text = f"Range test, {finder.status} after {len(finder.history)} of {finder.history.total_steps} updates"
    if len(finder.history):
        text += f" at rates from {finder.rates[0]:.1e} to {finder.rates[-1]:.1e}"
    text += f"; loss {svg.number(finder.start_loss)} before training"
    if finder.refusal:
        return f"{text}; no suggestion."
    lowest = finder.usable.start + int(finder.smoothed[finder.usable].argmin())
    text += f", lowest smoothed {svg.number(finder.smoothed[lowest])} at {finder.rates[lowest]:.1e}; suggestions: "
    return text + ", ".join(f"{rule} {rate:.1e}" for rule, rate in finder.suggestions.items()) + "."


def plot_lr_finder(finder: LRFinder) -> Picture:
    """Draw the loss of a range test against the rate, each batch and smoothed, with the suggestions."""
    figure = Picture(name="loss by learning rate in a range test", sentence=describe_lr_finder(finder))
    axes = figure.subplots()
    lines, marks, top = range_lines(finder)
    title = f"range test: {finder.status} after {len(finder.history)} of {finder.history.total_steps} updates"
    draw_lines(axes, lines, title, "rate of the top layer", "loss", x_end=1, empty="no update yet")
    if len(finder.rates):
        _logarithmic(axes)
        axes.set_xlim(finder.rates[0] / 1.2, finder.rates[-1] * 1.2)
    axes.set_ylim(0, top)
    _draw_suggestions(axes, marks)
    return figure


def plot_rate_grid(runs: Sequence[Run], marks: Mapping[str, float] | None = None) -> Picture:
    """Draw runs that differ in their rate: training loss by step, and best validation score by rate.

    marks: {label: rate} to stand as vertical lines among the scores, such as a range test's suggestions.
    """
    runs = sorted(runs, key=lambda run: run.recipe.lr)
    metric = METRIC_NAMES[runs[0].history.metric]
    found = [(run.recipe.lr, float("nan") if run.best_score is None else run.best_score) for run in runs]
    parts = [f"{lr:.1e}: {score:.3f}" if np.isfinite(score) else f"{lr:.1e}: none" for lr, score in found]
    figure = Picture(height=3.8, name="runs with different rates", sentence=f"Best validation {metric} by rate. "
                     f"{'; '.join(parts)}.")  # fmt: skip
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1])
    colours = svg.depth_colours(len(runs))
    dashes = ["2 2.5", "", "7 2.5", "9 3 2 3", "4 2", "1 2"]
    lines, lowest = [], []
    for i, run in enumerate(runs):
        loss = svg.smooth(run.history.loss, svg.smoothing_window(run.history.total_steps))
        lines.append(svg.Line(f"{run.recipe.lr:.1e}", np.arange(len(loss)), loss, colours[i], dashes[i % len(dashes)]))
        lowest.append(run.history.loss[0])
    draw_lines(left, lines, "training loss, smoothed", "step", "loss", x_end=max(len(run.history) for run in runs))
    left.set_ylim(0, 2 * max(lowest))
    rates, scores = (np.array(column) for column in zip(*found, strict=True))
    draw_lines(right, [svg.Line("", rates, scores, svg.BLUE, width=1.6, dots=True)],
               f"best validation {metric}", "rate (lr)", metric, x_end=1, empty="no score")  # fmt: skip
    _logarithmic(right)
    marked = {} if marks is None else marks
    every = np.concatenate([rates, list(marked.values())])
    right.set_xlim(every.min() / 1.6, every.max() * 1.6)
    _draw_suggestions(right, [svg.Mark(rate, label) for label, rate in marked.items()])
    return figure


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())


def _draw_suggestions(axes: Axes, marks: Sequence[svg.Mark]) -> None:
    draw_marks(axes, marks)
    for text in axes.texts if marks else []:  # neighbours may be close: no line through a word
        text.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.8})
