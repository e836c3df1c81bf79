"""The pictures of a bench as data: learning rates over the plan, losses over the earlier runs, scores, paired seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ftlab.checks import number
from ftlab.lab.bench.rows import Row
from ftlab.lab.chart import (
    BLUE,
    GREY,
    ORANGE,
    Axis,
    Bar,
    Chart,
    Colour,
    Line,
    Mark,
    Sheet,
    layer_groups,
    rate_lines,
    smooth,
    smoothing_window,
    thin,
)
from ftlab.lab.plots.runs import METRIC_NAMES, rates_chart, step_axis
from ftlab.schedules import LRSchedule

GHOST: Colour = ("#A9AFBA", "#6B7280")
"""Of earlier runs: seen, and behind everything else."""
POINTS = 200  # of a curve, at most


def rates(
    schedule: LRSchedule, playhead: Mark | None, total: int, other: tuple[str, LRSchedule] | None = None
) -> Chart:
    """Describe every layer's learning rate by step, up to the playhead bold and beyond it faint.

    total: last step of the axis. other: the name and the schedule of a run to lay over it, thin.
    """
    groups = layer_groups(schedule.layers, schedule.lr)
    lines = rate_lines(schedule.layers, schedule.steps, schedule.lr, groups=groups, limit=POINTS)
    if playhead is not None:
        at = min(playhead.x, schedule.total_steps - 1)
        now = [number(float(f"{np.interp(at, schedule.steps, schedule.lr[:, i]):.2g}")) for _, i in groups]
        lines = [replace(line, planned=True, note=text) for line, text in zip(lines, now, strict=True)]
    behind = [] if other is None else rate_lines(other[1].layers, other[1].steps, other[1].lr, limit=POINTS)
    behind = [replace(line, label="", width=1.2, opacity=0.55, dash="3 3") for line in behind]
    note = "of every layer" + (f"; thin: {other[0]}" if other else "")
    note += "; bold: applied, faint: to come" if playhead is not None and playhead.x < schedule.total_steps else ""
    chart = rates_chart(schedule, [*behind, *lines], note=note, height=165)
    return replace(chart, x=_steps(schedule, total), playhead=playhead)


def _steps(schedule: LRSchedule, total: int) -> Axis:
    """Make the axis of steps up to the last step of the longest run in the picture."""
    axis = step_axis(schedule)
    ticks = {} if total > 8 * schedule.steps_per_epoch else axis.ticks
    ticks = {step: str(step) for step in range(0, total + 1, schedule.steps_per_epoch)} if ticks else {}
    return replace(axis, high=max(1, total), ticks=ticks)


def losses(rows: Sequence[Row], current: Row | None, baseline: Row | None, total: int, schedule: LRSchedule) -> Chart:
    """Describe the loss of each batch and the validation scores of the rows that are drawn.

    The current run has the only warm colour, the baseline is dashed, all others are grey. total: last step of the axis.
    """
    shown = [row for row in rows if row.drawn and row.done]
    lines, tops = [], []
    for row in sorted(shown, key=lambda row: (row is current, row is baseline)):
        loss = row.history.loss
        mean = smooth(loss, smoothing_window(row.total))
        at = np.arange(len(loss))
        colour, dash, width = GHOST, "", 1.4
        if row is baseline:
            colour, dash, width = GREY, "5 4", 1.6
        if row is current:
            colour, dash, width = ORANGE, "", 2.6
            lines.append(Line("", *thin(at, loss, POINTS), ORANGE, width=1.0, opacity=0.3))
        few = row is current or row is baseline or len(shown) <= 4
        lines.append(Line(row.name if few else "", *thin(at, mean, POINTS), colour, dash, width))
        tops.append(np.nanmax(np.where(np.isfinite(mean), mean, np.nan), initial=0.0))
    for row in sorted(shown, key=lambda row: (row is current, row is baseline)):
        if row.history.evals and (row is current or row is baseline):
            at = np.array([e["step"] for e in row.history.evals], dtype=np.float64)
            found = np.array([e["score"] for e in row.history.evals], dtype=np.float64)
            values = [f"{score:.3f}" for score in found] if row is current and len(at) <= 8 else ()
            colour = ORANGE if row is current else GREY
            lines.append(Line("", at, found, colour, width=0, marker="circle", values=values))
            tops += [float(score) for score in found if np.isfinite(score)]
    metric = METRIC_NAMES[shown[0].history.metric] if shown else "score"
    # A loss that explodes leaves the frame at the top instead of flattening all others to a line at the bottom.
    high = min(max(tops), 4 * float(np.median(tops)) + 2) if tops else 1.0
    return Chart(
        "Loss",
        lines,
        note=f"of each batch, smoothed; circles: validation {metric}",
        x=_steps(schedule, total),
        y=Axis(low=0, high=1.06 * high or 1.0),
        playhead=Mark(current.done) if current is not None and current.status == "training" and current.done else None,
        height=186,
        empty="press Train: the loss grows here, over the runs before",
    )


def scores(rows: Sequence[Row], current: Row | None) -> Chart | None:
    """Describe the runs' best validation scores as bars: the stored picture's form of the table."""
    scored = [row for row in rows if row.best is not None]
    if not scored:
        return None
    bars = []
    for i, row in enumerate(scored):
        changed = changes_text(row)
        changed = changed if len(changed) <= 34 else changed[:32] + "…"
        note = " · ".join(part for part in (f"{row.best:.3f}", changed) if part)
        bars.append(Bar(i, row.best, ORANGE if row is current else BLUE, note))
    names = [row.name for row in scored]
    return Chart(
        f"Validation {METRIC_NAMES[scored[0].history.metric]}",
        bars=bars,
        note="of each run's best evaluation: selected on it, so it flatters",
        x=Axis(low=0),
        y=Axis(names=names),
        own_x=True,
    )


def pairs(found: Sequence[tuple[float, float]], names: tuple[str, str], metric: str) -> Chart:
    """Describe paired scores as connected dots: one line a seed, the first run's score at the left."""
    lines = [
        Line("", np.array([0.0, 1.0]), np.array(pair), BLUE if i else ORANGE, width=1.6, marker="dot")
        for i, pair in enumerate(found)
    ]
    return Chart(
        f"Validation {METRIC_NAMES[metric]}",
        lines,
        note="of the same two recipes, a line for each seed",
        x=Axis(low=-0.4, high=1.4, ticks={0: names[0], 1: names[1]}),
        height=120,
    )


def norms(rows: Sequence[Row], current: Row | None, baseline: Row | None) -> Chart:
    """Describe the norm of the gradient, before clipping, of the runs that are drawn, over their first steps."""
    shown = [row for row in rows if row.drawn and row.done]
    most = max((max(12, 3 * row.schedule.warmup_steps, row.total // 4) for row in shown), default=1)
    lines = []
    for row in sorted(shown, key=lambda row: (row is current, row is baseline)):
        colour, dash = (ORANGE, "") if row is current else (GREY, "5 4") if row is baseline else (GHOST, "")
        norm = row.history.grad_norm[:most]
        lines.append(Line(row.name, np.arange(len(norm)), norm, colour, dash, 2.4 if row is current else 1.5))
    marks = [Mark(row.schedule.warmup_steps, "warm-up ends") for row in shown if row is current]
    return Chart(
        "Norm of the gradient",
        lines,
        note="at the first steps, before clipping",
        marks=[mark for mark in marks if mark.x],
        x=Axis("optimizer step", low=0, whole=True),
        y=Axis(log=True),
        empty="no run yet",
    )


def averages(row: Row | None) -> Sheet:
    """Describe a run's validation scores, live and averaged, and how far apart the two models' weights are."""
    evals = [] if row is None or row.history is None else row.history.evals
    metric = METRIC_NAMES[row.history.metric] if evals else "score"
    at = np.array([e["step"] for e in evals], dtype=np.float64)
    live, averaged, distance = (
        np.array([e.get(key, np.nan) for e in evals], dtype=np.float64)
        for key in ("score", "swa_score", "swa_distance")
    )
    x = Axis("optimizer step", low=0, high=max(1, row.total) if row is not None else 1, whole=True)
    common = {"x": x, "height": 120, "empty": "no averaged weights yet"}
    found = np.isfinite(averaged).any()
    scores_ = [Line("live", at, live, ORANGE, width=1.6, marker="circle")]
    scores_ += [Line("averaged", at, averaged, BLUE, "5 3", 1.8, marker="diamond")]
    apart = Line("", at, distance, BLUE, width=1.6, marker="dot")
    upper = Chart(f"Validation {metric}", scores_ if found else [], note="of both models", **common)
    lower = Chart("Distance", [apart] if found else [], note="of their weights (Euclidean)", y=Axis(low=0), **common)
    return Sheet([upper, lower], share="x")


def evaluations(row: Row | None) -> Sheet:
    """Describe every evaluation of a run, the one kept, and the seconds that training and evaluating took."""
    evals = [] if row is None or row.history is None else row.history.evals
    metric = METRIC_NAMES[row.history.metric] if evals else "score"
    at = np.array([e["step"] for e in evals], dtype=np.float64)
    found = np.array([e["score"] for e in evals], dtype=np.float64)
    lines, bars = [], []
    if evals:
        best = row.history.best
        lines = [Line("evaluations", at, found, GREY, width=1.2, marker="dot")]
        if best is not None:
            where = np.array([best["step"]]), np.array([best["score"]])
            lines.append(Line("kept", *where, ORANGE, width=0, marker="diamond", note=f"{best['score']:.3f}"))
        evaluating = sum(e["seconds"] for e in evals)
        training = max(0.0, float(row.history.seconds[-1]) - sum(e["seconds"] for e in evals if e["step"] < row.done))
        bars = [Bar(0, training, BLUE, f"{training:.1f} s"), Bar(1, evaluating, GREY, f"{evaluating:.1f} s")]
    seen = Chart(f"Validation {metric}", lines, note=f"at {len(evals)} evaluations", height=140,
                 x=Axis("optimizer step", low=0, whole=True), empty="no evaluation yet")  # fmt: skip
    cost = Chart("Seconds", bars=bars, note="that the run spent", x=Axis(low=0),
                 y=Axis(names=["training", "evaluating"]), empty="no run yet")  # fmt: skip
    return Sheet([seen, cost])


def describe(row: Row) -> str:
    """Say a row's name and what it changed."""
    changed = changes_text(row)
    return f"{row.name} ({changed})" if changed else row.name


def changes_text(row: Row) -> str:
    """Say a row's changed fields: "layer_decay 0.8, lr 3e-4"."""
    return ", ".join(f"{name} {value_text(new)}" for name, new in row.changed.items())


def value_text(value: object) -> str:
    """Write a field's value shortly."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, tuple):
        return "(" + ", ".join(value_text(part) for part in value) + ")"
    return "off" if value is None else str(value)
