"""Pictures of warm-up: the gallery, the corners, Adam's first updates, the first steps of runs."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.lab import plots
from ftlab.recipe import Recipe
from ftlab.schedules import preview
from tests.fake_run import make_run

WARM = preview(Recipe(lr=1e-3, warmup=0.25, epochs=2))
PLAIN = preview(Recipe(lr=1e-3, epochs=2))
SCHEDULES = {"linear": WARM, "cosine": preview(Recipe(lr=1e-3, schedule="cosine", epochs=2))}


def line_of(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_corners_are_start_end_of_warm_up_and_last_step():
    corners = line_of(plots.plot_warmup(WARM, PLAIN).axes[0], "corners")
    assert corners.get_xdata().tolist() == [0, 14, 53]
    assert corners.get_ydata() == pytest.approx([0, 1e-3, 1e-3 / 40])
    only_two = line_of(plots.plot_warmup(PLAIN, PLAIN).axes[0], "corners")
    assert only_two.get_xdata().tolist() == [0, 53]
    never_down = preview(Recipe(warmup=54, epochs=2))
    assert line_of(plots.plot_warmup(never_down, PLAIN).axes[0], "corners").get_xdata().tolist() == [0, 53]


def test_the_gallery_has_one_pane_a_schedule_and_says_which_is_chosen():
    figure = plots.plot_gallery(SCHEDULES, "cosine")
    linear, cosine = figure.axes
    assert [a.get_title(loc="left") for a in figure.axes] == ["linear", "▶ cosine"]
    assert np.array_equal(linear.lines[0].get_ydata(), WARM.lr[:, -2])
    assert cosine.lines[0].get_linewidth() > linear.lines[0].get_linewidth()
    assert "linear: Learning rate" in figure.sentence and "cosine (chosen): " in figure.sentence


def test_curves_by_step_start_where_they_are_told():
    figure = plots.plot_by_step({"a": np.array([1.0, 0.5]), "b": np.array([0.0, 2.0])}, title="size", y_label="of lr")
    assert line_of(figure.axes[0], "b").get_xdata().tolist() == [1, 2]
    assert figure.sentence == "a: 1 at first, 0.5 at last; b: 0 at first, 2 at last."
    assert figure.axes[0].get_xlabel() == "step" and figure.axes[0].get_ylabel() == "of lr"


def test_first_steps_show_each_seed_and_their_median():
    short = make_run(steps=30)
    figure = plots.plot_first_steps({"no warm-up": [make_run(), short, make_run()], "warm-up": [make_run()]}, 50)
    loss, norm = figure.axes
    assert len(loss.lines) >= 3 + 1 + 1 + 1 and norm.get_yscale() == "log"
    middle = line_of(loss, "no warm-up")
    assert len(middle.get_xdata()) == 50
    assert middle.get_ydata() == pytest.approx(make_run().history.loss[:50])
    assert [t.get_text() for t in loss.texts] == ["warm-up ends"]
    assert "no warm-up, 3 runs: mean loss" in figure.sentence and "warm-up, 1 runs" in figure.sentence
    assert figure.png().startswith(b"\x89PNG")


def test_a_gallery_in_fewer_columns_labels_the_lowest_pictures():
    figure = plots.plot_gallery({str(i): PLAIN for i in range(6)}, columns=3)
    assert [axes.get_xlabel() for axes in figure.axes] == [""] * 3 + ["step"] * 3


def test_first_steps_of_runs_that_stopped_early_or_diverged():
    few = make_run(steps=3)
    few.history.append(loss=float("nan"), grad_norm=float("inf"), lr=few.schedule.lr[3].tolist(), seconds=1.0)
    figure = plots.plot_first_steps({"few": [few]}, 50)
    assert len(line_of(figure.axes[0], "few").get_xdata()) == 3
    assert figure.png().startswith(b"\x89PNG")
