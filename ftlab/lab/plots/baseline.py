"""The pictures of notebook 01: the model's parameters, the data, the predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ftlab.lab.chart import BLUE, GREY, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet
from ftlab.lab.plots.reinit import histogram
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture


def plot_parameters(counts: Mapping[str, int]) -> Picture:
    """Draw the number of parameters of every layer as bars, head on top and apart from the backbone.

    counts: {layer: number of parameters}, embeddings first, head last.
    """
    total, head = sum(counts.values()), counts.get("head", 0)
    body = total - head
    sentence = (
        f"{total:,} parameters: {body:,} in the backbone ({body / max(1, total):.1%}), {head:,} in the head "
        f"({head / max(1, total):.1%}); the largest part is {max(counts, key=counts.get)}."
    )
    unit, name = (1e6, "million parameters") if total > 2e6 else (1, "parameters")
    bars = [
        Bar(row, n / unit, ORANGE if layer == "head" else BLUE, f"{n:,} ({n / max(1, total):.1%})")
        for row, (layer, n) in enumerate(list(counts.items())[::-1])
    ]
    chart = Chart(f"{total:,} parameters", bars=bars, note=f"backbone {body:,}, head {head:,}", x=Axis(name, low=0),
                  y=Axis(names=list(counts)[::-1]))  # fmt: skip
    return draw(Sheet([chart], "parameters by layer", sentence))


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
    varies = min(np.ptp(targets), np.ptp(predictions)) > 0
    r = float(np.corrcoef(targets, predictions)[0, 1]) if varies else float("nan")
    sentence = f"{len(targets)} predictions against their true values: RMSE {rmse:.3f}, correlation {r:.3f}."
    low, high = (f(np.concatenate([targets, predictions])) for f in (np.min, np.max))
    pad = 0.05 * (high - low) or 1.0
    ends = np.array([low - pad, high + pad])
    lines = [Line("predicted = true", ends, ends, GREY, "6 3", 1.2)]
    if standard_errors is not None:
        half, gap = np.asarray(standard_errors, dtype=np.float64), np.full(len(targets), np.nan)
        x = np.column_stack([targets - half, targets + half, gap]).ravel()
        lines.append(Line("±1 standard error", x, np.repeat(predictions, 3), BLUE, opacity=0.3))
    lines.append(Line("one text", targets, predictions, BLUE, width=0, opacity=0.6, marker="dot"))
    chart = Chart(f"Predicted {name}", lines, note=f"by the true one: RMSE {rmse:.3f}, correlation {r:.3f}",
                  x=Axis(f"true {name}", *ends), y=Axis("", *ends), labels="above", height=410)  # fmt: skip
    return draw(Sheet([chart], "true against predicted values", sentence, width=460))


def plot_lengths(
    lengths: Sequence[int] | np.ndarray, *, max_length: int | None = None, unit: str = "tokens"
) -> Picture:
    """Draw how long the texts are as a histogram; `max_length` marks where they are cut."""
    lengths = np.asarray(lengths)
    sentence = f"{len(lengths)} texts of {lengths.min()} to {lengths.max()} {unit}, median {np.median(lengths):g}"
    marks = []
    if max_length is not None:
        cut = int((lengths > max_length).sum())
        sentence += f"; {cut} ({cut / len(lengths):.1%}) are longer than {max_length} and are cut"
        marks = [Mark(max_length, f"cut at {max_length}")]
    width = max(1, int(np.ptp(lengths)) // 40 + 1)  # whole tokens, so that no bar holds more lengths than another
    bins = np.arange(lengths.min(), lengths.max() + width + 1, width) - 0.5
    end = max(bins[-1], max_length or 0)
    return _distribution(lengths, bins, f"texts by length, median {np.median(lengths):g} {unit}",
                         Axis(f"length in {unit}", bins[0], end + 0.5), f"length of the texts in {unit}",
                         f"{sentence}.", marks)  # fmt: skip


def plot_targets(
    targets: Sequence[Any] | np.ndarray, *, labels: Sequence[str] | None = None, name: str = "target"
) -> Picture:
    """Draw how the targets are distributed: a histogram, or one bar a class if `labels` names them."""
    targets = np.asarray(targets)
    if labels is not None:
        counts = np.bincount(targets, minlength=len(labels))
        sentence = ", ".join(f"{label}: {n}" for label, n in zip(labels, counts, strict=True)) + "."
        bars = [Bar(row, n) for row, n in enumerate(counts.tolist())]
        note = f"by class: {len(targets)} in {len(labels)} classes"
        chart = Chart("Texts", bars=bars, note=note, x=Axis("texts", low=0), y=Axis(names=list(labels)))
        return draw(Sheet([chart], "texts by class", sentence))
    mean, sd = float(np.mean(targets)), float(np.std(targets))
    spread = f"mean {mean:.2f}, standard deviation {sd:.2f}"
    sentence = f"{len(targets)} targets from {targets.min():.2f} to {targets.max():.2f}, {spread}."
    bins = np.histogram_bin_edges(targets, 30)
    return _distribution(
        targets, bins, f"texts by {name}, {spread}", Axis(name), "distribution of the targets", sentence
    )


def _distribution(values: np.ndarray, bins: np.ndarray, note: str, x: Axis, name: str, sentence: str, marks=()):
    line = histogram("", bins, np.histogram(values, bins)[0], BLUE)
    chart = Chart("Number", [line], note=f"of {note}", marks=marks, x=x, y=Axis(low=0, whole=True), height=170)
    return draw(Sheet([chart], name, sentence))
