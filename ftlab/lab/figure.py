"""Draw charts as matplotlib figures: the pictures that are stored in notebooks or printed.

Frames, ticks and labels stand where `ftlab.lab.layout` puts them, as in `ftlab.lab.svg`; each frame is an ordinary
matplotlib axes that holds the data, so whoever wants to can go on drawing in it. Nothing here touches pyplot, whose
hidden state is lost or garbled when widgets move while a cell runs.
"""

from __future__ import annotations

import base64
import io
import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Bbox, TransformedBbox
from PIL import Image

from ftlab.lab.chart import GREY, ORANGE, Chart, Line, Sheet
from ftlab.lab.layout import SIZES, Layout, Pane, Text, finite, place, split

SHARPNESS = 1.5  # pixels stored for each pixel shown, so that text stays sharp on fine screens
POINT = 0.72  # points in a pixel: the picture has 100 pixels an inch
_SHAPES = {  # of points: matplotlib's name and size in pixels
    "dot": ("o", 7), "circle": ("o", 8), "square": ("s", 7), "diamond": ("D", 7), "triangle": ("^", 8.5),
    "cross": ("x", 8), "stroke": ("|", 16),
}  # fmt: skip
_LIGHT_EDGE = [Stroke(linewidth=3 * POINT, foreground="white"), Normal()]


class Picture(Figure):
    """A matplotlib Figure that shows as a PNG in every notebook front end, without pyplot or a magic command.

    `sentence` describes it for people who cannot see it. It travels as alternative text; the plain-text form is the
    name alone, which does not change from run to run. `sheet` is what was drawn, as data.
    """

    sheet: Sheet | None = None

    def __init__(self, width: float, height: float, *, name: str, sentence: str = "") -> None:
        super().__init__(figsize=(width / 100, height / 100), dpi=100, facecolor="white")
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


def draw(picture: Chart | Sheet, width: float | None = None) -> Picture:
    """Draw a chart, or a sheet of several, as a figure `width` pixels wide (default: the sheet's own width)."""
    layout = place(picture, width)
    sheet = layout.sheet
    height = 2 * math.ceil(layout.height / 2)  # even, so that one and a half times as much are whole pixels
    figure = Picture(layout.width, height, name=sheet.name, sentence=sheet.sentence)
    figure.sheet = sheet
    for pane in layout.panes:
        axes = _axes(figure, layout, pane)
        _marks(axes, pane)
        for line in pane.chart.lines:
            _line(axes, pane, line)
        _bars(axes, pane)
        for points, line in pane.swatches:
            _swatch(figure, layout, points, line)
        for text in pane.texts:
            _text(figure, layout, text)
    return figure


def _axes(figure: Picture, layout: Layout, pane: Pane) -> Axes:
    """Make the axes of a frame: its place, ends, ticks and grid."""
    height = figure.get_figheight() * 100
    box = (pane.left / layout.width, 1 - pane.bottom / height,
           (pane.right - pane.left) / layout.width, (pane.bottom - pane.top) / height)  # fmt: skip
    axes = figure.add_axes(box, label=pane.chart.title)
    for axis, scale, ticks in (("x", pane.x, pane.x_ticks), ("y", pane.y, pane.y_ticks)):
        getattr(axes, f"set_{axis}scale")("log" if scale.log else "linear")
        getattr(axes, f"set_{axis}lim")(*scale.ends)
        getattr(axes, f"set_{axis}ticks")([place for place, _ in ticks], [text for _, text in ticks])
        getattr(axes, f"{axis}axis").set_minor_locator(NullLocator())
    axes.set_axisbelow(True)
    axes.grid(axis="x" if pane.chart.bars else "y", color="black", alpha=0.14, linewidth=POINT)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelbottom=False, labelleft=False)  # all texts stand where the layout puts them,
    axes.set_title(pane.chart.title, loc="left", visible=False)  # and here for whoever reads the axes by program
    axes.set_xlabel(pane.chart.x.label, visible=False)
    axes.set_ylabel(pane.chart.y.label or pane.chart.title, visible=False)
    if not pane.chart.bars:
        axes.spines["bottom"].set(visible=True, alpha=0.6, linewidth=POINT)
        axes.tick_params(axis="x", length=4 * POINT, width=POINT, color=(0, 0, 0, 0.6))
    return axes


def _marks(axes: Axes, pane: Pane) -> None:
    low, high = sorted(pane.x.ends)
    for mark in pane.chart.marks:
        if low <= mark.x <= high:
            style = {"alpha": 0.7, "linestyle": (0, (3, 3))} if mark.label else {"alpha": 0.3, "linestyle": (0, (1, 4))}
            axes.axvline(mark.x, color="black", linewidth=POINT, **style)
    if (head := pane.chart.playhead) is not None and low <= head.x <= high:
        axes.axvline(head.x, color=ORANGE[0], linewidth=1.5 * POINT)


def _line(axes: Axes, pane: Pane, line: Line) -> None:
    """Draw a line, cut off at the frame, and its points, none of which is cut."""
    x, y = finite(line.x, pane.x.log), finite(line.y, pane.y.log)
    head = pane.chart.playhead
    frame = TransformedBbox(Bbox([[0, 0], [1, 1]]), axes.transAxes)
    for part in split(line, head.x) if line.planned and head is not None else (line,):
        [drawn] = axes.plot(
            finite(part.x, pane.x.log),
            finite(part.y, pane.y.log),
            color=line.colour[0],
            linewidth=POINT * part.width,
            linestyle=_dashes(part) if part.width else "none",
            alpha=part.opacity,
            label=line.label or None,
            marker="o" if len(line.x) == 1 and not line.marker else None,
            markersize=POINT * line.width,
            solid_capstyle="round",
            solid_joinstyle="round",
            dash_joinstyle="round",
            zorder=2,
        )
        drawn.set_clip_box(_Wider(frame))
    if line.fill:
        axes.fill_between(x, y, color=line.colour[0], alpha=0.35 * line.opacity, linewidth=0)
    if line.marker:
        inside = (x >= min(pane.x.ends)) & (x <= max(pane.x.ends)) & (y >= min(pane.y.ends)) & (y <= max(pane.y.ends))
        axes.plot(x[inside], y[inside], alpha=line.opacity, linestyle="none", clip_on=False, zorder=3, **_points(line))


class _Wider(TransformedBbox):
    """The frame and two pixels more: half the width of a line that runs along its edge."""

    def __init__(self, frame: TransformedBbox) -> None:
        super().__init__(frame._bbox, frame._transform)

    def get_points(self) -> np.ndarray:
        return super().get_points() + np.array([[-2.0, -2.0], [2.0, 2.0]]) * SHARPNESS


def _dashes(line: Line) -> Any:
    return (0, [float(part) / max(line.width, 0.1) for part in line.dash.split()]) if line.dash else "-"


def _points(line: Line) -> dict[str, Any]:
    marker, size = _SHAPES[line.marker]
    style = {"marker": marker, "markersize": POINT * size, "color": line.colour[0]}
    if line.marker == "circle":
        return {**style, "markerfacecolor": "white", "markeredgewidth": 2 * POINT}
    return {**style, "markeredgewidth": POINT * {"cross": 1.6, "stroke": 2.5}.get(line.marker, 0)}


def _bars(axes: Axes, pane: Pane) -> None:
    base = pane.x.ends[0] if pane.x.log else 0.0
    for bar in pane.chart.bars:
        start, end, stroke = finite([bar.start, bar.value, bar.stroke], pane.x.log).tolist()
        start = base if math.isnan(start) else start
        if not math.isnan(end):
            style = {"color": bar.colour[0], "hatch": "////" if bar.hatch else None, "edgecolor": "white"}
            axes.barh(bar.row, end - start, bar.height, left=start, linewidth=0, **style)
        if not math.isnan(stroke):
            rows = [bar.row - 0.48, bar.row + 0.48]
            axes.plot([stroke] * 2, rows, color="white", linewidth=6 * POINT, solid_capstyle="butt")
            axes.plot([stroke] * 2, rows, color="black", linewidth=2.5 * POINT, solid_capstyle="butt")


def _swatch(figure: Picture, layout: Layout, points: list[tuple[float, float]], line: Line) -> None:
    height = figure.get_figheight() * 100
    x, y = [a / layout.width for a, _ in points], [1 - b / height for _, b in points]
    style = {"transform": figure.transFigure}
    if line.width:
        look = {"color": line.colour[0], "alpha": min(1.0, line.opacity + 0.2), "linestyle": _dashes(line)}
        figure.add_artist(Line2D(x, y, linewidth=POINT * line.width, **look, **style))
    if line.marker:
        middle = x[-1] - 9 / layout.width
        figure.add_artist(Line2D([middle], [y[-1]], linestyle="none", **style, **_points(line)))


def _text(figure: Picture, layout: Layout, text: Text) -> None:
    """Write a text, and its note behind it."""
    height = figure.get_figheight() * 100
    style = {"fontsize": POINT * SIZES[text.kind], "va": "baseline"}
    if text.kind == "title":
        style["fontweight"] = "bold"
    if text.kind == "value":
        style["path_effects"] = _LIGHT_EDGE
    colour = GREY[0] if text.kind == "tick" else "black"
    at = text.x / layout.width, 1 - text.y / height
    ha = {"start": "left", "middle": "center", "end": "right"}[text.anchor]
    written = figure.text(*at, text.text, color=colour, ha=ha, **style)
    if text.note:
        small = {"fontsize": POINT * SIZES["label"], "va": "baseline", "color": GREY[0]}
        if not text.text:
            figure.text(*at, text.note, **small)
        else:
            figure.axes[-1].annotate(  # where the text ends, which only matplotlib knows, on the same base line
                text.note, (1, at[1]), xycoords=(written, "figure fraction"), xytext=(4 * POINT, 0),
                textcoords="offset points", **small,
            )  # fmt: skip
