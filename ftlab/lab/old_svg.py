"""Small line and bar charts as SVG text: the pictures that move in panels and live curves.

Written by hand because speed matters here: a chart takes a few milliseconds, where matplotlib takes a
hundred. It draws lines and bars and nothing else; every picture that is stored or printed is matplotlib's
(`ftlab.lab.plots`).

Text and axes take the colour of the page, each line has one colour for light pages and one for dark ones, and
no line is told apart by its colour alone. Layers are coloured by depth with viridis (van der Walt and Smith
2015), which is perceptually uniform and safe for colour-blind readers, cut to the part that stands out
against the page: contrast 3:1 or more for lines, 4.5:1 or more for text (WCAG 2.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape as _escape

import numpy as np

from ftlab.checks import number

# ------------------------------------------------------------------------------------------ colours

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


# ------------------------------------------------------------------------------- from data to lines


@dataclass(frozen=True)
class Line:
    """One line of a chart: x, y of equal length (non-finite: a gap), `dash` as SVG's stroke-dasharray."""

    label: str
    x: np.ndarray
    y: np.ndarray
    colour: Colour = INK
    dash: str = ""
    width: float = 1.8
    opacity: float = 1.0
    dots: bool = False


@dataclass(frozen=True)
class Mark:
    """A vertical line at `x`; without a label it is drawn faintly."""

    x: float
    label: str = ""


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
    """Turn rates (S, L + 2) into one line for each group of layers with equal rates, embeddings first, head
    last.

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


# ------------------------------------------------------------------------------------ axes and text


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


_STYLE = (
    "<style>.ftlab{color:var(--jp-ui-font-color1,inherit);"
    "font:12px var(--jp-ui-font-family,system-ui,sans-serif);max-width:100%;height:auto}"
    ".ftlab text{fill:currentColor}.ftlab g{color:var(--light)}"
    "[data-jp-theme-light=false] .ftlab g,.vscode-dark .ftlab g,html[theme=dark] .ftlab g{color:var(--dark)}"
    "</style>"
)
_CHARACTER = 7.1  # width to allow for a character at 12 px in a wide font (DejaVu Sans), in px
_ROW = 15  # height of a line of text


def escape(text: str) -> str:
    """Make text safe inside SVG: escape markup, turn control characters, which XML forbids, into spaces."""
    return _escape("".join(c if c.isprintable() else " " for c in text))


def _colour(colour: Colour) -> str:
    return f'style="--light:{colour[0]};--dark:{colour[1]}"'


def _text(x: float, y: float, text: str, anchor: str = "start", extra: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def _svg(width: int, height: int, title: str, label: str, body: Sequence[str]) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="ftlab" role="img" '
        f'aria-label="{escape(label or title)}" '
        f'viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{escape(title)}</title>{_STYLE}"
        + _text(8, 15, title, extra=' font-weight="600"')
        + "".join(body)
        + "</svg>"
    )


def _finite(values: np.ndarray, log: bool = False) -> np.ndarray:
    """Return values as floats with NaN for whatever has no place on the axis."""
    values = np.asarray(values, dtype=np.float64)
    # Numbers at the very ends of what a float holds cannot be scaled to pixels.
    values = np.where(np.abs(values) < 1e-290, 0.0, values)
    return np.where((np.abs(values) < 1e290) & ((values > 0) if log else True), values, np.nan)


def _range(values: np.ndarray, given: tuple[float, float] | None, log: bool) -> tuple[float, float] | None:
    """Find the ends of an axis: `given`, or those of the data with a margin; None without data."""
    if given is not None:
        return given
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    if log:
        return (low / 1.3, high * 1.3)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return (0.0 if 0 <= low < 0.5 * high else low - margin, high + margin)


class _Scale:
    """The map from values to pixels along one axis."""

    def __init__(self, ends: tuple[float, float], pixels: tuple[float, float], log: bool = False) -> None:
        self.log = log
        self.low, high = (math.log10(e) for e in ends) if log else ends
        self.start = pixels[0]
        self.factor = (pixels[1] - pixels[0]) / ((high - self.low) or 1.0)

    def __call__(self, values: np.ndarray | float) -> np.ndarray:
        values = np.asarray(values, dtype=np.float64)
        return self.start + ((np.log10(values) if self.log else values) - self.low) * self.factor


def _path(x: np.ndarray, y: np.ndarray) -> str:
    """Write pixel positions as path data, with a new stroke after each gap; a lone point becomes a dot."""
    seen = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    runs = np.split(seen, np.flatnonzero(np.diff(seen) > 1) + 1) if len(seen) else []
    xy = np.column_stack([x, y])
    return "".join(
        "M" + ("%.1f,%.1f " * len(run)) % tuple(xy[run].ravel().tolist()) + ("h0" if len(run) == 1 else "")
        for run in runs
    )


def _sample(x: float, y: float, line: Line) -> str:
    """Draw the piece of a line that stands before its label."""
    if line.dots:
        return f'<circle cx="{x + 10:.1f}" cy="{y:.1f}" r="3.5" fill="currentColor"/>'
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    return (
        f'<path d="M{x:.1f},{y:.1f}h20" stroke="currentColor" stroke-width="2" fill="none"{dash} '
        f'opacity="{min(1.0, line.opacity + 0.2):g}"/>'
    )


def pick(count: int, places: int) -> list[int]:
    """Choose which of `count` labels to write in `places` places: all, or a part with first and last."""
    if count <= places:
        return list(range(count))
    return sorted({round(i * (count - 1) / max(1, places - 1)) for i in range(places)})


# --------------------------------------------------------------------------------------- the charts


def line_chart(
    lines: Sequence[Line],
    *,
    title: str,
    x_label: str,
    y_label: str,
    label: str = "",
    width: int = 640,
    height: int = 400,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    log_y: bool = False,
    whole_x: bool = True,
    marks: Sequence[Mark] = (),
    empty: str = "nothing to draw yet",
) -> str:
    """Draw lines over a common axis as SVG text.

    label: what a screen reader says (default: the title). x_range, y_range: ends of the axes (default: those
    of the data). log_y: logarithmic y; values of 0 and below leave a gap. whole_x: ticks of x at integers
    only. marks: vertical lines. empty: the message in the frame when no line has a point. Sizes are in CSS
    pixels.
    """
    ys = [_finite(line.y, log_y) for line in lines]
    xs = [_finite(line.x) for line in lines]
    x_ends = _range(np.concatenate([[], *xs]), x_range, False)
    y_ends = _range(np.concatenate([[], *ys]), y_range, log_y)
    named = [line for line in lines if line.label]

    # Labels stand in one row above the frame if they fit, else in a column at its right.
    row_width = sum(_CHARACTER * len(line.label) + 40 for line in named)
    in_row = row_width <= width - 60 and len(named) <= 3
    right = 14.0 if in_row or not named else 34 + _CHARACTER * max(len(line.label) for line in named)
    top = 30.0 + (18 if in_row and named else 0)
    bottom = height - (42.0 if x_label else 26.0)
    y_ticks = [] if y_ends is None else (log_ticks if log_y else nice_ticks)(*y_ends, max(2, int((bottom - top) / 50)))
    left = 32 + _CHARACTER * max([5, *(len(number(t)) for t in y_ticks)])  # 5: charts above each other line up
    end = width - right

    body = [f'<g fill="none" stroke="currentColor" stroke-width="1" {_colour(("currentColor",) * 2)}>']
    x_scale = _Scale(x_ends or (0.0, 1.0), (left, end))
    y_scale = _Scale(y_ends or ((1.0, 10.0) if log_y else (0.0, 1.0)), (bottom, top), log_y)
    x_ticks = (
        [] if x_ends is None or x_ends[0] == x_ends[1] else nice_ticks(*x_ends, max(2, int((end - left) / 70)), whole_x)
    )
    for tick in y_ticks:
        body.append(f'<path d="M{left:.1f},{y_scale(tick):.1f}H{end:.1f}" opacity="0.15"/>')
    for tick in x_ticks:
        body.append(f'<path d="M{x_scale(tick):.1f},{bottom:.1f}v4"/>')
    body.append(f'<path d="M{left:.1f},{top:.1f}V{bottom:.1f}H{end:.1f}"/></g>')
    body += [_text(left - 6, float(y_scale(t)) + 4, number(t), "end") for t in y_ticks]
    body += [_text(float(x_scale(t)), bottom + 17, number(t), "middle") for t in x_ticks]
    body.append(_text((left + end) / 2, height - 8, x_label, "middle"))
    middle = (top + bottom) / 2
    body.append(_text(14, middle, y_label, "middle", f' transform="rotate(-90 14 {middle:.1f})"'))

    if x_ends is None or y_ends is None:
        body.append(_text((left + end) / 2, middle, empty, "middle"))
        return _svg(width, height, title, label, body)

    body += _marks(marks, x_scale, x_ends, (left, end), (top, bottom))
    for line, x, y in zip(lines, xs, ys, strict=True):
        px, py = x_scale(x), np.clip(y_scale(y), top - 2, bottom + 2)
        ends = f'stroke-dasharray="{line.dash}"' if line.dash else 'stroke-linecap="round"'
        body.append(
            f'<g {_colour(line.colour)} opacity="{line.opacity:g}"><path d="{_path(px, py)}" fill="none" '
            f'stroke="currentColor" stroke-width="{line.width:g}" stroke-linejoin="round" {ends}/>'
        )
        if line.dots:
            points = zip(px[np.isfinite(py)].tolist(), py[np.isfinite(py)].tolist(), strict=True)
            body += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="currentColor"/>' for a, b in points]
        body.append("</g>")

    if in_row:
        x = left
        for line in named:
            body.append(f"<g {_colour(line.colour)}>{_sample(x, 31, line)}</g>")
            body.append(_text(x + 25, 35, line.label))
            x += 40 + _CHARACTER * len(line.label)
    else:
        ordered = _top_first(lines, ys)
        for row, i in enumerate(pick(len(ordered), int((bottom - top) / _ROW))):
            y = top + 6 + row * _ROW
            body.append(f"<g {_colour(ordered[i].colour)}>{_sample(end + 8, y, ordered[i])}</g>")
            body.append(_text(end + 32, y + 4, ordered[i].label))
    return _svg(width, height, title, label, body)


def _top_first(lines: Sequence[Line], ys: Sequence[np.ndarray]) -> list[Line]:
    """Order the lines that have a label as they lie in the picture, highest first."""
    heights = [np.nanmean(y) if np.isfinite(y).any() else -np.inf for y in ys]
    order = sorted(range(len(lines)), key=lambda i: (-heights[i], -i))
    return [lines[i] for i in order if lines[i].label]


def _marks(
    marks: Sequence[Mark],
    scale: _Scale,
    ends: tuple[float, float],
    sides: tuple[float, float],
    levels: tuple[float, float],
) -> list[str]:
    """Draw vertical lines, each label in the first row where it covers no other."""
    body = []
    taken = [sides[0]] * 3
    for mark in sorted((m for m in marks if ends[0] <= m.x <= ends[1]), key=lambda m: m.x):
        x = float(scale(mark.x))
        opacity, dash = ("0.7", "3 3") if mark.label else ("0.3", "1 4")
        body.append(
            f'<path d="M{x:.1f},{levels[0]:.1f}V{levels[1]:.1f}" stroke="currentColor" opacity="{opacity}" '
            f'stroke-dasharray="{dash}"/>'
        )
        size = _CHARACTER * len(mark.label)
        start = x + 4 if x + 4 + size <= sides[1] else x - 4 - size
        row = next((r for r, used in enumerate(taken) if start >= used), None)
        if mark.label and row is not None:
            taken[row] = start + size + 8
            body.append(_text(start, levels[0] + 11 + row * _ROW, mark.label))
    return body


def bar_chart(
    names: Sequence[str],
    values: Sequence[float],
    *,
    title: str,
    x_label: str,
    label: str = "",
    colours: Sequence[Colour] | None = None,
    notes: Sequence[str] | None = None,
    strokes: Sequence[float] | None = None,
    width: int = 640,
    height: int | None = None,
    log_x: bool = False,
    x_range: tuple[float, float] | None = None,
    empty: str = "nothing to draw yet",
) -> str:
    """Draw one horizontal bar a name, the first name on top, with its value written at its end, as SVG text.

    notes: texts to write in place of the values. colours: one a bar. strokes: second values to compare with,
    each a vertical stroke across its bar; NaN for none. log_x: logarithmic lengths; a bar of 0
    or below is left out. The height follows from the number of bars unless it is given. Sizes are in CSS
    pixels.
    """
    values = _finite(np.asarray(values, dtype=np.float64), log_x)
    others = np.full(len(values), np.nan) if strokes is None else _finite(np.asarray(strokes), log_x)
    height = height or 76 + 19 * max(1, len(names))
    notes = notes or [number(v) if np.isfinite(v) else "none" for v in values.tolist()]
    colours = colours or [BLUE] * len(names)
    top, bottom = 30.0, height - 42.0
    left = 16 + _CHARACTER * max((len(n) for n in names), default=4)
    end = width - 14 - _CHARACTER * max((len(n) for n in notes), default=0)
    seen = np.concatenate([values, others])
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        return _svg(width, height, title, label, [_text(width / 2, (top + bottom) / 2, empty, "middle")])
    if log_x:
        ends = x_range or (10.0 ** math.floor(math.log10(seen.min()) - 0.01), float(seen.max()) * 1.05)
    else:
        ends = x_range or (
            min(0.0, float(seen.min())),
            max(0.0, float(seen.max())) or (0.0 if seen.min() < 0 else 1.0),
        )
    scale = _Scale(ends, (left, end), log_x)
    base = float(scale(ends[0] if log_x else min(max(0.0, ends[0]), ends[1])))
    ticks = (log_ticks if log_x else nice_ticks)(*ends, max(2, int((end - left) / 80)))
    body = [f'<g fill="none" stroke="currentColor" {_colour(("currentColor",) * 2)}>']
    body += [f'<path d="M{scale(t):.1f},{top:.1f}V{bottom:.1f}" opacity="0.15"/>' for t in ticks]
    body.append(f'<path d="M{base:.1f},{top:.1f}V{bottom:.1f}"/></g>')
    body += [_text(float(scale(t)), bottom + 16, number(t), "middle") for t in ticks]
    body.append(_text((left + end) / 2, height - 8, x_label, "middle"))
    step = (bottom - top) / len(names)
    for i, (name, value, colour, note) in enumerate(zip(names, values.tolist(), colours, notes, strict=True)):
        y = top + step * (i + 0.5)
        tip = base
        if math.isfinite(value):
            tip = float(np.clip(scale(value), left, end))
            body.append(
                f'<g {_colour(colour)}><rect x="{min(base, tip):.1f}" y="{y - 0.36 * step:.1f}" '
                f'fill="currentColor" width="{abs(tip - base):.1f}" height="{0.72 * step:.1f}"/></g>'
            )
        if math.isfinite(others[i]):  # a light edge, or it would be lost on a dark bar
            at = float(np.clip(scale(others[i]), left, end))
            stroke = f'<path d="M{at:.1f},{y - 0.48 * step:.1f}v{0.96 * step:.1f}" stroke='
            body.append(f'{stroke}"var(--jp-layout-color0,#fff)" stroke-width="6"/>')
            body.append(f'{stroke}"currentColor" stroke-width="2.5"/>')
            tip = max(tip, at)
        if i in pick(len(names), int((bottom - top) / 12)):
            body.append(_text(left - 6, y + 4, name, "end"))
            body.append(_text(max(tip, base) + 5, y + 4, note))
    return _svg(width, height, title, label, body)
