"""The pictures of notebook 10: a run's curves, all cases beside each other, how often the rules are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, INK, ORANGE, Axis, Chart, Line, Sheet, smooth, smoothing_window, thin
from ftlab.lab.figure import Picture, draw
from ftlab.lab.plots.runs import describe, loss_chart, step_axis

if TYPE_CHECKING:
    from ftlab.history import History

NOTHING_LEARNED = "nothing learned"


def vitals_sheet(history: History, chance: float | None = None, title: str = "Loss") -> Sheet:
    """Describe what a diagnosis evaluates: the losses with the level of knowing nothing, and the gradient's norm.

    chance: loss of a model that has learned nothing, drawn as a level; None leaves it out.
    """
    sentence, end = describe(history), max(1, len(history))
    x = replace(step_axis(history), high=end, ticks={})
    losses = loss_chart(history, title=title, height=180)
    if chance is not None and len(history):
        level = Line(NOTHING_LEARNED, np.array([0.0, end]), np.full(2, chance), INK, "2 3", 1.4)
        losses = replace(losses, lines=[*losses.lines, level])
        sentence += f" A model that has learned nothing has a loss of {number(chance)}."
    norms = history.grad_norm[np.isfinite(history.grad_norm)]
    if len(norms):
        sentence += f" Gradient norm: median {number(np.median(norms))}, largest {number(norms.max())}."
    norm = Line("", *thin(np.arange(len(history)), history.grad_norm), BLUE, width=1.6)
    charts = [replace(losses, x=x), Chart("Gradient norm", [norm], x=x, y=Axis(log=True), height=110)]
    return Sheet(charts, "losses and gradient norm by step", sentence, share="x")


def plot_vitals(history: History, chance: float | None = None, *, title: str = "loss") -> Picture:
    """Draw what a diagnosis evaluates: the losses with the level of knowing nothing, and the gradient's norm."""
    return draw(vitals_sheet(history, chance, title[:1].upper() + title[1:]))


def plot_ward(runs: Mapping[str, Sequence[History]], chance: Mapping[str, float] | None = None) -> Picture:
    """Draw one small chart a case: the smoothed training loss of every run, its validation losses as points.

    runs: {case: histories, such as one a seed}. chance: {case: loss of knowing nothing}. Heights are cut at three times
    that, or at three times the first loss.
    """
    chance = chance or {}
    charts, parts = [], []
    for name, histories in runs.items():
        level = chance.get(name, float(np.median([history.loss[0] for history in histories])))
        lines, ends = [], []
        for i, history in enumerate(histories):
            loss = smooth(history.loss, smoothing_window(history.total_steps))
            ends.append(loss[-1])
            lines.append(Line("", np.arange(len(loss)), loss, BLUE, ("", "6 3", "2 2.5")[i % 3], 1.2))
            at, found = ([e[key] for e in history.evals] for key in ("step", "loss"))
            marker = ("dot", "square", "triangle")[i % 3]
            lines.append(Line("", np.array(at), np.array(found), ORANGE, width=0, marker=marker))
        longest = max(len(history) for history in histories)
        lines.append(Line("", np.array([0, longest]), np.full(2, level), INK, "2 3", 1.0))
        x = Axis(low=0, high=max(1, longest), whole=True)
        charts.append(Chart(name, lines, x=x, y=Axis(low=-0.04 * level, high=3 * level), height=80))
        parts.append(f"{name}: loss {np.mean(ends):.2f} at the end, {level:.2f} for knowing nothing")
    caption = "Loss by optimizer step. Blue lines: training; orange points: validation; dotted: nothing learned."
    return draw(Sheet(charts, "losses of all cases", "; ".join(parts) + ".", caption, columns=5, least=150, width=900))


def plot_confusion(cases: Sequence[str], names: Sequence[str], counts: np.ndarray) -> Picture:
    """Draw how many runs of each case (rows) had which first finding (columns). counts: (cases, names)."""
    counts = np.asarray(counts)
    rows = [
        f"{case}: " + ", ".join(f"{count} {name}" for name, count in zip(names, row, strict=True) if count)
        for case, row in zip(cases, counts, strict=True)
    ]
    figure = Picture(840, 170 + 27 * len(cases), name="first finding by case", sentence="; ".join(rows) + ".")
    figure.set_layout_engine("constrained")
    axes = figure.subplots()
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=2.2, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            axes.text(column, row, str(count), ha="center", va="center", fontsize=9)
    axes.set_yticks(range(len(cases)), cases, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.set_title("Runs by case and first finding", fontsize=9.4, loc="left", fontweight="bold")
    axes.spines[:].set_visible(False)
    return figure
