"""The pictures of notebook 04: weights before and after."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab.chart import BLUE, GREY, ORANGE, Axis, Bar, Chart, Line, Sheet
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture


def before_after_sheet(
    before: Mapping[str, float],
    after: Mapping[str, float],
    *,
    changed: Sequence[str],
    unit: str,
    title: str = "before and after",
    end: float | None = None,
) -> Sheet:
    """Describe two bars a place, such as a layer: a value before and after; the places in `changed` stand out.

    before, after: {place: value}, with the same places, drawn with the last one on top; NaN where a place has no such
    value. end: of the axis.
    """
    moved = [f"{name} {before[name]:.4f} to {after[name]:.4f}" for name in changed if np.isfinite(before[name])]
    sentence = f"{title}. {unit}: {'; '.join(moved) if moved else 'nothing has changed'}."
    places, bars = list(before)[::-1], []
    for row, place in enumerate(places):
        colour, remark = (ORANGE, " re-initialised") if place in changed else (BLUE, " kept")
        bars.append(Bar(row - 0.2, before[place], GREY, _written(before[place]), height=0.38))
        bars.append(Bar(row + 0.2, after[place], colour, _written(after[place], remark), height=0.38))
    x = Axis(f"{unit} (upper bar before, lower bar after)", low=0, high=end)
    chart = Chart(title, bars=bars, x=x, y=Axis(names=places), height=34 * len(places))
    return Sheet([chart], "each layer before and after", sentence)


def _written(value: float, remark: str = "") -> str:
    return f"{value:.4f}{remark}" if math.isfinite(value) else "none"


def plot_weights(
    before: Mapping[str, Sequence[float] | np.ndarray],
    after: Mapping[str, Sequence[float] | np.ndarray],
    *,
    x_label: str = "weight",
) -> Picture:
    """Draw how values are distributed before and after, one chart a name, all over the same axes.

    before, after: {name: values}, with the same names. The axis leaves out the outermost thousandth at either end.
    """
    before, after = ({k: np.asarray(v, dtype=np.float64).ravel() for k, v in d.items()} for d in (before, after))
    values = np.concatenate([*before.values(), *after.values()])
    low, high = np.quantile(values, [0.001, 0.999])
    pad = 0.03 * (high - low) or 1.0
    bins = np.linspace(low - pad, high + pad, 61)
    parts = [f"{name}: {before[name].std():.3f} before, {after[name].std():.3f} after" for name in before]
    charts = []
    for name in before:
        shares = [np.histogram(v, bins)[0] / len(v) for v in (before[name], after[name])]
        lines = [histogram("before", bins, shares[0], GREY), histogram("after", bins, shares[1], ORANGE, filled=False)]
        axes = {"x": Axis(x_label, bins[0], bins[-1]), "y": Axis(low=0)}
        charts.append(Chart(name, lines, note="share of the values", **axes, labels="above", height=170))
    name = f"distribution of {x_label} before and after"
    sentence = f"Standard deviation of {x_label}, by pane: {'; '.join(parts)}."
    return draw(Sheet(charts, name, sentence, columns=len(charts), least=150, share="xy"))


def histogram(label: str, bins: np.ndarray, heights: np.ndarray, colour=BLUE, filled: bool = True) -> Line:
    """Return the outline of a histogram: bins (n + 1,), heights (n,)."""
    return Line(label, np.repeat(bins, 2)[1:-1], np.repeat(heights, 2), colour, width=1.4, fill=filled)
