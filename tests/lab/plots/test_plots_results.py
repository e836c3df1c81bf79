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
BLOCKS = pd.DataFrame({"probe": [1.5, 1.4, 1.45], "baseline": [1.3, 1.38, 1.31]}, index=["0", "1", "2"])
SIZES = pd.DataFrame(
    [("passages", model, n, score + shift / n) for model, score in (("probe", 0.3), ("fine-tuned", 0.25))
     for n in (50, 200) for shift in (1, 3)] + [("snippets", "probe", 432, 0.7), ("snippets", "fine-tuned", 432, 0.6)],
    columns=["data", "model", "n_train", "score"],
)  # fmt: skip
FIGURES = {
    "blocks": lambda: plots.plot_blocks(BLOCKS),
    "by size": lambda: plots.plot_by_size(SIZES),
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


def test_blocks_are_connected_and_their_means_written():
    figure = plots.plot_blocks(BLOCKS)
    [chart] = charts_of(figure)
    assert [line.y.tolist() for line in chart.lines if line.marker] == [[1.5, 1.3], [1.4, 1.38], [1.45, 1.31]]
    assert list(chart.lines[-1].values) == ["1.450", "1.330"] and list(chart.x.names) == ["probe", "baseline"]
    assert figure.sentence == "Test RMSE, mean over 3 blocks: probe 1.450; baseline 1.330."


def test_scores_by_size_are_means_on_one_scale():
    figure = plots.plot_by_size(SIZES)
    passages, snippets = charts_of(figure)
    assert [line.label for line in passages.lines] == [line.label for line in snippets.lines] == ["probe", "fine-tuned"]
    assert passages.lines[0].y == pytest.approx([0.34, 0.31]) and passages.lines[0].x.tolist() == [50, 200]
    assert (passages.lines[1].colour, passages.y) == (snippets.lines[1].colour, snippets.y)
    assert "passages, probe: 0.340 at 50, 0.310 at 200" in figure.sentence


def test_a_forest_of_the_plan_says_what_it_could_have_seen():
    table = TABLE.loc[["swa"]].assign(sees=0.02, verdict="within noise (sees 0.020)")
    [chart] = charts_of(plots.plot_forest(table))
    assert points(chart)[0].label == "+0.0010, within noise (sees 0.020)"
