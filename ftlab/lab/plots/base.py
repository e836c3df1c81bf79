"""The picture itself, and how its parts are drawn: lines, marks, axes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from ftlab.lab import old_svg as svg

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

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
        width, height = (round(100 * inches) for inches in self.get_size_inches())
        metadata = {"image/png": {"width": width, "height": height, "alt": self.sentence}}
        return {"image/png": base64.b64encode(self.png()).decode("ascii"), "text/plain": repr(self)}, metadata


def draw_lines(
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
    dress(axes, title, x_label, y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    if y_label == "rate":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: svg.number(round(value, 12))))
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 3:  # in the order in which the lines lie, at the right; only as many as the height has room for
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


def draw_marks(axes: Axes, marks: Sequence[svg.Mark]) -> None:
    """Draw vertical lines with their labels, one below the other; a mark without a label stays faint."""
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


def dress(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Give a pane its title, labels and grid, as all panes have them."""
    axes.set_title(title, fontsize=10, loc="left", fontweight="bold")
    axes.set_xlabel(x_label, fontsize=9)
    axes.set_ylabel(y_label, fontsize=9)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
