"""The pictures of weight averaging: what is drawn is what was measured, and the sentence says it."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.layout import place
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview
from tests.fake_run import make_run
from tests.lab.pictures import charts_of, line_of, problems

SCHEDULE = preview(Recipe(swa_start=3, swa_lr=5e-5, layer_decay=0.8), 27)


@pytest.mark.parametrize(
    ("recipe", "anneal", "phases"),
    [
        (Recipe(), 0, {"not averaged": 108}),
        (Recipe(swa_start=3), 0, {"not averaged": 81, "averaged": 27}),
        (Recipe(swa_start=0), 0, {"not averaged": 0, "averaged": 108}),
        (Recipe(swa_start=3), 10, {"not averaged": 81, "averaged, annealing": 10, "averaged": 17}),
        (Recipe(swa_start=3), 99, {"not averaged": 81, "averaged, annealing": 27, "averaged": 0}),
    ],
)
def test_every_step_belongs_to_one_phase(recipe, anneal, phases):
    schedule = preview(recipe, 27)
    assert plots.averaging_phases(schedule, anneal) == phases and sum(phases.values()) == 108
    averaged = sum(steps for name, steps in phases.items() if name.startswith("averaged"))
    assert plots.averaged_share(schedule) == pytest.approx(averaged / 108)


def test_the_bands_lie_under_the_averaged_part_of_each_line():
    lines = plots.averaging_lines(SCHEDULE)
    bands, rates = lines[: len(lines) // 2], lines[len(lines) // 2 :]
    for band, rate in zip(bands, rates, strict=True):
        assert band.label == "" and rate.label and band.width > rate.width
        np.testing.assert_array_equal(band.x, np.arange(81, 108))
        np.testing.assert_array_equal(band.y, rate.y[81:])
    assert len(plots.averaging_lines(preview(Recipe(), 27))) == 1


def test_the_plan_shows_rates_and_shares():
    sheet = plots.averaging_sheet(SCHEDULE, 10)
    rates, share = sheet.charts
    assert {line.label for line in rates.lines} == {"", "embeddings", *(f"layer.{i}" for i in range(6)), "head"}
    assert [(bar.start, bar.value) for bar in share.bars] == [(0, 81), (81, 91), (91, 108)]
    assert [bar.note for bar in share.bars] == ["81 (75%)", "10 (9%)", "17 (16%)"]
    assert (rates.x.low, rates.x.high) == (share.x.low, share.x.high) and sheet.share == "x"
    assert "25% of 108 are averaged" in sheet.sentence
    assert problems(place(sheet)) == problems(place(sheet, 580)) == []


def test_live_and_averaged_scores_and_their_distance_are_those_of_the_history():
    history = make_run(Recipe(swa_start=3), every=9).history
    for i, evaluation in enumerate(history.evals):
        if "swa_score" in evaluation:
            evaluation["swa_distance"] = 0.5 + i
    picture = plots.plot_averaging(history)
    scores, distance = charts_of(picture)
    line = line_of(distance, "live to averaged")
    assert line.x.tolist() == [90, 99, 108] and line.y.tolist() == [9.5, 10.5, 11.5]
    assert line_of(scores, "model").y.tolist() == [e["score"] for e in history.evals]
    assert "12 evaluations, 3 of them with an average" in picture.sentence and "11.500 apart" in picture.sentence
    assert scores.title == "Validation RMSE" and picture.png() and problems(place(picture.sheet)) == []


def test_a_history_without_an_average_or_without_evaluations_can_be_drawn():
    for steps in (0, 5, 30):
        picture = plots.plot_averaging(make_run(Recipe(swa_start=3), steps=steps).history)
        assert "0 of them with an average" in picture.sentence and picture.png()


def test_the_valley_shows_paths_and_points():
    path = np.array([[2.0, 1.0], [1.0, -1.0], [0.5, 0.5]])
    picture = plots.plot_valley(
        lambda a, b: a**2 + 10 * b**2, {"SGD": path}, {"mean": path.mean(axis=0), "start": (2, 1)}
    )
    line = line_of(charts_of(picture)[0], "SGD")
    np.testing.assert_array_equal(np.column_stack([line.x, line.y]), path)
    [axes] = picture.axes
    [mean] = [line.get_xydata()[0] for line in axes.lines if line.get_label() == "mean"]
    assert mean == pytest.approx(path.mean(axis=0)) and len(axes.collections[0].levels) > 5, "points and contours"
    assert "SGD: 3 steps from (2, 1) to (0.5, 0.5)" in picture.sentence
    assert "start at (2, 1) with loss 14" in picture.sentence and picture.png()


def test_toy_losses_and_distances():
    steps = np.arange(5)
    picture = plots.plot_toy_averages(
        steps, {"live": 1.0 / (1 + steps), "mean": 0.5 / (1 + steps)}, {"mean": np.sqrt(steps)}
    )
    loss, distance = charts_of(picture)
    assert loss.y.log and {line.label for line in loss.lines} == {"live", "mean"}
    assert line_of(distance, "mean").y.tolist() == np.sqrt(steps).tolist()
    assert "live: loss 0.2 at the end" in picture.sentence and "mean: distance 2 at the end" in picture.sentence


def test_schedules_stand_beside_each_other_on_one_scale():
    flat = PAPER["llrd+warmup+swa"]
    pair = {"flat": preview(flat, 142), "kept": preview(flat.but(swa_lr=None), 142)}
    picture = plots.plot_schedules_beside(pair)
    left, right = picture.axes
    assert left.get_ylim() == right.get_ylim() and left.get_title(loc="left") == "flat"
    first, second = charts_of(picture)
    assert not any(line.label for line in first.lines) and len(second.lines) == 14, "the layers are named once"
    assert problems(place(picture.sheet)) == []
    assert picture.sentence.startswith("flat: ") and " kept: " in picture.sentence
