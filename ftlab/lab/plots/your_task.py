"""The picture of notebook 11: a whole plan, every layer's rate above and what the steps are spent on below."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from matplotlib.ticker import MaxNLocator

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, draw_marks, dress
from ftlab.lab.plots.runs import describe_schedule, schedule_marks, step_label

if TYPE_CHECKING:
    from ftlab.schedules import LRSchedule


def describe_plan(schedule: LRSchedule, spans: Mapping[str, tuple[int, str]]) -> str:
    """Say in words what `plot_plan` shows."""
    parts = "; ".join(f"{name}: {note}" for name, (_, note) in spans.items())
    return f"{describe_schedule(schedule)} In steps: {parts}."


def plot_plan(schedule: LRSchedule, spans: Mapping[str, tuple[int, str]], title: str) -> Picture:
    """Draw every layer's rate by step, and below it lengths in steps with a note each: {name: (steps, note)}."""
    figure = Picture(height=4.8, name="the plan of a run", sentence=describe_plan(schedule, spans))
    panes = figure.subplot_mosaic([["rate"], ["spans"]], height_ratios=[2.4, 1])
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    named = svg.pick(len(lines), 12)  # as many as the pane has room for
    lines = [line if i in named else replace(line, label="") for i, line in enumerate(lines)]
    end = schedule.total_steps
    draw_lines(panes["rate"], lines, "learning rate of every layer", step_label(schedule), "rate", x_end=end)
    panes["rate"].set_ylim(bottom=0)
    draw_marks(panes["rate"], schedule_marks(schedule))
    axes = panes["spans"]
    bars = axes.barh(list(spans), [steps for steps, _ in spans.values()], color=svg.BLUE[0])
    axes.bar_label(bars, [note for _, note in spans.values()], padding=4, fontsize=8)
    axes.invert_yaxis()
    dress(axes, title, "steps", "")
    axes.set_xticks([tick for tick in MaxNLocator(5, integer=True).tick_values(0, end) if tick <= end])
    axes.set_xlim(0, 1.9 * end)  # room for the notes
    axes.grid(axis="y", visible=False)
    return figure
