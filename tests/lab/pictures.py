"""What the tests of pictures share: lines of a chart by their label, and what is wrong with how a picture is laid out.

Widths of texts are measured here with the font itself, DejaVu Sans, which is wider than what browsers show.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from PIL import ImageFont

from ftlab.lab.chart import Chart, Line, Sheet
from ftlab.lab.figure import Picture
from ftlab.lab.layout import SIZES, Layout, Pane, Text, finite

SVG = "{http://www.w3.org/2000/svg}"
FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"


def charts_of(picture: Picture) -> list[Chart]:
    return list(picture.sheet.charts)


def line_of(chart: Chart, label: str) -> Line:
    [line] = [line for line in chart.lines if line.label == label]
    return line


def sheet_of(picture: Chart | Sheet) -> Sheet:
    return Sheet([picture]) if isinstance(picture, Chart) else picture


def texts_of(svg: str) -> list[str]:
    """Every text of an SVG picture, the quiet part after a space."""
    return ["".join(t.itertext()) for t in ElementTree.fromstring(f"<div>{svg}</div>").iter(f"{SVG}text")]


@lru_cache
def _font(kind: str) -> ImageFont.FreeTypeFont:
    name = "DejaVuSans-Bold.ttf" if kind == "title" else "DejaVuSans.ttf"
    return ImageFont.truetype(FONTS / name, 10 * SIZES[kind])


def width(text: str, kind: str = "label") -> float:
    return _font(kind).getlength(text) / 10


def box(text: Text) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a text."""
    size = width(text.text, text.kind) + (width((" " if text.text else "") + text.note) if text.note else 0)
    left = text.x - {"start": 0, "middle": size / 2, "end": size}[text.anchor]
    return left, text.y - 0.75 * SIZES[text.kind], left + size, text.y + 0.2 * SIZES[text.kind]


def curves(pane: Pane) -> list[np.ndarray]:
    """The strokes and points of a pane as dense pixel positions (n, 2), cut off at the frame."""
    found = []
    for line in pane.chart.lines:
        x, y = pane.x(finite(line.x, pane.x.log)), pane.y(finite(line.y, pane.y.log))
        if line.width and len(x) > 1:
            at = np.linspace(0, len(x) - 1, 20 * len(x))
            x, y = (np.interp(at, np.arange(len(x)), v) for v in (x, y))
        inside = (x >= pane.left) & (x <= pane.right) & (y >= pane.top) & (y <= pane.bottom)
        found.append(np.column_stack([x[inside], y[inside]]))
    return found


def problems(layout: Layout) -> list[str]:
    """Say which texts leave the picture, lie over one another, or lie across a curve."""
    wrong, boxes = [], []
    for pane in layout.panes:
        for text in pane.texts:
            left, top, right, bottom = here = box(text)
            if left < 0 or top < 0 or right > layout.width or bottom > layout.height:
                wrong.append(f"{text.text!r} {text.note!r} leaves the picture: {np.round(here)} of {layout.width}")
            for other, (a, b, c, d) in boxes:
                if left < c - 0.5 and a < right - 0.5 and top < d - 0.5 and b < bottom - 0.5:
                    wrong.append(f"{text.text!r} {text.note!r} lies over {other!r}")
            boxes.append((text.text + text.note, here))
        for points in curves(pane):
            for text, (left, top, right, bottom) in boxes:
                x, y = points.T
                if ((x > left) & (x < right) & (y > top) & (y < bottom)).any():
                    wrong.append(f"{text!r} lies across a curve of {pane.chart.title!r}")
    return wrong
