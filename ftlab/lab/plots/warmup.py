"""The pictures of notebook 03: warm-up, the gallery of schedules, the first steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, ORANGE, Axis, Chart, Line, Mark, Sheet, rate_lines
from ftlab.lab.plots.runs import describe_schedule, rates_chart, step_axis
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture
    from ftlab.run import Run
    from ftlab.schedules import LRSchedule


def warmup_sheet(schedule: LRSchedule, without: LRSchedule) -> Sheet:
    """Describe every layer's rate by step, dashed the top layer's without warm-up, and its three corners as dots: the
    first step, the end of the warm-up, the last step."""
    top = len(schedule.layers) - 2
    last = schedule.total_steps - 1
    corners = np.isin(schedule.steps, [0, min(schedule.warmup_steps, last), last])
    lines = rate_lines(schedule.layers, schedule.steps, schedule.lr)
    if schedule.warmup_steps:
        lines = [Line("without warm-up", without.steps, without.lr[:, top], GREY, "5 3", 1.4), *lines]
    dots = Line("", schedule.steps[corners], schedule.lr[corners, top], ORANGE, width=0.0, marker="dot")
    chart = rates_chart(schedule, [*lines, dots], note="of every layer, with its corners", height=240)
    return Sheet([chart], "learning rate with and without warm-up", describe_schedule(schedule))


def gallery_sheet(schedules: Mapping[str, LRSchedule], chosen: str = "", columns: int = 4) -> Sheet:
    """Describe schedules side by side on common axes, one small chart each; the chosen one stands out by colour, width
    and a pointer before its name."""
    charts, sentences = [], []
    for name, schedule in schedules.items():
        style = (ORANGE, "", 3.0) if name == chosen else (BLUE, "", 1.8)
        line = Line("", schedule.steps, schedule.lr[:, -2], *style)
        title = f"▶ {name}" if name == chosen else name
        chart = rates_chart(schedule, [line], title=title, note="", height=95)
        charts.append(replace(chart, marks=(), x=replace(step_axis(schedule, "step"), ticks={})))
        sentences.append(f"{name}{' (chosen)' if name == chosen else ''}: {describe_schedule(schedule)}")
    return Sheet(charts, "the rate of every schedule by step", " ".join(sentences), columns=columns, least=160,
                 share="xy")  # fmt: skip


def plot_warmup(schedule: LRSchedule, without: LRSchedule) -> Picture:
    """Draw every layer's rate by step with its corners, and dashed the same schedule without warm-up."""
    return draw(warmup_sheet(schedule, without))


def plot_gallery(schedules: Mapping[str, LRSchedule], chosen: str = "", columns: int = 4) -> Picture:
    """Draw schedules side by side on common axes, one small picture each: {name: schedule}."""
    return draw(gallery_sheet(schedules, chosen, columns))


def plot_first_steps(runs: Mapping[str, Sequence[Run]], steps: int = 50) -> Picture:
    """Draw the loss of the first steps, one chart a label on common axes: {label: runs that differ in their seed}.

    Each run is a thin line, the median over a label's runs a thick one; a loss that is no number leaves a gap.
    """
    styles = [(ORANGE, "7 2.5"), (BLUE, ""), (GREY, "2 2.5")]
    charts, parts = [], []
    for i, (label, group) in enumerate(runs.items()):
        rows = np.full((len(group), steps), np.nan)
        for row, run in zip(rows, group, strict=True):
            loss = run.history.loss[:steps]
            row[: len(loss)] = np.where(np.isfinite(loss), loss, np.nan)
        rows = rows[:, np.isfinite(rows).any(axis=0)]
        style, at = styles[i % len(styles)], np.arange(rows.shape[1])
        lines = [Line("", at, row, style[0], width=0.9, opacity=0.5) for row in rows]
        lines.append(Line("", at, np.nanmedian(rows, axis=0), *style, 2.6))
        ends = {run.schedule.warmup_steps for run in group} - {0}
        marks = [Mark(step, "warm-up ends" if len(ends) == 1 else "") for step in ends if step < rows.shape[1]]
        axes = {"x": Axis("optimizer step", 0, max(1, steps - 1), whole=True), "y": Axis(log=True)}
        charts.append(Chart(label, lines, marks=marks, note="loss of each batch" if i == 0 else "", **axes, height=190))
        parts.append(
            f"{label}, {len(group)} runs: mean loss {number(np.nanmean(rows))}, highest {number(np.nanmax(rows))}"
        )
    return draw(Sheet(charts, f"loss of the first {steps} steps", "; ".join(parts) + ".", columns=len(charts),
                      least=180, share="xy", caption="Thin: one seed each. Bold: their median."))  # fmt: skip
