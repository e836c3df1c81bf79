"""Two recipes, or more, run on the same places under the same seeds: the pairs, and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Chart, Line, Mark, Sheet
from ftlab.lab.still import draw
from ftlab.study.statistics import paired_t

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture


def plot_paired(
    scores: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    unit: str = "test RMSE",
    pair: str = "pair",
    overlap: float = 0.0,
) -> Picture:
    """Draw repeated runs as pairs: a line for each pair from recipe to recipe, and beside it the differences around 0.

    scores: {recipe: n scores}, the i-th of each on the same rows under the same seed; the first recipe is the one that
    the others are compared with. title: of the picture (default: the unit). pair: what a pair is,
    such as "block". overlap: of `paired_t`, which gives the mean difference its interval.
    """
    values = np.array([np.asarray(v, dtype=np.float64) for v in scores.values()])
    names = list(scores)
    differences, count = values[1:] - values[0], values.shape[1]
    places = np.arange(len(names), dtype=np.float64)
    lower = values[-1] < values[0]
    # One line a direction, so that the legend names both; a gap separates the pairs.
    lines = []
    for label, which, colour, dash in (("lower", lower, BLUE, ""), ("higher", ~lower, ORANGE, "5 3")):
        if which.any():
            x = np.tile([*places, np.nan], which.sum())
            y = np.column_stack([values[:, which].T, np.full(which.sum(), np.nan)]).ravel()
            lines.append(
                Line(f"{names[-1]} {label}", x, y, colour, dash, 1.3, 0.85, marker="dot", note=f"{which.sum()}")
            )
    lines.append(Line("mean", places, values.mean(axis=1), INK, "", 2.6, marker="stroke"))
    left = Chart(
        title or f"{unit[:1].upper()}{unit[1:]}",
        lines,
        note=f"{unit}, a line for each {pair}" if title else f"a line for each {pair}",
        x=Axis(low=-0.3, high=len(names) - 0.7, ticks=dict(enumerate(names))),
        labels="above",
        height=190,
    )
    strips, parts = [], []
    ends = np.abs(differences).ravel().tolist()
    for row, (name, found) in enumerate(zip(names[1:], differences, strict=True)):
        test = paired_t(found, overlap=overlap)
        spread = row - 0.15 + 0.07 * (np.arange(count) % 3 - 1)
        strips.append(Line(f"one {pair}" if row == 0 else "", found, spread, GREY, width=0, opacity=0.8, marker="dot"))
        strips.append(Line("mean with its 95 % interval" if row == 0 else "", np.array([test.low, test.high]),
                           np.full(2, row + 0.2), INK, width=3))  # fmt: skip
        strips.append(Line("", np.array([test.mean]), np.array([row + 0.2]), INK, width=0, marker="diamond"))
        ends += [abs(test.low), abs(test.high)]
        parts.append(f"{name} lower in {(found < 0).sum()} of {count}, mean difference {test.mean:+.4f} "
                     f"({test.low:+.4f} to {test.high:+.4f})")  # fmt: skip
    reach = 1.1 * max(1e-9, float(np.nanmax(ends)))
    right = Chart(
        f"Difference to {names[0]}",
        strips,
        note="left of 0: lower, so better" if "RMSE" in unit else "",
        marks=[Mark(0, "0")],
        x=Axis(f"difference in {unit}", -reach, reach),
        y=Axis(names=names[1:]),
        labels="above",
        height=190,
    )
    sentence = f"{title}. " if title else ""
    name = f"pairs of {names[0]} and {', '.join(names[1:])}"
    return draw(Sheet([left, right], name, f"{sentence}{unit} by {pair}: {'; '.join(parts)}.", columns=2, least=300))
