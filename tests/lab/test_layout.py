"""Where things stand: round ticks, frames that line up, labels that lie over nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftlab.lab.chart import BLUE, INK, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet, rate_lines
from ftlab.lab.layout import RADIUS, Scale, log_ticks, nice_ticks, pick, place, split, spread, width_of
from ftlab.recipe import Recipe
from ftlab.schedules import preview
from tests.lab.pictures import problems, width

finite = st.floats(-1e12, 1e12, allow_nan=False)
X = np.arange(101.0)


def texts(pane, kind=None):
    return {t.text: t for t in pane.texts if kind in (None, t.kind)}


# ------------------------------------------------------------------------------------------------------ ticks, scales


@given(finite, st.floats(1e-9, 1e9), st.booleans())
def test_ticks_are_few_round_and_inside(low, span, whole):
    high = low + span
    if not low < high or span < 1e-6 * abs(low):
        return
    ticks = nice_ticks(low, high, 5, whole)
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
    assert nice_ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert nice_ticks(0, 1e-4) == [0, 2e-5, 4e-5, 6e-5, 8e-5, 1e-4]
    assert nice_ticks(0, 3, 5, whole=True) == [0, 1, 2, 3]
    assert log_ticks(1e-6, 1e-3) == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3])
    assert log_ticks(1, 10) == [1, 2, 5, 10]


def test_scales_map_ends_to_ends():
    assert Scale((0, 4), (10, 50))([0, 1, 4]).tolist() == [10, 20, 50]
    assert Scale((1e-6, 1e-2), (200, 0), log=True)([1e-6, 1e-4, 1e-2]) == pytest.approx([200, 100, 0])
    assert Scale((3, 3), (0, 9))(3.0) == 0, "ends that coincide divide by nothing"


def test_of_many_labels_the_first_and_the_last_are_kept():
    assert pick(5, 9) == [0, 1, 2, 3, 4]
    assert pick(100, 4) == [0, 33, 66, 99]


@given(st.lists(st.floats(0, 200), min_size=1, max_size=13))
def test_heights_are_moved_apart_and_keep_their_order(heights):
    heights = sorted(heights)
    moved = spread(heights, 15, 0, 200)
    assert all(b - a >= 15 - 1e-9 for a, b in zip(moved, moved[1:], strict=False))
    assert moved[0] >= 0 and moved[-1] <= 200 + 1e-9
    if all(b - a >= 15 for a, b in zip(heights, heights[1:], strict=False)):
        assert moved == pytest.approx(heights), "what is far enough apart stays where it is"


@given(st.text("abcdefghijklmnopqrstuvwxyz.0123456789 ", min_size=4, max_size=40), st.sampled_from(["label", "tick"]))
def test_widths_of_words_are_not_underrated_by_much(text, kind):
    assert width_of(text, kind) >= 0.7 * width(text, kind)


# ------------------------------------------------------------------------------------------------------------- frames


def test_charts_over_one_axis_have_equal_ends_and_are_labelled_once():
    wide = Chart("a", [Line("a rather long name", X, 1000 * X)], x=Axis("step"))
    short = Chart("b", [Line("", X[:50], X[:50] / 1e5)], x=Axis("step"))
    above, below = place(Sheet([wide, short], share="x"), 600).panes
    assert (above.left, above.right) == (below.left, below.right) and above.bottom < below.top
    assert above.x.ends == below.x.ends
    assert "step" not in texts(above) and "step" in texts(below)
    assert all(text.anchor == "end" for text in texts(above, "tick").values()), "only the y axis has its ticks named"
    alone = place(Sheet([wide, short]), 600).panes
    assert alone[1].x.ends == (0, 49) and "step" in texts(alone[0])


def test_columns_stand_side_by_side_while_there_is_room():
    sheet = Sheet([Chart(str(i), [Line("", X, X)]) for i in range(5)], columns=3, least=200)
    rows = {width: len({pane.top for pane in place(sheet, width).panes}) for width in (620, 599, 399)}
    assert rows == {620: 2, 599: 3, 399: 5}
    for width_ in (620, 599, 399):
        panes = place(sheet, width_).panes
        sizes = {round(pane.right - pane.left, 6) for pane in panes}
        assert len(sizes) == 1 and max(pane.right for pane in panes) <= width_


def test_rows_stand_with_the_first_on_top():
    chart = Chart("t", bars=[Bar(0, 1.0), Bar(1, 2.0)], y=Axis(names=["head", "embeddings"]))
    [pane] = place(chart, 400).panes
    assert texts(pane)["head"].y < texts(pane)["embeddings"].y
    assert float(pane.y(0)) < float(pane.y(1)) and pane.top < float(pane.y(0))


@pytest.mark.parametrize("y", [[], [np.nan] * 3, [np.inf]])
def test_without_data_the_frame_says_so(y):
    chart = Chart("Loss", [Line("loss", np.arange(len(y)), np.array(y))], empty="no step yet")
    [pane] = place(chart, 400).panes
    assert pane.empty and "no step yet" in texts(pane) and not pane.swatches


# ------------------------------------------------------------------------------------------------------------- labels

SCHEDULES = {
    "one rate": Recipe(),
    "eight lines": Recipe(layer_decay=0.8, warmup=0.1, swa_start=3),
    "26 lines": Recipe(model="roberta-large", layer_decay=0.9),
    "frozen": Recipe(lr=0.0),
}


@pytest.mark.parametrize("width_", [848, 600, 420])
@pytest.mark.parametrize("name", SCHEDULES)
def test_labels_lie_over_nothing_and_stay_in_the_picture(name, width_):
    schedule = preview(SCHEDULES[name])
    lines = rate_lines(schedule.layers, schedule.steps, schedule.lr)
    marks = [Mark(11, "warm-up ends"), Mark(14, "another mark"), Mark(27), Mark(105, "averaging starts")]
    for where in ("end", "peak", "above"):
        chart = Chart("Learning rate", lines, marks=marks, labels=where, note="of every layer", height=150,
                      playhead=Mark(60, "step 60 of 108"), x=Axis("optimizer step", 0, 108))  # fmt: skip
        assert problems(place(chart, width_)) == []


def test_labels_stand_at_the_height_of_their_lines():
    falling, low = Line("falling", X, 100 - X), Line("low", X, np.full(101, 10.0))
    [end] = place(Chart("", [falling, low]), 500).panes
    [peak] = place(Chart("", [falling, low], labels="peak"), 500).panes
    for pane, value in ((end, 0), (peak, 100)):
        assert texts(pane)["falling"].y - 4 == pytest.approx(float(pane.y(value)), abs=1)
        assert texts(pane)["low"].y - 4 == pytest.approx(float(pane.y(10)), abs=15)
    points = next(points for points, line in end.swatches if line.label == "falling")
    assert points[0] == pytest.approx((end.right + 1, float(end.y(0)))), "its stroke goes on from the line"


def test_long_labels_go_into_rows_above_and_leave_the_frame_its_width():
    lines = [Line(f"a name of more than thirty letters, {i}", X, X + i) for i in range(3)]
    [pane] = place(Chart("t", lines), 420).panes
    labels = [texts(pane)[line.label] for line in lines]
    assert all(label.y < pane.top for label in labels) and pane.right - pane.left > 340
    assert problems(place(Chart("t", lines), 420)) == []


def test_values_stand_on_a_free_side_of_their_points():
    steep = Line("", X, X)
    points = Line("", np.array([20.0, 50.0]), np.array([20.0, 50.0]), ORANGE, width=0, marker="circle",
                  values=["0.512", "0.309"])  # fmt: skip
    layout = place(Chart("t", [steep, points]), 500)
    assert {t.text for t in layout.panes[0].texts if t.kind == "value"} == {"0.512", "0.309"}
    assert problems(layout) == []
    crowded = [replace(steep, x=X + shift, y=X) for shift in range(-40, 41, 2)]
    assert len([t for t in place(Chart("t", [*crowded, points]), 500).panes[0].texts if t.kind == "value"]) == 2


def test_titles_and_captions_are_broken_into_rows():
    title = "A title of so many words that it cannot stand in one row"
    layout = place(Sheet([Chart(title, [Line("", X, X)], note="and a note")], caption="More words. " * 12), 300)
    titles = [t for t in layout.panes[0].texts if t.kind == "title"]
    assert len(titles) >= 3 and " ".join(t.text for t in titles).strip() == title
    assert problems(layout) == []


# ----------------------------------------------------------------------------------------------------------- playhead


@pytest.mark.parametrize("at", [-5, 0, 37, 37.5, 100, 900])
def test_a_planned_line_is_cut_at_the_playhead(at):
    line = Line("rate", X, 2 * X, BLUE, planned=True)
    applied, to_come = split(line, at)
    assert (applied.x <= at).all() and (to_come.x >= at).all()
    assert applied.width > line.width > to_come.width and to_come.opacity < line.opacity == applied.opacity
    assert (applied.y == 2 * applied.x).all() and (to_come.y == 2 * to_come.x).all()
    assert set(X) <= {*applied.x, *to_come.x}
    if 0 < at < 100 and len(applied.x):
        assert applied.x[-1] == at and (at == 37 or to_come.x[0] == at), "both meet at the playhead"


def test_points_stand_whole_inside_the_picture():
    ends = Line("", np.array([0.0, 100.0]), np.array([0.0, 1.0]), INK, marker="dot")
    layout = place(Chart("t", [ends], x=Axis(low=0, high=100), y=Axis(low=0, high=1)), 300)
    [pane] = layout.panes
    assert pane.left >= RADIUS and layout.width - pane.right >= RADIUS and layout.height - pane.bottom >= RADIUS


def test_a_chart_with_an_axis_of_its_own_shares_none():
    """The scores under a bench's losses are bars of about 1, on a sheet whose charts share an axis of steps."""
    steps = [Chart(name, [Line("", X, X)], x=Axis("step")) for name in ("rate", "loss")]
    bars = Chart("score", bars=[Bar(0, 0.85)], x=Axis(low=0), y=Axis(names=["run"]), own_x=True)
    panes = place(Sheet([*steps, bars], share="x"), 600).panes
    assert [pane.x.ends for pane in panes] == [(0, 100), (0, 100), (0, 0.85)]
    assert ["step" in texts(pane) for pane in panes] == [False, True, False]
