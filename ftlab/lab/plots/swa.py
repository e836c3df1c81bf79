"""The pictures of notebook 05: the averaging phase, the averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import METRIC_NAMES, Picture, draw_lines, draw_marks, dress
from ftlab.lab.plots.runs import describe_schedule, schedule_marks, score_lines, step_label

if TYPE_CHECKING:
    from ftlab.history import History
    from ftlab.schedules import LRSchedule


def averaging_phases(schedule: LRSchedule, anneal_steps: int = 0) -> dict[str, int]:
    """Count a schedule's steps by what becomes of their weights: {phase: steps}, in the order of the run.

    anneal_steps: over which the rates move to a flat one, 0 if each layer keeps its own.
    """
    if schedule.swa_step is None:
        return {"not averaged": schedule.total_steps}
    left = schedule.total_steps - schedule.swa_step
    annealing = min(anneal_steps, left)
    phases = {"not averaged": schedule.swa_step}
    if annealing:
        phases["averaged, annealing"] = annealing
    return {**phases, "averaged": left - annealing}


PHASE_COLOURS = {"not averaged": svg.GREY, "averaged, annealing": svg.ORANGE, "averaged": svg.BLUE}


def averaged_share(schedule: LRSchedule) -> float:
    """Return which share of a run's steps enters the average."""
    return 0.0 if schedule.swa_step is None else 1 - schedule.swa_step / schedule.total_steps


def averaging_lines(schedule: LRSchedule) -> list[svg.Line]:
    """Return the lines of every layer's rate, with a broad band under each where the weights are averaged."""
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    bands = []
    if schedule.swa_step is not None:
        for line in lines:
            averaged = line.x >= schedule.swa_step
            bands.append(
                replace(line, label="", x=line.x[averaged], y=line.y[averaged], dash="", width=7.0, opacity=0.28)
            )
    return bands + lines


def describe_averaging(schedule: LRSchedule, anneal_steps: int = 0) -> str:
    """Say in words what `plot_averaging_plan` shows: every layer's rate, and how many steps are averaged."""
    phases = averaging_phases(schedule, anneal_steps)
    counts = "; ".join(f"{phase}: {steps}" for phase, steps in phases.items())
    return (
        f"{describe_schedule(schedule)} Steps {counts}; {averaged_share(schedule):.0%} of {schedule.total_steps} "
        "are averaged."
    )


def plot_averaging_plan(schedule: LRSchedule, anneal_steps: int = 0) -> Picture:
    """Draw every layer's rate by step with the averaging phase bold, and below it how the steps are shared out."""
    figure = Picture(
        height=4.2,
        name="learning rates and the steps that are averaged",
        sentence=describe_averaging(schedule, anneal_steps),
    )
    panes = figure.subplot_mosaic([["rate"], ["share"]], height_ratios=[3.4, 1])
    end = schedule.total_steps
    draw_lines(panes["rate"], averaging_lines(schedule), "learning rate of every layer", "", "rate", x_end=end)
    panes["rate"].set_ylim(bottom=0)
    draw_marks(panes["rate"], schedule_marks(schedule))
    phases = averaging_phases(schedule, anneal_steps)
    share = panes["share"]
    bars = share.barh(
        list(phases),
        list(phases.values()),
        color=[PHASE_COLOURS[phase][0] for phase in phases],
        hatch=["//" if phase == "averaged, annealing" else "" for phase in phases],
    )
    share.bar_label(bars, [f"{n} ({n / end:.0%})" for n in phases.values()], padding=4, fontsize=8)
    share.invert_yaxis()
    share.set_xlim(0, 1.12 * end)
    dress(share, f"{averaged_share(schedule):.0%} of the steps are averaged", step_label(schedule), "")
    share.grid(axis="y", visible=False)
    return figure


def plot_averaging(history: History) -> Picture:
    """Draw, by evaluation, the scores of the live and the averaged weights and the distance between the two."""
    metric = METRIC_NAMES[history.metric]
    averaged = [e for e in history.evals if "swa_score" in e]
    sentence = f"{len(history.evals)} evaluations, {len(averaged)} of them with an average"
    if averaged:
        last = averaged[-1]
        sentence += (
            f"; at the last, validation {metric} {last['score']:.3f} of the live weights and {last['swa_score']:.3f} "
            f"of the averaged ones, {last['swa_distance']:.3f} apart"
        )
    figure = Picture(height=3.4, name="live and averaged weights: score and distance by step", sentence=f"{sentence}.")
    scores, distance = figure.subplots(1, 2)
    end = max(history.total_steps, len(history))
    draw_lines(
        scores, score_lines(history), f"validation {metric}", "step", metric, x_end=end, empty="no evaluation yet"
    )
    at = np.array([e["step"] for e in averaged])
    gap = np.array([e["swa_distance"] for e in averaged], dtype=np.float64)
    lines = [svg.Line("live to averaged", at, gap, svg.BLUE, dots=True)] if averaged else []
    title = "distance between the weights"
    draw_lines(distance, lines, title, "step", "Euclidean distance", x_end=end, empty="no average yet")
    distance.set_ylim(bottom=0)
    if history.swa_step is not None:
        for axes in (scores, distance):
            axes.axvline(history.swa_step, color="black", linewidth=0.9, linestyle=(0, (3, 3)), alpha=0.7)
        distance.annotate(
            "averaging starts ", (history.swa_step, 0.02), xycoords=("data", "axes fraction"), ha="right", fontsize=8
        )
    return figure


def plot_valley(
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray],
    paths: Mapping[str, np.ndarray],
    points: Mapping[str, Sequence[float]] | None = None,
) -> Picture:
    """Draw paths of two weights over the contours of their loss.

    loss: function of two arrays of equal shape. paths: {label: (steps, 2)}. points: {label: (2,)}, drawn as large
    marks, such as the mean of a path.
    """
    points = {label: np.asarray(point, dtype=np.float64) for label, point in (points or {}).items()}
    where = "({:.2g}, {:.2g})".format
    parts = [f"{label}: {len(p)} steps from {where(*p[0])} to {where(*p[-1])}" for label, p in paths.items()]
    parts += [f"{label} at {where(*p)} with loss {float(loss(*p)):.2g}" for label, p in points.items()]
    figure = Picture(6.6, 4.2, name="a path of two weights over their loss", sentence="; ".join(parts) + ".")
    axes = figure.subplots()
    seen = np.concatenate([*paths.values(), *(point[None] for point in points.values())])
    low, high = seen.min(axis=0), seen.max(axis=0)
    pad = 0.12 * (high - low) + 1e-9
    grid = np.meshgrid(*(np.linspace(a, b, 120) for a, b in zip(low - pad, high + pad, strict=True)))
    height = loss(*grid)
    levels = height.min() + (height.max() - height.min()) * np.linspace(0.002, 1, 14) ** 2.5
    axes.contour(*grid, height, levels=np.unique(levels), colors="black", alpha=0.22, linewidths=0.8)
    styles = [(svg.GREY, "o"), (svg.ORANGE, "s"), (svg.BLUE, "D")]
    for (colour, marker), (label, path) in zip(styles, paths.items(), strict=False):
        axes.plot(*path.T, color=colour[0], linewidth=0.9, marker=marker, markersize=2.5, alpha=0.7, label=label)
    markers = [(svg.BLUE, "*"), (svg.ORANGE, "P"), (svg.INK, "X")]
    for (colour, marker), (label, point) in zip(markers, points.items(), strict=False):
        axes.plot(*point, marker, color=colour[0], markersize=14, markeredgecolor="white", label=label, zorder=5)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=1.2)
    dress(axes, "two weights in a long valley", "first weight", "second weight")
    return figure


def plot_toy_averages(
    steps: np.ndarray, losses: Mapping[str, np.ndarray], distances: Mapping[str, np.ndarray]
) -> Picture:
    """Draw losses by step on a logarithmic axis, and beside them distances: {label: (len(steps),)} each."""
    parts = [f"{label}: loss {values[-1]:.2g} at the end" for label, values in losses.items()]
    parts += [f"{label}: distance {values[-1]:.2g} at the end" for label, values in distances.items()]
    figure = Picture(height=3.2, name="losses and distances by step of a toy", sentence="; ".join(parts) + ".")
    left, right = figure.subplots(1, 2)
    looks = [(svg.GREY, "", 1.0), (svg.BLUE, "", 2.2), (svg.ORANGE, "5 3", 1.8)]
    end = float(steps[-1])

    def lines(values: Mapping[str, np.ndarray], looks: Sequence[tuple]) -> list[svg.Line]:
        return [svg.Line(n, steps, v, *look) for look, (n, v) in zip(looks, values.items(), strict=False)]

    draw_lines(left, lines(losses, looks), "loss", "step", "loss", x_end=end, log=True)
    draw_lines(right, lines(distances, looks[1:]), "distance from the live weights", "step", "distance", x_end=end)
    right.set_ylim(bottom=0)
    return figure
