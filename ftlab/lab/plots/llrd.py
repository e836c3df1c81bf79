"""The pictures of notebook 02: every layer's rate, as bars and by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, draw_marks, dress
from ftlab.lab.plots.runs import schedule_marks, step_label

if TYPE_CHECKING:
    from ftlab.schedules import LRSchedule


def describe_layer_rates(
    layers: Sequence[str], rates: Sequence[float], others: Sequence[float] | None = None, name: str = ""
) -> str:
    """Say in one sentence which rate each layer has, neighbours with equal rates together, and what is compared."""
    groups = svg.layer_groups(layers, np.asarray(rates, dtype=np.float64)[None])
    parts = [f"{label} {svg.number(rates[i])}" for label, i in groups]
    text = f"Rate by layer: {', '.join(parts)}"
    if others is not None:
        text += f"; for comparison, {name}: {layers[0]} {svg.number(others[0])}, {layers[-2]} {svg.number(others[-2])}"
    return text + "."


def plot_layer_rates(
    schedule: LRSchedule,
    rates: Sequence[float],
    others: Sequence[float] | None = None,
    *,
    name: str = "",
    log: bool = False,
) -> Picture:
    """Draw the full rate of every layer as bars and, beside them, every layer's rate by step.

    rates: (L + 2,), embeddings first. others: rates to compare with, a stroke across each bar; `name` says whose.
    """
    sentence = describe_layer_rates(schedule.layers, rates, others, name)
    figure = Picture(10.0, 1.9 + 0.22 * len(rates), name="rate by layer and by step", sentence=sentence)
    bars, lines = figure.subplots(1, 2, width_ratios=[1, 1.15])
    colours = [*(colour[0] for colour in svg.depth_colours(len(rates) - 1)), svg.ORANGE[0]]
    bars.barh(schedule.layers, rates, color=colours, hatch=[*[""] * (len(rates) - 1), "//"])
    smallest = min((rate for rate in (*rates, *(() if others is None else others)) if rate > 0), default=0)
    log = log and smallest > 0
    if log:  # where the bars of a logarithmic axis begin is a choice; a rate of 0 has none
        bars.set_xscale("log")
        bars.set_xlim(left=10.0 ** np.floor(np.log10(smallest) - 0.01))
    for row, rate in enumerate(rates):
        where = bars.get_xlim()[0] if log and rate == 0 else rate
        bars.annotate(
            svg.number(rate), (where, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
        )
    if others is not None:
        bars.scatter(
            others, range(len(rates)), marker="|", s=110, linewidths=2.2, color=svg.INK[0], label=f"stroke: {name}",
            zorder=3, path_effects=[Stroke(linewidth=5, foreground="white"), Normal()],
        )  # fmt: skip
        bars.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    bars.margins(x=0.22)
    if log:
        bars.set_xlim(right=max(rates) * (max(rates) / bars.get_xlim()[0]) ** 0.2)
    dress(bars, "full rate of every layer", "rate", "")
    bars.xaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(float(f"{value:.6g}"))))
    bars.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6) if log else MaxNLocator(nbins=4))
    bars.xaxis.set_minor_locator(NullLocator())
    bars.grid(axis="y", visible=False)
    draw_lines(
        lines,
        svg.rate_lines(schedule.layers, schedule.steps, schedule.lr),
        "rate of every layer by step",
        step_label(schedule),
        "rate",
        x_end=schedule.total_steps,
        log=log,
    )
    if not log:
        lines.set_ylim(bottom=0)
    draw_marks(lines, schedule_marks(schedule))
    return figure
