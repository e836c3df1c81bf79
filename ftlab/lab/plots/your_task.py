"""The picture of notebook 11: a whole plan, every layer's rate above and what the steps are spent on below."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ftlab.lab.chart import Axis, Bar, Chart, Sheet
from ftlab.lab.plots.runs import describe_schedule, rates_chart, step_axis

if TYPE_CHECKING:
    from ftlab.schedules import LRSchedule


def describe_plan(schedule: LRSchedule, spans: Mapping[str, tuple[int, str]]) -> str:
    """Say in words what `plan_sheet` shows."""
    parts = "; ".join(f"{name}: {note}" for name, (_, note) in spans.items())
    return f"{describe_schedule(schedule)} In steps: {parts}."


def plan_sheet(schedule: LRSchedule, spans: Mapping[str, tuple[int, str]], title: str, log: bool = False) -> Sheet:
    """Describe every layer's rate by step, and below it lengths in steps with a note each: {name: (steps, note)}."""
    bars = [Bar(row, steps, note=note) for row, (steps, note) in enumerate(spans.values())]
    lengths = Chart(title, bars=bars, x=step_axis(schedule), y=Axis(names=list(spans)))
    charts = [rates_chart(schedule, log=log), lengths]
    return Sheet(charts, "the plan of a run", describe_plan(schedule, spans), share="x")
