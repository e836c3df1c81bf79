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
    known = np.isfinite(line.y)
    assert line.x[known].tolist() == [90, 99, 108] and line.y[known].tolist() == [9.5, 10.5, 11.5]
    late = [e for e in history.evals if e["step"] >= 54]  # from an epoch before averaging starts, at 81
    assert line_of(scores, "live").y.tolist() == [e["score"] for e in late] and scores.x.low == 54
    averaged = line_of(scores, "averaged").y
    assert averaged[np.isfinite(averaged)].tolist() == [e["swa_score"] for e in history.evals if "swa_score" in e]
    assert "12 evaluations, 3 of them with an average" in picture.sentence and "11.500 apart" in picture.sentence
    assert scores.title == "Validation RMSE" and picture.png() and problems(place(picture.sheet)) == []


@pytest.mark.parametrize("kind", ["straight on", "noise, with momentum", "at random", "in a circle"])
def test_the_four_walks_are_those_of_walks_made_step_by_step(kind):
    """The lines beside a measured distance, against walks whose means are taken directly."""
    rng, k, s, walks = np.random.default_rng(0), 30, 0.3, 4000
    if kind == "straight on":
        steps = np.tile([s, 0.0], (1, k - 1, 1))
    elif kind == "noise, with momentum":
        noise, steps = rng.normal(size=(200 + k, walks, 2)), []
        average = np.zeros((walks, 2))
        for gradient in noise:
            average = 0.9 * average + 0.1 * gradient
            steps.append(average)
        steps = np.stack(steps[-(k - 1) :], axis=1)  # once the average has settled
        steps *= s / np.sqrt(np.square(steps).sum(axis=2).mean())
    else:
        angles = rng.uniform(0, 2 * np.pi, (walks, k - 1))
        steps = s * np.stack([np.cos(angles), np.sin(angles)], axis=2)
    path = np.concatenate([np.zeros((len(steps), 1, 2)), steps.cumsum(axis=1)], axis=1)
    if kind == "in a circle":
        turn = np.arange(k) * 2 * np.pi / 6
        path = s * np.stack([np.cos(turn), np.sin(turn)], axis=1)[None]  # the hexagon's side is its radius
    means = path.cumsum(axis=1) / np.arange(1, k + 1)[:, None]
    apart = np.sqrt(np.square(path - means).sum(axis=2).mean(axis=0))
    picture = plots.plot_drift(apart, s)
    [chart] = charts_of(picture)
    assert line_of(chart, "measured").y == pytest.approx(apart)
    if kind == "in a circle":
        assert line_of(chart, kind).y == pytest.approx(np.full(k, s), rel=0.15), "the radius"
    else:
        assert line_of(chart, kind).y == pytest.approx(apart, rel=0.05)
    assert picture.png() and f"{kind} " in picture.sentence


def test_losses_along_a_line_name_both_ends_and_the_lowest_place():
    at = np.linspace(-1, 2, 7)
    picture = plots.plot_line(
        at, {"Training loss": at**2, "Validation loss": (at - 1) ** 2}, {0: "live", 1: "averaged"}
    )
    train, validation = charts_of(picture)
    assert [mark.label for mark in train.marks] == ["live", "averaged"]
    assert (line_of(train, "lowest").x, line_of(validation, "lowest").x) == (0, 1)
    assert "Training loss: live 0, averaged 1, lowest 0 at 0; Validation loss: live 1, averaged 0" in picture.sentence
    assert picture.png() and problems(place(picture.sheet)) == []


def test_a_history_without_an_average_or_without_evaluations_can_be_drawn():
    for steps in (0, 5, 30):
        picture = plots.plot_averaging(make_run(Recipe(swa_start=3), steps=steps).history)
        assert "0 of them with an average" in picture.sentence and picture.png()


def test_the_valley_shows_paths_and_points():
    path = np.array([[2.0, 1.0], [1.0, -1.0], [0.5, 0.5]])
    picture = plots.plot_valley(
        lambda a, b: a**2 + 10 * b**2, {"SGD": path}, {"mean": path.mean(axis=0), "start": (2, 1)}
    )
    [chart] = charts_of(picture)
    line = line_of(chart, "SGD")
    np.testing.assert_array_equal(np.column_stack([line.x, line.y]), path)
    [axes] = picture.axes
    mean = line_of(chart, "mean")
    assert (mean.x[0], mean.y[0]) == pytest.approx(path.mean(axis=0)) and mean.note == "loss 1.6"
    assert len(axes.collections[0].levels) > 5, "levels of the loss"
    assert "SGD: 3 steps from (2, 1) to (0.5, 0.5)" in picture.sentence
    assert "start at (2, 1) with loss 14" in picture.sentence and picture.png()


def test_toy_losses_and_distances():
    steps = np.arange(5)
    picture = plots.plot_toy_averages(
        steps, {"live": 1.0 / (1 + steps), "mean": 0.5 / (1 + steps)}, {"mean": np.sqrt(steps)}, note="of one walk"
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
