"""The pictures of notebook 07: scores block by block, differences with their intervals, scores by number of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Chart, Line, Mark, Sheet
from ftlab.lab.still import draw

if TYPE_CHECKING:
    import pandas as pd

    from ftlab.lab.figure import Picture

VERDICTS = {"better": (BLUE, "dot"), "worse": (ORANGE, "square"), "": (GREY, "circle")}
"""Colour and marker of a row of the forest; the last is for what cannot be told from the baseline."""


def plot_blocks(scores: pd.DataFrame, *, unit: str = "test RMSE", by: str = "block") -> Picture:
    """Draw paired scores as connected dots: a line for each row, a column for each model, and the columns' means.

    scores: one row a block (or fold, or seed), one column a model, from left to right. by: what a line stands for.
    """
    means = scores.mean()
    parts = [f"{name} {mean:.3f}" for name, mean in means.items()]
    at = np.arange(scores.shape[1], dtype=np.float64)
    lines = [
        Line("", at, row.to_numpy(dtype=np.float64), GREY, width=1.1, opacity=0.55, marker="dot")
        for _, row in scores.iterrows()
    ]
    for x, mean in zip(at, means, strict=True):
        lines.append(Line("", x + np.array([-0.16, 0.16]), np.full(2, mean), ORANGE, width=3))
    values = [f"{mean:.3f}" for mean in means]
    lines.append(Line("", at + 0.17, means.to_numpy(), ORANGE, width=0, values=values))
    chart = Chart(
        f"{unit[:1].upper()}{unit[1:]}",
        lines,
        note=f"a grey line for each {by}; orange: the mean",
        x=Axis("model", names=list(scores.columns)),
        height=250,
    )
    sentence = f"{unit[:1].upper()}{unit[1:]}, mean over {len(scores)} {by}s: {'; '.join(parts)}."
    return draw(Sheet([chart], f"{unit} of each {by}, by model", sentence))


def plot_by_size(scores: pd.DataFrame, *, unit: str = "test RMSE", x_label: str = "texts to train on") -> Picture:
    """Draw what `by_size_sheet` describes."""
    return draw(by_size_sheet(scores, unit=unit, x_label=x_label))


def by_size_sheet(scores: pd.DataFrame, *, unit: str = "test RMSE", x_label: str = "texts to train on") -> Sheet:
    """Describe mean scores by number of training texts, a chart for each data set.

    scores: columns `data`, `model`, `n_train` and `score`; runs of one model at one size are averaged.
    """
    styles = [(GREY, "6 3", "square"), (BLUE, "", "dot"), (ORANGE, "2 2.5", "diamond"), (INK, "9 3 2 3", "triangle")]
    models = list(scores["model"].unique())
    means = scores.groupby(["data", "model", "n_train"])["score"].mean()
    room = Axis(low=0.93 * float(means.min()), high=1.05 * float(means.max()))
    charts, parts = [], []
    for data, group in scores.groupby("data", sort=False):
        lines = []
        for model, own in group.groupby("model", sort=False):
            mean = own.groupby("n_train")["score"].mean()
            colour, dash, marker = styles[models.index(model) % len(styles)]
            n = mean.index.to_numpy(dtype=np.float64)
            lines.append(Line(model, n, mean.to_numpy(), colour, dash, marker=marker))
            parts.append(f"{data}, {model}: " + ", ".join(f"{y:.3f} at {x:,.0f}" for x, y in mean.items()))
        own = sorted(float(n) for n in group["n_train"].unique())
        x = Axis(x_label, own[0] / 1.25, own[-1] * 1.25, log=True, ticks={n: f"{n:,.0f}" for n in own})
        charts.append(Chart(data, lines, note=unit, x=x, y=room, labels="above", height=230))
    return Sheet(charts, f"{unit} by {x_label}", f"{unit}. {'; '.join(parts)}.", columns=2, share="y")


def plot_forest(table: pd.DataFrame, *, unit: str = "test RMSE", baseline: str = "baseline") -> Picture:
    """Draw each recipe's difference to the baseline with its 95 % interval, and p and number of pairs in words.

    table: of `ftlab.compare` or `main_table`; recipes without a pair, and the baseline, are left out. A full marker
    stands for a verdict, an open circle for what lies within noise.
    """
    table = table[table["pairs"] > 0]
    parts, lines = [], []
    for row, (name, values) in enumerate(table.iterrows()):
        kind = next(kind for kind in VERDICTS if values["verdict"].startswith(kind))
        colour, marker = VERDICTS[kind]
        known = np.isfinite(values["low"])
        interval = f" [{values['low']:+.4f}, {values['high']:+.4f}]" if known else ""
        p = "p < 0.001" if values["p_holm"] < 0.001 else f"p {values['p_holm']:.3f}"
        words = f"{values['difference']:+.4f}{interval}, {p}, n {values['pairs']}"
        said = f"{words}: {values['verdict']}"
        if "sees" in values:  # of the plan's rule, whose verdict names what it could have seen
            words = said = f"{values['difference']:+.4f}, {values['verdict']}"
        parts.append(f"{name} {said}")
        reach = values[["low", "high"] if known else ["difference"] * 2].to_numpy(dtype=np.float64)
        lines.append(Line("", reach, np.full(2, float(row)), colour, width=2))
        lines.append(Line(words, np.array([values["difference"]]), np.array([float(row)]), colour, width=0,
                          marker=marker))  # fmt: skip
    chart = Chart(f"Difference to {baseline}", lines, note="with its 95 % interval; open circle: within noise",
                  marks=[Mark(0, "no difference")], x=Axis(f"difference in {unit}"), y=Axis(names=list(table.index)),
                  height=26 * max(2, len(table)), empty="no pairs yet")  # fmt: skip
    sentence = f"Differences to {baseline} in {unit}. {'; '.join(parts) or 'No pairs yet'}."
    return draw(Sheet([chart], f"difference to {baseline} in {unit}", sentence))


def plot_few_samples(
    cells: pd.DataFrame, failed: Sequence[bool] | pd.Series, *, guessing: float = 1.0, unit: str = "test RMSE"
) -> Picture:
    """Draw every run by number of training rows: a dot a run, a cross for one that failed, a stroke for the mean.

    cells: with columns name, n_train and score. failed: one value a cell, as `results.failed_runs` gives. guessing: the
    score of predicting one value for everything, as a dashed line. A run without a score stands at the upper edge.
    """
    failed = np.asarray(failed, dtype=bool)
    names, sizes = list(cells["name"].unique()), sorted(cells["n_train"].dropna().unique())
    styles = [(GREY, "dot"), (BLUE, "square"), (ORANGE, "triangle"), (INK, "diamond"), (BLUE, "circle"),
             (ORANGE, "diamond")]  # fmt: skip
    scores = cells["score"].to_numpy(dtype=np.float64)
    known = scores[np.isfinite(scores)]
    edge = max([guessing, *known]) * 1.05
    lines, parts = [], []
    ends = np.array([-0.5, max(1, len(sizes)) - 0.5])
    lines.append(Line("guessing", ends, np.full(2, guessing), INK, "4 3", 1.0))
    for i, name in enumerate(names):
        colour, marker = styles[i % len(styles)]
        for place, size in enumerate(sizes):
            here = ((cells["name"] == name) & (cells["n_train"] == size)).to_numpy()
            if not here.any():
                continue
            middle = place + 0.8 * ((i + 0.5) / len(names) - 0.5)
            spread = middle + np.linspace(-0.25, 0.25, here.sum()) / len(names)
            good, lost = ~failed[here] & np.isfinite(scores[here]), ~np.isfinite(scores[here])
            x, y = spread, np.where(lost, edge, scores[here])
            lines.append(
                Line(name if place == 0 else "", x[good], y[good], colour, width=0, opacity=0.8, marker=marker)
            )
            lines.append(Line("", x[~good], y[~good], colour, width=0, marker="cross"))
            words = "no score"
            if (seen := scores[here][~lost]).size:
                lines.append(Line("", spread[[0, -1]], np.full(2, seen.mean()), INK, width=2.4))
                words = f"mean {seen.mean():.3f}, from {seen.min():.3f} to {seen.max():.3f}"
            parts.append(f"{name} with {size} rows: {words}, {(~good).sum()} of {here.sum()} failed")
    chart = Chart(f"{unit[:1].upper()}{unit[1:]}", lines, labels="above", height=290,
                  note="of every run; stroke: mean; cross: failed, at the upper edge without a score",
                  x=Axis("training rows", names=[str(size) for size in sizes]))  # fmt: skip
    return draw(Sheet([chart], f"{unit} of every run by number of training rows", f"{'; '.join(parts)}."))
