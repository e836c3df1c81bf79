"""The picture of notebook 09: what a missing bias correction makes of a learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab.chart import BLUE, ORANGE, Axis, Chart, Line, Sheet, thin
from ftlab.lab.plots.runs import describe_schedule, rates_chart, step_axis

if TYPE_CHECKING:
    from ftlab.schedules import LRSchedule


def how_much_farther(schedule: LRSchedule, factor: np.ndarray) -> float:
    """Return the sum of the top layer's rates in effect, over that of its scheduled ones; NaN if they are all 0."""
    rate = schedule.lr[:, -2]
    return float(np.sum(rate * factor) / np.sum(rate)) if np.any(rate) else float("nan")


def effective_sheet(schedule: LRSchedule, factor: np.ndarray, optimizer: str = "BertAdam") -> Sheet:
    """Describe the top layer's rate by step, scheduled and in effect, and below it the factor between the two.

    factor (S,): one for every step of the schedule, as `ftlab.bert_schedules.missing_correction` gives it.
    """
    rate, farther = schedule.lr[:, -2], how_much_farther(schedule, factor)
    rates = [
        Line("scheduled", *thin(schedule.steps, rate), BLUE, "6 3", 1.8),
        Line("in effect", *thin(schedule.steps, rate * factor), ORANGE, width=2.4),
    ]
    factors = [
        Line("with correction", schedule.steps[[0, -1]], np.ones(2), BLUE, "6 3", 1.8),
        Line(optimizer, *thin(schedule.steps, factor), ORANGE, width=2.4),
    ]
    note = f"scheduled and in effect, {farther:.2f} times as much" if farther > 1 else "scheduled and in effect"
    high = 1.06 * max(1.0, float(factor.max()))
    charts = [
        rates_chart(schedule, rates, note=note),
        Chart("Factor", factors, note="between the two", x=step_axis(schedule), y=Axis(low=0, high=high), height=110),
    ]
    sentence = describe_effective(schedule, factor)
    return Sheet(charts, "rate scheduled and rate in effect, by step", sentence, share="x")


def describe_effective(schedule: LRSchedule, factor: np.ndarray) -> str:
    """Say in words what the pictures of a rate in effect show."""
    farther = how_much_farther(schedule, factor)
    if np.isnan(farther):
        return "Every rate is 0."
    most = int(np.argmax(factor))
    return (
        f"{describe_schedule(schedule)} In effect the rate is {factor[0]:.2f} times that at step 0, at most "
        f"{factor[most]:.2f} times at step {schedule.steps[most]} and {factor[-1]:.2f} times at step "
        f"{schedule.steps[-1]}; over the run {farther:.2f} times as much."
    )
