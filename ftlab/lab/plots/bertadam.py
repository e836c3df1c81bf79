"""The pictures of notebook 09: what a missing bias correction makes of a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, draw_marks
from ftlab.lab.plots.runs import describe_schedule, schedule_marks, step_label

if TYPE_CHECKING:
    from ftlab.schedules import LRSchedule


def how_much_farther(schedule: LRSchedule, factor: np.ndarray) -> float:
    """Return the sum of the top layer's rates in effect, over that of its scheduled ones; NaN if they are all 0."""
    rate = schedule.lr[:, -2]
    return float(np.sum(rate * factor) / np.sum(rate)) if np.any(rate) else float("nan")


def effective_lines(schedule: LRSchedule, factor: np.ndarray) -> tuple[list[svg.Line], list[svg.Line]]:
    """Return the lines of the top layer's rate, scheduled and in effect, and those of the factor between them.

    factor (S,): one for every step of the schedule, as `ftlab.schedules.missing_correction` gives it.
    """
    rate = schedule.lr[:, -2]
    rates = [
        svg.Line("scheduled", *svg.thin(schedule.steps, rate), svg.BLUE, "6 3", 1.8),
        svg.Line("in effect", *svg.thin(schedule.steps, rate * factor), svg.ORANGE, width=2.4),
    ]
    factors = [
        svg.Line("with correction", schedule.steps[[0, -1]], np.ones(2), svg.BLUE, "6 3", 1.8),
        svg.Line("this optimizer", *svg.thin(schedule.steps, factor), svg.ORANGE, width=2.4),
    ]
    return rates, factors


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


def plot_effective(schedule: LRSchedule, factor: np.ndarray) -> Picture:
    """Draw the top layer's rate by step, scheduled and in effect, and beside it the factor between the two."""
    rates, factors = effective_lines(schedule, factor)
    figure = Picture(name="rate scheduled and rate in effect, by step", sentence=describe_effective(schedule, factor))
    left, right = figure.subplots(1, 2)
    end, label = schedule.total_steps, step_label(schedule)
    draw_lines(left, rates, "rate, scheduled and in effect", label, "rate", x_end=end)
    draw_lines(right, factors, "how many times as large", label, "factor", x_end=end)
    draw_marks(left, schedule_marks(schedule))
    for axes, lines in ((left, rates), (right, factors)):
        top = max(float(line.y.max()) for line in lines) or 1.0
        axes.set_ylim(-0.02 * top, 1.15 * top)
    return figure
