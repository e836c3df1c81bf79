"""Pictures of notebook 07 show the numbers they are given, with labelled axes, a sentence, and more than colour."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ftlab.lab import plots
from ftlab.lab.layout import place
from tests.lab.pictures import charts_of, problems

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
FIGURES = {
    "forest": lambda: plots.plot_forest(TABLE),
    "forest without pairs": lambda: plots.plot_forest(TABLE[:1]),
    "few samples": lambda: plots.plot_few_samples(FEW, FAILED, guessing=1.0),
    "few samples, one size": lambda: plots.plot_few_samples(FEW[:8], FAILED[:8], guessing=1.0),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_a_png_with_labels_and_a_sentence(name):
    figure = FIGURES[name]()
    assert figure.png().startswith(b"\x89PNG")
    assert figure.sentence != figure.name and figure.sentence.endswith(".")
    assert all(chart.x.label and chart.title for chart in charts_of(figure))
    assert problems(place(figure.sheet)) == problems(place(figure.sheet, 600)) == []


def points(chart):
    """The points of a forest, by row."""
    return {line.y[0]: line for line in chart.lines if line.marker}


def test_the_forest_shows_difference_interval_p_and_pairs():
    [chart] = charts_of(plots.plot_forest(TABLE))
    assert list(chart.y.names) == ["reinit", "llrd", "swa", "warmup"]
    assert [points(chart)[row].x[0] for row in range(4)] == [-0.02, 0.03, 0.001, -0.01]
    bars = {line.y[0]: line.x.tolist() for line in chart.lines if not line.marker}
    assert bars == {0: [-0.03, -0.01], 1: [0.01, 0.05], 2: [-0.004, 0.006], 3: [-0.01, -0.01]}  # one pair: no interval
    assert [mark.x for mark in chart.marks] == [0]
    assert points(chart)[0].label == "-0.0200 [-0.0300, -0.0100], p < 0.001, n 15"
    assert points(chart)[3].label == "-0.0100, p 1.000, n 1"


def test_the_forest_tells_verdicts_apart_without_colour():
    found = points(charts_of(plots.plot_forest(TABLE))[0])
    assert [found[row].marker for row in range(4)] == ["dot", "square", "circle", "circle"]


def test_the_forest_says_what_it_shows():
    sentence = plots.plot_forest(TABLE, unit="test macro F1").sentence
    assert sentence.startswith("Differences to baseline in test macro F1. reinit -0.0200 [-0.0300, -0.0100]")
    assert "llrd" in sentence and "worse, 1 of 15 failed" in sentence
    assert "No pairs yet" in plots.plot_forest(TABLE[:1]).sentence


def test_every_run_on_few_samples_is_drawn_and_failed_ones_are_crosses():
    figure = plots.plot_few_samples(FEW, FAILED, guessing=1.0)
    [chart] = charts_of(figure)
    assert list(chart.x.names) == ["50", "200"]
    dots = [line for line in chart.lines if line.marker not in ("", "cross")]
    crosses = [line for line in chart.lines if line.marker == "cross"]
    means = [line.y[0] for line in chart.lines if not line.marker and not line.label]
    assert [line.y.tolist() for line in dots] == [[0.5, 0.6]] * 4 and means == pytest.approx([2.2 / 3] * 4)
    assert all(line.y[0] == 1.1 and line.y[1] > 1.1 for line in crosses), "without a score: at the upper edge"
    assert dots[0].marker != dots[2].marker  # recipes differ by more than colour
    places = sorted(x for line in dots for x in line.x)
    assert len(set(places)) == 8 and places[3] < 0.5 < places[4]  # beside each other, each at its number of rows
    assert "longer with 200 rows: mean 0.733, from 0.500 to 1.100, 2 of 4 failed" in figure.sentence
