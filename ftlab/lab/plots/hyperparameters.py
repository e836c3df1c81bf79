"""The pictures of notebook 08 on batch size: the noise of its gradient, the memory it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet
from ftlab.lab.still import draw
from ftlab.tuning.memory import DEVICE_SIZES, MemoryEstimate, readable

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture
    from ftlab.tuning.gradient_noise import GradientNoise
    from ftlab.tuning.memory_meter import MeasuredMemory


def plot_gradient_noise(noises: Mapping[str, GradientNoise]) -> Picture:
    """Draw the measured variance of the batch gradient by batch size over the law tr(Sigma) / B, a chart a measurement.

    noises: {label: measurement}. The level line is |G|^2, the signal; it meets the law at B_simple. All charts share
    their axes, which reach as far as the noise scales that lie within 64 times the largest batch.
    """
    parts = [
        f"{label}: variance {number(n.variance[0])} at batch size {n.batch_sizes[0]}, "
        f"{number(n.variance[-1])} at {n.batch_sizes[-1]}, "
        f"noise scale {_scale(n.b_simple)}"
        for label, n in noises.items()
    ]
    reach = max(n.batch_sizes[-1] for n in noises.values())
    shown = [n.b_simple for n in noises.values() if n.b_simple < 64 * reach]  # a scale further off has no place
    start, end = min(n.batch_sizes[0] for n in noises.values()), 1.3 * max([reach, *shown])
    ticks = {float(size): f"{size:g}" for size in 2.0 ** np.arange(0, 20, 2) if 0.9 * start <= size <= end}
    x, charts = Axis("batch size B", 0.9 * start, end, log=True, ticks=ticks), []
    for label, n in noises.items():
        sizes = np.geomspace(n.batch_sizes[0], end, 50)
        at, law = np.asarray(n.batch_sizes, dtype=np.float64), max(n.noise, 1e-300) / sizes
        lines = [
            Line("tr(Σ) / B", sizes, law, BLUE, "6 3", 1.4),
            Line("measured", at, np.asarray(n.variance), BLUE, width=0, marker="dot"),
        ]
        if n.signal > 0:
            lines.append(Line("signal |G|²", np.array([start, end]), np.full(2, n.signal), ORANGE, width=1.8))
        if n.signal > 0 and n.b_simple in shown:
            lines.append(Line("", np.array([n.b_simple]), np.array([n.signal]), INK, width=0, marker="circle"))
        note = f"noise of a batch's gradient; noise scale {_scale(n.b_simple)}"
        charts.append(Chart(label, lines, note=note, x=x, y=Axis(log=True), labels="above", height=220))
    return draw(Sheet(charts, "gradient noise by batch size", "; ".join(parts) + ".", columns=2, share="xy"))


def _scale(b_simple: float) -> str:
    return f"{b_simple:.3g} examples" if math.isfinite(b_simple) else "beyond measure"


PART_COLOURS = {"gradients": ("#5F9ED1", "#A2C8EC"), "optimizer states": GREY, "averaged copy": ("#8A8A8A", "#CFCFCF"),
                "activations": ORANGE, "most at one moment": INK, "best copy, main memory": GREY}  # fmt: skip
"""Colours of the bars of memory that are not blue. Every bar has its name beside it, so none is known by its colour."""


def memory_chart(memory: MemoryEstimate | MeasuredMemory, title: str, rows: Sequence[str], note: str = "") -> Chart:
    """Describe what a training step holds: one bar a part and the peak, in GB; a row without a value stays empty.

    A measurement's bars are crossed by a stroke where the formulas' estimate lies.
    """
    sizes = {**memory.parts, "most at one moment": memory.peak}
    estimate = getattr(memory, "estimate", None)
    expected = {} if estimate is None else {**estimate.parts, "most at one moment": estimate.peak}
    if (best := getattr(memory, "best_checkpoint", None)) is not None:
        sizes["best copy, main memory"] = best
    bars = [
        Bar(
            row,
            sizes[name] / 1e9,
            PART_COLOURS.get(name, BLUE),
            readable(sizes[name]),
            stroke=expected.get(name, math.nan) / 1e9,
        )  # fmt: skip
        for row, name in enumerate(rows)
        if name in sizes
    ]
    return Chart(title, bars=bars, x=Axis("GB", low=0), y=Axis(names=rows), note=note)


def plot_memory(memories: Mapping[str, MemoryEstimate | MeasuredMemory]) -> Picture:
    """Draw what a training step holds: one chart a setting, one bar a part and one for the peak, on one scale.

    memories: {label: estimate or measurement}. Dashed lines are the sizes of common GPUs, as far as they are in reach.
    Strokes across the bars of a measurement are the estimates.
    """
    rows = [*dict.fromkeys(part for m in memories.values() for part in m.parts), "most at one moment"]
    notes = ["measured; stroke: estimated" if getattr(m, "estimate", None) else "" for m in memories.values()]
    charts = [memory_chart(m, label, rows, note) for (label, m), note in zip(memories.items(), notes, strict=True)]
    end = 1.25 * max(bar.value for chart in charts for bar in chart.bars)
    gpus = [Mark(size, f"{size} GB GPU") for size in DEVICE_SIZES if size <= end]
    charts = [replace(c, x=Axis("GB", 0, end), marks=gpus) for c in charts]
    sentence = " ".join(describe_memory(m, label) for label, m in memories.items())
    return draw(Sheet(charts, "memory of a training step", sentence, columns=2, share="xy"))


def describe_memory(memory: MemoryEstimate | MeasuredMemory, label: str = "a training step") -> str:
    """Say in a sentence what a step holds."""
    parts = ", ".join(f"{part} {readable(size)}" for part, size in memory.parts.items())
    return f"{label}: {parts}; at most {readable(memory.peak)} at one moment."


def memory_lines(batch_sizes: Sequence[int], peaks: Sequence[int]) -> list[Line]:
    """Return the line of the peak by batch size, in GB, and level ones for the GPU sizes up to the next above it."""
    ends = np.array([batch_sizes[0], batch_sizes[-1]], dtype=np.float64)
    gigabytes = np.asarray(peaks) / 1e9
    lines = [Line("this setting", np.asarray(batch_sizes), gigabytes, ORANGE, width=2.4)]
    for size, dash in zip(DEVICE_SIZES, ("2 2.5", "6 3", "9 3 2 3", "12 4"), strict=True):
        lines.append(Line(f"{size} GB GPU", ends, np.full(2, float(size)), GREY, dash, 1.4))
        if size >= gigabytes.max():
            break
    return lines


def memory_sheet(
    memory: MemoryEstimate,
    batch_sizes: Sequence[int],
    peaks: Sequence[int],
    now: int,
    label: str,
    title: str,
    note: str,
) -> Sheet:
    """Describe the parts of one setting's memory, and its peak by batch size with common GPU sizes.

    peaks: bytes, one for each of batch_sizes. now: the present batch size. label: the setting's name in the sentence.
    """
    rows = [*memory.parts, "most at one moment", "best copy, main memory"]
    lines = memory_lines(batch_sizes, peaks)
    here = Line("", np.array([now]), np.array([memory.peak / 1e9]), ORANGE, width=0, marker="dot")
    growth = Chart("Peak", [*lines, here], note="by batch size", marks=[Mark(now, f"batch {now}")], height=170,
                   x=Axis("batch size", whole=True), y=Axis(low=0))  # fmt: skip
    parts = memory_chart(memory, title, rows, note)
    sentence = describe_memory(memory, label)
    return Sheet([parts, growth], "memory by part and by batch size", sentence, columns=2)
