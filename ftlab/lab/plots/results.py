"""The pictures of notebook 07: differences with their intervals, runs on few samples, two runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.lines import Line2D

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, draw_marks, dress

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = {"better": (svg.BLUE, "o"), "worse": (svg.ORANGE, "s"), "": (svg.GREY, "D")}
"""Colour and marker of a row of the forest; the last is for what cannot be told from the baseline."""


def plot_forest(table: pd.DataFrame, *, unit: str = "test RMSE", baseline: str = "baseline") -> Picture:
    """Draw each recipe's difference to the baseline with its 95 % interval, and p and number of pairs in words.

    table: of `ftlab.compare` or `main_table`; recipes without a pair, and the baseline, are left out. A full marker
    stands for a verdict, a hollow one for what lies within noise.
    """
    table = table[table["pairs"] > 0]
    parts = []
    figure = Picture(height=1.3 + 0.4 * max(1, len(table)), name=f"difference to {baseline} in {unit}")
    axes = figure.subplots()
    for row, (name, values) in enumerate(table.iterrows()):
        kind = next(kind for kind in VERDICTS if values["verdict"].startswith(kind))
        colour, marker = VERDICTS[kind]
        known = np.isfinite(values["low"])
        if known:
            axes.plot([values["low"], values["high"]], [row, row], color=colour[0], linewidth=2, marker="|")
        style = {"color": colour[0], "marker": marker, "markersize": 7, "zorder": 3}
        axes.plot(values["difference"], row, markerfacecolor=colour[0] if kind else "white", **style)
        interval = f" [{values['low']:+.4f}, {values['high']:+.4f}]" if known else ""
        p = "p < 0.001" if values["p_holm"] < 0.001 else f"p {values['p_holm']:.3f}"
        words = f"{values['difference']:+.4f}{interval}, {p}, n {values['pairs']}"
        axes.text(1.02, row, words, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
        parts.append(f"{name} {words}: {values['verdict']}")
    axes.axvline(0, color="black", linewidth=1)
    axes.set_yticks(range(len(table)), list(table.index))
    axes.set_ylim(max(1, len(table)) - 0.5, -0.5)
    if not len(table):
        axes.text(0.5, 0.5, "no pairs yet", transform=axes.transAxes, ha="center", va="center")
    kinds = [("better", "better"), ("worse", "worse"), ("", "cannot be told apart")]
    handles = [
        Line2D([], [], color=VERDICTS[kind][0][0], marker=VERDICTS[kind][1], linestyle="none", label=label)
        for kind, label in kinds
    ]
    handles[-1].set_markerfacecolor("white")
    axes.legend(handles=handles, frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, -0.04))
    dress(axes, f"difference to {baseline}, with its 95 % interval", f"difference in {unit}", "")
    axes.grid(axis="y", visible=False)
    figure.sentence = f"Differences to {baseline} in {unit}. {'; '.join(parts) or 'No pairs yet'}."
    return figure


def plot_few_samples(
    cells: pd.DataFrame, failed: Sequence[bool] | pd.Series, *, guessing: float = 1.0, unit: str = "test RMSE"
) -> Picture:
    """Draw every run by number of training rows: a dot a run, a cross for one that failed, a stroke for the mean.

    cells: with columns name, n_train and score. failed: one value a cell, as `results.failed_runs` gives. guessing: the
    score of predicting one value for everything, as a dashed line. A run without a score stands at the upper edge.
    """
    failed = np.asarray(failed, dtype=bool)
    names, sizes = list(cells["name"].unique()), sorted(cells["n_train"].dropna().unique())
    figure = Picture(height=4.2, name=f"{unit} of every run by number of training rows")
    axes = figure.subplots()
    looks = [(svg.GREY, "o"), (svg.BLUE, "s"), (svg.ORANGE, "^"), (svg.INK, "D"), (svg.BLUE, "v"), (svg.ORANGE, "P")]
    parts = []
    for i, name in enumerate(names):
        colour, marker = looks[i % len(looks)]
        for place, size in enumerate(sizes):
            here = ((cells["name"] == name) & (cells["n_train"] == size)).to_numpy()
            scores = cells["score"].to_numpy(dtype=np.float64)
            if not here.any():
                continue
            x = place + 0.8 * ((i + 0.5) / len(names) - 0.5)
            spread = x + np.linspace(-0.25, 0.25, here.sum()) * 0.8 / len(names)
            good = ~failed[here]
            dots = {"linestyle": "none", "color": colour[0], "markersize": 4, "alpha": 0.75}
            label = name if place == 0 else ""
            axes.plot(spread[good], scores[here][good], marker=marker, label=label, **dots)
            cross = {**dots, "marker": "x", "markersize": 7, "markeredgewidth": 1.8}
            axes.plot(spread[~good], scores[here][~good], **cross)
            lost = ~np.isfinite(scores[here])
            axes.plot(spread[lost], np.full(lost.sum(), 0.97), transform=axes.get_xaxis_transform(), **cross)
            known = scores[here][~lost]
            words = "no score"
            if len(known):
                axes.plot([spread[0], spread[-1]], [known.mean()] * 2, color="black", linewidth=2)
                words = f"mean {known.mean():.3f}, from {known.min():.3f} to {known.max():.3f}"
            parts.append(f"{name} with {size} rows: {words}, {(~good).sum()} of {here.sum()} failed")
    axes.axhline(guessing, color="black", linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate("guessing", (1, guessing), xycoords=axes.get_yaxis_transform(), xytext=(4, 0),
                  textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlim(-0.5, max(1, len(sizes)) - 0.5)
    handles, labels = axes.get_legend_handles_labels()
    handles += [
        Line2D([], [], color="black", marker="x", linestyle="none", label="failed (at the edge: no score)"),
        Line2D([], [], color="black", linewidth=2, label="mean"),
    ]
    axes.legend(handles=handles, frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    dress(axes, "every run, by number of training rows", "training rows", unit)
    axes.grid(axis="x", visible=False)
    figure.sentence = f"{'; '.join(parts)}."
    return figure


def plot_two_runs(
    loss: Sequence[svg.Line],
    looks: Sequence[svg.Line],
    rates: Mapping[str, Sequence[svg.Line]],
    *,
    marks: Mapping[str, Sequence[svg.Mark]],
    steps: int,
    unit: str = "RMSE",
    sentence: str = "",
) -> Picture:
    """Draw two runs together: training losses, scores at each look, and every layer's rate side by side.

    rates, marks: {title: lines or marks}, one entry a run. steps: where the horizontal axes end.
    """
    figure = Picture(height=5.6, name="two runs: loss, scores at each look, rates", sentence=sentence)
    panes = figure.subplots(2, 2)
    draw_lines(panes[0, 0], loss, "training loss, smoothed", "step", "loss", x_end=steps, empty="no step")
    draw_lines(panes[0, 1], looks, "score at each look", "step", unit, x_end=steps, empty="no look")
    top = max((float(line.y.max()) for lines in rates.values() for line in lines), default=0.0)
    for axes, (title, lines) in zip(panes[1], rates.items(), strict=True):
        draw_lines(axes, lines, title, "step", "rate", x_end=steps)
        axes.set_ylim(0, 1.08 * top or 1.0)
        draw_marks(axes, marks[title])
    return figure
