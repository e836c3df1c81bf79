"""The pictures of notebook 05: the averaging phase, the averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet, rate_lines
from ftlab.lab.figure import Picture, draw
from ftlab.lab.plots.runs import METRIC_NAMES, describe_schedule, rates_chart, score_chart, step_axis

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


PHASE_COLOURS = {"not averaged": GREY, "averaged, annealing": ORANGE, "averaged": BLUE}


def averaged_share(schedule: LRSchedule) -> float:
    """Return which share of a run's steps enters the average."""
    return 0.0 if schedule.swa_step is None else 1 - schedule.swa_step / schedule.total_steps


def averaging_lines(schedule: LRSchedule) -> list[Line]:
    """Return the lines of every layer's rate, with a broad band under each where the weights are averaged."""
    lines = rate_lines(schedule.layers, schedule.steps, schedule.lr)
    bands = []
    if schedule.swa_step is not None:
        for line in lines:
            averaged = line.x >= schedule.swa_step
            band = {"x": line.x[averaged], "y": line.y[averaged], "dash": "", "width": 7.0, "opacity": 0.28}
            bands.append(replace(line, label="", **band))
    return bands + lines


def describe_averaging(schedule: LRSchedule, anneal_steps: int = 0) -> str:
    """Say in words what `averaging_sheet` shows: every layer's rate, and how many steps are averaged."""
    phases = averaging_phases(schedule, anneal_steps)
    counts = "; ".join(f"{phase}: {steps}" for phase, steps in phases.items())
    return (
        f"{describe_schedule(schedule)} Steps {counts}; {averaged_share(schedule):.0%} of {schedule.total_steps} "
        "are averaged."
    )


def averaging_sheet(schedule: LRSchedule, anneal_steps: int = 0, log: bool = False) -> Sheet:
    """Describe every layer's rate by step with the averaging phase bold, and below it, over the same steps, what
    becomes of the weights."""
    phases, end = averaging_phases(schedule, anneal_steps), schedule.total_steps
    bars, start = [], 0
    for row, (phase, steps) in enumerate(phases.items()):
        note = f"{steps} ({steps / end:.0%})"
        bars.append(Bar(row, start + steps, PHASE_COLOURS[phase], note, start=start))
        start += steps
    share = Chart("Weights", bars=bars, note=f"{averaged_share(schedule):.0%} of the steps are averaged",
                  x=step_axis(schedule), y=Axis(names=list(phases)))  # fmt: skip
    rates = rates_chart(schedule, averaging_lines(schedule), log=log, note="of every layer; bold while averaging")
    name = "learning rates and the steps that are averaged"
    return Sheet([rates, share], name, describe_averaging(schedule, anneal_steps), share="x")


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
    at = np.array([e["step"] for e in averaged])
    gap = np.array([e["swa_distance"] for e in averaged], dtype=np.float64)
    lines = [Line("live to averaged", at, gap, BLUE, marker="dot")] if averaged else []
    distance = Chart("Distance", lines, note="between the weights (Euclidean)", x=step_axis(history), y=Axis(low=0),
                     height=100, empty="no average yet")  # fmt: skip
    marks = [] if history.swa_step is None else [Mark(history.swa_step, "averaging starts")]
    scores = score_chart(history, height=150)
    charts = [replace(scores, marks=[*scores.marks, *marks]), replace(distance, marks=marks)]
    name = "live and averaged weights: score and distance by step"
    return draw(Sheet(charts, name, f"{sentence}.", share="x"))


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
    seen = np.concatenate([*paths.values(), *(point[None] for point in points.values())])
    low, high = seen.min(axis=0), seen.max(axis=0)
    pad = 0.12 * (high - low) + 1e-9
    low, high = low - pad, high + pad
    styles = zip([(GREY, "dot"), (ORANGE, "square"), (BLUE, "diamond")], paths.items(), strict=False)
    lines = [
        Line(label, *path.T, colour, "", 0.9, 0.7, marker=marker, note=f"{len(path)} steps")
        for (colour, marker), (label, path) in styles
    ]
    axes = {"x": Axis("first weight", low[0], high[0]), "y": Axis(low=low[1], high=high[1])}
    chart = Chart("Second weight", lines, note="by the first, in a long valley of the loss", **axes, height=330,
                  labels="above")  # fmt: skip
    sheet = Sheet([chart], "a path of two weights over their loss", "; ".join(parts) + ".", width=660)
    figure = draw(sheet)
    [axes] = figure.axes
    grid = np.meshgrid(*(np.linspace(a, b, 120) for a, b in zip(low, high, strict=True)))
    height = loss(*grid)
    levels = height.min() + (height.max() - height.min()) * np.linspace(0.002, 1, 14) ** 2.5
    axes.contour(*grid, height, levels=np.unique(levels), colors="black", alpha=0.22, linewidths=0.8)
    styles = zip([(BLUE, "*"), (ORANGE, "P"), (INK, "X")], points.items(), strict=False)
    for (colour, marker), (label, point) in styles:
        axes.plot(*point, marker, color=colour[0], markersize=14, markeredgecolor="white", label=label, zorder=5)
    if points:
        axes.legend(axes.lines[-len(points) :], list(points), fontsize=8, framealpha=0.8, edgecolor="none")
    return figure


def plot_toy_averages(
    steps: np.ndarray, losses: Mapping[str, np.ndarray], distances: Mapping[str, np.ndarray]
) -> Picture:
    """Draw losses by step on a logarithmic axis, and below them distances: {label: (len(steps),)} each."""
    parts = [f"{label}: loss {number(values[-1])} at the end" for label, values in losses.items()]
    parts += [f"{label}: distance {number(values[-1])} at the end" for label, values in distances.items()]
    styles = [(GREY, "", 1.0), (BLUE, "", 2.2), (ORANGE, "5 3", 1.8)]

    def lines(values: Mapping[str, np.ndarray], styles: Sequence[tuple]) -> list[Line]:
        return [Line(n, steps, v, *style) for style, (n, v) in zip(styles, values.items(), strict=False)]

    x = Axis("optimizer step", 0, max(1.0, float(steps[-1])), whole=True)
    charts = [
        Chart("Loss", lines(losses, styles), x=x, y=Axis(log=True), height=150),
        Chart("Distance", lines(distances, styles[1:]), note="from the live weights", x=x, y=Axis(low=0), height=120),
    ]
    return draw(Sheet(charts, "losses and distances by step of a toy", "; ".join(parts) + ".", share="x"))
