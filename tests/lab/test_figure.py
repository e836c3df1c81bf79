"""Charts as matplotlib figures: the same picture as the SVG, with the data in ordinary axes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from ftlab.lab import figure
from ftlab.lab.chart import BLUE, INK, MARKERS, ORANGE, Axis, Bar, Chart, Line, Mark, Sheet
from ftlab.lab.layout import place
from tests.lab.pictures import width as text_width

X = np.arange(0.0, 101)
PAIR = Sheet(
    [
        Chart("Learning rate", [Line("rate", X, 1e-4 * X, BLUE, planned=True)], playhead=Mark(40, "step 40 of 100"),
              note="of every layer", marks=[Mark(10, "warm-up ends"), Mark(50)], x=Axis(low=0, high=100)),
        Chart("Loss", [Line("run", X, np.exp(-X / 20), ORANGE, "5 3"),
                       Line("validation", X[::25], X[::25] / 100, INK, width=0, marker="circle", values=["v"] * 5)],
              x=Axis("optimizer step", 0, 100), y=Axis(log=True)),
    ],
    "a pair", "Two charts.", share="x", width=600,
)  # fmt: skip
BARS = Chart("Bars", bars=[Bar(0, 3.0, stroke=2.0), Bar(1, 5.0, start=3.0), Bar(2, np.nan)], y=Axis(names=list("abc")))


def pixels(drawn, axes, x, y):
    """Where data lie in the picture, in pixels from its top left, as the SVG counts them."""
    at = axes.transData.transform(np.column_stack([x, y])) / drawn.dpi * 100
    return at[:, 0], drawn.get_figheight() * 100 - at[:, 1]


@pytest.mark.parametrize("sheet", [PAIR, Sheet([BARS, BARS], columns=2, width=900)], ids=["lines", "bars"])
def test_data_lie_where_the_svg_has_them(sheet):
    drawn = figure.draw(sheet)
    layout = place(sheet)
    assert len(drawn.axes) == len(layout.panes)
    for axes, pane in zip(drawn.axes, layout.panes, strict=True):
        ends_x, ends_y = np.array(pane.x.ends), np.array(pane.y.ends)
        for i in (0, 1):
            x, y = pixels(drawn, axes, ends_x[[i]], ends_y[[i]])
            assert x == pytest.approx(pane.x(ends_x[[i]]), abs=0.02)
            # The figure's height is that of the layout rounded up to an even number of pixels.
            assert y == pytest.approx(pane.y(ends_y[[i]]), abs=2.01)
        assert axes.get_xticks().tolist() == [place for place, _ in pane.x_ticks]
        assert axes.get_yticks().tolist() == [place for place, _ in pane.y_ticks]


def test_texts_stand_where_the_svg_has_them():
    drawn, layout = figure.draw(PAIR), place(PAIR)
    drawn.canvas.draw()
    expected = [text for pane in layout.panes for text in pane.texts]
    shown = [t for t in drawn.texts if t.get_text()]
    assert [t.get_text() for t in shown] == [text.text for text in expected]
    for text, there in zip(expected, shown, strict=True):
        x, y = there.get_window_extent().get_points()[0] / drawn.dpi * 100
        left = text.x - {"start": 0, "middle": 0.5, "end": 1}[text.anchor] * text_width(text.text, text.kind)
        assert x == pytest.approx(left, abs=2.5), text
        assert 0 <= text.y + 5 - (drawn.get_figheight() * 100 - y) < 7, text
        if text.note:
            [note] = [t for axes in drawn.axes for t in axes.texts if t.get_text() == text.note]
            start = note.get_window_extent().get_points()[0] / drawn.dpi * 100
            assert 2 < start[0] - x - text_width(text.text, text.kind) < 7 and abs(start[1] - y) < 1


def test_axes_hold_the_data_and_their_names():
    above, below = figure.draw(PAIR).axes
    assert above.get_title(loc="left") == "Learning rate" and below.get_xlabel() == "optimizer step"
    assert below.get_yscale() == "log" and above.get_xlim() == below.get_xlim() == (0, 100)
    run = next(line for line in below.lines if line.get_label() == "run")
    assert np.array_equal(run.get_xdata(), X) and np.array_equal(run.get_ydata(), np.exp(-X / 20))
    parts = [line for line in above.lines if line.get_label() == "rate"]
    assert [line.get_xdata()[[0, -1]].tolist() for line in parts] == [[0, 40], [40, 100]]
    assert parts[0].get_linewidth() > parts[1].get_linewidth() and parts[1].get_alpha() < 1


def test_bars_hold_their_values():
    [axes] = figure.draw(BARS).axes
    assert [(bar.get_x(), bar.get_width()) for bar in axes.patches] == [(0, 3), (3, 2)]
    strokes = [line.get_xdata()[0] for line in axes.lines if line.get_color() == "black"]
    assert strokes == [2.0]


def test_no_point_is_cut_and_a_line_is_cut_at_the_frame():
    chart = Chart("t", [Line("", X, X, BLUE, marker="dot")], x=Axis(low=0, high=50), y=Axis(low=0, high=50))
    [axes] = figure.draw(chart).axes
    line, points = axes.lines
    assert points.get_xdata().tolist() == X[:51].tolist() and not points.get_clip_on()
    assert line.get_clip_on() and line.get_clip_box() is not None
    image = np.asarray(Image.open(io.BytesIO(figure.draw(chart, 300).png())).convert("RGB")).astype(int)
    pane = place(chart, 300).panes[0]
    right = image[: round(1.5 * (pane.bottom - 2)), round(1.5 * (pane.right + 6)) :]
    assert np.abs(right - right[0, -1]).max() < 3, "nothing is drawn right of the frame"


@pytest.mark.parametrize("marker", MARKERS)
def test_every_shape_of_point_can_be_drawn(marker):
    chart = Chart("t", [Line("named", X[:3], X[:3], ORANGE, width=0, marker=marker)])
    assert figure.draw(chart).png().startswith(b"\x89PNG")


def test_a_picture_is_a_figure_that_shows_itself():
    drawn = figure.draw(PAIR)
    assert isinstance(drawn, Figure) and repr(drawn) == "<Picture: a pair>" and drawn.sheet is PAIR
    bundle, metadata = drawn._repr_mimebundle_()
    assert metadata["image/png"]["alt"] == "Two charts." and metadata["image/png"]["width"] == 600
    image = Image.open(io.BytesIO(drawn.png()))
    assert image.size == (900, round(1.5 * metadata["image/png"]["height"]))
    assert drawn.png() == figure.draw(PAIR).png()
    assert figure.draw(PAIR, 848).get_figwidth() == 8.48
