"""The pictures of notebook 05: the averaging phase, the averaged weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet, rate_lines
from ftlab.lab.plots.runs import METRIC_NAMES, describe_schedule, epoch_marks, rates_chart, step_axis
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.history import History
    from ftlab.lab.figure import Picture
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
    """Draw the scores of the live and the averaged weights, and the distance between the two, from one epoch before
    averaging starts to the end: what came earlier would press all that differs into a corner."""
    metric = METRIC_NAMES[history.metric]
    averaged = [e for e in history.evals if "swa_score" in e]
    sentence = f"{len(history.evals)} evaluations, {len(averaged)} of them with an average"
    if averaged:
        last = averaged[-1]
        sentence += (
            f"; at the last, validation {metric} {last['score']:.3f} of the live weights and {last['swa_score']:.3f} "
            f"of the averaged ones, {last['swa_distance']:.3f} apart"
        )
    start = 0 if history.swa_step is None else max(0, history.swa_step - history.steps_per_epoch)
    shown = [e for e in history.evals if e["step"] >= start]
    at = np.array([e["step"] for e in shown], dtype=np.float64)
    live, mean, gap = (
        np.array([e.get(key, np.nan) for e in shown], dtype=np.float64)
        for key in ("score", "swa_score", "swa_distance")
    )
    scores = [Line("live", at, live, ORANGE, width=1.8, marker="circle")] if shown else []
    if averaged:
        scores.append(Line("averaged", at, mean, BLUE, "5 3", 2.2, marker="diamond"))
    lines = [Line("live to averaged", at, gap, BLUE, width=1.8, marker="dot")] if averaged else []
    marks = [] if history.swa_step is None else [Mark(history.swa_step, "averaging starts")]
    x = step_axis(history)
    x = replace(x, low=start, ticks={step: text for step, text in x.ticks.items() if step >= start})
    common = {"marks": [*marks, *epoch_marks(history)], "x": x}
    charts = [
        Chart(f"Validation {metric}", scores, height=150, empty="no evaluation yet", **common),
        Chart("Distance", lines, note="between the weights (Euclidean)", y=Axis(low=0), height=110,
              empty="no average yet", **common),
    ]  # fmt: skip
    name = "live and averaged weights: score and distance by step"
    return draw(Sheet(charts, name, f"{sentence}.", share="x"))


def plot_drift(apart: Sequence[float], step: float) -> Picture:
    """Draw how far the live weights are from their running mean after 1, 2, ... snapshots, between four walks.

    apart (k,): measured distances. step: length of a step s of the walk. With equal steps in one direction the distance
    is s (k - 1) / 2; with independent steps it is s sqrt((k - 1)(2 k - 1) / 6 k), in root mean square; with Adam's
    momentum neighbouring steps are alike, those i apart by 0.9^i if the gradients are noise; on a circle the mean tends
    to the centre, and the distance stays at the radius, drawn here through the first fifth of the walk.
    """
    apart = np.asarray(apart, dtype=np.float64)
    k = np.arange(1, len(apart) + 1, dtype=np.float64)
    i = k - 1  # step i of n counts i / n times in the distance
    alike = np.outer(i, i) * 0.9 ** np.abs(np.subtract.outer(i, i))
    smoothed = np.sqrt(np.diag(alike.cumsum(axis=0).cumsum(axis=1))) / k
    walks = {
        "straight on": step * (k - 1) / 2,
        "noise, with momentum": step * smoothed,
        "at random": step * np.sqrt((k - 1) * (2 * k - 1) / (6 * k)),
        "in a circle": np.full(len(k), apart[: max(2, len(k) // 5)].max()),
    }
    styles = [(INK, "7 2.5"), (ORANGE, "9 3 2 3"), (GREY, ""), (ORANGE, "2 2.5")]
    lines = [Line(n, k, v, *style, width=1.4) for style, (n, v) in zip(styles, walks.items(), strict=True)]
    lines.append(Line("measured", k, apart, BLUE, "", 2.4, marker="dot"))
    sentence = (
        f"Distance of the live weights from their mean over {len(k)} snapshots: {number(apart[-1])} at the end; "
        + "; ".join(f"{name} {number(values[-1])}" for name, values in walks.items())
    )
    chart = Chart("Distance", lines, note="of the live weights from their running mean", height=200,
                  x=Axis("snapshots in the mean", 1, max(2.0, float(k[-1])), whole=True),
                  y=Axis(low=0, high=1.25 * float(apart.max()) or 1.0))  # fmt: skip
    return draw(Sheet([chart], "distance of the live weights from their running mean", f"{sentence}."))


def plot_line(at: Sequence[float], losses: Mapping[str, Sequence[float]], points: Mapping[float, str]) -> Picture:
    """Draw losses along a straight line through two sets of weights: one chart a data set, over the same axis.

    at (n,): places on the line. losses: {label: (n,)}. points: {place: name of the weights there}, such as 0 and 1.
    """
    at, charts, parts = np.asarray(at, dtype=np.float64), [], []
    for (label, values), colour in zip(losses.items(), (ORANGE, BLUE, INK), strict=False):
        values = np.asarray(values, dtype=np.float64)
        low = int(values.argmin())
        lines = [
            Line("", at, values, colour, width=2.0, marker="dot"),
            Line("lowest", at[[low]], values[[low]], INK, width=0, marker="diamond", note=number(values[low])),
        ]
        marks = [Mark(place, name) for place, name in points.items()]
        charts.append(Chart(label, lines, marks=marks, height=150, x=Axis("place on the line")))
        named = [f"{name} {number(float(np.interp(place, at, values)))}" for place, name in points.items()]
        parts.append(f"{label}: {', '.join(named)}, lowest {number(values[low])} at {at[low]:g}")
    name = "losses along the line through two sets of weights"
    return draw(Sheet(charts, name, f"{'; '.join(parts)}.", columns=2, least=300, share="x"))


def plot_valley(
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray],
    paths: Mapping[str, np.ndarray],
    points: Mapping[str, Sequence[float]] | None = None,
) -> Picture:
    """Draw paths of two weights over the levels of their loss, each path as a thin line with small dots.

    loss: function of two arrays of equal shape. paths: {label: (steps, 2)}. points: {label: (2,)}, drawn as large
    marks with their loss, such as the mean of a path.
    """
    points = {label: np.asarray(point, dtype=np.float64) for label, point in (points or {}).items()}
    where = "({:.2g}, {:.2g})".format
    parts = [f"{label}: {len(p)} steps from {where(*p[0])} to {where(*p[-1])}" for label, p in paths.items()]
    parts += [f"{label} at {where(*p)} with loss {float(loss(*p)):.2g}" for label, p in points.items()]
    seen = np.concatenate([*paths.values(), *(point[None] for point in points.values())])
    low, high = seen.min(axis=0), seen.max(axis=0)
    pad = np.array([0.06, 0.35]) * (high - low) + 1e-9
    low, high = low - pad, high + pad
    styles = zip([(GREY, 0.8), (ORANGE, 0.9), (BLUE, 0.9)], paths.items(), strict=False)
    lines = [
        Line(label, *path.T, colour, "", 0.8, opacity, note=f"{len(path)} steps")
        for (colour, opacity), (label, path) in styles
    ]
    styles = zip([(BLUE, "diamond"), (INK, "square"), (INK, "triangle")], points.items(), strict=False)
    lines += [
        Line(label, point[:1], point[1:], colour, width=0, marker=marker, note=f"loss {float(loss(*point)):.2g}")
        for (colour, marker), (label, point) in styles
    ]
    axes = {"x": Axis("first weight", low[0], high[0]), "y": Axis(low=low[1], high=high[1])}
    # Equal scales on both axes, so that a long valley looks long; 780 pixels is about the frame's width.
    height = float(np.clip(780 * (high[1] - low[1]) / (high[0] - low[0]), 190, 420))
    chart = Chart("Second weight", lines, note="by the first; the lighter, the lower the loss", **axes, height=height,
                  labels="above")  # fmt: skip
    sheet = Sheet([chart], "a path of two weights over their loss", "; ".join(parts) + ".")
    figure = draw(sheet)
    [axes] = figure.axes
    grid = np.meshgrid(*(np.linspace(a, b, 160) for a, b in zip(low, high, strict=True)))
    floor = loss(*grid)
    levels = np.unique(floor.min() + (floor.max() - floor.min()) * np.linspace(0, 1, 12) ** 2.5)
    axes.contourf(*grid, floor, levels=levels, cmap="Blues", alpha=0.55, zorder=0)
    axes.grid(False)
    size = dict(zip(points, (16.0, 11.0, 12.0), strict=False))
    for line in axes.lines:  # the means stand out from the path that they lie in
        at = line.get_xydata()
        for label, point in points.items():
            if len(at) == 1 and np.allclose(at[0], point) and line.get_marker() not in ("None", "", None):
                line.set(markersize=size[label], markeredgecolor="white", markeredgewidth=1.5, zorder=6)
    return figure


def plot_toy_averages(
    steps: np.ndarray, losses: Mapping[str, np.ndarray], distances: Mapping[str, np.ndarray], *, note: str = ""
) -> Picture:
    """Draw losses by step on a logarithmic axis, and below them distances: {label: (len(steps),)} each.

    note: what was averaged, such as "mean of 1,000 runs".
    """
    parts = [f"{label}: loss {number(values[-1])} at the end" for label, values in losses.items()]
    parts += [f"{label}: distance {number(values[-1])} at the end" for label, values in distances.items()]
    styles = [(GREY, "", 1.0), (BLUE, "", 2.2), (ORANGE, "5 3", 1.8)]

    def lines(values: Mapping[str, np.ndarray], styles: Sequence[tuple]) -> list[Line]:
        return [Line(n, steps, v, *style) for style, (n, v) in zip(styles, values.items(), strict=False)]

    x = Axis("optimizer step", 0, max(1.0, float(steps[-1])), whole=True)
    charts = [
        Chart("Loss", lines(losses, styles), note=note, x=x, y=Axis(log=True), height=150),
        Chart("Distance", lines(distances, styles[1:]), note="from the live weights", x=x, y=Axis(low=0), height=120),
    ]
    return draw(Sheet(charts, "losses and distances by step of a toy", "; ".join(parts) + ".", share="x"))
