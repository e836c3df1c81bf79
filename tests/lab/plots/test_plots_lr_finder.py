"""Pictures of the range test and of a grid of rates."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.recipe import Recipe
from tests.fake_run import make_run
from tests.tuning.test_lr_finder import BOWL, RATES, synthetic


def line_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_a_range_test_is_drawn_over_a_logarithmic_rate_with_its_suggestions():
    finder = synthetic(BOWL, smoothing=0.5, status="diverged")
    figure = plots.plot_lr_finder(finder)
    axes = figure.axes[0]
    assert axes.get_xscale() == "log" and "diverged after 85 of 85" in axes.get_title(loc="left")
    assert np.array_equal(line_of(axes, "each batch").get_ydata(), BOWL)
    assert np.array_equal(line_of(axes, "smoothed").get_xdata(), RATES)
    assert line_of(axes, "before training").get_ydata().tolist() == [1.0, 1.0]
    dots = line_of(axes, "suggestions")
    assert sorted(dots.get_xdata()) == sorted(finder.suggestions.values())
    for rate, height in zip(dots.get_xdata(), dots.get_ydata(), strict=True):
        assert height == pytest.approx(np.interp(np.log(rate), np.log(RATES), finder.smoothed))
    words = {text.get_text() for text in axes.texts}
    assert words == {f"{rule} {rate:.1e}" for rule, rate in finder.suggestions.items()}
    assert 1.0 < axes.get_ylim()[1] < 3  # the fall is seen whole, not squeezed by the explosion
    assert all(f"{rule} {rate:.1e}" in figure.sentence for rule, rate in finder.suggestions.items())


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


def test_a_grid_shows_every_runs_loss_and_score():
    figure = plots.plot_rate_grid(list(grid([1e-3, 1e-5, 1e-4], [0.5, 0.9, 0.4])), {"valley": 3e-4, "min/10": 2e-4})
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["1.0e-05", "1.0e-04", "1.0e-03"]
    assert len({(line.get_color(), str(line._dash_pattern)) for line in left.lines}) == 3
    scores = right.lines[0]
    assert scores.get_xdata().tolist() == [1e-5, 1e-4, 1e-3] and scores.get_ydata().tolist() == [0.9, 0.4, 0.5]
    assert right.get_xscale() == "log"
    assert {text.get_text() for text in right.texts} == {"valley", "min/10"}
    assert "1.0e-05: 0.900; 1.0e-04: 0.400; 1.0e-03: 0.500" in figure.sentence


def test_a_run_that_diverged_before_its_first_look_has_no_score():
    figure = plots.plot_rate_grid(list(grid([1e-4, 1.0], [0.4, None])))
    assert "1.0e+00: none" in figure.sentence and figure.png().startswith(b"\x89PNG")
    assert np.isnan(figure.axes[1].lines[0].get_ydata()[1])
