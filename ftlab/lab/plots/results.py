"""The pictures of notebook 07: differences with their intervals, runs on few samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Chart, Line, Mark, Sheet
from ftlab.lab.figure import Picture, draw

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = {"better": (BLUE, "dot"), "worse": (ORANGE, "square"), "": (GREY, "circle")}
"""Colour and marker of a row of the forest; the last is for what cannot be told from the baseline."""


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
        parts.append(f"{name} {words}: {values['verdict']}")
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
