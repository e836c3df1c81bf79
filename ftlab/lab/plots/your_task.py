"""The pictures of notebook 11: a whole plan in steps; learning rates of models of different depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab.chart import BLUE, GREY, ORANGE, Axis, Bar, Chart, Line, Sheet
from ftlab.lab.plots.runs import describe_schedule, rates_chart, step_axis
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture
    from ftlab.schedules import LRSchedule


def describe_plan(schedule: LRSchedule, spans: Mapping[str, tuple[int, str]]) -> str:
    """Say in words what `plan_sheet` shows."""
    parts = "; ".join(f"{name}: {note}" for name, (_, note) in spans.items())
    return f"{describe_schedule(schedule)} In steps: {parts}."


def spans_chart(schedule: LRSchedule, spans: Mapping[str, tuple[int, str]], title: str) -> Chart:
    """Describe lengths in steps, with a note each: {name: (steps, note)}."""
    bars = [Bar(row, steps, note=note) for row, (steps, note) in enumerate(spans.values())]
    return Chart(title, bars=bars, x=step_axis(schedule), y=Axis(names=list(spans)))


def plan_sheet(schedule: LRSchedule, spans: Mapping[str, tuple[int, str]], title: str, log: bool = False) -> Sheet:
    """Describe every layer's rate by step, and below it lengths in steps with a note each: {name: (steps, note)}."""
    charts = [rates_chart(schedule, log=log), spans_chart(schedule, spans, title)]
    return Sheet(charts, "the plan of a run", describe_plan(schedule, spans), share="x")


def plot_depth_shares(rates: Mapping[str, Sequence[float]]) -> Picture:
    """Draw each layer's learning rate as a share of the top layer's, over the depth from embeddings to top layer.

    rates: {label: full learning rates from the embeddings (0) to the top layer}, models of any depth on one axis.
    """
    styles = [(BLUE, "", "circle", 6.0), (ORANGE, "", "dot", 1.8), (GREY, "5 3", "triangle", 1.8)]
    lines, parts = [], []
    for (label, values), (colour, dash, marker, width) in zip(rates.items(), styles, strict=False):
        share = np.asarray(values, dtype=np.float64) / values[-1]
        depth = np.linspace(0, 1, len(share))
        look = {"width": width, "opacity": 0.5 if width > 2 else 1.0, "marker": marker}
        lines.append(Line(label, depth, share, colour, dash, note=f"embeddings {share[0]:.3f}", **look))
        parts.append(f"{label}: embeddings {share[0]:.3f} of the top layer's rate")
    x = Axis("depth", -0.04, 1.04, ticks={0: "embeddings", 0.5: "middle", 1: "top layer"})
    y, note = Axis(low=0, high=1.08), "as a share of the top layer's"
    chart = Chart("Learning rate", lines, note=note, x=x, y=y, height=190, labels="above")
    return draw(Sheet([chart], "learning rates by depth", "; ".join(parts) + "."))
