"""Charts as SVG text: valid XML, points where the axes say they are, safe text, colours of the page, in a few ms."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.checks import number
from ftlab.lab import svg
from ftlab.lab.chart import BLUE, MARKERS, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet
from ftlab.lab.layout import place
from tests.lab.pictures import SVG, texts_of
from tests.lab.test_chart import contrast

finite = st.floats(-1e12, 1e12, allow_nan=False)
X = np.arange(0.0, 101)


def parse(chart, width=640):
    return ElementTree.fromstring(svg.draw(chart, width))


def strokes(root):
    """The strokes of every line, as arrays of pixel positions."""
    paths = [p.get("d") for p in root.findall(f"{SVG}svg/{SVG}g/{SVG}path") if p.get("fill") == "none"]
    return [[np.array(re.findall(r"(-?[\d.]+),(-?[\d.]+)", s), dtype=float) for s in d.split("M")[1:]] for d in paths]


@pytest.mark.parametrize("log", [False, True])
def test_a_point_lies_where_the_ticks_of_both_axes_say(log):
    y = 10.0 ** (X / 25) if log else 3.0 * X
    root = parse(Chart("A chart", [Line("", X, y)], y=Axis(log=log)))
    [[line]] = strokes(root)
    ticks = [t for t in root.iter(f"{SVG}text") if t.get("class") == "tick"]
    x_ticks = {float(t.text): float(t.get("x")) for t in ticks if t.get("text-anchor") == "middle"}
    y_ticks = {float(t.text): float(t.get("y")) - 4 for t in ticks if t.get("text-anchor") == "end"}
    assert len(x_ticks) >= 4 and len(y_ticks) >= 3
    for value, pixel in x_ticks.items():
        assert line[int(value), 0] == pytest.approx(pixel, abs=0.11)
    for value, pixel in y_ticks.items():
        exact = np.log10(value) * 25 if log else value / 3
        if exact <= 100:
            assert np.interp(exact, X, line[:, 1]) == pytest.approx(pixel, abs=0.6)


def test_numbers_that_have_no_place_leave_gaps():
    y = np.array([1, 2, np.nan, 4, np.inf, 6, 7, -np.inf, 9.0])
    [found] = strokes(parse(Chart("t", [Line("", np.arange(9), y)])))
    assert [len(s) for s in found] == [2, 1, 2, 1]
    [found] = strokes(parse(Chart("t", [Line("", np.arange(4), np.array([1, 0, -3, 10.0]))], y=Axis(log=True))))
    assert [len(s) for s in found] == [1, 1]


def test_screen_readers_get_a_role_a_name_and_a_title():
    root = parse(Chart("Loss", sentence="Loss falls from 1 to 0.1"))
    assert root.get("role") == "img" and root.get("aria-label") == "Loss falls from 1 to 0.1"
    assert root[0].tag == f"{SVG}title" and root[0].text == "Loss"
    assert parse(Chart("Loss")).get("aria-label") == "Loss"
    pair = Sheet([Chart("Loss", sentence="One."), Chart("Rate", sentence="Two.")])
    assert parse(pair).get("aria-label") == "One. Two."


@pytest.mark.parametrize("text", ["<script>&\"'", "a\x00b\x1b\ufffe", "línea – 線"])
def test_any_text_is_safe(text):
    shown = "".join(c if c.isprintable() else " " for c in text)
    bars = Chart(text, bars=[Bar(0, 1.0, note=text)], y=Axis(names=[text]), x=Axis(text), note=text, sentence=text)
    lines = Chart(text, [Line(text, X, X, note=text, values=[text], marker="dot")], marks=[Mark(50, text)])
    picture = svg.draw(Sheet([bars, lines], sentence=text, caption=text), 640)
    root = ElementTree.fromstring(picture)
    assert root.get("aria-label") == shown and shown in root[0].text
    assert sum(shown in words for words in texts_of(picture)) >= 8


@given(st.lists(st.floats(), max_size=20), st.booleans(), st.sampled_from(["", *MARKERS]))
def test_any_numbers_give_valid_xml_with_what_shows_inside_the_picture(values, log, marker):
    line = Line("a", np.arange(len(values)), np.array(values), marker=marker, values=["v"] * len(values), fill=True)
    root = parse(Chart("t", [line], y=Axis(log=log)))
    inner = root.find(f"{SVG}svg")
    if inner is not None:  # what leaves the frame is cut off by this inner picture
        left, top, wide, high = map(float, inner.get("viewBox").split())
        assert left >= 0 and top >= 0 and left + wide <= 640 and top + high <= float(root.get("height"))
    assert "nan" not in ElementTree.tostring(root, encoding="unicode").replace("jp-layout", "")


def test_what_leaves_the_frame_is_cut_and_no_point_is():
    line = Line("", X, X, marker="dot")
    root = parse(Chart("t", [line], x=Axis(low=0, high=100), y=Axis(low=50, high=100)))
    assert len(strokes(root)[0][0]) == 101
    points = [p.get("d").count("M") for p in root.findall(f"{SVG}g/{SVG}path") if "a3.5" in p.get("d")]
    assert points == [51], "points of the visible half, the two at the edge among them"


def test_every_shape_of_point_is_drawn_differently():
    shapes = set()
    for marker in MARKERS:
        root = parse(Chart("t", [Line("", [50.0], [1.0], ORANGE, width=0, marker=marker)]))
        [path] = root.findall(f"{SVG}g/{SVG}path")
        shapes.add((re.sub(r"^M[\d.]+,[\d.]+", "", path.get("d")), path.get("fill")))
    assert len(shapes) == len(MARKERS)


def test_the_playhead_divides_a_planned_line_and_no_other():
    lines = [Line("", X, X, BLUE, planned=True), Line("", X, 50 + 0 * X)]
    root = parse(Chart("t", lines, playhead=Mark(30.5)))
    bold, faint, other = (np.concatenate(found) for found in strokes(root))
    assert bold[-1].tolist() == faint[0].tolist() and len(bold) == 32 and len(other) == 101
    widths = [float(p.get("stroke-width")) for p in root.findall(f"{SVG}svg/{SVG}g/{SVG}path")]
    assert widths[0] > widths[2] > widths[1]
    assert "step 30" in texts_of(svg.draw(Chart("t", lines, playhead=Mark(30, "step 30"))))


# -------------------------------------------------------------------------------------------------------------- bars


def test_bars_are_as_long_as_their_values():
    chart = Chart("t", bars=[Bar(i, v) for i, v in enumerate([4.0, 1.0, -2.0, np.nan])], y=Axis(names=list("abcd")))
    bars = [(float(r.get("x")), float(r.get("width"))) for r in parse(chart).iter(f"{SVG}rect")]
    assert len(bars) == 3
    assert bars[0][1] == pytest.approx(4 * bars[1][1], abs=0.4) and bars[2][1] == pytest.approx(2 * bars[1][1], abs=0.3)
    assert bars[0][0] == bars[1][0] == pytest.approx(bars[2][0] + bars[2][1], abs=0.11)
    assert {"4", "1", "-2", "none"} <= set(texts_of(svg.draw(chart)))


def test_a_bar_may_start_where_another_ends():
    chart = Chart("t", bars=[Bar(0, 3.0), Bar(1, 5.0, start=3.0)], y=Axis(names=["a", "b"]))
    first, second = parse(chart).iter(f"{SVG}rect")
    assert float(first.get("x")) + float(first.get("width")) == pytest.approx(float(second.get("x")), abs=0.11)


def test_logarithmic_bars_are_as_long_as_their_logarithms():
    bars = [Bar(i, v) for i, v in enumerate([1e-6, 1e-5, 0.0])]
    chart = Chart("t", bars=bars, y=Axis(names=list("abc")), x=Axis(log=True, low=1e-7, high=1e-4))
    short, long = (float(r.get("width")) for r in parse(chart).iter(f"{SVG}rect"))
    assert long == pytest.approx(2 * short, abs=0.2)
    assert "0" in texts_of(svg.draw(chart)), "a bar of 0 has no length, but its value is written"


@pytest.mark.parametrize("log", [False, True])
def test_strokes_across_bars(log):
    bars = [Bar(0, 1.0, stroke=2.0), Bar(1, 2.0), Bar(2, 4.0, stroke=8.0)]
    root = parse(Chart("t", bars=bars, y=Axis(names=list("abc")), x=Axis(log=log)))
    found = [p for p in root.iter(f"{SVG}path") if p.get("stroke-width") == "2.5"]
    x = [float(p.get("d")[1:].split(",")[0]) for p in found]
    ends = [float(r.get("x")) + float(r.get("width")) for r in root.iter(f"{SVG}rect")]
    assert len(x) == 2 and x[0] == pytest.approx(ends[1], abs=0.11), "a stroke at 2 stands where the bar of 2 ends"
    assert ends[2] < x[1] < 640, "the axis reaches as far as the strokes"


@given(st.lists(st.floats(), max_size=12), st.booleans())
def test_any_bars_give_valid_xml(values, log):
    names = [str(i) for i in range(len(values))]
    chart = Chart("t", bars=[Bar(i, v, stroke=v) for i, v in enumerate(values)], y=Axis(names=names), x=Axis(log=log))
    assert all(float(r.get("width")) >= 0 for r in parse(chart).iter(f"{SVG}rect"))


# ------------------------------------------------------------------------------------------------------------ the page


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_the_colour_of_the_page_which_is_readable(theme):
    chart = Chart("t", [Line("a", X, X), Line("b", X, -X)], marks=[Mark(1, "m")], note="quiet")
    root = parse(chart)
    coloured = {t for g in root.iter(f"{SVG}g") for t in g.iter(f"{SVG}text")}
    assert not coloured and not any(t.get("fill") or t.get("opacity") for t in root.iter(f"{SVG}text"))
    quiet = float(re.search(r"\.quiet\{[^}]*fill-opacity:([\d.]+)", svg.draw(chart))[1])
    css = Path(sys.prefix) / f"share/jupyter/lab/themes/@jupyterlab/theme-{theme}-extension/index.css"
    if not css.is_file():
        pytest.skip("JupyterLab, whose theme is read here, is not installed")
    ink, alpha = re.search(r"--jp-ui-font-color1:rgba\((\d+),\s*\d+,\s*\d+,\s*([\d.]+)\)", css.read_text()).groups()
    page = {"light": 255, "dark": 0x11}[theme]
    for opacity in (1.0, quiet):
        seen = opacity * float(alpha)
        grey = seen * int(ink) + (1 - seen) * page
        assert contrast([grey / 255] * 3, [page / 255] * 3) >= 4.5


def test_every_line_has_a_colour_for_light_pages_and_one_for_dark_ones():
    root = parse(Chart("t", [Line("", X, X, BLUE), Line("", X, 1 - X, ORANGE)]))
    styles = [g.get("style") for g in root.findall(f"{SVG}svg/{SVG}g")]
    assert styles == [f"--light:{light};--dark:{dark}" for light, dark in (BLUE, ORANGE)]


def test_the_size_is_the_one_asked_for():
    chart = Chart("t", [Line("", X, X)])
    for width in (420, 580, 848):
        root = parse(chart, width)
        assert root.get("width") == str(width) and root.get("viewBox") == f"0 0 {width} {root.get('height')}"
        assert float(root.get("height")) == pytest.approx(place(chart, width).height, abs=0.5)


@given(finite)
def test_numbers_keep_their_value(value):
    assert float(number(value)) == pytest.approx(value, rel=6e-3)


def test_numbers_are_short():
    assert [number(v) for v in (0, 0.05, 1e-4, 3.5e-6, 12000, 1e6, -2.5)] == [
        "0", "0.05", "1e-4", "3.5e-6", "12000", "1e6", "-2.5",
    ]  # fmt: skip
