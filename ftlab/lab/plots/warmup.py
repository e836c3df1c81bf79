"""The pictures of notebook 03: warm-up, the gallery of schedules, the first steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, ORANGE, Axis, Chart, Line, Mark, Sheet, rate_lines
from ftlab.lab.figure import Picture, draw
from ftlab.lab.plots.runs import describe_schedule, rates_chart, step_axis

if TYPE_CHECKING:
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
    """Draw loss and gradient norm of the first steps: {label: runs that differ in their seed}.

    Each run is a thin line, the median over a label's runs a thick one; the norm is that before clipping.
    """
    styles = [(ORANGE, "7 2.5"), (BLUE, ""), (GREY, "2 2.5")]
    columns = {"loss": {}, "grad_norm": {}}
    for label, group in runs.items():
        for column, table in columns.items():
            rows = np.full((len(group), steps), np.nan)
            for row, run in zip(rows, group, strict=True):
                values = getattr(run.history, column)[:steps]
                row[: len(values)] = np.where(np.isfinite(values), values, np.nan)
            table[label] = rows[:, np.isfinite(rows).any(axis=0)]
    parts = [
        f"{label}, {len(group)} runs: mean loss {number(np.nanmean(columns['loss'][label]))}, largest norm "
        f"{number(np.nanmax(columns['grad_norm'][label]))}"
        for label, group in runs.items()
    ]
    ends = {run.schedule.warmup_steps for group in runs.values() for run in group} - {0}
    charts = []
    for column, title in {"loss": "Loss", "grad_norm": "Gradient norm"}.items():
        lines = []
        for style, (label, rows) in zip(styles, columns[column].items(), strict=False):
            at = np.arange(rows.shape[1])
            lines += [Line("", at, row, *style, 0.9, 0.45) for row in rows]
            lines.append(Line(label, at, np.nanmedian(rows, axis=0), *style, 2.6))
        longest = max(rows.shape[1] for rows in columns[column].values())
        marks = [Mark(step, "warm-up ends" if len(ends) == 1 else "") for step in ends if step < longest]
        axes = {"x": Axis("optimizer step", 0, max(1, longest - 1), whole=True), "y": Axis(log=column == "grad_norm")}
        charts.append(Chart(title, lines, note="each seed thin, median bold", marks=marks, **axes, labels="above"))
    name = f"loss and gradient norm of the first {steps} steps"
    return draw(Sheet(charts, name, "; ".join(parts) + ".", columns=2))
