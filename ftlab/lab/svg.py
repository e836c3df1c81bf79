"""Draw charts as SVG text: the pictures that move in panels and live curves.

Written by hand because speed matters here: a picture takes a few milliseconds, where matplotlib takes a hundred.
`ftlab.lab.figure` draws the same charts where they are stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape as _escape

import numpy as np

from ftlab.lab.chart import ORANGE, Chart, Colour, Line, Sheet
from ftlab.lab.layout import Pane, Text, finite, place, split

_STYLE = (
    "<style>.ftlab{color:var(--jp-ui-font-color1,inherit);"
    "font:12px var(--jp-ui-font-family,system-ui,sans-serif);max-width:100%;height:auto}"
    ".ftlab text{fill:currentColor}.ftlab g{color:var(--light)}"
    ".ftlab .title{font-size:13px;font-weight:600}.ftlab .quiet{font-size:12px;font-weight:400;fill-opacity:.75}"
    ".ftlab .tick{font-size:11px;fill-opacity:.75}"
    ".ftlab .value{font-size:11px;paint-order:stroke;stroke:var(--jp-layout-color0,var(--ground,#fff));"
    "stroke-width:3px;stroke-linejoin:round}"
    "[data-jp-theme-light=false] .ftlab g,.vscode-dark .ftlab g,html[theme=dark] .ftlab g{color:var(--dark)}"
    ".vscode-dark .ftlab,html[theme=dark] .ftlab{--ground:#111}</style>"
)
_SHAPES = {  # of points, as moves from their middle
    "dot": "m-3.5,0a3.5,3.5 0 1,0 7,0a3.5,3.5 0 1,0 -7,0",
    "circle": "m-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0",
    "square": "m-3.5,-3.5h7v7h-7z",
    "diamond": "m0,-5l5,5l-5,5l-5,-5z",
    "triangle": "m0,-4.5l4.5,8h-9z",
    "cross": "m-4,-4l8,8m-8,0l8,-8",
    "stroke": "m0,-8v16",
}
_OPEN = {"circle": "2", "cross": "1.6", "stroke": "2.5"}  # what is drawn by its outline: the width of that


def draw(picture: Chart | Sheet, width: float | None = None) -> str:
    """Draw a chart, or a sheet of several, as SVG text `width` CSS pixels wide (default: the sheet's own width)."""
    layout = place(picture, width)
    title = " · ".join(pane.chart.title for pane in layout.panes)
    label = layout.sheet.sentence or " ".join(pane.chart.sentence for pane in layout.panes).strip() or title
    size = f"{layout.width:g} {layout.height:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="ftlab" role="img" aria-label="{escape(label)}" '
        f'viewBox="0 0 {size}" width="{layout.width:g}" height="{layout.height:.0f}">'
        f"<title>{escape(title)}</title>{_STYLE}{''.join(s for pane in layout.panes for s in _pane(pane))}</svg>"
    )


def escape(text: str) -> str:
    """Make text safe inside SVG: escape markup, turn control characters, which XML forbids, into spaces."""
    return _escape("".join(c if c.isprintable() else " " for c in text))


def _pane(pane: Pane) -> Iterator[str]:
    """Yield a chart's elements, from the grid at the bottom to the texts on top."""
    chart, left, right, top, bottom = pane.chart, pane.left, pane.right, pane.top, pane.bottom
    if chart.bars:
        grid = "".join(f"M{pane.x(place):.1f},{top:.1f}V{bottom:.1f}" for place, _ in pane.x_ticks)
    else:
        grid = "".join(f"M{left:.1f},{pane.y(place):.1f}H{right:.1f}" for place, _ in pane.y_ticks)
        ticks = "".join(f"M{pane.x(place):.1f},{bottom:.1f}v4" for place, _ in pane.x_ticks)
        yield f'<path d="M{left:.1f},{bottom:.1f}H{right:.1f}{ticks}" stroke="currentColor" opacity="0.6"/>'
    yield f'<path d="{grid}" stroke="currentColor" opacity="0.14"/>'
    if not pane.empty:
        yield from _marks(pane)
        # An inner picture cuts off what leaves the frame; points stand outside it, so that none is cut.
        size = f"{right - left + 4:.1f}"
        box = f"{left - 2:.1f} {top - 2:.1f} {size} {bottom - top + 4:.1f}"
        x, y, w, h = box.split()
        yield f'<svg x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{box}">'
        for line in chart.lines:
            for part in split(line, chart.playhead.x) if line.planned and chart.playhead else (line,):
                yield _curve(pane, part)
        yield "</svg>"
        for line in chart.lines:
            if line.marker:
                yield _points(pane, line)
        yield from _bars(pane)
        for points, line in pane.swatches:
            if line.width:
                path = "M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points)
                yield _group(line.colour, min(1.0, line.opacity + 0.2), _stroke(path, line))
            if line.marker:
                yield _group(line.colour, 1.0, _shapes(line.marker, [points[-1][0] - 9], [points[-1][1]]))
    yield from (_text(text) for text in pane.texts)


def _group(colour: Colour, opacity: float, body: str) -> str:
    faint = "" if opacity == 1 else f' opacity="{opacity:g}"'
    return f'<g style="--light:{colour[0]};--dark:{colour[1]}"{faint}>{body}</g>'


def _stroke(path: str, line: Line) -> str:
    ends = f'stroke-dasharray="{line.dash}"' if line.dash else 'stroke-linecap="round"'
    return (
        f'<path d="{path}" fill="none" stroke="currentColor" stroke-width="{line.width:g}" stroke-linejoin="round" '
        f"{ends}/>"
    )


def _curve(pane: Pane, line: Line) -> str:
    x, y = _pixels(pane, line)
    path = _path(x, y)
    body = _stroke(path, line) if line.width else ""
    if line.fill and path:
        floor = pane.bottom if pane.y.log else float(np.clip(pane.y(0.0), pane.top, pane.bottom))
        area = f"{path}L{x[-1]:.1f},{floor:.1f}L{x[0]:.1f},{floor:.1f}z"
        body = f'<path d="{area}" fill="currentColor" opacity="0.35"/>{body}'
    return _group(line.colour, line.opacity, body)


def _pixels(pane: Pane, line: Line) -> tuple[np.ndarray, np.ndarray]:
    x, y = (pane.x(finite(line.x, pane.x.log)), pane.y(finite(line.y, pane.y.log)))
    return np.clip(x, -1e4, 1e4), np.clip(y, -1e4, 1e4)


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """Write pixel positions as path data, with a new stroke after each gap; a lone point becomes a dot."""
    seen = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    runs = np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1) if len(seen) else []
    xy = np.column_stack([x, y])
    return "".join(
        "M" + ("%.1f,%.1f " * len(run)) % tuple(xy[run].ravel().tolist()) + ("h0" if len(run) == 1 else "")
        for run in runs
    )


def _points(pane: Pane, line: Line) -> str:
    x, y = _pixels(pane, line)
    inside = (x >= pane.left - 1) & (x <= pane.right + 1) & (y >= pane.top - 1) & (y <= pane.bottom + 1)
    return _group(line.colour, line.opacity, _shapes(line.marker, x[inside].tolist(), y[inside].tolist()))


def _shapes(marker: str, x: list[float], y: list[float]) -> str:
    path = "".join(f"M{a:.1f},{b:.1f}{_SHAPES[marker]}" for a, b in zip(x, y, strict=True))
    if marker in _OPEN:
        ground = "var(--jp-layout-color0,var(--ground,#fff))" if marker == "circle" else "none"
        return f'<path d="{path}" fill="{ground}" stroke="currentColor" stroke-width="{_OPEN[marker]}"/>'
    return f'<path d="{path}" fill="currentColor"/>'


def _marks(pane: Pane) -> Iterator[str]:
    low, high = sorted(pane.x.ends)
    for mark in pane.chart.marks:
        if low <= mark.x <= high:
            path = f'<path d="M{pane.x(mark.x):.1f},{pane.top - 3 * bool(mark.label):.1f}V{pane.bottom:.1f}" '
            faint = 'opacity="0.7" stroke-dasharray="3 3"' if mark.label else 'opacity="0.3" stroke-dasharray="1 4"'
            yield f'{path}stroke="currentColor" {faint}/>'
    if (head := pane.chart.playhead) is not None and low <= head.x <= high:
        path = f'<path d="M{pane.x(head.x):.1f},{pane.top - 3:.1f}V{pane.bottom + 4:.1f}" stroke="currentColor"'
        yield _group(ORANGE, 1.0, f'{path} stroke-width="1.5"/>')


def _bars(pane: Pane) -> Iterator[str]:
    if not pane.chart.bars:
        return
    row = float(abs(pane.y.factor))
    base = float(pane.x(np.clip(pane.x.ends[0] if pane.x.log else 0.0, *pane.x.ends)))
    for bar in pane.chart.bars:
        y, height = float(pane.y(bar.row)), bar.height * row
        start, end, stroke = pane.x(finite([bar.start, bar.value, bar.stroke], pane.x.log)).tolist()
        start = base if start != start else start
        if end == end:
            end = min(max(end, pane.left), pane.right)
            rect = f'x="{min(start, end):.1f}" y="{y - height / 2:.1f}" width="{abs(end - start):.1f}"'
            yield _group(bar.colour, 1.0, f'<rect {rect} height="{height:.1f}" fill="currentColor"/>')
        if stroke == stroke:  # with a light edge, or it would be lost on a dark bar
            path = f'<path d="M{min(max(stroke, pane.left), pane.right):.1f},{y - 0.48 * row:.1f}v{0.96 * row:.1f}" '
            yield f'{path}stroke="var(--jp-layout-color0,var(--ground,#fff))" stroke-width="6"/>'
            yield f'{path}stroke="currentColor" stroke-width="2.5"/>'


def _text(text: Text) -> str:
    kind = "" if text.kind == "label" else f' class="{text.kind}"'
    anchor = "" if text.anchor == "start" else f' text-anchor="{text.anchor}"'
    note = f'<tspan class="quiet">{" " * bool(text.text)}{escape(text.note)}</tspan>' if text.note else ""
    return f'<text x="{text.x:.1f}" y="{text.y:.1f}"{anchor}{kind}>{escape(text.text)}{note}</text>'
