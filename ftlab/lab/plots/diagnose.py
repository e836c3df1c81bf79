"""The pictures of notebook 10: a run's vital signs, all patients beside each other, how often the rules are right."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, dress
from ftlab.lab.plots.runs import describe, loss_lines, step_label

if TYPE_CHECKING:
    from ftlab.history import History

NOTHING_LEARNED = "nothing learned"


def vital_lines(history: History, chance: float | None = None) -> tuple[list[svg.Line], bool, list[svg.Line]]:
    """Return the lines of the loss (raw, smoothed, validation, chance), whether its axis is logarithmic, and the norm.

    chance: loss of a model that has learned nothing, drawn as a level; None leaves it out.
    """
    losses, log = loss_lines(history)
    steps = np.arange(len(history))
    if chance is not None and len(history):
        ends = np.array([0.0, len(history) - 1])
        losses.append(svg.Line(NOTHING_LEARNED, ends, np.full(2, chance), svg.INK, "2 3", 1.4))
    norm = svg.Line("gradient norm", *svg.thin(steps, history.grad_norm), svg.BLUE, width=1.6)
    return losses, log, [norm]


def plot_vitals(history: History, chance: float | None = None, *, title: str = "loss") -> Picture:
    """Draw what a diagnosis looks at: the losses with the level of knowing nothing, and the gradient's norm."""
    sentence = describe(history)
    if chance is not None:
        sentence += f" A model that has learned nothing has a loss of {svg.number(chance)}."
    if np.isfinite(history.grad_norm).any():
        norm = history.grad_norm[np.isfinite(history.grad_norm)]
        sentence += f" Gradient norm: median {svg.number(np.median(norm))}, largest {svg.number(norm.max())}."
    figure = Picture(height=3.2, name="losses and gradient norm by step", sentence=sentence)
    left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
    losses, log, norm = vital_lines(history, chance)
    end = max(1, len(history))
    draw_lines(left, losses, title, step_label(history), "loss", x_end=end, log=log, empty="no step yet")
    draw_lines(right, norm, "gradient norm", "step", "norm", x_end=end, log=bool((norm[0].y > 0).any()))
    if right.get_legend() is not None:
        right.get_legend().remove()
    return figure


def plot_ward(runs: Mapping[str, Sequence[History]], chance: Mapping[str, float] | None = None) -> Picture:
    """Draw one small pane a case: the smoothed training loss of every run, its validation losses as dots.

    runs: {case: histories, such as one a seed}. chance: {case: loss of knowing nothing}. Heights are cut at three times
    that, or at three times the first loss.
    """
    chance = chance or {}
    columns = min(5, len(runs))
    rows = -(-len(runs) // columns)
    parts = []
    figure = Picture(9.4, 0.5 + 1.7 * rows, name="losses of all cases")
    panes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, histories) in zip(panes, runs.items(), strict=False):
        level = chance.get(name, float(np.median([history.loss[0] for history in histories])))
        ends = []
        for i, history in enumerate(histories):
            smooth = svg.smooth(history.loss, svg.smoothing_window(history.total_steps))
            ends.append(smooth[-1])
            axes.plot(smooth, color=svg.BLUE[0], linewidth=1.2, linestyle=("-", "--", ":")[i % 3])
            looks = [(look["step"], look["loss"]) for look in history.evals]
            axes.plot(*zip(*looks, strict=True), "os^"[i % 3], color=svg.ORANGE[0], markersize=3) if looks else None
        axes.axhline(level, color="black", linewidth=0.9, linestyle=(0, (2, 3)))
        axes.set_ylim(-0.04 * level, 3 * level)
        dress(axes, "", "", "")
        axes.set_title(textwrap.fill(name, 24), fontsize=8, loc="left", fontweight="bold")
        axes.tick_params(labelsize=7)
        parts.append(f"{name}: loss {np.mean(ends):.2f} at the end, {level:.2f} for knowing nothing")
    for axes in panes[len(runs) :]:
        axes.set_visible(False)
    key = "step; blue lines: training loss; orange marks: validation loss; dotted: nothing learned"
    figure.supxlabel(key, fontsize=8)
    figure.sentence = "; ".join(parts) + "."
    return figure


def plot_confusion(cases: Sequence[str], names: Sequence[str], counts: np.ndarray) -> Picture:
    """Draw how many runs of each case (rows) had which first finding (columns). counts: (cases, names)."""
    counts = np.asarray(counts)
    rows = [
        f"{case}: " + ", ".join(f"{count} {name}" for name, count in zip(names, row, strict=True) if count)
        for case, row in zip(cases, counts, strict=True)
    ]
    height = 1.7 + 0.27 * len(cases)
    figure = Picture(height=height, name="first finding by case", sentence="; ".join(rows) + ".")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=2.2, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(column, row, str(count), ha="center", va="center", fontsize=9)
    axes.set_yticks(range(len(cases)), cases)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
    dress(axes, "runs by case and first finding", "", "")
    axes.grid(visible=False)
    return figure
