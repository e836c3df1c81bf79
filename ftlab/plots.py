"""Every picture that is stored or printed: schedules, runs, parameters, predictions and data as matplotlib
figures.

A plot takes data and returns a Figure; it never trains, never shows and never touches pyplot, whose hidden
state is lost or garbled when widgets move while a cell runs. A figure shows itself as a PNG wherever it is
the last value of a cell or handed to `display`. `describe` says in one sentence what a picture shows.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
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
    axes.hist(
        lengths,
        bins=min(40, max(1, int(np.ptp(lengths)) + 1)),
        color=svg.BLUE[0],
        edgecolor="white",
        linewidth=0.5,
    )
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
    axes.set_xlim(0, max(1, x_end))
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
