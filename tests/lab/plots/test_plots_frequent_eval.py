"""Pictures of notebook 06 show the numbers they are given, with labelled axes and a sentence."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import old_svg as svg
from ftlab.lab import plots
from tests.fake_run import make_run

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
    "example": lambda: plots.plot_look_example(
        [svg.Line("looks", K, 1 / K)],
        [svg.Line("luck", K, K / 100)],
        steps=100,
        looks=100,
        marks=[svg.Mark(50, "stops")],
        sentence="100 looks.",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_with_labels_and_a_sentence(name):
    figure = FIGURES[name]()
    assert figure.png().startswith(b"\x89PNG")
    assert figure.sentence != figure.name and figure.sentence.endswith(".")
    for axes in figure.axes:
        assert axes.get_xlabel() and axes.get_ylabel() and axes.get_title(loc="left")


def test_looks_between_epochs_stand_beside_those_at_their_ends():
    history = make_run(every=9).history
    for evaluation, score in zip(history.evals, [0.9, 0.6, 0.5, 0.4, 0.3, 0.45, 0.46, 0.47, 0.48], strict=True):
        evaluation["score"] = score
    figure = plots.plot_looks(history)
    every, ends, best = figure.axes[0].lines[:3]
    assert every.get_xdata().tolist() == [9, 18, 27, 36, 45, 54, 63, 72, 81]
    assert ends.get_xdata().tolist() == [27, 54, 81] and ends.get_ydata().tolist() == [0.5, 0.45, 0.48]
    assert best.get_xdata().tolist() == [45] and best.get_ydata().tolist() == [0.3]
    assert "9 looks: best validation RMSE 0.300 after step 45" in figure.sentence
    assert "Of the 3 at the ends of epochs the best is 0.450 after step 54." in figure.sentence
    low, high = figure.axes[1].get_ylim()  # the close-up begins with the end of the first epoch
    assert low < 0.3 and 0.5 < high < 0.6


def test_a_higher_score_is_the_best_for_classes():
    history = make_run(every=9, metric="macro_f1").history
    assert plots.plot_looks(history).axes[0].lines[2].get_xdata().tolist() == [81]


def test_few_points_of_luck_are_dots_and_many_a_line():
    axes = FIGURES["luck"]().axes[0]
    line, dots = axes.lines[:2]
    assert line.get_linestyle() == "-" and dots.get_linestyle() == "None" and dots.get_marker() != "None"
    assert axes.get_xscale() == "log" and [t.get_text() for t in axes.texts] == ["ours"]
