"""The pictures of notebook 08 on batch size: the noise of its gradient, the memory it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, dress
from ftlab.tuning.memory import DEVICE_SIZES, MemoryEstimate, readable

if TYPE_CHECKING:
    from ftlab.tuning.gradient_noise import GradientNoise
    from ftlab.tuning.memory_meter import MeasuredMemory

# part of the memory: (colour, hatch)
PART_LOOKS = {
    "weights": (svg.BLUE, ""),
    "gradients": (("#5F9ED1", "#A2C8EC"), "//"),
    "optimizer states": (svg.GREY, ""),
    "averaged copy": (("#ABABAB", "#CFCFCF"), ".."),
    "16-bit weights": (("#A2C8EC", "#5F9ED1"), "xx"),
    "activations": (svg.ORANGE, "\\\\"),
}


def plot_gradient_noise(noises: Mapping[str, GradientNoise]) -> Picture:
    """Draw the measured variance of the batch gradient by batch size beside the law tr(Sigma) / B.

    noises: {label: measurement}, up to three. The level line is |G|^2, the signal; it meets the law at B_simple.
    """
    parts = [
        f"{label}: variance {svg.number(n.variance[0])} at batch size {n.batch_sizes[0]}, "
        f"{svg.number(n.variance[-1])} at {n.batch_sizes[-1]}, "
        f"noise scale {_scale(n.b_simple)}"
        for label, n in noises.items()
    ]
    figure = Picture(height=3.9, name="gradient noise by batch size", sentence="; ".join(parts) + ".")
    axes = figure.subplots()
    looks = [(svg.BLUE[0], "o", "--"), (svg.ORANGE[0], "s", "-."), (svg.INK[0], "^", ":")]
    reach = max(n.batch_sizes[-1] for n in noises.values())
    shown = [n.b_simple for n in noises.values() if n.b_simple < 64 * reach]  # a scale further off has no place
    end = 1.3 * max([reach, *shown])
    for (label, n), (colour, marker, dash) in zip(noises.items(), looks, strict=False):
        sizes = np.geomspace(n.batch_sizes[0], end, 50)
        axes.plot(n.batch_sizes, n.variance, marker, color=colour, markersize=6, label=f"{label}: measured")
        axes.plot(sizes, max(n.noise, 1e-300) / sizes, dash, color=colour, linewidth=1.2, label="its law, tr(Σ) / B")
        if n.signal > 0:
            text = f"its signal |G|²; noise scale {_scale(n.b_simple)}"
            axes.axhline(n.signal, color=colour, linestyle=dash, linewidth=0.9, alpha=0.6, label=text)
            if n.b_simple in shown:
                axes.plot(n.b_simple, n.signal, marker, color="white", markeredgecolor=colour, markersize=9)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    dress(axes, "how far a batch's gradient strays", "batch size B", "variance of the gradient")
    return figure


def _scale(b_simple: float) -> str:
    return f"{b_simple:.3g} examples" if math.isfinite(b_simple) else "beyond measure"


def plot_memory(memories: Mapping[str, MemoryEstimate | MeasuredMemory]) -> Picture:
    """Draw what a training step holds: one bar a setting, its parts one after the other, its peak as a stroke.

    memories: {label: estimate or measurement}. Dashed lines are the sizes of common GPUs, as far as they are in reach.
    """
    totals = {label: sum(m.parts.values()) for label, m in memories.items()}
    sentence = " ".join(describe_memory(m, label) for label, m in memories.items())
    figure = Picture(height=1.5 + 0.5 * len(memories), name="memory of a training step", sentence=sentence)
    axes = figure.subplots()
    starts = dict.fromkeys(memories, 0.0)
    for part, (colour, hatch) in PART_LOOKS.items():
        sizes = {label: m.parts.get(part, 0) / 1e9 for label, m in memories.items()}
        if any(sizes.values()):
            axes.barh(
                list(sizes), list(sizes.values()), left=list(starts.values()), height=0.62, label=part,
                color=colour[0], hatch=hatch, edgecolor="white", linewidth=0.6,
            )  # fmt: skip
        starts = {label: starts[label] + size for label, size in sizes.items()}
    end = max(*totals.values(), *(m.peak for m in memories.values())) / 1e9
    for row, (label, m) in enumerate(memories.items()):
        peak = m.peak / 1e9
        text = "most at one moment" if row == 0 else None
        axes.plot([peak, peak], [row - 0.42, row + 0.42], color="white", linewidth=5)
        axes.plot([peak, peak], [row - 0.42, row + 0.42], color="black", linewidth=2.4, label=text)
        text = f"at most {readable(m.peak)}"
        axes.text(max(peak, totals[label] / 1e9) + 0.015 * end, row, text, va="center", fontsize=8)
    axes.set_xlim(0, 1.25 * end)
    for size in DEVICE_SIZES:
        if size <= 1.25 * end:
            axes.axvline(size, color="black", linewidth=0.9, linestyle=(0, (4, 3)), alpha=0.7)
            axes.text(size, -0.62, f" {size} GB GPU", fontsize=8, va="bottom")
    axes.set_ylim(len(memories) - 0.5, -0.75)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    dress(axes, "what a training step holds", "GB", "")
    axes.grid(axis="y", visible=False)
    return figure


def describe_memory(memory: MemoryEstimate | MeasuredMemory, label: str = "a training step") -> str:
    """Say in a sentence what a step holds."""
    parts = ", ".join(f"{part} {readable(size)}" for part, size in memory.parts.items())
    return f"{label}: {parts}; at most {readable(memory.peak)} at one moment."


def memory_lines(batch_sizes: Sequence[int], peaks: Sequence[int]) -> list[svg.Line]:
    """Return the line of the peak by batch size, in GB, and level ones for the GPU sizes up to the next above it."""
    ends = np.array([batch_sizes[0], batch_sizes[-1]], dtype=np.float64)
    gigabytes = np.asarray(peaks) / 1e9
    lines = [svg.Line("this setting", np.asarray(batch_sizes), gigabytes, svg.ORANGE, width=2.4)]
    for size, dash in zip(DEVICE_SIZES, ("2 2.5", "6 3", "9 3 2 3", "12 4"), strict=True):
        lines.append(svg.Line(f"{size} GB GPU", ends, np.full(2, float(size)), svg.GREY, dash, 1.4))
        if size >= gigabytes.max():
            break
    return lines


def plot_memory_setting(
    memory: MemoryEstimate, batch_sizes: Sequence[int], peaks: Sequence[int], now: int, label: str
) -> Picture:
    """Draw the parts of one setting's memory, and beside them its peak by batch size with common GPU sizes.

    peaks: bytes, one for each of batch_sizes. now: the present batch size. label: the setting's name in the sentence.
    """
    names, values, looks = memory_bars(memory)
    figure = Picture(height=3.4, name="memory by part and by batch size", sentence=describe_memory(memory, label))
    left, right = figure.subplots(1, 2)
    bars = left.barh(names, values, color=[colour[0] for colour, _ in looks], hatch=[hatch for _, hatch in looks])
    left.bar_label(bars, [readable(1e9 * value) for value in values], padding=3, fontsize=8)
    left.invert_yaxis()
    left.set_xlim(0, 1.35 * max(values))
    dress(left, "what a training step holds", "GB", "")
    left.grid(axis="y", visible=False)
    title = "most at one moment, by batch size"
    draw_lines(right, memory_lines(batch_sizes, peaks), title, "batch size", "GB", x_end=batch_sizes[-1])
    right.plot(now, memory.peak / 1e9, "o", color=svg.ORANGE[0], markersize=7)
    right.set_ylim(bottom=0)
    return figure


def memory_bars(memory: MemoryEstimate) -> tuple[list[str], list[float], list[tuple[svg.Colour, str]]]:
    """Return names, sizes in GB and looks of the bars: the parts, the peak, and the best weights, kept elsewhere."""
    names = [*memory.parts, "most at one moment", "best copy, main memory"]
    values = [size / 1e9 for size in (*memory.parts.values(), memory.peak, memory.best_checkpoint)]
    return names, values, [*(PART_LOOKS[part] for part in memory.parts), (svg.INK, ""), (svg.GREY, "--")]
