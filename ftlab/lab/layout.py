"""Where everything in a picture stands, in pixels: frames, ticks, labels. Both renderers draw what is found here.

A label never lies across a curve: names of lines stand in a column at the right of the frame, each at the height of its
line, or in rows above where the column would take too much of the width; names of marks stand above the frame; the
values of points take the first side that is free.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ftlab.checks import number
from ftlab.lab.chart import Chart, Line, Sheet

SIZES = {"title": 13, "label": 12, "tick": 11, "value": 11}
"""The type scale: heights of letters in pixels by kind of text."""
CHARACTER = 0.6  # width to allow for a character in a wide font (DejaVu Sans), as a share of its height
ROW = 15.0  # from one line of text to the next
RADIUS = 3.5  # of a point
GAP = 18.0  # between charts
SWATCH = 18.0  # length of the piece of a line before its label
LABELS_SHARE = 0.42  # of the width that the labels at the right may take


@dataclass(frozen=True)
class Text:
    """A text at x, y (its base line): `anchor` is "start", "middle" or "end"; `note` follows in quiet type."""

    x: float
    y: float
    text: str
    kind: str = "label"
    anchor: str = "start"
    note: str = ""


class Scale:
    """The map from values to pixels along one axis."""

    def __init__(self, ends: tuple[float, float], pixels: tuple[float, float], log: bool = False) -> None:
        self.ends, self.log = ends, log
        self.low, high = (math.log10(e) for e in ends) if log else ends
        self.start = pixels[0]
        self.factor = (pixels[1] - pixels[0]) / ((high - self.low) or 1.0)

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        return self.start + ((np.log10(values) if self.log else values) - self.low) * self.factor


@dataclass
class Pane:
    """A chart in its place: the frame in pixels, both scales, ticks as (value, text), and every text.

    swatches: (points, line): the pieces of lines that lead to their labels. empty: there is nothing to draw.
    """

    chart: Chart
    left: float
    right: float
    top: float
    bottom: float
    x: Scale
    y: Scale
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    empty: bool
    texts: list[Text] = field(default_factory=list)
    swatches: list[tuple[list[tuple[float, float]], Line]] = field(default_factory=list)


@dataclass(frozen=True)
class Layout:
    """A sheet in its place: its size in pixels and its panes."""

    sheet: Sheet
    width: float
    height: float
    panes: list[Pane]


def width_of(text: str, kind: str = "label") -> float:
    """Estimate how wide a text is, in pixels; capital letters and bold type included."""
    return len(text) * SIZES[kind] * CHARACTER * (1.1 if kind == "title" else 1.0)


def wrap(text: str, width: float, kind: str = "label") -> list[str]:
    """Break a text into rows of this width in pixels."""
    return textwrap.wrap(text, max(8, int(width / width_of("x", kind))), break_long_words=False)


# ------------------------------------------------------------------------------------------------------------- ticks


def nice_ticks(low: float, high: float, count: int = 5, whole: bool = False) -> list[float]:
    """Choose about `count` round values (1, 2, 5 times a power of ten) in [low, high], or whole numbers."""
    raw = (high - low) / max(1, count)
    power = math.floor(math.log10(raw))
    step = next(m * 10.0**power for m in (1, 2, 5, 10) if m * 10.0**power >= 0.7 * raw)
    if whole and step < 1:
        step, power = 1.0, 0
    ticks = [round(i * step, max(0, 1 - power)) for i in range(math.floor(low / step), math.ceil(high / step) + 1)]
    slack = 1e-6 * (high - low)
    return [t for t in ticks if low - slack <= t <= high + slack]


def log_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Choose powers of ten in [low, high], with 2 and 5 times them where there are few."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    every = max(1, math.ceil((last - first) / (count + 1)))
    multiples = (1, 2, 5) if last - first <= 2 else (1,)
    ticks = [m * 10.0**e for e in range(first, last + 1, every) for m in multiples]
    return [t for t in ticks if low * 0.999 <= t <= high * 1.001]


def _ticks(axis, ends: tuple[float, float], count: int) -> list[tuple[float, str]]:
    """Return places and texts of the ticks of an axis."""
    if axis.names:
        return [(float(i), axis.names[i]) for i in pick(len(axis.names), 3 * count)]
    if axis.ticks:
        return list(axis.ticks.items())
    if ends[0] == ends[1]:
        return []
    places = log_ticks(*ends, count) if axis.log else nice_ticks(*ends, count, axis.whole)
    return [(place, number(place)) for place in places]


def pick(count: int, places: int) -> list[int]:
    """Choose which of `count` labels to write in `places` places: all, or a part with first and last."""
    if count <= places:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(1, places - 1)) for i in range(places)})


# -------------------------------------------------------------------------------------------------------------- ends


def finite(values: Iterable[float], log: bool = False) -> np.ndarray:
    """Return values as floats with NaN for whatever has no place on the axis."""
    values = np.asarray(values, dtype=np.float64)
    # Numbers at the very ends of what a float holds cannot be scaled to pixels.
    values = np.where(np.abs(values) < 1e-290, 0.0, values)
    return np.where((np.abs(values) < 1e290) & ((values > 0) if log else True), values, np.nan)


def _data_ends(chart: Chart, side: str) -> tuple[float, float] | None:
    """Find the ends of an axis: those it has, else those of the data with a margin; None without data."""
    axis = getattr(chart, side)
    if axis.names:
        ends = (-0.5, len(axis.names) - 0.5)
        return ends[::-1] if side == "y" else ends
    parts = [finite(getattr(line, side), axis.log) for line in chart.lines]
    bars = chart.bars and side == "x"
    if bars:
        parts.append(finite([v for b in chart.bars for v in (b.value, b.start, b.stroke)], axis.log))
    values = np.concatenate([[], *parts])
    values = values[np.isfinite(values)]
    if axis.low is not None and axis.high is not None:
        return (axis.low, axis.high) if len(values) else None
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    if axis.log:
        low, high = (10.0 ** math.floor(math.log10(low) - 0.01), high * 1.05) if bars else (low / 1.3, high * 1.3)
    elif bars:
        low, high = min(0.0, low), max(0.0, high) or (0.0 if low < 0 else 1.0)
    elif side == "y" or chart.y.names or low == high:  # curves fill the width, points keep off the edges
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = (0.0 if 0 <= low < 0.3 * high else low - margin), high + margin
    return (low if axis.low is None else axis.low), (high if axis.high is None else axis.high)


def _ends(sheet: Sheet, side: str) -> list[tuple[float, float] | None]:
    """Find the ends of one axis of every chart; the union of all if they share it."""
    found = [_data_ends(chart, side) for chart in sheet.charts]
    shared = [side in sheet.share and not (side == "x" and chart.own_x) for chart in sheet.charts]
    known = [ends for ends, common in zip(found, shared, strict=True) if common and ends is not None]
    if known:
        union = (min(low for low, _ in known), max(high for _, high in known))
        return [ends and union if common else ends for ends, common in zip(found, shared, strict=True)]
    return found


# ------------------------------------------------------------------------------------------------------------- place


def place(picture: Chart | Sheet, width: float | None = None) -> Layout:
    """Decide where everything stands on a sheet of this width in pixels (default: the sheet's own)."""
    sheet = Sheet([picture], sentence=picture.sentence) if isinstance(picture, Chart) else picture
    width = width or sheet.width
    columns = max(1, min(sheet.columns, len(sheet.charts), int(width // sheet.least)))
    cell = (width - GAP * (columns - 1)) / columns
    rows = -(-len(sheet.charts) // columns)
    x_ends, y_ends = _ends(sheet, "x"), _ends(sheet, "y")
    sketches = []
    for i, chart in enumerate(sheet.charts):
        last = i + columns >= len(sheet.charts) or sheet.charts[i + columns].own_x
        below = "x" not in sheet.share or chart.own_x or last  # the x axis is labelled here
        beside = "y" not in sheet.share or i % columns == 0
        sketches.append(_Sketch(chart, cell, x_ends[i], y_ends[i], below, beside))
    # Frames that stand on top of each other line up, and all are equally wide.
    sides = [(max(s.left for s in sketches[i::columns]), max(s.right for s in sketches[i::columns]))
             for i in range(columns)]  # fmt: skip
    frame = (width - GAP * (columns - 1) - sum(left + right for left, right in sides)) / columns
    for i, sketch in enumerate(sketches):
        sketch.fit(*sides[i % columns], frame)
    y = 0.0
    for row in range(rows):
        beside = sketches[row * columns : (row + 1) * columns]
        top = y + max(s.header for s in beside)
        bottom = top + max(s.height for s in beside)
        x = 0.0
        for sketch in beside:
            sketch.place(x, y, top, bottom)
            x += sketch.width + GAP
        y = bottom + max(s.footer for s in beside)
    for text in wrap(sheet.caption, width):
        y += ROW
        sketches[-1].pane.texts.append(Text(2, y, "", note=text))
    return Layout(sheet, width, y + 6 * bool(sheet.caption), [sketch.pane for sketch in sketches])


class _Sketch:
    """A chart while its place is being decided: how much room it needs on each side of the frame."""

    def __init__(self, chart: Chart, width: float, x_ends, y_ends, below: bool, beside: bool) -> None:
        self.chart, self.width, self.below, self.beside = chart, width, below, beside
        self.empty = x_ends is None or y_ends is None
        self.x_ends = x_ends or ((1.0, 10.0) if chart.x.log else (0.0, 1.0))
        self.y_ends = y_ends or ((1.0, 10.0) if chart.y.log else (0.0, 1.0))
        self.height = chart.height or (20.0 * len(chart.y.names) if chart.y.names else 180.0)
        self.y_ticks = [] if y_ends is None else _ticks(chart.y, self.y_ends, max(2, int(self.height / 36)))
        self.left = 14 + max((width_of(text, "tick") for _, text in self.y_ticks), default=0) if beside else 6.0
        self.named = [line for line in chart.lines if line.label]
        column = max((width_of(line.label + " " * bool(line.note) + line.note) for line in self.named), default=0)
        self.in_rows = chart.labels == "above" or column + SWATCH > LABELS_SHARE * width
        notes = [width_of(self.note_of(bar), "tick") for bar in chart.bars]
        self.right = max([14.0, *([column + SWATCH + 17] if column and not self.in_rows else []),
                          *(note + 8 for note in notes)])  # fmt: skip
        self.flags = [mark for mark in (*chart.marks, chart.playhead) if mark is not None and mark.label]
        self.footer = (20.0 if below else 8.0) + (16.0 if below and chart.x.label else 0.0) + 4

    def fit(self, left: float, right: float, frame: float) -> None:
        """Take these margins and this width of the frame; break title and labels into rows."""
        self.left, self.right, self.width = left, right, left + frame + right
        self.title_rows = self._title_rows()
        self.label_rows = self._label_rows() if self.in_rows else []

    @property
    def header(self) -> float:
        """Room above the frame: title, labels in rows, names of marks."""
        return 18 * len(self.title_rows) + ROW * (len(self.label_rows) + len(self._flag_rows(0.0))) + 8

    @staticmethod
    def note_of(bar) -> str:
        return bar.note if bar.note is not None else number(bar.value) if math.isfinite(bar.value) else "none"

    def _title_rows(self) -> list[tuple[str, str]]:
        """Return the title and its note in as many rows as they need: [(text, note), ...]."""
        rows = [(part, "") for part in wrap(self.chart.title, self.width, "title")]
        note = self.chart.note
        if note and len(rows) == 1 and width_of(rows[0][0], "title") + width_of(" " + note) <= self.width:
            return [(rows[0][0], note)]
        return rows + [("", part) for part in wrap(note, self.width)]

    def _label_rows(self) -> list[list[tuple[float, Line]]]:
        """Flow the labels into rows above the frame: [[(offset from the left, line), ...], ...]."""
        rows, x = [[]], 0.0
        for line in self.named:
            size = SWATCH + 5 + width_of(line.label + " " * bool(line.note) + line.note) + 14
            if rows[-1] and x + size > self.width:
                rows.append([])
                x = 0.0
            rows[-1].append((x, line))
            x += size
        return rows

    def _flag_rows(self, x: float) -> list[list[tuple[float, str]]]:
        """Put the names of marks into rows above the frame, each centred over its mark where it covers no other."""
        scale = Scale(self.x_ends, (x + self.left, x + self.width - self.right), self.chart.x.log)
        rows: list[list[tuple[float, str]]] = []
        used: list[float] = []
        for flag in sorted(self.flags, key=lambda mark: mark.x):
            if not min(self.x_ends) <= flag.x <= max(self.x_ends):
                continue
            size = width_of(flag.label, "tick")
            at = min(max(float(scale(flag.x)) - size / 2, x), x + self.width - size)
            row = next((r for r, free in enumerate(used) if at >= free), len(used))
            if row == len(used):
                used.append(0.0)
                rows.append([])
            used[row] = at + size + 8
            rows[row].append((at, flag.label))
        return rows

    def place(self, x: float, y: float, top: float, bottom: float) -> None:
        """Fix the frame and put every text in its place."""
        chart, ends = self.chart, (x + self.left, x + self.width - self.right)
        scale_x = Scale(self.x_ends, ends, chart.x.log)
        scale_y = Scale(self.y_ends, (bottom, top), chart.y.log)
        x_ticks = [] if self.empty else _ticks(chart.x, self.x_ends, max(2, int((ends[1] - ends[0]) / 64)))
        self.pane = pane = Pane(chart, *ends, top, bottom, scale_x, scale_y, x_ticks, self.y_ticks, self.empty)
        texts = pane.texts
        for title, note in self.title_rows:
            y += 18
            texts.append(Text(x + 2, y - 4, title, "title", note=note))
        if self.beside:
            texts += [Text(ends[0] - 6, float(scale_y(t)) + 4, text, "tick", "end") for t, text in self.y_ticks]
        if self.below:
            texts += [Text(float(scale_x(t)), bottom + 17, text, "tick", "middle") for t, text in x_ticks]
            if chart.x.label:
                texts.append(Text(sum(ends) / 2, bottom + 33, chart.x.label, "tick", "middle"))
        if self.empty:
            texts.append(Text(sum(ends) / 2, (top + bottom) / 2 + 4, chart.empty, "label", "middle"))
            return
        for row, flagged in enumerate(self._flag_rows(x)):
            texts += [Text(at, top - 6 - ROW * row, text, "tick") for at, text in flagged]
        for bar in chart.bars:
            texts += self._bar_note(bar, scale_x, scale_y, ends)
        if self.in_rows:
            for row in self.label_rows:
                y += ROW
                for at, line in row:
                    pane.swatches.append(([(x + 2 + at, y - 4), (x + 2 + at + SWATCH, y - 4)], line))
                    texts.append(Text(x + 7 + at + SWATCH, y, line.label, note=line.note))
        elif self.named:
            self._label_column(pane)
        if any(line.values for line in chart.lines):
            self._point_values(pane, x)

    def _bar_note(self, bar, scale_x: Scale, scale_y: Scale, ends: tuple[float, float]) -> list[Text]:
        tips = finite([bar.value, bar.start, bar.stroke], self.chart.x.log)
        tips = tips[np.isfinite(tips)]
        tip = float(np.clip(scale_x(tips.max()), *ends)) if len(tips) else ends[0]
        return [Text(tip + 5, float(scale_y(bar.row)) + 4, self.note_of(bar), "tick")]

    def _label_column(self, pane: Pane) -> None:
        """Put the labels at the right of the frame, each at the height of its line, none over another."""
        heights = []
        for line in self.named:
            y = finite(line.y, self.chart.y.log)
            seen = y[np.isfinite(y)]
            value = (seen.max() if self.chart.labels == "peak" else seen[-1]) if len(seen) else None
            heights.append(pane.bottom if value is None else float(np.clip(pane.y(value), pane.top, pane.bottom)))
        # Lines of equal height keep the order in which they lie over one another, the last drawn on top.
        order = sorted(range(len(heights)), key=lambda i: (heights[i], -i))
        order = [order[i] for i in pick(len(order), max(1, int((pane.bottom - pane.top + ROW) / ROW)))]
        at = spread([heights[i] for i in order], ROW, pane.top, pane.bottom)
        for y, i in zip(at, order, strict=True):
            line = self.named[i]
            x = finite(line.x, self.chart.x.log)
            ends_here = len(x) and self.chart.labels == "end" and abs(float(pane.x(x[-1])) - pane.right) < 8
            start = [(pane.right + 1, heights[i])] if ends_here and np.isfinite(line.y[-1]) else []
            pane.swatches.append(([*start, (pane.right + 8, y), (pane.right + 8 + SWATCH, y)], line))
            pane.texts.append(Text(pane.right + 13 + SWATCH, y + 4, line.label, note=line.note))

    def _point_values(self, pane: Pane, start: float) -> None:
        """Write the values of points on the first side of each where no curve and no other text lies."""
        curves = []
        for line in self.chart.lines:
            px, py = pane.x(finite(line.x, self.chart.x.log)), pane.y(finite(line.y, self.chart.y.log))
            curves.append((px, py))
            if line.width and len(px) > 1:  # points between, where they are far apart
                between = np.arange(0, len(px) - 0.999, max(0.02, len(px) / 2000))
                curves[-1] = (np.interp(between, np.arange(len(px)), px), np.interp(between, np.arange(len(px)), py))
        taken: list[tuple[float, float, float, float]] = []
        for line in self.chart.lines:
            px, py = pane.x(finite(line.x, self.chart.x.log)), pane.y(finite(line.y, self.chart.y.log))
            for x, y, text in zip(px.tolist(), py.tolist(), line.values, strict=False):
                if not text or not math.isfinite(x + y):
                    continue
                size = width_of(text, "value")
                sides = [(x - size / 2, y - 8), (x - size / 2, y + 17), (x + 8, y + 4), (x - 8 - size, y + 4)]
                sides += [(a, b) for b in (y - 7, y + 15) for a in (x + 7, x - 7 - size)]  # and the corners
                sides = [(min(max(a, start), start + self.width - size), b) for a, b in sides]
                boxes = [(a - 1, b - 10, a + size + 1, b + 2) for a, b in sides]
                free = [i for i, box in enumerate(boxes) if not _covers(box, taken, curves)]
                best = free[0] if free else 0
                taken.append(boxes[best])
                pane.texts.append(Text(*sides[best], text, "value"))


def _covers(box, taken, curves) -> bool:
    """Tell whether a box lies over another one or over a curve."""
    left, top, right, bottom = box
    if any(left < x1 and x0 < right and top < y1 and y0 < bottom for x0, y0, x1, y1 in taken):
        return True
    return any(((x > left) & (x < right) & (y > top) & (y < bottom)).any() for x, y in curves)


def spread(heights: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move heights, given in rising order, apart to at least `gap`, inside [low, high] where there is room."""
    at = list(heights)
    for i in range(1, len(at)):
        at[i] = max(at[i], at[i - 1] + gap)
    for i in range(len(at) - 1, -1, -1):
        at[i] = min(at[i], high - gap * (len(at) - 1 - i))
    return [max(y, low + gap * i) for i, y in enumerate(at)]


def split(line: Line, at: float) -> tuple[Line, Line]:
    """Cut a planned line at the playhead: what has been applied, bold, and what is to come, faint."""
    x, y = np.asarray(line.x, dtype=np.float64), np.asarray(line.y, dtype=np.float64)
    here = np.interp([at], x, y) if len(x) and x[0] < at < x[-1] else np.empty(0)
    at_here = np.full(len(here), at)
    applied = {"x": np.append(x[x <= at], at_here), "y": np.append(y[x <= at], here)}
    to_come = {"x": np.append(at_here, x[x > at]), "y": np.append(here, y[x > at])}
    return replace(line, width=line.width + 0.6, **applied), replace(
        line, width=1.2, opacity=0.4 * line.opacity, **to_come
    )
