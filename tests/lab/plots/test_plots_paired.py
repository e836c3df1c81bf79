"""The picture of paired runs: a line a pair, differences around 0, the interval of the paired t test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ftlab.lab import plots
from ftlab.lab.layout import place
from tests.lab.pictures import charts_of, line_of, problems

RNG = np.random.default_rng(0)
BASELINE = RNG.normal(0.3, 0.02, 10)
SCORES = {"baseline": BASELINE, "SWA": BASELINE + RNG.normal(0.01, 0.02, 10), "EMA": BASELINE - 0.01}


def test_every_pair_is_one_line_and_its_direction_is_counted():
    picture = plots.plot_paired({name: SCORES[name] for name in ("baseline", "SWA")}, title="a title", pair="block")
    scores, _ = charts_of(picture)
    lower, higher = line_of(scores, "SWA lower"), line_of(scores, "SWA higher")
    drawn = np.concatenate([line.y.reshape(-1, 3) for line in (lower, higher)])
    assert np.isnan(drawn[:, 2]).all(), "a gap after every pair"
    expected = np.column_stack([SCORES["baseline"], SCORES["SWA"]])
    assert sorted(map(tuple, drawn[:, :2])) == sorted(map(tuple, expected))
    count = int((SCORES["SWA"] < BASELINE).sum())
    assert (lower.note, higher.note) == (str(count), str(10 - count))
    assert f"SWA lower in {count} of 10" in picture.sentence and picture.sentence.startswith(
        "a title. test RMSE by block"
    )
    assert scores.note == "test RMSE, a line for each block" and problems(place(picture.sheet)) == []


def test_differences_stand_around_zero_with_scipys_interval():
    picture = plots.plot_paired(SCORES)
    _, strip = charts_of(picture)
    assert [mark.x for mark in strip.marks] == [0] and strip.x.low == pytest.approx(-strip.x.high)
    assert list(strip.y.names) == ["SWA", "EMA"]
    found = SCORES["SWA"] - BASELINE
    np.testing.assert_allclose(line_of(strip, "one pair").x, found)
    interval = stats.ttest_rel(SCORES["SWA"], BASELINE).confidence_interval(0.95)
    assert line_of(strip, "mean with its 95 % interval").x == pytest.approx([interval.low, interval.high])
    assert f"mean difference {found.mean():+.4f}" in picture.sentence and picture.png()


def test_equal_differences_and_a_score_that_rises_can_be_drawn():
    picture = plots.plot_paired({"a": [0.1, 0.2], "b": [0.2, 0.3]}, unit="accuracy")
    assert charts_of(picture)[1].note == "" and "b lower in 0 of 2" in picture.sentence and picture.png()


def test_an_interval_wider_than_the_differences_is_drawn_whole():
    _, strip = charts_of(plots.plot_paired({"a": [0.9, 0.7, 0.7], "b": [0.4, 0.5, 0.4]}))
    low, high = line_of(strip, "mean with its 95 % interval").x
    assert high > 0 and strip.x.low < low < high < strip.x.high
