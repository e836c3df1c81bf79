"""The drawing of a Transformer names every notebook, points at one, and its texts stay inside their boxes."""

from __future__ import annotations

import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from ftlab.errors import RecipeError
from ftlab.lab import plots
from ftlab.lab.plots.transformer import HEIGHT, SUBJECTS, WIDTH

NUMBERS = re.compile(r"\d\d")


def texts_of(figure):
    return figure.axes[0].texts


def test_every_notebook_of_a_part_has_a_badge_and_stands_in_the_sentence():
    figure = plots.plot_transformer()
    badges = {text.get_text() for text in texts_of(figure) if NUMBERS.fullmatch(text.get_text())}
    assert badges == set(SUBJECTS)
    assert all(f"{number} {subject}" in figure.sentence for number, subject in SUBJECTS.items())
    assert figure.png().startswith(b"\x89PNG") and len(figure.png()) < 80_000


def test_a_notebook_is_pointed_at_by_its_badge_an_outline_and_a_sentence(case):
    for number, subject in SUBJECTS.items():
        with case(number):
            figure = plots.plot_transformer(number)
            bold = {text.get_text() for text in texts_of(figure)
                    if NUMBERS.fullmatch(text.get_text()) and text.get_color() == "white"}  # fmt: skip
            assert bold == {number}
            assert [patch for patch in figure.axes[0].patches if patch.get_linewidth() >= 2], "nothing is outlined"
            assert figure.sentence.endswith(f"notebook {number} is about: {subject}.")


def test_a_notebook_that_is_not_in_the_drawing_is_refused():
    with pytest.raises(RecipeError, match="'07' is not in the drawing; there are 01, 02"):
        plots.plot_transformer("07")


def test_no_text_leaves_the_picture_or_sticks_out_of_its_box():
    figure = plots.plot_transformer()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [patch.get_window_extent(renderer) for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)]
    boxes = [box for box in boxes if box.height < 60]  # not the frame of a layer
    for text in texts_of(figure):
        seen = text.get_window_extent(renderer)
        assert 0 <= seen.x0 and seen.x1 <= WIDTH and 0 <= seen.y0 and seen.y1 <= HEIGHT, text.get_text()
        for box in boxes:
            middle = (seen.x0 + seen.x1) / 2, (seen.y0 + seen.y1) / 2
            if box.contains(*middle) and not NUMBERS.fullmatch(text.get_text()):
                assert box.x0 <= seen.x0 and seen.x1 <= box.x1, text.get_text()
