"""Pictures of the range test and of a grid of rates."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.layout import place
from ftlab.recipe import Recipe
from tests.fake_run import make_run
from tests.lab.pictures import charts_of, line_of, problems
from tests.tuning.test_lr_finder import BOWL, RATES, synthetic


def test_a_range_test_is_drawn_over_a_logarithmic_rate_with_its_suggestions():
    finder = synthetic(BOWL, smoothing=0.5, status="diverged")
    figure = plots.plot_lr_finder(finder)
    [chart] = charts_of(figure)
    assert chart.x.log and "diverged after 85 of 85" in chart.note
    assert np.array_equal(line_of(chart, "each batch").y, BOWL)
    assert np.array_equal(line_of(chart, "smoothed").x, RATES)
    assert line_of(chart, "before training").y.tolist() == [1.0, 1.0]
    dots = line_of(chart, "")
    assert sorted(dots.x) == sorted(finder.suggestions.values())
    for rate, height in zip(dots.x, dots.y, strict=True):
        assert height == pytest.approx(np.interp(np.log(rate), np.log(RATES), finder.smoothed))
    assert {(mark.x, mark.label.split()[0]) for mark in chart.marks} == {(r, n) for n, r in finder.suggestions.items()}
    assert 1.0 < chart.y.high < 3  # the fall is seen whole, not squeezed by the explosion
    assert all(f"{rule} {rate:.1e}" in figure.sentence for rule, rate in finder.suggestions.items())
    assert problems(place(figure.sheet)) == problems(place(figure.sheet, 580)) == []
    pointed = plots.range_sheet(finder, "valley").charts[0].marks
    assert [mark.label.split()[1] for mark in pointed if mark.label.startswith("▶")] == ["valley"]


@pytest.mark.parametrize("losses", [[], [1.0], [1.0, np.nan], [1.0, 2.0, np.inf], [1e300] * 12])
def test_a_test_that_ended_at_once_has_a_picture_too(losses):
    status = "diverged" if losses else "interrupted"
    figure = plots.plot_lr_finder(synthetic(losses, total=60, smoothing=0.9, status=status))
    assert "no suggestion" in figure.sentence and figure.png().startswith(b"\x89PNG")


def grid(rates, scores):
    for rate, score in zip(rates, scores, strict=True):
        run = make_run(Recipe(lr=rate, epochs=2))
        run.best_score = score
        yield run


def test_a_grid_shows_the_score_of_every_rate_and_names_the_best():
    runs = {
        "batch 16": list(grid([1e-3, 1e-5, 1e-4], [0.5, 0.9, 0.4])),
        "batch 32": list(grid([1e-4, 4e-4], [0.6, 0.5])),
    }
    figure = plots.plot_rate_grid(runs, {"valley": 3e-4, "min/10": 2e-4})
    [chart] = charts_of(figure)
    scores = line_of(chart, "batch 16")
    assert scores.x.tolist() == [1e-5, 1e-4, 1e-3] and scores.y.tolist() == [0.9, 0.4, 0.5]
    assert scores.values == ["", "0.400", ""] and line_of(chart, "batch 32").values == ["", "0.500"]
    assert len({(line.colour, line.dash, line.marker) for line in chart.lines}) == 2
    assert chart.x.log and {mark.label for mark in chart.marks} == {"valley", "min/10"}
    assert chart.y.low < 0.4 and chart.y.high > 0.9, "no point on the frame"
    assert problems(place(figure.sheet)) == []
    assert "batch 16: 1.0e-05: 0.900; 1.0e-04: 0.400; 1.0e-03: 0.500. batch 32: " in figure.sentence


def test_a_run_that_diverged_before_its_first_look_has_no_score():
    figure = plots.plot_rate_grid({"": list(grid([1e-4, 1.0], [0.4, None]))})
    assert "by rate. 1.0e-04: 0.400; 1.0e+00: none" in figure.sentence and figure.png().startswith(b"\x89PNG")
    assert np.isnan(charts_of(figure)[0].lines[0].y[1]) and charts_of(figure)[0].lines[0].values == ["0.400", ""]
    nothing = plots.plot_rate_grid({"": list(grid([1.0], [None]))})
    assert nothing.png().startswith(b"\x89PNG")
