"""The pictures of notebook 06: evaluations, their cost and their luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet
from ftlab.lab.plots.runs import METRIC_NAMES, epoch_marks, step_axis
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.history import History
    from ftlab.lab.figure import Picture


def plot_looks(history: History) -> Picture:
    """Draw the validation score at every evaluation, those at the ends of epochs apart: the whole run, and a close-up.

    The close-up shows what lies from the end of the first epoch on. Needs at least one evaluation.
    """
    metric = METRIC_NAMES[history.metric]
    step = np.array([e["step"] for e in history.evals])
    score = np.array([e["score"] for e in history.evals], dtype=np.float64)
    at_end = (step % history.steps_per_epoch == 0) | (step == history.total_steps)
    order = np.argsort(-score if history.higher_is_better else score, kind="stable")
    best, ends = order[:1], np.flatnonzero(at_end)
    sentence = f"{len(step)} evaluations: best validation {metric} {score[best[0]]:.3f} after step {step[best[0]]}."
    if len(ends):  # an interrupted run may have none
        i = next(i for i in order if at_end[i])
        sentence += f" Of the {len(ends)} at the ends of epochs the best is {score[i]:.3f} after step {step[i]}."
    lines = [
        Line("every evaluation", step, score, GREY, width=1.4, marker="dot"),
        Line("ends of epochs", step[ends], score[ends], BLUE, "6 3", 2.0, marker="square"),
        Line("best", step[best], score[best], ORANGE, width=0, marker="diamond", note=f"{score[best[0]]:.3f}"),
    ]
    late = step >= min(history.steps_per_epoch, step[-1])
    low, high = score[late].min(), score[late].max()
    pad = 0.15 * (high - low) or 0.05
    close = {"x": Axis("optimizer step", 0.9 * step[late][0], 1.03 * history.total_steps, whole=True),
             "y": Axis(low=low - pad, high=high + pad)}  # fmt: skip
    marks = epoch_marks(history)
    charts = [
        Chart(f"Validation {metric}", lines, marks=marks, x=step_axis(history), labels="above", height=210),
        Chart("Close-up", [Line("", *_xy(line)) for line in lines], note="from the first epoch on", marks=marks,
              **close, height=210),
    ]  # fmt: skip
    return draw(Sheet(charts, "validation score at every evaluation, and at the ends of epochs", sentence, columns=2))


def _xy(line: Line) -> tuple:
    return line.x, line.y, line.colour, line.dash, line.width, line.opacity, line.marker


def plot_luck(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    marks: Mapping[str, float] | None = None,
    unit: str = "RMSE",
) -> Picture:
    """Draw how far the best of k evaluations flatters, by k on a logarithmic axis.

    curves: {label: (numbers of evaluations, optimism)}; one of at most 12 points is drawn as dots. marks: {label:
    number of evaluations}, as vertical lines.
    """
    parts = [f"{name}: {number(float(y[-1]))} with {number(x[-1])} evaluations" for name, (x, y) in curves.items()]
    styles = [(BLUE, "", "diamond"), (ORANGE, "6 3", "square"), (GREY, "9 3 2 3", "triangle"), (INK, "2 2.5", "dot")]
    lines = []
    for i, (name, (x, y)) in enumerate(curves.items()):
        colour, dash, marker = styles[i % len(styles)]
        few = len(x) <= 12
        style = {"width": 0, "marker": marker} if few else {"dash": dash, "width": 2}
        lines.append(Line(name, np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64), colour, **style))
    ends = min(line.x.min() for line in lines) / 1.1, max(line.x.max() for line in lines) * 1.02
    heights = np.concatenate([line.y for line in lines])
    axes = {"x": Axis("number of evaluations k", *ends, log=True),
            "y": Axis(low=min(0.0, heights.min()), high=1.06 * heights.max() or 1.0)}  # fmt: skip
    chart = Chart("Optimism", lines, marks=[Mark(x, name) for name, x in (marks or {}).items()],
                  note=f"of the best of k evaluations ({unit})", **axes, height=220)  # fmt: skip
    return draw(Sheet([chart], "optimism of the best score by number of evaluations", "; ".join(parts) + "."))


def plot_optimism(
    values: Mapping[str, float], half_widths: Mapping[str, float] | None = None, *, unit: str = "RMSE"
) -> Picture:
    """Draw how far a chosen score flatters as bars, one a row: {label: optimism}.

    half_widths: {label: half the width of its interval}, written beside the bar of a measured one, which is striped.
    """
    half_widths = half_widths or {}
    bars = []
    for row, (label, value) in enumerate(values.items()):
        measured = label in half_widths
        note = f"{value:.3f}" + (f" ± {half_widths[label]:.3f}, measured" if measured else "")
        bars.append(Bar(row, value, ORANGE if measured else BLUE, note, hatch=measured))
    chart = Chart("Optimism", bars=bars, note="how far the best score flatters", x=Axis(unit, low=0),
                  y=Axis(names=list(values)))  # fmt: skip
    sentence = "; ".join(f"{label}: {bar.note}" for label, bar in zip(values, bars, strict=True))
    return draw(Sheet([chart], f"optimism of the best score ({unit})", f"{sentence}."))


def plot_choices(
    looks: Sequence[int],
    changes: Mapping[str, Sequence[float]],
    half_widths: Mapping[str, Sequence[float]] | None = None,
    *,
    unit: str = "RMSE",
) -> Picture:
    """Draw what more evaluations to choose from changed in the score of the checkpoint chosen, by their number.

    looks: (k,). changes: {label: (k,) changes}. half_widths: {label: (k,) half the width of the interval}, for some of
    the labels; those are drawn with bars.
    """
    half_widths = half_widths or {}
    parts = [f"{name}: {np.asarray(y)[-1]:+.4f} with {looks[-1]} evaluations" for name, y in changes.items()]
    styles = [(BLUE, "", "dot"), (ORANGE, "6 3", "diamond"), (GREY, "2 2.5", "square"), (INK, "9 3 2 3", "triangle")]
    lines = [Line("", np.array([-0.5, len(looks) - 0.5]), np.zeros(2), INK, width=1)]
    for i, (name, y) in enumerate(changes.items()):
        colour, dash, marker = styles[i % len(styles)]
        at = np.arange(len(looks)) + 0.08 * (i - (len(changes) - 1) / 2)  # side by side, so that no bar hides another
        y, gap = np.asarray(y, dtype=np.float64), np.full(len(looks), np.nan)
        if name in half_widths:
            half = np.asarray(half_widths[name], dtype=np.float64)
            bars = np.column_stack([y - half, y + half, gap]).ravel()
            lines.append(Line("", np.repeat(at, 3), bars, colour, width=1.4))
        lines.append(Line(name, at, y, colour, dash, marker=marker))
    axis = Axis("evaluations to choose from", names=[str(k) for k in looks])
    chart = Chart(f"Change in {unit}", lines, note="of the checkpoint chosen, against the last one", x=axis, height=240)
    return draw(Sheet([chart], "change of the chosen score by number of evaluations", "; ".join(parts) + "."))
