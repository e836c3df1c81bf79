"""A picture as plain data: lines, bars, marks, axes and texts, before anything is drawn.

A `Chart` is one frame with its axes, a `Sheet` several charts that belong together. `ftlab.lab.layout` decides where
everything stands, and two renderers draw that: `ftlab.lab.svg` while a picture moves, `ftlab.lab.figure` (matplotlib)
where it is stored. So a panel and the stored notebook show the same picture.

Text has the colour of the page; a line has one colour for light pages and one for dark ones, and no line is told apart
by its colour alone. Layers are coloured by depth with viridis (van der Walt and Smith 2015), which is perceptually
uniform and safe for colour-blind readers, cut to the part that stands out against the page: contrast 3:1 or more for
lines, 4.5:1 or more for text (WCAG 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

# --------------------------------------------------------------------------------------------------------- colours

# Sixteen evenly spaced colours of matplotlib's viridis; below, six of its style tableau-colorblind10.
VIRIDIS = (
    "#440154", "#481a6c", "#472f7d", "#414487", "#39568c", "#31688e", "#2a788e", "#23888e", "#1f988b",
    "#22a884", "#35b779", "#54c568", "#7ad151", "#a5db36", "#d2e21b", "#fde725",
)  # fmt: skip
Colour = tuple[str, str]
"""A colour on light pages and its counterpart on dark ones."""
BLUE: Colour = ("#006BA4", "#5F9ED1")
ORANGE: Colour = ("#C85200", "#FF800E")
GREY: Colour = ("#595959", "#ABABAB")
INK: Colour = ("#000000", "#FFFFFF")
ON_LIGHT = (0.0, 0.58)
ON_DARK = (0.45, 1.0)
"""The parts of viridis whose contrast is at least 3:1 against white and against JupyterLab's dark grey."""


def _viridis(position: float) -> str:
    """Interpolate between the stored colours; `position` runs from 0 to 1."""
    at = position * (len(VIRIDIS) - 1)
    low = min(int(at), len(VIRIDIS) - 2)
    pair = [[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in VIRIDIS[low : low + 2]]
    return "#" + "".join(f"{round(a + (b - a) * (at - low)):02x}" for a, b in zip(*pair, strict=True))


def depth_colours(count: int) -> list[Colour]:
    """Return `count` colours from the embeddings to the top layer, evenly spaced over the depth."""
    shares = [i / max(1, count - 1) for i in range(count)]
    return [tuple(_viridis(low + (high - low) * s) for low, high in (ON_LIGHT, ON_DARK)) for s in shares]


# ----------------------------------------------------------------------------------------------- what a chart holds


@dataclass(frozen=True)
class Line:
    """One line of a chart: x, y of equal length (non-finite: a gap).

    label: stands beside the line, with `note` behind it in quiet type; without a label the line is background. dash:
    lengths of strokes and gaps in pixels, as in SVG. width: in pixels; 0 draws the points alone. marker: shape of each
    point, one of `MARKERS`. values: a text for each point, "" for none. planned: of a plan, bold up to the chart's
    playhead and faint beyond it. fill: colour the area down to 0, as in a histogram.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    colour: Colour = INK
    dash: str = ""
    width: float = 1.8
    opacity: float = 1.0
    marker: str = ""
    values: Sequence[str] = ()
    note: str = ""
    planned: bool = False
    fill: bool = False


MARKERS = ("dot", "circle", "square", "diamond", "triangle", "cross", "stroke")
"""Shapes of points: all are full but "circle", which is open, and the last two."""


@dataclass(frozen=True)
class Bar:
    """A bar from `start` to `value` in the row `row` of a chart whose y axis has names.

    note: the text at its end (default: the value). stroke: a second value to compare with, drawn across the bar; NaN
    for none. height: as a share of the row. hatch: stripes, for what is told apart by its colour alone otherwise.
    """

    row: float
    value: float
    colour: Colour = BLUE
    note: str | None = None
    start: float = 0.0
    stroke: float = math.nan
    height: float = 0.72
    hatch: bool = False


@dataclass(frozen=True)
class Mark:
    """A vertical line at `x`; without a label it is drawn faintly."""

    x: float
    label: str = ""


@dataclass(frozen=True)
class Axis:
    """An axis: its label, its ends (None: those of the data), and what its ticks may be.

    log: logarithmic; values of 0 and below leave a gap. whole: ticks at whole numbers only. ticks: {place: text}, in
    place of round numbers. names: of the places 0, 1, 2, ...; down the y axis the first stands on top.
    """

    label: str = ""
    low: float | None = None
    high: float | None = None
    log: bool = False
    whole: bool = False
    ticks: Mapping[float, str] = field(default_factory=dict)
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Chart:
    """One frame: what stands in it, its axes and its texts.

    title: says what the y axis shows, or the lengths of the bars; `note` follows it in quiet type. playhead: a bold
    vertical line at the step that a run has reached. own_x: its x axis is another than the one that the sheet's charts
    share. labels: where the lines' labels stand, at the height of each
    line's "end" or of its "peak", or "above" the frame. height: of the frame in pixels (default: by the number of
    rows). empty: what the frame says while there is nothing to draw. sentence: what a screen reader says.
    """

    title: str
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    marks: Sequence[Mark] = ()
    x: Axis = Axis()
    y: Axis = Axis()
    note: str = ""
    playhead: Mark | None = None
    labels: str = "end"
    height: float | None = None
    empty: str = "nothing to draw yet"
    sentence: str = ""
    own_x: bool = False


@dataclass(frozen=True)
class Sheet:
    """Charts that belong together, in reading order, with the name and the sentence of the whole.

    columns: how many stand side by side where there is room for `least` pixels each; fewer where there is not. share:
    "x", "y" or "xy" for axes that the charts have in common: equal ends, labelled once a column, once a row. width: in
    pixels where the picture is stored. caption: a text in quiet type below.
    """

    charts: Sequence[Chart]
    name: str = ""
    sentence: str = ""
    caption: str = ""
    columns: int = 1
    least: int = 380
    share: str = ""
    width: int = 840


# ------------------------------------------------------------------------------------------------ from data to lines


def thin(x: np.ndarray, y: np.ndarray, limit: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Keep at most `limit` points, with the first, the last, and the lowest and highest of each stretch."""
    x, y = np.asarray(x), np.asarray(y, dtype=np.float64)
    if len(y) <= limit:
        return x, y
    buckets = (limit - 2) // 2
    size = math.ceil(len(y) / buckets)
    rows = np.full((math.ceil(len(y) / size), size), np.nan)
    rows.ravel()[: len(y)] = y
    seen = np.isfinite(rows)
    start = np.arange(len(rows)) * size
    keep = np.unique(
        np.concatenate(
            [
                start + np.where(seen, rows, np.inf).argmin(axis=1),
                start + np.where(seen, rows, -np.inf).argmax(axis=1),
                [0, len(y) - 1],
            ]
        )
    )
    return x[keep], y[keep]


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Average the last `window` finite values at each position: fewer at the start, NaN where none."""
    values = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(values) & (np.abs(values) < 1e30)

    def trailing_sum(array: np.ndarray) -> np.ndarray:
        total = np.concatenate([[0.0], np.cumsum(array)])
        return total[1:] - total[np.maximum(0, np.arange(1, len(array) + 1) - window)]

    count = trailing_sum(finite.astype(np.float64))
    with np.errstate(invalid="ignore"):
        return np.where(count > 0, trailing_sum(np.where(finite, values, 0.0)) / np.maximum(1.0, count), np.nan)


def smoothing_window(total_steps: int) -> int:
    """Choose how many steps the smoothed training loss averages: a twentieth of the run, at least 2."""
    return max(2, round(total_steps / 20))


def layer_groups(layers: Sequence[str], lr: np.ndarray) -> list[tuple[str, int]]:
    """Merge neighbouring layers with equal rates: [(name of the group, column of its deepest member)].

    The head stays by itself, unless every rate is the same.
    """
    if len(layers) > 1 and np.array_equal(lr, np.broadcast_to(lr[:, :1], lr.shape), equal_nan=True):
        return [("all layers", len(layers) - 1)]
    groups: list[list[int]] = []
    for i, name in enumerate(layers):
        if groups and name != "head" and np.array_equal(lr[:, i], lr[:, i - 1], equal_nan=True):
            groups[-1].append(i)
        else:
            groups.append([i])
    names = [layers[g[0]] if len(g) == 1 else f"{layers[g[0]]} to {layers[g[-1]]}" for g in groups]
    return [(name, g[-1]) for name, g in zip(names, groups, strict=True)]


def rate_lines(
    layers: Sequence[str],
    steps: np.ndarray,
    lr: np.ndarray,
    *,
    groups: Sequence[tuple[str, int]] | None = None,
    limit: int = 300,
) -> list[Line]:
    """Turn rates (S, L + 2) into one line for each group of layers with equal rates, embeddings first, head last.

    groups: from `layer_groups` of another array, such as that of the whole plan; default: of these rates.
    """
    groups = groups or layer_groups(layers, lr)
    colours = [*depth_colours(len(layers) - 1), ORANGE]
    dashes = ["2 2.5", *("" if i % 2 else "7 2.5" for i in range(len(layers) - 2)), "9 3 2 3"]
    if len(lr) > limit:  # the same steps for every layer, so that a corner shows in all of them
        keep = np.unique(np.linspace(0, len(lr) - 1, limit).round().astype(int))
        steps, lr = steps[keep], lr[keep]
    if len(groups) == 1:
        return [Line(groups[0][0], steps, lr[:, -1], INK)]
    return [Line(name, steps, lr[:, i], colours[i], dashes[i]) for name, i in groups]
