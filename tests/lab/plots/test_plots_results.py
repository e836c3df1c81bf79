"""Pictures of notebook 07 show the numbers they are given, with labelled axes, a sentence, and more than colour."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ftlab.lab import old_svg as svg
from ftlab.lab import plots

TABLE = pd.DataFrame(
    {
        "pairs": [0, 15, 15, 15, 1, 0],
        "difference": [np.nan, -0.02, 0.03, 0.001, -0.01, np.nan],
        "low": [np.nan, -0.03, 0.01, -0.004, np.nan, np.nan],
        "high": [np.nan, -0.01, 0.05, 0.006, np.nan, np.nan],
        "p_holm": [np.nan, 0.0001, 0.012, 1.0, 1.0, np.nan],
        "verdict": ["", "better", "worse, 1 of 15 failed", "within noise", "too few pairs", "no pairs"],
    },
    index=["baseline", "reinit", "llrd", "swa", "warmup", "all"],
)
FEW = pd.DataFrame(
    [(name, n, score) for n in (50, 200) for name in ("baseline", "longer") for score in (0.5, 0.6, 1.1, np.nan)],
    columns=["name", "n_train", "score"],
)
FAILED = [False, False, True, True] * 4
LINES = [svg.Line("A: one", np.arange(9), np.linspace(1, 0.1, 9))]
FIGURES = {
    "forest": lambda: plots.plot_forest(TABLE),
    "forest without pairs": lambda: plots.plot_forest(TABLE[:1]),
    "few samples": lambda: plots.plot_few_samples(FEW, FAILED, guessing=1.0),
    "few samples, one size": lambda: plots.plot_few_samples(FEW[:8], FAILED[:8], guessing=1.0),
    "two runs": lambda: plots.plot_two_runs(
        LINES, LINES, {"A": LINES, "B": LINES}, marks={"A": [], "B": [svg.Mark(3, "warm-up ends")]}, steps=9,
        sentence="Two runs.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_with_labels_and_a_sentence(name):
    figure = FIGURES[name]()
    assert figure.png().startswith(b"\x89PNG")
    assert figure.sentence != figure.name and figure.sentence.endswith(".")
    for axes in figure.axes:
        assert axes.get_xlabel() and axes.get_title(loc="left")


def points(axes):
    """The dots of a forest, by row."""
    return {line.get_ydata()[0]: line for line in axes.lines if len(line.get_xdata()) == 1}


def test_the_forest_shows_difference_interval_p_and_pairs():
    axes = plots.plot_forest(TABLE).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["reinit", "llrd", "swa", "warmup"]
    assert axes.get_ylim() == (3.5, -0.5)  # the first on top
    assert [points(axes)[row].get_xdata()[0] for row in range(4)] == [-0.02, 0.03, 0.001, -0.01]
    bars = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() == "|"]
    assert bars == [[-0.03, -0.01], [0.01, 0.05], [-0.004, 0.006]]  # one pair has no interval
    assert any(list(line.get_xdata()) == [0, 0] for line in axes.lines)
    words = [text.get_text() for text in axes.texts]
    assert words[0] == "-0.0200 [-0.0300, -0.0100], p < 0.001, n 15"
    assert words[3] == "-0.0100, p 1.000, n 1"


def test_the_forest_tells_verdicts_apart_without_colour():
    dots = points(plots.plot_forest(TABLE).axes[0])
    assert [dots[row].get_marker() for row in range(4)] == ["o", "s", "D", "D"]
    assert [dots[row].get_markerfacecolor() == "white" for row in range(4)] == [False, False, True, True]


def test_the_forest_says_what_it_shows():
    sentence = plots.plot_forest(TABLE, unit="test macro F1").sentence
    assert sentence.startswith("Differences to baseline in test macro F1. reinit -0.0200 [-0.0300, -0.0100]")
    assert "llrd" in sentence and "worse, 1 of 15 failed" in sentence
    assert "No pairs yet" in plots.plot_forest(TABLE[:1]).sentence


def test_every_run_on_few_samples_is_drawn_and_failed_ones_are_crosses():
    figure = plots.plot_few_samples(FEW, FAILED, guessing=1.0)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["50", "200"]
    scored = [line for line in axes.lines if line.get_transform() == axes.transData]
    dots = [line for line in scored if line.get_linestyle() == "None" and line.get_marker() != "x"]
    crosses = [line for line in scored if line.get_marker() == "x"]
    at_edge = [line for line in axes.lines if line.get_marker() == "x" and line not in crosses]
    assert [line.get_ydata().tolist() for line in dots] == [[0.5, 0.6]] * 4
    assert [line.get_ydata()[np.isfinite(line.get_ydata())].tolist() for line in crosses] == [[1.1]] * 4
    assert [len(line.get_xdata()) for line in at_edge] == [1] * 4
    assert dots[0].get_marker() != dots[2].get_marker()  # recipes differ by more than colour
    places = sorted(x for line in dots for x in line.get_xdata())
    assert len(set(places)) == 8 and places[3] < 0.5 < places[4]  # beside each other, each at its number of rows
    assert "longer with 200 rows: mean 0.733, from 0.500 to 1.100, 2 of 4 failed" in figure.sentence


def test_rates_of_two_runs_have_one_scale():
    figure = plots.plot_two_runs(
        LINES,
        LINES,
        {"A": LINES, "B": [svg.Line("x", np.arange(9), np.full(9, 5.0))]},
        marks={"A": [], "B": []},
        steps=9,
    )
    *_, left, right = figure.axes
    assert left.get_ylim() == right.get_ylim() and left.get_ylim()[1] > 5
    assert [axes.get_title(loc="left") for axes in (left, right)] == ["A", "B"]
