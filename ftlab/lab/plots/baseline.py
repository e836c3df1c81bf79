"""The pictures of notebook 01: the model's parameters, the data, the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_marks, dress


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
    axes.bar_label(bars, [f"{n:,}  ({n / max(1, total):.1%})" for n in counts.values()], padding=4, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.2)
    dress(axes, f"{total:,} parameters: backbone {total - head:,}, head {head:,}", "parameters", "")
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
    dress(axes, f"RMSE {rmse:.3f}, correlation {r:.3f}", f"true {name}", f"predicted {name}")
    return figure


def plot_lengths(
    lengths: Sequence[int] | np.ndarray, *, max_length: int | None = None, unit: str = "tokens"
) -> Picture:
    """Draw how long the texts are as a histogram; `max_length` marks where they are cut."""
    lengths = np.asarray(lengths)
    sentence = f"{len(lengths)} texts of {lengths.min()} to {lengths.max()} {unit}, median {np.median(lengths):g}"
    if max_length is not None:
        cut = int((lengths > max_length).sum())
        sentence += f"; {cut} ({cut / len(lengths):.1%}) are longer than {max_length} and are cut"
    figure = Picture(height=3.0, name=f"length of the texts in {unit}", sentence=f"{sentence}.")
    axes = figure.subplots()
    width = max(1, int(np.ptp(lengths)) // 40 + 1)  # whole tokens, so that no bar holds more lengths than another
    bins = np.arange(lengths.min(), lengths.max() + width + 1, width) - 0.5
    axes.hist(lengths, bins=bins, color=svg.BLUE[0], edgecolor="white", linewidth=0.5)
    if max_length is not None:
        draw_marks(axes, [svg.Mark(max_length, f"cut at {max_length}")])
    dress(axes, f"median {np.median(lengths):g} {unit}", f"length in {unit}", "texts")
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
        dress(axes, f"{len(targets)} texts in {len(labels)} classes", "texts", "")
        axes.grid(axis="y", visible=False)
        return figure
    mean, sd = float(np.mean(targets)), float(np.std(targets))
    spread = f"mean {mean:.2f}, standard deviation {sd:.2f}"
    sentence = f"{len(targets)} targets from {targets.min():.2f} to {targets.max():.2f}, {spread}."
    figure = Picture(height=3.0, name="distribution of the targets", sentence=sentence)
    axes = figure.subplots()
    axes.hist(targets, bins=30, color=svg.BLUE[0], edgecolor="white", linewidth=0.5)
    dress(axes, spread, name, "texts")
    return figure
