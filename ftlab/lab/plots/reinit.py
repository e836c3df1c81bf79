"""The pictures of notebook 04: weights before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ftlab.lab import old_svg as svg
from ftlab.lab.plots.base import Picture, dress


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
    dress(axes, title, unit, "")
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
        dress(axes, name, x_label, "" if i else "share of the values")
    panes[-1].legend(frameon=False, fontsize=8)
    return figure
