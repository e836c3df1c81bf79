"""Values beside each other: by run, by setting, by step, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import BLUE, GREY, INK, ORANGE, Axis, Chart, Line, Sheet
from ftlab.lab.still import draw

if TYPE_CHECKING:
    from ftlab.lab.figure import Picture


def plot_spread(values: Mapping[str, Sequence[float]], *, unit: str = "test RMSE") -> Picture:
    """Draw the results of repeated runs: one row of dots a label, and the mean as a vertical stroke.

    values: {label: results, such as one a seed}.
    """
    parts = [
        f"{label}: mean {np.mean(v):.3f}, from {np.min(v):.3f} to {np.max(v):.3f} over {len(v)} runs"
        for label, v in values.items()
    ]
    results = [np.asarray(v, dtype=np.float64) for v in values.values()]
    at = np.concatenate([np.full(len(v), row) for row, v in enumerate(results)])
    means = np.array([v.mean() for v in results])
    lines = [
        Line("one run", np.concatenate(results), at, BLUE, width=0, opacity=0.7, marker="dot"),
        Line("mean", means, np.arange(len(means)), ORANGE, width=0, marker="stroke"),
    ]
    chart = Chart(_capital(unit), lines, note="of repeated runs", x=Axis(unit), y=Axis(names=list(values)),
                  labels="above", height=34 * len(values))  # fmt: skip
    return draw(Sheet([chart], f"spread of {unit} between runs", "; ".join(parts) + "."))


def plot_sweep(
    settings: Sequence[float],
    curves: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    unit: str = "validation RMSE",
    title: str = "",
) -> Picture:
    """Draw one value or several against a setting, such as a score against the number of re-initialised layers.

    settings (n,): places on the x axis. curves: {label: up to n values}; a curve that is not finished yet is drawn as
    far as it goes.
    """
    ends = [f"{label} {v[0]:.3f} at {settings[0]:g}, {v[len(v) - 1]:.3f} at {settings[len(v) - 1]:g}"
            for label, v in curves.items() if len(v)]  # fmt: skip
    heading = title or f"{unit} by {x_label}"
    sentence = f"{heading}: {'; '.join(ends) or 'nothing yet'}."
    styles = [(GREY, "5 3", "square"), (BLUE, "", "dot"), (ORANGE, "2 2", "triangle"), (INK, "7 2", "diamond")]
    x, lines = np.asarray(settings, dtype=np.float64), []
    for i, (label, values) in enumerate(curves.items()):
        colour, dash, marker = styles[i % len(styles)]
        y = np.asarray(values, dtype=np.float64)
        lines.append(Line(label, x[: len(y)], y, colour, dash, marker=marker))
    low, high = float(x.min()), float(x.max())
    pad = 0.04 * (high - low) or 0.5
    axis = Axis(x_label, low - pad, high + pad, whole=all(float(value).is_integer() for value in settings))
    chart = Chart(_capital(title or unit), lines, note=unit if title else f"by {x_label}", x=axis)
    return draw(Sheet([chart], f"{unit} by {x_label}", sentence))


def plot_by_step(curves: Mapping[str, np.ndarray], *, title: str, y_label: str, first: int = 1) -> Picture:
    """Draw up to four curves over the steps: {label: (steps,)}; the first point stands at step `first`."""
    parts = [f"{name}: {number(c[0])} at first, {number(c[-1])} at last" for name, c in curves.items()]
    styles = [(ORANGE, "", 2.2), (BLUE, "7 2.5", 2.2), (GREY, "2 2.5", 1.8), (INK, "9 3 2 3", 1.4)]
    lines = [
        Line(name, first + np.arange(len(curve)), np.asarray(curve, dtype=np.float64), *style)
        for style, (name, curve) in zip(styles, curves.items(), strict=False)
    ]
    end = max(first + len(curve) - 1 for curve in curves.values())
    axes = {"x": Axis("optimizer step", 0, max(1, end), whole=True), "y": Axis(low=0)}
    chart = Chart(_capital(title), lines, note=y_label, **axes)
    return draw(Sheet([chart], f"{title}, by step", "; ".join(parts) + "."))


def plot_by_layer(layers: Sequence[str], series: Mapping[str, Sequence[float]], *, title: str, x_label: str) -> Picture:
    """Draw a value of every layer, head on top, one line of dots a series: rates by convention, distances by run.

    layers: names from the embeddings up to the head. series: {label: one value a layer}.
    """
    styles = [(BLUE, "", "dot"), (ORANGE, "6 3", "square"), (INK, "2 2.5", "triangle"), (GREY, "9 3 2 3", "diamond")]
    parts = [
        f"{label}: {number(values[0])} ({layers[0]}) to {number(values[-2])} ({layers[-2]}), "
        f"{number(values[-1])} ({layers[-1]})"
        for label, values in series.items()
    ]
    rows = np.arange(len(layers) - 1, -1, -1.0)
    lines = []
    for (label, values), (colour, dash, marker) in zip(series.items(), styles, strict=False):
        values = np.asarray(values, dtype=np.float64)
        # The head is no further step of the same stair, so no line leads to it.
        x, y = np.insert(values, len(values) - 1, np.nan), np.insert(rows, len(rows) - 1, np.nan)
        lines.append(Line(label, x, y, colour, dash, 1.4, marker=marker))
    chart = Chart(_capital(title), lines, x=Axis(x_label, low=0), y=Axis(names=layers[::-1]), labels="above",
                  height=23 * len(layers))  # fmt: skip
    return draw(Sheet([chart], title, f"{x_label}. {'; '.join(parts)}."))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
