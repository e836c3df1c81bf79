"""Every picture that is stored or printed: schedules, runs, parameters, predictions and data as matplotlib
figures.

A plot takes data and returns a Figure; it never trains, never shows and never touches pyplot, whose hidden
state is lost or garbled when widgets move while a cell runs. A figure shows itself as a PNG wherever it is
the last value of a cell or handed to `display`. `describe` says in one sentence what a picture shows.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from PIL import Image

from ftlab import svg

if TYPE_CHECKING:
    from ftlab.history import History
    from ftlab.run import Run
    from ftlab.schedules import LRSchedule

METRIC_NAMES = {"rmse": "RMSE", "macro_f1": "macro F1"}
SHARPNESS = 1.5  # pixels stored for each pixel shown, so that text stays sharp on fine screens


class Picture(Figure):
    """A matplotlib Figure that shows as a PNG in every notebook front end, without pyplot or a magic command.

    `sentence` describes it for people who cannot see it. It travels as alternative text; the plain-text form
    is the title alone, which does not change from run to run.
    """

    def __init__(self, width: float = 8.4, height: float = 3.6, *, name: str, sentence: str = "") -> None:
        super().__init__(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")
        self.name = name
        self.sentence = sentence or name

    def png(self) -> bytes:
        """Return the picture as PNG bytes, equal for equal data; 128 colours keep notebooks small."""
        drawn, small = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png", dpi=100 * SHARPNESS)
        Image.open(drawn).convert("RGB").quantize(128).save(small, format="png", optimize=True)
        return small.getvalue()

    def __repr__(self) -> str:
        """Name the picture."""
        return f"<Picture: {self.name}>"

    def _repr_mimebundle_(
        self, include: Any = None, exclude: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        width, height = (round(100 * inches) for inches in self.get_size_inches())
        metadata = {"image/png": {"width": width, "height": height, "alt": self.sentence}}
        return {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": repr(self)}, metadata


# ------------------------------------------------------------------------------- runs and schedules


def plot_schedule(schedule: LRSchedule) -> Picture:
    """Draw every layer's rate by step, with the end of the warm-up, the epochs, the start of averaging."""
    figure = Picture(name="learning rate of every layer by step", sentence=describe(schedule))
    axes = figure.subplots()
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    _draw(
        axes, lines, "learning rate of every layer", _step_label(schedule), "rate", x_end=schedule.total_steps
    )
    _draw_marks(axes, schedule_marks(schedule))
    axes.set_ylim(bottom=0)
    return figure


def plot_run(run: Run) -> Picture:
    """Draw a run: loss (raw, smoothed, validation), validation score with the best marked, every rate."""
    return _plot_progress(run.history, run.schedule, describe(run))


def plot_history(history: History, schedule: LRSchedule | None = None) -> Picture:
    """Draw what a history holds, also while it grows: loss, validation score, rates as applied."""
    return _plot_progress(history, schedule, describe(history))


def _plot_progress(history: History, schedule: LRSchedule | None, sentence: str) -> Picture:
    figure = Picture(
        height=4.0, name="training loss, validation score and learning rates by step", sentence=sentence
    )
    panes = figure.subplot_mosaic([["loss", "rate"], ["score", "rate"]], width_ratios=[1, 1.1])
    end = max(history.total_steps, len(history))
    loss, log = loss_lines(history)
    _draw(panes["loss"], loss, "loss", "", "loss", x_end=end, log=log, empty="no step yet")
    metric = METRIC_NAMES[history.metric]
    scores = score_lines(history)
    _draw(
        panes["score"], scores, f"validation {metric}", "step", metric, x_end=end, empty="no evaluation yet"
    )
    rates = rate_lines(history, schedule)
    _draw(
        panes["rate"],
        rates,
        "learning rate of every layer",
        _step_label(history),
        "rate",
        x_end=end,
        empty="no step yet",
    )
    if rates:
        panes["rate"].set_ylim(bottom=0)
    if schedule is not None:
        _draw_marks(panes["rate"], schedule_marks(schedule))
    return figure


def loss_lines(history: History) -> tuple[list[svg.Line], bool]:
    """Return the lines of the loss pane (each step, smoothed, validation) and whether its axis should be
    logarithmic.

    It should when the loss has exploded, so that what came before stays visible. An evaluation stands at the
    number of updates done, where the loss is that of the same weights.
    """
    loss = history.loss
    steps = np.arange(len(loss))
    mean = svg.smooth(loss, svg.smoothing_window(history.total_steps))
    lines = [
        svg.Line("each step", *svg.thin(steps, loss), svg.GREY, width=1.0, opacity=0.6),
        svg.Line("smoothed", *svg.thin(steps, mean), svg.BLUE, width=2.2),
    ]
    if history.evals:
        at = np.array([e["step"] for e in history.evals])
        measured = np.array([e["loss"] for e in history.evals], dtype=np.float64)
        lines.append(
            svg.Line("validation", *svg.thin(at, measured), svg.ORANGE, "5 3", 1.2, dots=len(at) <= 40)
        )
    known = loss[np.isfinite(loss)]
    return lines, bool(len(known) and known.min() > 0 and known.max() > 1e3 * np.median(known))


def score_lines(history: History) -> list[svg.Line]:
    """Return the score pane's lines: the model, the averaged weights if any, the best as a dot."""
    if not history.evals:
        return []
    at = np.array([e["step"] for e in history.evals])
    dots = len(at) <= 40
    scores = np.array([e["score"] for e in history.evals], dtype=np.float64)
    averaged = np.array([e.get("swa_score", np.nan) for e in history.evals], dtype=np.float64)
    lines = [svg.Line("model", *svg.thin(at, scores), svg.INK, width=1.2, dots=dots)]
    if np.isfinite(averaged).any():
        lines.append(svg.Line("averaged", *svg.thin(at, averaged), svg.BLUE, "5 3", 1.8, dots=dots))
    if (best := history.best) is not None:
        where = np.array([best["step"]]), np.array([best["score"]])
        lines.append(svg.Line(f"best {best['score']:.3f}", *where, svg.ORANGE, dots=True))
    return lines


def rate_lines(history: History, schedule: LRSchedule | None = None) -> list[svg.Line]:
    """Return the rate pane's lines: rates as applied and, faintly, as planned while that is ahead."""
    planned, groups = [], None
    if schedule is not None:
        groups = svg.layer_groups(schedule.layers, schedule.lr)
        if len(history) < schedule.total_steps:
            lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr, groups=groups)
            planned = [replace(line, label="", opacity=0.35, width=1.0) for line in lines]
    applied = (
        svg.rate_lines(history.layers, np.arange(len(history)), history.lr, groups=groups)
        if len(history)
        else []
    )
    return planned + applied


def schedule_marks(schedule: LRSchedule) -> list[svg.Mark]:
    """Return a schedule's vertical lines: end of warm-up, start of averaging, and (faint) the epochs."""
    marks = []
    if schedule.warmup_steps:
        marks.append(svg.Mark(schedule.warmup_steps, "warm-up ends"))
    if schedule.swa_step is not None:
        marks.append(svg.Mark(schedule.swa_step, "averaging starts"))
    epochs = range(schedule.steps_per_epoch, schedule.total_steps, schedule.steps_per_epoch)
    if len(epochs) <= 30:
        marks += [svg.Mark(step) for step in epochs]
    return marks


def _step_label(source: LRSchedule | History) -> str:
    return f"step ({source.steps_per_epoch} an epoch)"


# --------------------------------------------------------------------- models, predictions and data


def plot_parameters(counts: Mapping[str, int]) -> Picture:
    """Draw the number of parameters of every layer as bars, the head apart from the backbone.

    counts: {layer: number of parameters}, embeddings first, head last.
    """
    total, head = sum(counts.values()), counts.get("head", 0)
    body = total - head
    sentence = (
        f"{total:,} parameters: {body:,} in the backbone ({body / max(1, total):.1%}), {head:,} in the head "
        f"({head / max(1, total):.1%}); the largest part is {max(counts, key=counts.get)}."
    )
    figure = Picture(height=0.9 + 0.27 * len(counts), name="parameters by layer", sentence=sentence)
    axes = figure.subplots()
    colours = [svg.ORANGE[0] if name == "head" else svg.BLUE[0] for name in counts]
    bars = axes.barh(
        list(counts),
        list(counts.values()),
        color=colours,
        hatch=["//" if n == "head" else "" for n in counts],
    )
    axes.bar_label(
        bars, [f"{n:,}  ({n / max(1, total):.1%})" for n in counts.values()], padding=4, fontsize=8
    )
    axes.invert_yaxis()
    axes.margins(x=0.2)
    _dress(axes, f"{total:,} parameters: backbone {total - head:,}, head {head:,}", "parameters", "")
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1e6:g} M" if total > 2e6 else f"{value:,.0f}")
    )
    return figure


def plot_predictions(
    targets: Sequence[float] | np.ndarray,
    predictions: Sequence[float] | np.ndarray,
    standard_errors: Sequence[float] | np.ndarray | None = None,
    *,
    name: str = "target",
) -> Picture:
    """Draw true values against predicted ones, with the line on which they are equal.

    standard_errors: of the targets, drawn as horizontal bars of plus and minus one. All have shape (n,).
    """
    targets, predictions = (np.asarray(a, dtype=np.float64) for a in (targets, predictions))
    rmse = float(np.sqrt(np.mean((targets - predictions) ** 2)))
    r = (
        float(np.corrcoef(targets, predictions)[0, 1])
        if min(np.ptp(targets), np.ptp(predictions)) > 0
        else float("nan")
    )
    sentence = f"{len(targets)} predictions against their true values: RMSE {rmse:.3f}, correlation {r:.3f}."
    figure = Picture(5.0, 4.6, name="true against predicted values", sentence=sentence)
    axes = figure.subplots()
    low, high = (f(np.concatenate([targets, predictions])) for f in (np.min, np.max))
    pad = 0.05 * (high - low) or 1.0
    ends = [low - pad, high + pad]
    axes.plot(ends, ends, color=svg.GREY[0], linestyle="--", linewidth=1.2, label="predicted = true")
    if standard_errors is not None:
        axes.errorbar(
            targets,
            predictions,
            xerr=standard_errors,
            fmt="none",
            ecolor=svg.BLUE[0],
            alpha=0.3,
            label="±1 standard error",
        )
    axes.plot(targets, predictions, "o", color=svg.BLUE[0], markersize=4, alpha=0.7, label="one text")
    axes.set(xlim=ends, ylim=ends, aspect="equal")
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    _dress(axes, f"RMSE {rmse:.3f}, correlation {r:.3f}", f"true {name}", f"predicted {name}")
    return figure


def plot_spread(values: Mapping[str, Sequence[float]], *, unit: str = "test RMSE") -> Picture:
    """Draw the results of repeated runs: one row of dots a label, and the mean as a vertical stroke.

    values: {label: results, such as one a seed}.
    """
    parts = [
        f"{label}: mean {np.mean(v):.3f}, from {np.min(v):.3f} to {np.max(v):.3f} over {len(v)} runs"
        for label, v in values.items()
    ]
    figure = Picture(
        height=1.2 + 0.42 * len(values),
        name=f"spread of {unit} between runs",
        sentence="; ".join(parts) + ".",
    )
    axes = figure.subplots()
    for row, results in enumerate(values.values()):
        results = np.asarray(results, dtype=np.float64)
        axes.plot(
            results,
            np.full(len(results), row),
            "o",
            color=svg.BLUE[0],
            alpha=0.7,
            label="" if row else "one run",
        )
        axes.plot(
            results.mean(),
            row,
            "|",
            color=svg.ORANGE[0],
            markersize=18,
            markeredgewidth=2.5,
            label="" if row else "mean",
        )
    axes.set_yticks(range(len(values)), list(values))
    axes.set_ylim(len(values) - 0.5, -0.5)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), labelspacing=1.6)
    _dress(axes, f"{unit} of repeated runs", unit, "")
    axes.grid(axis="y", visible=False)
    return figure


def plot_lengths(
    lengths: Sequence[int] | np.ndarray, *, max_length: int | None = None, unit: str = "tokens"
) -> Picture:
    """Draw how long the texts are as a histogram; `max_length` marks where they are cut."""
    lengths = np.asarray(lengths)
    sentence = (
        f"{len(lengths)} texts of {lengths.min()} to {lengths.max()} {unit}, median {np.median(lengths):g}"
    )
    if max_length is not None:
        cut = int((lengths > max_length).sum())
        sentence += f"; {cut} ({cut / len(lengths):.1%}) are longer than {max_length} and are cut"
    figure = Picture(height=3.0, name=f"length of the texts in {unit}", sentence=f"{sentence}.")
    axes = figure.subplots()
    width = max(1, int(np.ptp(lengths)) // 40 + 1)  # whole tokens, so that no bar holds more lengths than another
    bins = np.arange(lengths.min(), lengths.max() + width + 1, width) - 0.5
    axes.hist(lengths, bins=bins, color=svg.BLUE[0], edgecolor="white", linewidth=0.5)
    if max_length is not None:
        _draw_marks(axes, [svg.Mark(max_length, f"cut at {max_length}")])
    _dress(axes, f"median {np.median(lengths):g} {unit}", f"length in {unit}", "texts")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def plot_targets(
    targets: Sequence[Any] | np.ndarray, *, labels: Sequence[str] | None = None, name: str = "target"
) -> Picture:
    """Draw how the targets are distributed: a histogram, or one bar a class if `labels` names them."""
    targets = np.asarray(targets)
    if labels is not None:
        counts = np.bincount(targets, minlength=len(labels))
        sentence = ", ".join(f"{label}: {n}" for label, n in zip(labels, counts, strict=True)) + "."
        figure = Picture(height=1.2 + 0.3 * len(labels), name="texts by class", sentence=sentence)
        axes = figure.subplots()
        axes.bar_label(axes.barh(list(labels), counts, color=svg.BLUE[0]), padding=4, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.1)
        _dress(axes, f"{len(targets)} texts in {len(labels)} classes", "texts", "")
        axes.grid(axis="y", visible=False)
        return figure
    mean, sd = float(np.mean(targets)), float(np.std(targets))
    spread = f"mean {mean:.2f}, standard deviation {sd:.2f}"
    sentence = f"{len(targets)} targets from {targets.min():.2f} to {targets.max():.2f}, {spread}."
    figure = Picture(height=3.0, name="distribution of the targets", sentence=sentence)
    axes = figure.subplots()
    axes.hist(targets, bins=30, color=svg.BLUE[0], edgecolor="white", linewidth=0.5)
    _dress(axes, spread, name, "texts")
    return figure


# ------------------------------------------------------------------------------- averaging the weights


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
        f"{_describe_schedule(schedule)} Steps {counts}; {averaged_share(schedule):.0%} of {schedule.total_steps} "
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
    _draw(panes["rate"], averaging_lines(schedule), "learning rate of every layer", "", "rate", x_end=end)
    panes["rate"].set_ylim(bottom=0)
    _draw_marks(panes["rate"], schedule_marks(schedule))
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
    _dress(share, f"{averaged_share(schedule):.0%} of the steps are averaged", _step_label(schedule), "")
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
    figure = Picture(
        height=3.4, name="live and averaged weights: score and distance by step", sentence=f"{sentence}."
    )
    scores, distance = figure.subplots(1, 2)
    end = max(history.total_steps, len(history))
    _draw(scores, score_lines(history), f"validation {metric}", "step", metric, x_end=end, empty="no evaluation yet")
    at = np.array([e["step"] for e in averaged])
    gap = np.array([e["swa_distance"] for e in averaged], dtype=np.float64)
    lines = [svg.Line("live to averaged", at, gap, svg.BLUE, dots=True)] if averaged else []
    title = "distance between the weights"
    _draw(distance, lines, title, "step", "Euclidean distance", x_end=end, empty="no average yet")
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
    _dress(axes, "two weights in a long valley", "first weight", "second weight")
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

    _draw(left, lines(losses, looks), "loss", "step", "loss", x_end=end, log=True)
    _draw(right, lines(distances, looks[1:]), "distance from the live weights", "step", "distance", x_end=end)
    right.set_ylim(bottom=0)
    return figure


def plot_schedules_beside(schedules: Mapping[str, LRSchedule]) -> Picture:
    """Draw several schedules beside each other on one scale: {title: schedule}."""
    sentence = " ".join(f"{title}: {_describe_schedule(schedule)}" for title, schedule in schedules.items())
    figure = Picture(8.4, 3.4, name="learning rates of every layer, side by side", sentence=sentence)
    panes = figure.subplots(1, len(schedules), sharey=True, squeeze=False)[0]
    for axes, (title, schedule) in zip(panes, schedules.items(), strict=True):
        lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
        if axes is not panes[-1]:  # one legend, at the right of the last
            lines = [replace(line, label="") for line in lines]
        label = "rate" if axes is panes[0] else ""
        _draw(axes, lines, title, _step_label(schedule), label, x_end=schedule.total_steps)
        _draw_marks(axes, schedule_marks(schedule))
    panes[0].set_ylim(bottom=0)
    return figure


def plot_before_after(
    before: Mapping[str, float],
    after: Mapping[str, float],
    *,
    changed: Sequence[str],
    unit: str,
    title: str = "before and after",
) -> Picture:
    """Draw two bars a place, such as a layer: a value before and after; the places in `changed` stand out.

    before, after: {place: value}, with the same places; NaN where a place has no such value.
    """
    moved = [f"{name} {before[name]:.4f} to {after[name]:.4f}" for name in changed if np.isfinite(before[name])]
    sentence = f"{title}. {unit}: {'; '.join(moved) if moved else 'nothing has changed'}."
    figure = Picture(height=1.1 + 0.36 * len(before), name="each layer before and after", sentence=sentence)
    axes = figure.subplots()
    rows = np.arange(len(before))
    series = [  # label, values, offset, colour, rows
        ("before", before, -0.2, svg.GREY, list(before)),
        ("after: kept", after, 0.2, svg.BLUE, [name for name in before if name not in changed]),
        ("after: fresh", after, 0.2, svg.ORANGE, list(changed)),
    ]
    places = list(before)
    for label, values, offset, colour, names in series:
        at = [rows[places.index(name)] + offset for name in names]
        lengths = [values[name] for name in names]
        hatch = "//" if label == "after: fresh" else None
        bars = axes.barh(at, lengths, 0.38, color=colour[0], label=label, hatch=hatch, edgecolor="white", linewidth=0)
        axes.bar_label(bars, [f"{v:.4f}" for v in lengths], padding=3, fontsize=7)
    axes.set_yticks(rows, places)
    axes.set_ylim(len(places) - 0.45, -0.55)
    axes.margins(x=0.1)
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _dress(axes, title, unit, "")
    axes.grid(axis="y", visible=False)
    return figure


def plot_weights(
    before: Mapping[str, Sequence[float] | np.ndarray],
    after: Mapping[str, Sequence[float] | np.ndarray],
    *,
    x_label: str = "weight",
) -> Picture:
    """Draw how values are distributed before and after, one pane a name, all panes over the same axis.

    before, after: {name: values}, with the same names. The axis leaves out the outermost thousandth at either end.
    """
    before, after = ({k: np.asarray(v, dtype=np.float64).ravel() for k, v in d.items()} for d in (before, after))
    values = np.concatenate([*before.values(), *after.values()])
    low, high = np.quantile(values, [0.001, 0.999])
    pad = 0.03 * (high - low) or 1.0
    bins = np.linspace(low - pad, high + pad, 61)
    parts = [f"{name}: {before[name].std():.3f} before, {after[name].std():.3f} after" for name in before]
    sentence = f"Standard deviation of {x_label}, by pane: {'; '.join(parts)}."
    figure = Picture(height=2.9, name=f"distribution of {x_label} before and after", sentence=sentence)
    panes = figure.subplots(1, len(before), sharex=True, sharey=True, squeeze=False)[0]
    for i, (axes, name) in enumerate(zip(panes, before, strict=True)):
        share = [np.full(len(v), 1 / len(v)) for v in (before[name], after[name])]
        axes.hist(before[name], bins, weights=share[0], color=svg.GREY[0], alpha=0.55, label="before")
        outline = {"color": svg.ORANGE[0], "histtype": "step", "linewidth": 1.6}
        axes.hist(after[name], bins, weights=share[1], label="after", **outline)
        _dress(axes, name, x_label, "" if i else "share of the values")
    panes[-1].legend(frameon=False, fontsize=8)
    return figure


def plot_sweep(
    settings: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    unit: str = "validation RMSE",
    title: str = "",
) -> Picture:
    """Draw one value or several against a setting, such as a score against the number of fresh layers.

    settings (n,): places on the x axis. curves: {label: up to n values}; a curve that is not finished yet is drawn as
    far as it goes.
    """
    ends = [f"{label} {v[0]:.3f} at {settings[0]:g}, {v[len(v) - 1]:.3f} at {settings[len(v) - 1]:g}"
            for label, v in curves.items() if len(v)]  # fmt: skip
    title = title or f"{unit} by {x_label}"
    sentence = f"{title}: {'; '.join(ends) or 'nothing yet'}."
    figure = Picture(height=3.3, name=f"{unit} by {x_label}", sentence=sentence)
    axes = figure.subplots()
    styles = [(svg.GREY, "5 3", "s"), (svg.BLUE, "", "o"), (svg.ORANGE, "2 2", "^"), (svg.INK, "7 2", "D")]
    for i, (label, values) in enumerate(curves.items()):
        colour, dash, marker = styles[i % len(styles)]
        linestyle = (0, tuple(map(float, dash.split()))) if dash else "-"
        x = np.asarray(settings, dtype=np.float64)[: len(values)]
        axes.plot(x, values, color=colour[0], linestyle=linestyle, marker=marker, markersize=5, label=label)
    low, high = min(settings), max(settings)
    pad = 0.04 * (high - low) or 0.5
    axes.set_xlim(low - pad, high + pad)
    axes.legend(frameon=False, fontsize=8)
    _dress(axes, title, x_label, unit)
    if all(float(value).is_integer() for value in settings):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


# ------------------------------------------------------------------------------- warm-up and first steps


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
            f"{name}{' (chosen)' if name == chosen else ''}: {_describe_schedule(s)}",
        )
        for name, s in schedules.items()
    ]


def plot_warmup(schedule: LRSchedule, without: LRSchedule) -> Picture:
    """Draw every layer's rate by step with its corners, and dashed the same schedule without warm-up."""
    figure = Picture(name="learning rate with and without warm-up", sentence=_describe_schedule(schedule))
    axes = figure.subplots()
    lines = warmup_lines(schedule, without)
    title = "learning rate with its corners"
    _draw(axes, lines, title, _step_label(schedule), "rate", x_end=schedule.total_steps)
    _draw_marks(axes, schedule_marks(schedule))
    top = max(schedule.lr.max(), without.lr.max()) or 1.0
    axes.set_ylim(-0.02 * top, 1.15 * top)  # room for the dots below, and for the mark's words above
    return figure


def plot_gallery(schedules: Mapping[str, LRSchedule], chosen: str = "") -> Picture:
    """Draw schedules side by side on common axes, one small picture each: {name: schedule}."""
    charts = gallery_lines(schedules, chosen)
    rows, columns = -(-len(charts) // 4), min(4, len(charts))
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
        _draw(axes, [line], title, "step" if below else "", "rate" if i % columns == 0 else "", x_end=end)
        axes.title.set_fontsize(8.5)
        axes.tick_params(labelbottom=below)
    panes[0, 0].set_ylim(bottom=0)
    return figure


def plot_by_step(curves: Mapping[str, np.ndarray], *, title: str, y_label: str, first: int = 1) -> Picture:
    """Draw up to four curves over the steps: {label: (steps,)}; the first point stands at step `first`."""
    parts = [f"{name}: {svg.number(c[0])} at first, {svg.number(c[-1])} at last" for name, c in curves.items()]
    figure = Picture(height=3.2, name=f"{title}, by step", sentence="; ".join(parts) + ".")
    axes = figure.subplots()
    looks = [(svg.ORANGE, "", 2.2), (svg.BLUE, "7 2.5", 2.2), (svg.GREY, "2 2.5", 1.8), (svg.INK, "9 3 2 3", 1.4)]
    lines = [
        svg.Line(name, first + np.arange(len(curve)), np.asarray(curve, dtype=np.float64), *look)
        for look, (name, curve) in zip(looks, curves.items(), strict=False)
    ]
    end = max(first + len(curve) - 1 for curve in curves.values())
    _draw(axes, lines, title, "step", y_label, x_end=end)
    axes.set_ylim(bottom=0)
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
        _draw(axes, lines, heading, "step", title, x_end=longest - 1, log=log)
    ends = {run.schedule.warmup_steps for group in runs.values() for run in group} - {0}
    for axes in panes:
        seen = [step for step in ends if step < longest]
        _draw_marks(axes, [svg.Mark(step, "warm-up ends" if len(ends) == 1 else "") for step in seen])
    panes[1].yaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(value)))
    return figure


# ------------------------------------------------------------------------------- frequent evaluation


def plot_looks(history: History) -> Picture:
    """Draw the validation score at every look, those at the ends of epochs apart: the whole run, and a close-up.

    The close-up shows what lies from the end of the first epoch on. Needs at least one evaluation.
    """
    metric = METRIC_NAMES[history.metric]
    step = np.array([e["step"] for e in history.evals])
    score = np.array([e["score"] for e in history.evals], dtype=np.float64)
    at_end = (step % history.steps_per_epoch == 0) | (step == history.total_steps)
    order = np.argsort(-score if history.higher_is_better else score, kind="stable")
    best, ends = order[:1], np.flatnonzero(at_end)
    sentence = f"{len(step)} looks: best validation {metric} {score[best[0]]:.3f} after step {step[best[0]]}."
    if len(ends):  # an interrupted run may have none
        i = next(i for i in order if at_end[i])
        sentence += f" Of the {len(ends)} at the ends of epochs the best is {score[i]:.3f} after step {step[i]}."
    figure = Picture(name="validation score at every look, and at the ends of epochs", sentence=sentence)
    lines = [
        svg.Line("every look", step, score, svg.GREY, width=1.4, dots=True),
        svg.Line("ends of epochs", step[ends], score[ends], svg.BLUE, "6 3", 2.0, dots=True),
        svg.Line(f"best look {score[best[0]]:.3f}", step[best], score[best], svg.ORANGE, dots=True),
    ]
    marks = [svg.Mark(s) for s in range(history.steps_per_epoch, history.total_steps, history.steps_per_epoch)]
    late = step >= min(history.steps_per_epoch, step[-1])
    for axes, title in zip(figure.subplots(1, 2), (f"validation {metric}", "close-up"), strict=True):
        _draw(axes, lines, title, _step_label(history), metric, x_end=1.03 * history.total_steps)
        _draw_marks(axes, marks)
        axes.lines[2].set(marker="D", markersize=8)
        axes.legend(fontsize=8, framealpha=0.7, edgecolor="none", handlelength=2.6)
    axes.set_xlim(left=0.9 * step[late][0])
    low, high = score[late].min(), score[late].max()
    pad = 0.15 * (high - low) or 0.05
    axes.set_ylim(low - pad, high + pad)
    axes.get_legend().remove()
    return figure


def plot_luck(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    marks: Mapping[str, float] | None = None,
    unit: str = "RMSE",
) -> Picture:
    """Draw how far the best of k looks flatters, by k on a logarithmic axis.

    curves: {label: (numbers of looks, optimism)}; one of at most 12 points is drawn as dots. marks: {label: number of
    looks}, as vertical lines.
    """
    parts = [f"{name}: {svg.number(float(y[-1]))} with {svg.number(x[-1])} looks" for name, (x, y) in curves.items()]
    figure = Picture(height=3.8, name="optimism of the best score by number of looks", sentence="; ".join(parts) + ".")
    axes = figure.subplots()
    styles = [(svg.BLUE, "-"), (svg.ORANGE, "--"), (svg.GREY, "-."), (svg.INK, ":")]
    for i, (name, (x, y)) in enumerate(curves.items()):
        colour, dash = styles[i % len(styles)]
        few = len(x) <= 12
        style = {"linestyle": "none", "marker": "Ds^o"[i % 4], "markersize": 6} if few else {"linestyle": dash}
        axes.plot(x, y, color=colour[0], linewidth=2, label=name, **style)
    axes.set_xscale("log")
    axes.set_xlim(min(np.min(x) for x, _ in curves.values()) / 1.1, max(np.max(x) for x, _ in curves.values()) * 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    _draw_marks(axes, [svg.Mark(x, name) for name, x in (marks or {}).items()])
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    heights = np.concatenate([np.asarray(y, dtype=np.float64) for _, y in curves.values()])
    axes.set_ylim(min(0.0, heights.min()), 1.3 * heights.max() or 1.0)  # room for the marks' names above the lines
    _dress(axes, "how far the best of k looks flatters", "number of looks k", f"optimism ({unit})")
    return figure


def plot_choices(
    looks: Sequence[int],
    changes: Mapping[str, Sequence[float]],
    half_widths: Mapping[str, Sequence[float]] | None = None,
    *,
    unit: str = "RMSE",
) -> Picture:
    """Draw what more looks to choose from changed in the score of the checkpoint chosen, by number of looks.

    looks: (k,). changes: {label: (k,) changes}. half_widths: {label: (k,) half the width of the interval}, for some of
    the labels; those are drawn with bars.
    """
    half_widths = half_widths or {}
    parts = [f"{name}: {np.asarray(y)[-1]:+.4f} with {looks[-1]} looks" for name, y in changes.items()]
    figure = Picture(height=3.8, name="change of the chosen score by number of looks", sentence="; ".join(parts) + ".")
    axes = figure.subplots()
    styles = [(svg.BLUE, "-", "o"), (svg.ORANGE, "--", "D"), (svg.GREY, ":", "s"), (svg.INK, "-.", "^")]
    places = np.arange(len(looks))
    for i, (name, y) in enumerate(changes.items()):
        colour, dash, marker = styles[i % len(styles)]
        shift = 0.08 * (i - (len(changes) - 1) / 2)  # beside each other, so that no bar hides another
        style = {"color": colour[0], "linestyle": dash, "marker": marker, "capsize": 3}
        axes.errorbar(places + shift, y, half_widths.get(name), label=name, **style)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(places, [str(k) for k in looks])
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _dress(axes, "the checkpoint chosen, against the last one", "looks to choose from", f"change in {unit}")
    return figure


def plot_look_example(
    example: Sequence[svg.Line],
    luck: Sequence[svg.Line],
    *,
    steps: int,
    looks: int,
    marks: Sequence[svg.Mark] = (),
    y_range: tuple[float, float] | None = None,
    sentence: str = "",
) -> Picture:
    """Draw an invented validation curve with its looks beside the expected optimism by number of looks.

    steps, looks: where the two horizontal axes end. y_range: of the curve.
    """
    figure = Picture(name="an example of looks, and the expected optimism", sentence=sentence)
    left, right = figure.subplots(1, 2)
    _draw(left, example, "an example: scores at each look", "step", "validation RMSE", x_end=steps)
    _draw_marks(left, marks)
    if y_range is not None:
        left.set_ylim(y_range)
    _draw(right, luck, "expected optimism", "looks taken", "RMSE", x_end=looks)
    right.set_ylim(bottom=0)
    return figure


# ------------------------------------------------------------------------------------ layer by layer


def plot_by_layer(layers: Sequence[str], series: Mapping[str, Sequence[float]], *, title: str, x_label: str) -> Picture:
    """Draw a value of every layer, one line of dots a series: rates by convention, distances by run.

    layers: names from the embeddings up to the head, drawn upwards. series: {label: one value a layer}.
    """
    looks = [(svg.BLUE[0], "o", "-"), (svg.ORANGE[0], "s", "--"), (svg.INK[0], "^", ":"), (svg.GREY[0], "D", "-.")]
    parts = [
        f"{label}: {svg.number(values[0])} ({layers[0]}) to {svg.number(values[-2])} ({layers[-2]}), "
        f"{svg.number(values[-1])} ({layers[-1]})"
        for label, values in series.items()
    ]
    figure = Picture(height=1.2 + 0.26 * len(layers), name=title, sentence=f"{x_label}. {'; '.join(parts)}.")
    axes = figure.subplots()
    for (label, values), (colour, marker, dash) in zip(series.items(), looks, strict=False):
        body = np.asarray(values[:-1], dtype=np.float64)
        rows = np.arange(len(body))
        style = {"color": colour, "marker": marker, "markersize": 5, "clip_on": False}
        axes.plot(body, rows, linestyle=dash, linewidth=1.2, label=label, **style)
        # The head is no further step of the same stair, so no line leads to it.
        axes.plot(values[-1], len(body), linestyle="none", **style)
    axes.set_yticks(range(len(layers)), list(layers))
    axes.set_xlim(left=0)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=3.4)
    _dress(axes, title, x_label, "")
    if x_label.startswith("rate"):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(round(value, 12))))
    return figure


def describe_layer_rates(
    layers: Sequence[str], rates: Sequence[float], others: Sequence[float] | None = None, name: str = ""
) -> str:
    """Say in one sentence which rate each layer has, neighbours with equal rates together, and what is compared."""
    groups = svg.layer_groups(layers, np.asarray(rates, dtype=np.float64)[None])
    parts = [f"{label} {svg.number(rates[i])}" for label, i in groups]
    text = f"Rate by layer: {', '.join(parts)}"
    if others is not None:
        text += f"; for comparison, {name}: {layers[0]} {svg.number(others[0])}, {layers[-2]} {svg.number(others[-2])}"
    return text + "."


def plot_layer_rates(
    schedule: LRSchedule,
    rates: Sequence[float],
    others: Sequence[float] | None = None,
    *,
    name: str = "",
    log: bool = False,
) -> Picture:
    """Draw the full rate of every layer as bars and, beside them, every layer's rate by step.

    rates: (L + 2,), embeddings first. others: rates to compare with, a stroke across each bar; `name` says whose.
    """
    sentence = describe_layer_rates(schedule.layers, rates, others, name)
    figure = Picture(10.0, 1.9 + 0.22 * len(rates), name="rate by layer and by step", sentence=sentence)
    bars, lines = figure.subplots(1, 2, width_ratios=[1, 1.15])
    colours = [*(colour[0] for colour in svg.depth_colours(len(rates) - 1)), svg.ORANGE[0]]
    bars.barh(schedule.layers, rates, color=colours, hatch=[*[""] * (len(rates) - 1), "//"])
    smallest = min((rate for rate in (*rates, *(() if others is None else others)) if rate > 0), default=0)
    log = log and smallest > 0
    if log:  # where the bars of a logarithmic axis begin is a choice; a rate of 0 has none
        bars.set_xscale("log")
        bars.set_xlim(left=10.0 ** np.floor(np.log10(smallest) - 0.01))
    for row, rate in enumerate(rates):
        where = bars.get_xlim()[0] if log and rate == 0 else rate
        bars.annotate(
            svg.number(rate), (where, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=8
        )
    if others is not None:
        bars.scatter(
            others, range(len(rates)), marker="|", s=110, linewidths=2.2, color=svg.INK[0], label=f"stroke: {name}",
            zorder=3, path_effects=[Stroke(linewidth=5, foreground="white"), Normal()],
        )  # fmt: skip
        bars.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    bars.margins(x=0.22)
    if log:
        bars.set_xlim(right=max(rates) * (max(rates) / bars.get_xlim()[0]) ** 0.2)
    _dress(bars, "full rate of every layer", "rate", "")
    bars.xaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(float(f"{value:.6g}"))))
    bars.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=6) if log else MaxNLocator(nbins=4))
    bars.xaxis.set_minor_locator(NullLocator())
    bars.grid(axis="y", visible=False)
    _draw(
        lines,
        svg.rate_lines(schedule.layers, schedule.steps, schedule.lr),
        "rate of every layer by step",
        _step_label(schedule),
        "rate",
        x_end=schedule.total_steps,
        log=log,
    )
    if not log:
        lines.set_ylim(bottom=0)
    _draw_marks(lines, schedule_marks(schedule))
    return figure


# ----------------------------------------------------------------------------------------- in words


def describe(source: Run | History | LRSchedule | Picture) -> str:
    """Say in one sentence what a picture shows: start, best and last values."""
    if isinstance(source, Picture):
        return source.sentence
    if hasattr(source, "warmup_steps"):
        return _describe_schedule(source)
    history = getattr(source, "history", source)
    text = f"{len(history)} of {history.total_steps} steps"
    if hasattr(source, "status"):
        text = f"{source.status}: {text} in {source.seconds:.1f} s"
    loss = svg.smooth(history.loss, svg.smoothing_window(history.total_steps))
    if len(loss):
        first, last = svg.number(history.loss[0]), svg.number(loss[-1])
        text += f"; training loss {first} at the start, {last} at the end (smoothed)"
    if history.evals:
        text += f"; validation {METRIC_NAMES[history.metric]} {history.evals[0]['score']:.3f} at first, "
        if history.best is not None:
            text += f"best {history.best['score']:.3f} after step {history.best['step']}, "
        text += f"{history.evals[-1]['score']:.3f} at the last of {len(history.evals)}"
    return text + "."


def _describe_schedule(schedule: LRSchedule) -> str:
    peaks = schedule.lr.max(axis=0)
    parts = [
        f"{name} {svg.number(peaks[i])} at step {schedule.steps[schedule.lr[:, i].argmax()]}"
        for name, i in svg.layer_groups(schedule.layers, schedule.lr)
    ]
    if len(parts) > 3:
        parts = [parts[0], parts[-2], parts[-1]]
    text = f"Learning rate over {schedule.total_steps} steps; highest: {', '.join(parts)}; at the last step "
    last = schedule.lr[-1]
    text += (
        f"{svg.number(last.min())}"
        if last.min() == last.max()
        else f"{svg.number(last.min())} to {svg.number(last.max())}"
    )
    if schedule.warmup_steps:
        text += f"; warm-up ends at step {schedule.warmup_steps}"
    if schedule.swa_step is not None:
        text += f"; averaging starts at step {schedule.swa_step}"
    return text + "."


# ------------------------------------------------------------------------------------------ drawing


def _draw(
    axes: Axes,
    lines: Sequence[svg.Line],
    title: str,
    x_label: str,
    y_label: str,
    *,
    x_end: float,
    log: bool = False,
    empty: str = "",
) -> None:
    """Draw lines as `svg.line_chart` does, with the same colours and dashes, on light ground."""
    for line in lines:
        dash = tuple(float(part) / line.width for part in line.dash.split())
        axes.plot(
            line.x,
            np.where(np.abs(line.y) < 1e300, line.y, np.nan),
            color=line.colour[0],
            linestyle=(0, dash) if dash else "-",
            linewidth=0.8 * line.width,
            alpha=line.opacity,
            marker="o" if line.dots or len(line.y) == 1 else None,
            markersize=4 if line.dots else 2,
            label=line.label or None,
        )
    if log:
        axes.set_yscale("log")
    if not any(np.isfinite(line.y).any() for line in lines):
        axes.text(0.5, 0.5, empty, transform=axes.transAxes, ha="center", va="center")
    axes.set_xlim(0, max(1, x_end) * 1.015)  # room for a dot at the very end
    _dress(axes, title, x_label, y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if y_label == "rate":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(round(value, 12))))
    handles, labels = axes.get_legend_handles_labels()
    if (
        len(handles) > 3
    ):  # in the order in which the lines lie, at the right; only as many as the height has room for
        keep = [-1 - i for i in svg.pick(len(handles), int(4.4 * axes.figure.get_figheight()))]
        axes.legend(
            [handles[i] for i in keep],
            [labels[i] for i in keep],
            frameon=False,
            fontsize=8,
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            handlelength=3.4,
        )
    elif handles:
        axes.legend(fontsize=8, framealpha=0.7, edgecolor="none", borderpad=0.2, handlelength=2.6)


def _draw_marks(axes: Axes, marks: Sequence[svg.Mark]) -> None:
    for row, mark in enumerate(sorted(marks, key=lambda m: (not m.label, m.x))):
        if mark.label:
            axes.axvline(mark.x, color="black", linewidth=0.9, linestyle=(0, (3, 3)), alpha=0.7)
            late = mark.x > 0.7 * axes.get_xlim()[1]
            axes.annotate(
                mark.label,
                (mark.x, 0.97 - 0.07 * row),
                xycoords=("data", "axes fraction"),
                xytext=(-4 if late else 4, 0),
                textcoords="offset points",
                ha="right" if late else "left",
                va="top",
                fontsize=8,
            )
        else:
            axes.axvline(mark.x, color="black", linewidth=0.8, linestyle=(0, (1, 4)), alpha=0.35)


def _dress(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
