"""The hand-written charts: valid XML, points where the axes say they are, readable text and colours."""

from __future__ import annotations

import math
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib as mpl
import matplotlib.style
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex, to_rgb

from ftlab.lab import old_svg as svg
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview

NS = "{http://www.w3.org/2000/svg}"
finite = st.floats(-1e12, 1e12, allow_nan=False)


def chart(lines, **options):
    return svg.line_chart(lines, **{"title": "A chart", "x_label": "step", "y_label": "loss", **options})


def parse(text):
    return ElementTree.fromstring(text)


def texts(root):
    """Every text with its position: {text: (x, y)}."""
    return {t.text: (float(t.get("x")), float(t.get("y"))) for t in root.iter(f"{NS}text")}


def data_paths(root):
    """The data of every coloured line, as arrays of pixel positions, one an unbroken stroke."""
    paths = [p.get("d") for g in root.findall(f"{NS}g")[1:] for p in g.findall(f"{NS}path") if "," in p.get("d")]
    strokes = [[re.findall(r"(-?[\d.]+),(-?[\d.]+)", s) for s in d.split("M")[1:]] for d in paths if "H" not in d]
    return [[np.array(s, dtype=float) for s in path] for path in strokes]


def luminance(colour):
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return float(np.dot(channels, [0.2126, 0.7152, 0.0722]))


def contrast(a, b):
    """Contrast ratio of two colours by WCAG 2.1."""
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


# -------------------------------------------------------------------------------------- line charts


@pytest.mark.parametrize("log_y", [False, True])
def test_a_point_lies_where_the_ticks_of_both_axes_say(log_y):
    x = np.arange(0, 101)
    y = 10.0 ** (x / 25) if log_y else 3.0 * x
    root = parse(chart([svg.Line("", x, y)], log_y=log_y))
    [[line]] = data_paths(root)
    labels = texts(root)
    x_ticks = {float(t): p[0] for t, p in labels.items() if re.fullmatch(r"[\d.e-]+", t) and p[1] == 375}
    y_ticks = {float(t): p[1] - 4 for t, p in labels.items() if re.fullmatch(r"[\d.e-]+", t) and p[1] != 375}
    assert len(x_ticks) >= 4 and len(y_ticks) >= 3
    for value, pixel in x_ticks.items():
        assert line[int(value), 0] == pytest.approx(pixel, abs=0.11)
    for value, pixel in y_ticks.items():
        exact = math.log10(value) * 25 if log_y else value / 3
        if exact <= 100:
            assert np.interp(exact, x, line[:, 1]) == pytest.approx(pixel, abs=0.6)


def test_numbers_that_have_no_place_leave_gaps():
    y = np.array([1, 2, np.nan, 4, np.inf, 6, 7, -np.inf, 9.0])
    [strokes] = data_paths(parse(chart([svg.Line("", np.arange(9), y)])))
    assert [len(s) for s in strokes] == [2, 1, 2, 1]
    [strokes] = data_paths(parse(chart([svg.Line("", np.arange(4), np.array([1, 0, -3, 10.0]))], log_y=True)))
    assert [len(s) for s in strokes] == [1, 1]


@pytest.mark.parametrize("y", [[], [np.nan] * 3, [np.inf]])
def test_without_data_the_frame_says_so(y):
    root = parse(chart([svg.Line("loss", np.arange(len(y)), np.array(y))], empty="no step yet"))
    assert "no step yet" in texts(root) and not data_paths(root)


def test_screen_readers_get_a_role_a_name_and_a_title():
    root = parse(chart([], title="Loss", label="Loss falls from 1 to 0.1"))
    assert root.get("role") == "img" and root.get("aria-label") == "Loss falls from 1 to 0.1"
    assert root[0].tag == f"{NS}title" and root[0].text == "Loss"
    assert parse(chart([], title="Loss")).get("aria-label") == "Loss"


@pytest.mark.parametrize("text", ["<script>&\"'", "a\x00b\x1b\ufffe", "línea – 線"])
def test_any_text_is_safe(text):
    shown = "".join(c if c.isprintable() else " " for c in text)
    root = parse(chart([svg.Line(text, [0, 1], [0, 1])], title=text, label=text, marks=[svg.Mark(0.5, text)]))
    assert root.get("aria-label") == shown and root[0].text == shown and shown in texts(root)
    assert shown in texts(parse(svg.bar_chart([text], [1.0], title="", x_label=text)))


@given(st.lists(st.floats(), max_size=20), st.booleans())
def test_any_numbers_give_valid_xml_inside_the_frame(values, log_y):
    root = parse(chart([svg.Line("a", np.arange(len(values)), np.array(values))], log_y=log_y))
    for path in data_paths(root):
        for stroke in path:
            assert (stroke[:, 0] >= 0).all() and (stroke[:, 0] <= 640).all()
            assert (stroke[:, 1] >= 0).all() and (stroke[:, 1] <= 400).all()


@pytest.mark.parametrize("recipe", [Recipe(), Recipe(layer_decay=0.8), Recipe(model="roberta-large", layer_decay=0.9)])
def test_labels_neither_overlap_nor_leave_the_picture(recipe):
    schedule = preview(recipe.but(warmup=5, swa_start=1))
    marks = [svg.Mark(5, "warm-up ends"), svg.Mark(27, "averaging starts"), svg.Mark(30, "another one")]
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    root = parse(chart(lines, marks=marks, width=440, height=300))
    boxes = []
    for text in root.iter(f"{NS}text"):
        if text.get("transform"):
            continue
        width = 7.0 * len(text.text)
        left = float(text.get("x")) - {"start": 0, "middle": width / 2, "end": width}[text.get("text-anchor")]
        boxes.append((left, float(text.get("y")) - 10, left + width, float(text.get("y")) + 1, text.text))
    for i, a in enumerate(boxes):
        assert a[0] >= 0 and a[2] <= 440 and a[1] >= 0 and a[3] <= 300, a
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)


def test_lines_are_told_apart_without_colour():
    schedule = preview(Recipe(layer_decay=0.8, head_lr=2e-4))
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    assert [line.label for line in lines] == schedule.layers
    dashes = [line.dash for line in lines]
    assert all(a != b for a, b in zip(dashes, dashes[1:], strict=False))
    assert dashes[0] not in dashes[1:] and dashes[-1] not in dashes[:-1]
    root = parse(chart(lines))
    assert set(schedule.layers) <= set(texts(root))


# --------------------------------------------------------------------------------------- bar charts


def test_bars_are_as_long_as_their_values():
    values = [4.0, 1.0, -2.0, np.nan]
    root = parse(svg.bar_chart(["a", "b", "c", "d"], values, title="t", x_label="x"))
    bars = [(float(r.get("x")), float(r.get("width"))) for r in root.iter(f"{NS}rect")]
    assert len(bars) == 3
    assert bars[0][1] == pytest.approx(4 * bars[1][1], abs=0.4) and bars[2][1] == pytest.approx(2 * bars[1][1], abs=0.3)
    assert bars[0][0] == bars[1][0] == pytest.approx(bars[2][0] + bars[2][1], abs=0.11)
    assert {"4", "1", "-2", "none"} <= set(texts(root))


def test_logarithmic_bars_are_as_long_as_their_logarithms():
    root = parse(
        svg.bar_chart(["a", "b", "c"], [1e-6, 1e-5, 0.0], title="t", x_label="x", log_x=True, x_range=(1e-7, 1e-4))
    )
    short, long = (float(r.get("width")) for r in root.iter(f"{NS}rect"))
    assert long == pytest.approx(2 * short, abs=0.2)


@given(st.lists(st.floats(), max_size=12), st.booleans())
def test_any_bars_give_valid_xml(values, log_x):
    root = parse(svg.bar_chart([str(i) for i in range(len(values))], values, title="t", x_label="x", log_x=log_x))
    assert all(float(r.get("width")) >= 0 for r in root.iter(f"{NS}rect"))


# ------------------------------------------------------------------------------------------ colours


def test_stored_colours_are_those_of_matplotlib():
    viridis = mpl.colormaps["viridis"]
    assert [to_hex(viridis(i / 15)) for i in range(16)] == list(svg.VIRIDIS)
    cycle = matplotlib.style.library["tableau-colorblind10"]["axes.prop_cycle"].by_key()["color"]
    assert {*svg.BLUE, *svg.ORANGE, *svg.GREY} <= set(cycle)
    for i, colour in enumerate(svg.depth_colours(26)):  # between the stored ones
        for part, (low, high) in zip(colour, (svg.ON_LIGHT, svg.ON_DARK), strict=True):
            exact = viridis(low + (high - low) * i / 25)[:3]
            assert np.abs(np.subtract(to_rgb(part), exact)).max() < 0.025


@pytest.mark.parametrize("count", [1, 2, 8, 14, 26])
def test_lines_stand_out_on_light_and_dark_pages(count):
    colours = [*svg.depth_colours(count), svg.BLUE, svg.ORANGE, svg.GREY, svg.INK]
    assert min(contrast(light, "#ffffff") for light, _ in colours) >= 3
    assert min(contrast(dark, page) for _, dark in colours for page in ("#111111", "#212121")) >= 3
    for side in (0, 1):  # deeper is lighter, so that depth survives in grey
        depth = [luminance(colour[side]) for colour in svg.depth_colours(count)]
        assert depth == sorted(depth)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_colour_of_the_page_which_is_readable(theme):
    root = parse(chart([svg.Line("a", [0, 1], [0, 1]), svg.Line("b", [0, 1], [1, 0])], marks=[svg.Mark(1, "m")]))
    coloured = {t for g in root.iter(f"{NS}g") for t in g.iter(f"{NS}text")}
    assert not coloured and not any(t.get("fill") or t.get("opacity") for t in root.iter(f"{NS}text"))
    css = Path(sys.prefix) / f"share/jupyter/lab/themes/@jupyterlab/theme-{theme}-extension/index.css"
    if not css.is_file():
        pytest.skip("JupyterLab, whose theme is read here, is not installed")
    ink, alpha = re.search(r"--jp-ui-font-color1:rgba\((\d+),\s*\d+,\s*\d+,\s*([\d.]+)\)", css.read_text()).groups()
    page = {"light": 255, "dark": 0x11}[theme]
    seen = float(alpha) * int(ink) + (1 - float(alpha)) * page
    assert contrast([seen / 255] * 3, [page / 255] * 3) >= 4.5


# ------------------------------------------------------------------------------------------ numbers


@given(finite, st.floats(1e-9, 1e9), st.booleans())
def test_ticks_are_few_round_and_inside(low, span, whole):
    high = low + span
    if not low < high or span < 1e-6 * abs(low):
        return
    ticks = svg.nice_ticks(low, high, 5, whole)
    slack = 1.1e-6 * span
    assert all(low - slack <= t <= high + slack for t in ticks) and len(ticks) <= 9
    if whole:
        assert all(t == round(t) for t in ticks)
    elif len(ticks) > 1:
        step = ticks[1] - ticks[0]
        leading = step / 10 ** math.floor(math.log10(step * 1.0001))
        assert min(abs(leading - m) for m in (1, 2, 5)) < 0.01
        assert len(ticks) >= 3


def test_ticks_by_hand():
    assert svg.nice_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert svg.nice_ticks(0, 1e-4) == [0, 2e-5, 4e-5, 6e-5, 8e-5, 1e-4]
    assert svg.nice_ticks(0, 3, 5, whole=True) == [0, 1, 2, 3]
    assert svg.log_ticks(1e-6, 1e-3) == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3])
    assert svg.log_ticks(1, 10) == [1, 2, 5, 10]


@given(finite)
def test_numbers_keep_their_value(value):
    assert float(svg.number(value)) == pytest.approx(value, rel=6e-3)


def test_numbers_are_short():
    assert [svg.number(v) for v in (0, 0.05, 1e-4, 3.5e-6, 12000, 1e6, -2.5)] == [
        "0", "0.05", "1e-4", "3.5e-6", "12000", "1e6", "-2.5",
    ]  # fmt: skip


@given(st.integers(0, 900), st.integers(4, 300), st.floats(0, 1), st.integers(0, 99))
def test_thinning_keeps_ends_and_extremes(count, limit, gaps, seed):
    random = np.random.default_rng(seed)
    y = random.standard_cauchy(count)
    y[random.random(count) < gaps] = np.nan
    x, kept = svg.thin(np.arange(len(y)), y, limit)
    assert len(x) == len(kept) <= max(limit, 2) and np.array_equal(y[x], kept, equal_nan=True)
    known = y[np.isfinite(y)]
    if len(known):
        assert {known.min(), known.max()} <= set(kept.tolist())
    if count:
        assert x[0] == 0 and x[-1] == len(y) - 1 and (np.diff(x) > 0).all()


@given(
    st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf)), max_size=60),
    st.integers(1, 20),
)
def test_smoothing_is_the_mean_of_the_last_finite_values(values, window):
    expected = []
    for i in range(len(values)):
        seen = [v for v in values[max(0, i + 1 - window) : i + 1] if math.isfinite(v)]
        expected.append(sum(seen) / len(seen) if seen else math.nan)
    assert svg.smooth(np.array(values), window) == pytest.approx(expected, rel=1e-6, abs=1e-4, nan_ok=True)


def test_layers_with_equal_rates_become_one_line():
    def names(recipe):
        schedule = preview(recipe)
        return [line.label for line in svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)]

    assert names(Recipe()) == ["all layers"]
    assert names(Recipe(head_lr=1e-3)) == ["embeddings to layer.5", "head"]
    assert names(PAPER["grouped_llrd"]) == [
        "embeddings to layer.3",
        "layer.4 to layer.7",
        "layer.8 to layer.11",
        "head",
    ]


def test_long_runs_are_drawn_with_few_points():
    schedule = preview(Recipe(epochs=3, layer_decay=0.8, warmup=0.1), steps_per_epoch=20_000)
    lines = svg.rate_lines(schedule.layers, schedule.steps, schedule.lr)
    assert all(len(line.x) <= 300 and line.x[0] == 0 and line.x[-1] == 59_999 for line in lines)
