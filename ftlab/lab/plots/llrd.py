"""The pictures of notebook 02: every layer's learning rate, as bars and by step, and how far each layer has moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, ORANGE, Axis, Bar, Chart, Line, Sheet, depth_colours, layer_groups
from ftlab.lab.plots.runs import rates_chart
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture
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


def plot_moved(moved: Mapping[str, Mapping[str, float]], rates: Mapping[str, Sequence[float]]) -> Picture:
    """Draw how far two runs moved each layer, head on top: both distances, and their ratio beside that of the rates.

    moved: {run: {layer: |w - w0| / |w0|}}, embeddings first, the run to compare with first. rates: {run: full learning
    rate of each layer}, the same runs. In the right chart a bar is the ratio of the distances, the stroke across it the
    ratio of the learning rates: they agree where the rate alone decides how far a layer goes.
    """
    (first, before), (second, after) = moved.items()
    layers, rows = list(before), np.arange(len(before) - 1, -1, -1.0)
    ratios = {layer: after[layer] / before[layer] for layer in layers}
    planned = np.asarray(rates[second], dtype=np.float64) / np.asarray(rates[first], dtype=np.float64)
    between = [Line("", 100 * np.array([before[layer], after[layer]]), np.full(2, row), GREY, width=1.2)
               for layer, row in zip(layers, rows, strict=True)]  # fmt: skip
    ends = [
        Line(name, 100 * np.array(list(far.values())), rows, colour, width=0, marker=marker)
        for (name, far), colour, marker in zip(moved.items(), (GREY, ORANGE), ("circle", "dot"), strict=True)
    ]
    names, height = layers[::-1], 24 * len(layers)
    left = Chart("Moved", [*between, *ends], note="in % of the layer's size", x=Axis("% (logarithmic)", log=True),
                 y=Axis(names=names), labels="above", height=height)  # fmt: skip
    bars = [
        Bar(row, ratios[layer], BLUE, f"{ratios[layer]:.2f}", stroke=stroke)
        for layer, row, stroke in zip(layers, rows, planned, strict=True)
    ]
    right = Chart(f"{second} : {first}", bars=bars, note="bar: distance moved; stroke: learning rate",
                  x=Axis("ratio", low=0), y=Axis(names=names), height=height)  # fmt: skip
    parts = [f"{layer} {ratios[layer]:.2f} (rates {stroke:.2f})" for layer, stroke in zip(layers, planned, strict=True)]
    sentence = f"Distance moved, {second} to {first}: {', '.join(parts)}."
    return draw(Sheet([left, right], "how far each layer moved", sentence, columns=2, least=300))
