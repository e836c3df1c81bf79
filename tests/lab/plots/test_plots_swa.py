"""The pictures of weight averaging: what is drawn is what was measured, and the sentence says it."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview
from tests.fake_run import make_run

SCHEDULE = preview(Recipe(swa_start=3, swa_lr=5e-5, layer_decay=0.8), 27)


def drawn(axes):
    """The lines that have a label: {label: (x, y)}."""
    return {line.get_label(): line.get_data() for line in axes.lines if not line.get_label().startswith("_")}


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
    picture = plots.plot_averaging_plan(SCHEDULE, 10)
    rates, share = picture.axes
    assert set(drawn(rates)) == {"embeddings", *(f"layer.{i}" for i in range(6)), "head"}
    assert [bar.get_width() for bar in share.patches] == [81, 10, 17]
    assert "25% of 108 are averaged" in picture.sentence and rates.get_ylabel() == "rate"
    assert picture.png().startswith(b"\x89PNG")


def test_live_and_averaged_scores_and_their_distance_are_those_of_the_history():
    history = make_run(Recipe(swa_start=3), every=9).history
    for i, evaluation in enumerate(history.evals):
        if "swa_score" in evaluation:
            evaluation["swa_distance"] = 0.5 + i
    picture = plots.plot_averaging(history)
    scores, distance = picture.axes
    at, values = drawn(distance)["live to averaged"]
    assert at.tolist() == [90, 99, 108] and values.tolist() == [9.5, 10.5, 11.5]
    assert drawn(scores)["model"][1].tolist() == [e["score"] for e in history.evals]
    assert "12 evaluations, 3 of them with an average" in picture.sentence and "11.500 apart" in picture.sentence
    assert scores.get_ylabel() == "RMSE" and distance.get_ylabel() and picture.png()


def test_a_history_without_an_average_or_without_evaluations_can_be_drawn():
    for steps in (0, 5, 30):
        picture = plots.plot_averaging(make_run(Recipe(swa_start=3), steps=steps).history)
        assert "0 of them with an average" in picture.sentence and picture.png()


def test_the_valley_shows_paths_and_points():
    path = np.array([[2.0, 1.0], [1.0, -1.0], [0.5, 0.5]])
    picture = plots.plot_valley(
        lambda a, b: a**2 + 10 * b**2, {"SGD": path}, {"mean": path.mean(axis=0), "start": (2, 1)}
    )
    [axes] = picture.axes
    lines = drawn(axes)
    np.testing.assert_array_equal(np.column_stack(lines["SGD"]), path)
    assert [float(v[0]) for v in lines["mean"]] == pytest.approx(path.mean(axis=0).tolist())
    assert "SGD: 3 steps from (2, 1) to (0.5, 0.5)" in picture.sentence
    assert "start at (2, 1) with loss 14" in picture.sentence and picture.png()


def test_toy_losses_and_distances():
    steps = np.arange(5)
    picture = plots.plot_toy_averages(
        steps, {"live": 1.0 / (1 + steps), "mean": 0.5 / (1 + steps)}, {"mean": np.sqrt(steps)}
    )
    loss, distance = picture.axes
    assert loss.get_yscale() == "log" and set(drawn(loss)) == {"live", "mean"}
    assert drawn(distance)["mean"][1].tolist() == np.sqrt(steps).tolist()
    assert "live: loss 0.2 at the end" in picture.sentence and "mean: distance 2 at the end" in picture.sentence


def test_schedules_stand_beside_each_other_on_one_scale():
    flat = PAPER["llrd+warmup+swa"]
    pair = {"flat": preview(flat, 142), "kept": preview(flat.but(swa_lr=None), 142)}
    picture = plots.plot_schedules_beside(pair)
    left, right = picture.axes
    assert left.get_ylim() == right.get_ylim() and left.get_title(loc="left") == "flat"
    assert not drawn(left) and len(drawn(right)) == 14, "one legend for both"
    assert picture.sentence.startswith("flat: ") and " kept: " in picture.sentence
