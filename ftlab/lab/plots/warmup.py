"""The pictures of notebook 03: warm-up, the gallery of schedules, the first steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, draw_marks
from ftlab.lab.plots.runs import describe_schedule, schedule_marks, step_label

if TYPE_CHECKING:
    from ftlab.run import Run
    from ftlab.schedules import LRSchedule


def warmup_lines(schedule: LRSchedule, without: LRSchedule) -> list[svg.Line]:
    """Return the lines of every layer's rate, dashed the top layer's without warm-up, and its three corners as dots:
    the first step, the end of the warm-up, the last step."""
    top = len(schedule.layers) - 2
    last = schedule.total_steps - 1
    corners = np.isin(schedule.steps, [0, min(schedule.warmup_steps, last), last])
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    if schedule.warmup_steps:
        plain = svg.Line("without warm-up", without.steps, without.lr[:, top], svg.GREY, "5 3", 1.4)
        lines = [plain, *lines]
    dots = svg.Line("corners", schedule.steps[corners], schedule.lr[corners, top], svg.ORANGE, width=0.0, dots=True)
    return [*lines, dots]


def gallery_lines(schedules: Mapping[str, LRSchedule], chosen: str = "") -> list[tuple[str, svg.Line, str]]:
    """Return for each schedule its title, the line of the top layer's rate and a sentence; the chosen one stands out
    by colour, width and a pointer before its name."""
    return [
        (
            f"▶ {name}" if name == chosen else name,
            svg.Line("", s.steps, s.lr[:, -2], *((svg.ORANGE, "", 3.0) if name == chosen else (svg.BLUE, "", 1.8))),
            f"{name}{' (chosen)' if name == chosen else ''}: {describe_schedule(s)}",
        )
        for name, s in schedules.items()
    ]


def plot_warmup(schedule: LRSchedule, without: LRSchedule) -> Picture:
    """Draw every layer's rate by step with its corners, and dashed the same schedule without warm-up."""
    figure = Picture(name="learning rate with and without warm-up", sentence=describe_schedule(schedule))
    axes = figure.subplots()
    lines = warmup_lines(schedule, without)
    title = "learning rate with its corners"
    draw_lines(axes, lines, title, step_label(schedule), "rate", x_end=schedule.total_steps)
    draw_marks(axes, schedule_marks(schedule))
    top = max(schedule.lr.max(), without.lr.max()) or 1.0
    axes.set_ylim(-0.02 * top, 1.15 * top)  # room for the dots below, and for the mark's words above
    return figure


def plot_gallery(schedules: Mapping[str, LRSchedule], chosen: str = "", columns: int = 4) -> Picture:
    """Draw schedules side by side on common axes, one small picture each: {name: schedule}."""
    charts = gallery_lines(schedules, chosen)
    columns = min(columns, len(charts))
    rows = -(-len(charts) // columns)
    sentence = " ".join(sentence for _, _, sentence in charts)
    figure = Picture(height=0.4 + 1.75 * rows, name="the rate of every schedule by step", sentence=sentence)
    panes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for i, axes in enumerate(panes.flat):
        if i >= len(charts):
            axes.set_visible(False)
            continue
        title, line, _ = charts[i]
        below = i + columns >= len(charts)
        end = max(s.total_steps for s in schedules.values())
        draw_lines(axes, [line], title, "step" if below else "", "rate" if i % columns == 0 else "", x_end=end)
        axes.title.set_fontsize(8.5)
        axes.tick_params(labelbottom=below)
    panes[0, 0].set_ylim(bottom=0)
    return figure


def plot_first_steps(runs: Mapping[str, Sequence[Run]], steps: int = 50) -> Picture:
    """Draw loss and gradient norm of the first steps: {label: runs that differ in their seed}.

    Each run is a thin line, the median over a label's runs a thick one; the norm is that before clipping.
    """
    looks = [(svg.ORANGE, "7 2.5"), (svg.BLUE, ""), (svg.GREY, "2 2.5")]
    columns = {"loss": {}, "grad_norm": {}}
    for label, group in runs.items():
        for column, table in columns.items():
            rows = np.full((len(group), steps), np.nan)
            for row, run in zip(rows, group, strict=True):
                values = getattr(run.history, column)[:steps]
                row[: len(values)] = np.where(np.isfinite(values), values, np.nan)
            table[label] = rows[:, np.isfinite(rows).any(axis=0)]
    parts = [
        f"{label}, {len(group)} runs: mean loss {svg.number(np.nanmean(columns['loss'][label]))}, largest norm "
        f"{svg.number(np.nanmax(columns['grad_norm'][label]))}"
        for label, group in runs.items()
    ]
    figure = Picture(
        height=3.6, name=f"loss and gradient norm of the first {steps} steps", sentence="; ".join(parts) + "."
    )
    panes = figure.subplots(1, 2)
    for axes, (column, title) in zip(panes, {"loss": "loss", "grad_norm": "gradient norm"}.items(), strict=True):
        lines = []
        for (colour, dash), (label, rows) in zip(looks, columns[column].items(), strict=False):
            at = np.arange(rows.shape[1])
            lines += [svg.Line("", at, row, colour, dash, 0.9, 0.45) for row in rows]
            lines.append(svg.Line(label, at, np.nanmedian(rows, axis=0), colour, dash, 2.6))
        longest = max(rows.shape[1] for rows in columns[column].values())
        heading, log = f"{title}: each seed thin, median bold", column == "grad_norm"
        draw_lines(axes, lines, heading, "step", title, x_end=longest - 1, log=log)
    ends = {run.schedule.warmup_steps for group in runs.values() for run in group} - {0}
    for axes in panes:
        seen = [step for step in ends if step < longest]
        draw_marks(axes, [svg.Mark(step, "warm-up ends" if len(ends) == 1 else "") for step in seen])
    panes[1].yaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(value)))
    return figure
