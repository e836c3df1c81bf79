"""The pictures of notebook 10: a run's curves, all cases beside each other, which of them are recognised from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, INK, ORANGE, Axis, Bar, Chart, Line, Sheet, smooth, smoothing_window, thin
from ftlab.lab.plots.runs import describe, epoch_marks, step_axis
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.history import History
    from ftlab.lab.figure import Picture

NOTHING_LEARNED = "nothing learned"
EXPLODED = 6.0  # times the level of knowing nothing, from which on a loss is drawn on a logarithmic axis


def losses_chart(history: History, chance: float | None = None, title: str = "Loss", height: float = 170) -> Chart:
    """Describe training and validation loss with the level of knowing nothing; logarithmic if the loss exploded."""
    end = max(1, len(history))
    loss, steps = history.loss, np.arange(len(history))
    mean = smooth(loss, smoothing_window(history.total_steps))
    lines = [Line("", *thin(steps, loss), BLUE, width=1.0, opacity=0.35)]
    lines.append(Line("training", *thin(steps, mean), BLUE, width=2.4))
    if history.evals:
        at, found = (np.array([e[key] for e in history.evals], dtype=np.float64) for key in ("step", "loss"))
        lines.append(Line("validation", *thin(at, found), ORANGE, "5 3", 1.4, marker="circle" if len(at) < 40 else ""))
    log = False
    if chance is not None and len(history):
        lines.append(Line(NOTHING_LEARNED, np.array([0.0, end]), np.full(2, chance), INK, "2 3", 1.4))
        known = mean[np.isfinite(mean)]
        log = bool(len(known)) and known.max() > EXPLODED * chance
    y = Axis(log=True) if log else Axis(low=0)
    x = replace(step_axis(history), high=end, ticks={})
    note = "of each batch (faint) and smoothed" + (", on a logarithmic axis" if log else "")
    return Chart(title, lines, marks=epoch_marks(history), x=x, y=y, note=note, height=height, empty="no step yet")


def norms_chart(history: History, height: float = 90) -> Chart:
    """Describe the gradient's norm by step, before clipping."""
    norm = Line("", *thin(np.arange(len(history)), history.grad_norm), BLUE, width=1.6)
    x = replace(step_axis(history), high=max(1, len(history)), ticks={})
    return Chart("Gradient norm", [norm], x=x, y=Axis(log=True), note="before clipping", height=height)


def curves_sheet(history: History, chance: float | None = None, title: str = "Loss") -> Sheet:
    """Describe what a diagnosis reads: the losses with the level of knowing nothing, and the gradient's norm.

    chance: loss of a model that has learned nothing, drawn as a level; None leaves it out.
    """
    sentence = describe(history)
    if chance is not None and len(history):
        sentence += f" A model that has learned nothing has a loss of {number(chance)}."
    norms = history.grad_norm[np.isfinite(history.grad_norm)]
    if len(norms):
        sentence += f" Gradient norm: median {number(np.median(norms))}, largest {number(norms.max())}."
    charts = [losses_chart(history, chance, title), norms_chart(history)]
    return Sheet(charts, "losses and gradient norm by step", sentence, share="x")


def plot_curves(history: History, chance: float | None = None, *, title: str = "loss") -> Picture:
    """Draw what a diagnosis reads: the losses with the level of knowing nothing, and the gradient's norm."""
    return draw(curves_sheet(history, chance, title[:1].upper() + title[1:]))


def plot_cases(runs: Mapping[str, Sequence[History]], chance: Mapping[str, float] | None = None) -> Picture:
    """Draw one small chart a case: training and validation loss of every run, the first run's strong, others faint.

    runs: {case: histories, such as one a seed}. chance: {case: loss of knowing nothing}; losses are drawn as multiples
    of it (or of the median first loss), so that all charts have one axis. Above three times that they are cut.
    """
    chance = chance or {}
    charts, parts = [], []
    for name, histories in runs.items():
        level = chance.get(name, float(np.median([history.loss[0] for history in histories])))
        lines, ends = [], []
        for i, history in reversed(list(enumerate(histories))):
            loss = smooth(history.loss, smoothing_window(history.total_steps)) / level
            ends.append(loss[-1] * level)
            done = np.arange(len(loss)) / max(1, history.total_steps)
            at, found = (np.array([e[key] for e in history.evals], dtype=np.float64) for key in ("step", "loss"))
            look = {"width": 1.0, "opacity": 0.3} if i else {"width": 2.0}
            lines.append(Line("", done, np.minimum(loss, 3.2), BLUE, **look))
            lines.append(Line("", at / max(1, history.total_steps), np.minimum(found / level, 3.2), ORANGE, "4 2",
                              marker="" if i else "dot", **look))  # fmt: skip
        lines.append(Line("", np.array([0.0, 1.0]), np.ones(2), INK, "2 3", 1.0))
        x = Axis(low=0, high=1, ticks={0: "start", 1: "end"})
        y = Axis(low=0, high=3, ticks={0: "0", 1: "1", 2: "2", 3: "3"})
        charts.append(Chart(name, lines, x=x, y=y, height=84))
        parts.append(f"{name}: loss {np.mean(ends):.2f} at the end, {level:.2f} for knowing nothing")
    caption = (
        "Losses as multiples of that of knowing nothing (dotted). Blue: training, smoothed; orange, dashed: "
        "validation. Strong: one seed; faint: the others."
    )
    return draw(Sheet(charts, "losses of all cases", "; ".join(parts) + ".", caption, columns=4, least=170, width=900))


def plot_recognised(counts: Mapping[str, Mapping[str, int]], runs: Mapping[str, int]) -> Picture:
    """Draw how many runs of each case have their illness as the first finding, by what the diagnosis was told.

    counts: {what was told: {case: runs recognised}}. runs: {case: how many there are}.
    """
    charts, parts = [], []
    for told, found in counts.items():
        bars = []
        for row, (case, count) in enumerate(runs.items()):
            right = found[case]
            bars.append(Bar(row, right / count, BLUE if right == count else ORANGE, f"{right} of {count}"))
        x = Axis(low=0, high=1.5, ticks={0: "0", 1: "all"})
        charts.append(Chart(told, bars=bars, x=x, y=Axis(names=list(runs))))
        parts.append(f"{told}: " + ", ".join(f"{case} {found[case]} of {count}" for case, count in runs.items()))
    caption = "Blue: every run of the case is recognised; orange: not all."
    sentence = "; ".join(parts) + "."
    return draw(Sheet(charts, "cases recognised", sentence, caption, columns=len(charts), least=150, share="y"))
