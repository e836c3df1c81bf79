"""Pictures of warm-up: the gallery, the corners, Adam's first updates, the first steps of runs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.lab.layout import place
from ftlab.recipe import Recipe
from ftlab.schedules import preview
from tests.fake_run import make_run
from tests.lab.pictures import charts_of, line_of, problems

WARM = preview(Recipe(lr=1e-3, warmup=0.25, epochs=2))
PLAIN = preview(Recipe(lr=1e-3, epochs=2))
SCHEDULES = {"linear": WARM, "cosine": preview(Recipe(lr=1e-3, schedule="cosine", epochs=2))}


def corners(schedule):
    [line] = [line for line in charts_of(plots.plot_warmup(schedule, PLAIN))[0].lines if line.marker]
    return line


def test_corners_are_start_end_of_warm_up_and_last_step():
    assert corners(WARM).x.tolist() == [0, 14, 53]
    assert corners(WARM).y == pytest.approx([0, 1e-3, 1e-3 / 40])
    assert corners(PLAIN).x.tolist() == [0, 53]
    assert corners(preview(Recipe(warmup=54, epochs=2))).x.tolist() == [0, 53], "a rate that never falls"
    assert problems(place(plots.plot_warmup(WARM, PLAIN).sheet)) == []


def test_the_gallery_has_one_pane_a_schedule_and_says_which_is_chosen():
    figure = plots.plot_gallery(SCHEDULES, "cosine")
    linear, cosine = charts_of(figure)
    assert [linear.title, cosine.title] == ["linear", "▶ cosine"]
    assert np.array_equal(linear.lines[0].y, WARM.lr[:, -2])
    assert cosine.lines[0].width > linear.lines[0].width
    assert "linear: Learning rate" in figure.sentence and "cosine (chosen): " in figure.sentence


def test_curves_by_step_start_where_they_are_told():
    figure = plots.plot_by_step({"a": np.array([1.0, 0.5]), "b": np.array([0.0, 2.0])}, title="size", y_label="of lr")
    [chart] = charts_of(figure)
    assert line_of(chart, "b").x.tolist() == [1, 2]
    assert figure.sentence == "a: 1 at first, 0.5 at last; b: 0 at first, 2 at last."
    assert chart.x.label == "optimizer step" and chart.title == "Size" and chart.note == "of lr"


def test_first_steps_show_each_seed_and_their_median_one_chart_a_recipe():
    short, worse = make_run(steps=30), make_run()
    worse.history = SimpleNamespace(loss=worse.history.loss + 1)
    figure = plots.plot_first_steps({"no warm-up": [make_run(), short, worse], "warm-up": [make_run()]}, 50)
    first, second = charts_of(figure)
    assert [first.title, second.title] == ["no warm-up", "warm-up"] and first.y.log
    assert [len(first.lines), len(second.lines)] == [3 + 1, 1 + 1]
    middle = first.lines[-1]
    assert middle.width > first.lines[0].width and len(middle.x) == 50
    usual = make_run().history.loss[:50]
    assert middle.y == pytest.approx(np.append(usual[:30], usual[30:] + 0.5)), "the median of three, then of two"
    assert [mark.label for mark in first.marks] == ["warm-up ends"]
    assert "no warm-up, 3 runs: mean loss" in figure.sentence and "warm-up, 1 runs" in figure.sentence
    assert problems(place(figure.sheet)) == []
    assert figure.png().startswith(b"\x89PNG")


def test_a_gallery_in_fewer_columns_labels_the_lowest_pictures():
    figure = plots.plot_gallery({str(i): PLAIN for i in range(6)}, columns=3)
    panes = place(figure.sheet).panes
    assert ["step" in [text.text for text in pane.texts] for pane in panes] == [False] * 3 + [True] * 3
    assert len({round(pane.left) for pane in panes}) == 3


def test_first_steps_of_runs_that_stopped_early_or_diverged():
    few = make_run(steps=3)
    few.history.append(loss=float("nan"), grad_norm=float("inf"), lr=few.schedule.lr[3].tolist(), seconds=1.0)
    figure = plots.plot_first_steps({"few": [few]}, 50)
    assert [len(line.x) for line in charts_of(figure)[0].lines] == [3, 3]
    assert figure.png().startswith(b"\x89PNG")
