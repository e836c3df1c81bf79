"""The pictures of notebook 02: every layer's learning rate, as bars and by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import ORANGE, Axis, Bar, Chart, Sheet, depth_colours, layer_groups
from ftlab.lab.plots.runs import rates_chart

if TYPE_CHECKING:
    from ftlab.schedules import LRSchedule


def describe_layer_rates(
    layers: Sequence[str], rates: Sequence[float], others: Sequence[float] | None = None, name: str = ""
) -> str:
    """Say in one sentence which rate each layer has, neighbours with equal rates together, and what is compared."""
    groups = layer_groups(layers, np.asarray(rates, dtype=np.float64)[None])
    parts = [f"{label} {number(rates[i])}" for label, i in groups]
    text = f"Rate by layer: {', '.join(parts)}"
    if others is not None:
        text += f"; for comparison, {name}: {layers[0]} {number(others[0])}, {layers[-2]} {number(others[-2])}"
    return text + "."


def layer_rates_sheet(
    schedule: LRSchedule,
    rates: Sequence[float],
    others: Sequence[float] | None = None,
    *,
    name: str = "",
    log: bool = False,
) -> Sheet:
    """Describe the full learning rate of every layer as bars, head on top, and every layer's rate by step.

    rates: (L + 2,), embeddings first. others: rates to compare with, a stroke across each bar; `name` says whose.
    """
    layers = schedule.layers
    colours = [*depth_colours(len(rates) - 1), ORANGE]
    strokes = [np.nan] * len(rates) if others is None else others
    rows = range(len(rates) - 1, -1, -1)
    bars = [Bar(row, *bar, stroke=other) for row, *bar, other in zip(rows, rates, colours, strokes, strict=True)]
    full = Chart(
        "Full learning rate",
        bars=bars,
        note=f"of every layer; stroke: {name}" if name else "of every layer",
        x=Axis(log=log),
        y=Axis(names=layers[::-1]),
        height=min(20 * len(rates), 320),
        empty="every learning rate is 0",
    )
    by_step = rates_chart(schedule, log=log, note="of every layer by step")
    sentence = describe_layer_rates(layers, rates, others, name)
    return Sheet([full, by_step], "rate by layer and by step", sentence, columns=2)
