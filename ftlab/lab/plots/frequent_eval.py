"""The pictures of notebook 06: looks, their cost and their luck."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import METRIC_NAMES, Picture, draw_lines, draw_marks, dress
from ftlab.lab.plots.runs import step_label

if TYPE_CHECKING:
    from ftlab.history import History


def plot_looks(history: History) -> Picture:
    """Draw the validation score at every look, those at the ends of epochs apart: the whole run, and a close-up.

    The close-up shows what lies from the end of the first epoch on. Needs at least one evaluation.
    """
    metric = METRIC_NAMES[history.metric]
    step = np.array([e["step"] for e in history.evals])
    score = np.array([e["score"] for e in history.evals], dtype=np.float64)
    at_end = (step % history.steps_per_epoch == 0) | (step == history.total_steps)
    order = np.argsort(-score if history.higher_is_better else score, kind="stable")
    best, ends = order[:1], np.flatnonzero(at_end)
    sentence = f"{len(step)} looks: best validation {metric} {score[best[0]]:.3f} after step {step[best[0]]}."
    if len(ends):  # an interrupted run may have none
        i = next(i for i in order if at_end[i])
        sentence += f" Of the {len(ends)} at the ends of epochs the best is {score[i]:.3f} after step {step[i]}."
    figure = Picture(name="validation score at every look, and at the ends of epochs", sentence=sentence)
    lines = [
        svg.Line("every look", step, score, svg.GREY, width=1.4, dots=True),
        svg.Line("ends of epochs", step[ends], score[ends], svg.BLUE, "6 3", 2.0, dots=True),
        svg.Line(f"best look {score[best[0]]:.3f}", step[best], score[best], svg.ORANGE, dots=True),
    ]
    marks = [svg.Mark(s) for s in range(history.steps_per_epoch, history.total_steps, history.steps_per_epoch)]
    late = step >= min(history.steps_per_epoch, step[-1])
    for axes, title in zip(figure.subplots(1, 2), (f"validation {metric}", "close-up"), strict=True):
        draw_lines(axes, lines, title, step_label(history), metric, x_end=1.03 * history.total_steps)
        draw_marks(axes, marks)
        axes.lines[2].set(marker="D", markersize=8)
        axes.legend(fontsize=8, framealpha=0.7, edgecolor="none", handlelength=2.6)
    axes.set_xlim(left=0.9 * step[late][0])
    low, high = score[late].min(), score[late].max()
    pad = 0.15 * (high - low) or 0.05
    axes.set_ylim(low - pad, high + pad)
    axes.get_legend().remove()
    return figure


def plot_luck(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    marks: Mapping[str, float] | None = None,
    unit: str = "RMSE",
) -> Picture:
    """Draw how far the best of k looks flatters, by k on a logarithmic axis.

    curves: {label: (numbers of looks, optimism)}; one of at most 12 points is drawn as dots. marks: {label: number of
    looks}, as vertical lines.
    """
    parts = [f"{name}: {svg.number(float(y[-1]))} with {svg.number(x[-1])} looks" for name, (x, y) in curves.items()]
    figure = Picture(height=3.8, name="optimism of the best score by number of looks", sentence="; ".join(parts) + ".")
    axes = figure.subplots()
    styles = [(svg.BLUE, "-"), (svg.ORANGE, "--"), (svg.GREY, "-."), (svg.INK, ":")]
    for i, (name, (x, y)) in enumerate(curves.items()):
        colour, dash = styles[i % len(styles)]
        few = len(x) <= 12
        style = {"linestyle": "none", "marker": "Ds^o"[i % 4], "markersize": 6} if few else {"linestyle": dash}
        axes.plot(x, y, color=colour[0], linewidth=2, label=name, **style)
    axes.set_xscale("log")
    axes.set_xlim(min(np.min(x) for x, _ in curves.values()) / 1.1, max(np.max(x) for x, _ in curves.values()) * 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    draw_marks(axes, [svg.Mark(x, name) for name, x in (marks or {}).items()])
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    heights = np.concatenate([np.asarray(y, dtype=np.float64) for _, y in curves.values()])
    axes.set_ylim(min(0.0, heights.min()), 1.3 * heights.max() or 1.0)  # room for the marks' names above the lines
    dress(axes, "how far the best of k looks flatters", "number of looks k", f"optimism ({unit})")
    return figure


def plot_choices(
    looks: Sequence[int],
    changes: Mapping[str, Sequence[float]],
    half_widths: Mapping[str, Sequence[float]] | None = None,
    *,
    unit: str = "RMSE",
) -> Picture:
    """Draw what more looks to choose from changed in the score of the checkpoint chosen, by number of looks.

    looks: (k,). changes: {label: (k,) changes}. half_widths: {label: (k,) half the width of the interval}, for some of
    the labels; those are drawn with bars.
    """
    half_widths = half_widths or {}
    parts = [f"{name}: {np.asarray(y)[-1]:+.4f} with {looks[-1]} looks" for name, y in changes.items()]
    figure = Picture(height=3.8, name="change of the chosen score by number of looks", sentence="; ".join(parts) + ".")
    axes = figure.subplots()
    styles = [(svg.BLUE, "-", "o"), (svg.ORANGE, "--", "D"), (svg.GREY, ":", "s"), (svg.INK, "-.", "^")]
    places = np.arange(len(looks))
    for i, (name, y) in enumerate(changes.items()):
        colour, dash, marker = styles[i % len(styles)]
        shift = 0.08 * (i - (len(changes) - 1) / 2)  # beside each other, so that no bar hides another
        style = {"color": colour[0], "linestyle": dash, "marker": marker, "capsize": 3}
        axes.errorbar(places + shift, y, half_widths.get(name), label=name, **style)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(places, [str(k) for k in looks])
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    dress(axes, "the checkpoint chosen, against the last one", "looks to choose from", f"change in {unit}")
    return figure


def plot_look_example(
    example: Sequence[svg.Line],
    luck: Sequence[svg.Line],
    *,
    steps: int,
    looks: int,
    marks: Sequence[svg.Mark] = (),
    y_range: tuple[float, float] | None = None,
    sentence: str = "",
) -> Picture:
    """Draw an invented validation curve with its looks beside the expected optimism by number of looks.

    steps, looks: where the two horizontal axes end. y_range: of the curve.
    """
    figure = Picture(name="an example of looks, and the expected optimism", sentence=sentence)
    left, right = figure.subplots(1, 2)
    draw_lines(left, example, "an example: scores at each look", "step", "validation RMSE", x_end=steps)
    draw_marks(left, marks)
    if y_range is not None:
        left.set_ylim(y_range)
    draw_lines(right, luck, "expected optimism", "looks taken", "RMSE", x_end=looks)
    right.set_ylim(bottom=0)
    return figure
