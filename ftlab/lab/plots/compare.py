"""Values beside each other: by run, by setting, by step, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, draw_lines, dress


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
    dress(axes, f"{unit} of repeated runs", unit, "")
    axes.grid(axis="y", visible=False)
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
    dress(axes, title, x_label, unit)
    if all(float(value).is_integer() for value in settings):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
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
    draw_lines(axes, lines, title, "step", y_label, x_end=end)
    axes.set_ylim(bottom=0)
    return figure


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
    dress(axes, title, x_label, "")
    if x_label.startswith("rate"):
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(round(value, 12))))
    return figure
