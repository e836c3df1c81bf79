"""Pictures of notebook 06 show the numbers they are given, with labelled axes and a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.layout import place
from tests.fake_run import make_run
from tests.lab.pictures import charts_of, line_of, problems

K = np.arange(1, 101)
FIGURES = {
    "looks": lambda: plots.plot_looks(make_run(every=4).history),
    "looks at ends of epochs only": lambda: plots.plot_looks(make_run().history),
    "one look": lambda: plots.plot_looks(make_run(steps=27).history),
    "looks for classes": lambda: plots.plot_looks(make_run(every=4, metric="macro_f1").history),
    "luck": lambda: plots.plot_luck(
        {"all": (K, 0.01 * np.log(K)), "measured": ([1, 4], [0, 0.01])}, marks={"ours": 14}
    ),
    "choices": lambda: plots.plot_choices([1, 4], {"validation": [0, -0.01], "test": [0, 0.002]}, {"test": [0, 0.01]}),
    "optimism": lambda: plots.plot_optimism({"a bound": 0.03, "our runs": 0.004, "no luck": 0.0}, {"our runs": 0.002}),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_with_labels_and_a_sentence(name):
    figure = FIGURES[name]()
    assert figure.png().startswith(b"\x89PNG")
    assert figure.sentence != figure.name and figure.sentence.endswith(".")
    assert all(chart.title and chart.x.label for chart in charts_of(figure))
    assert problems(place(figure.sheet)) == problems(place(figure.sheet, 600)) == []


def test_looks_between_epochs_stand_beside_those_at_their_ends():
    history = make_run(every=9).history
    for evaluation, score in zip(history.evals, [0.9, 0.6, 0.5, 0.4, 0.3, 0.45, 0.46, 0.47, 0.48], strict=True):
        evaluation["score"] = score
    figure = plots.plot_looks(history)
    whole, close = charts_of(figure)
    every, ends, best = whole.lines
    assert every.x.tolist() == [9, 18, 27, 36, 45, 54, 63, 72, 81]
    assert ends.x.tolist() == [27, 54, 81] and ends.y.tolist() == [0.5, 0.45, 0.48]
    assert best.x.tolist() == [45] and best.y.tolist() == [0.3] and best.note == "0.300"
    assert "9 evaluations: best validation RMSE 0.300 after step 45" in figure.sentence
    assert "Of the 3 at the ends of epochs the best is 0.450 after step 54." in figure.sentence
    assert close.y.low < 0.3 and 0.5 < close.y.high < 0.6, "the close-up begins with the end of the first epoch"


def test_a_higher_score_is_the_best_for_classes():
    history = make_run(every=9, metric="macro_f1").history
    assert charts_of(plots.plot_looks(history))[0].lines[2].x.tolist() == [81]


def test_few_points_of_luck_are_dots_and_many_a_line():
    [chart] = charts_of(FIGURES["luck"]())
    line, dots = chart.lines
    assert line.width and not line.marker and dots.marker and not dots.width
    assert chart.x.log and [(mark.x, mark.label) for mark in chart.marks] == [(14, "ours")]


def test_changes_stand_beside_each_other_with_their_intervals():
    [chart] = charts_of(FIGURES["choices"]())
    validation, test = line_of(chart, "validation"), line_of(chart, "test")
    assert validation.y.tolist() == [0, -0.01] and test.y.tolist() == [0, 0.002]
    assert list(chart.x.names) == ["1", "4"] and (validation.x < test.x).all() and np.round(test.x).tolist() == [0, 1]
    zero, bars = (line for line in chart.lines if not line.label)
    assert set(zero.y) == {0} and bars.y[[0, 1, 3, 4]] == pytest.approx([0, 0, -0.008, 0.012])
    assert np.isnan(bars.y[2]) and bars.x[[0, 1]].tolist() == test.x[[0, 0]].tolist()


def test_a_measured_optimism_has_its_interval_and_stripes():
    figure = FIGURES["optimism"]()
    [chart] = charts_of(figure)
    assert [bar.value for bar in chart.bars] == [0.03, 0.004, 0.0] and [bar.hatch for bar in chart.bars] == [0, 1, 0]
    assert [bar.note for bar in chart.bars] == ["0.030", "0.004 ± 0.002, measured", "0.000"]
    assert list(chart.y.names) == ["a bound", "our runs", "no luck"]
    assert figure.sentence == "a bound: 0.030; our runs: 0.004 ± 0.002, measured; no luck: 0.000."
