"""The picture of notebook 09: the rate as scheduled, the rate in effect, and the factor between the two."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.bert_schedules import missing_correction
from ftlab.lab import plots
from ftlab.recipe import Recipe
from ftlab.schedules import preview

SCHEDULE = preview(Recipe(lr=1e-3, epochs=2, schedule="warmup_linear", warmup=0.25, layer_decay=0.5))
FACTOR = missing_correction(SCHEDULE.steps)


def lines_of(axes):
    return {line.get_label(): line for line in axes.lines}


def test_both_rates_and_the_factor_are_drawn_as_they_are():
    figure = plots.plot_effective(SCHEDULE, FACTOR)
    left, right = (lines_of(axes) for axes in figure.axes)
    top = SCHEDULE.lr[:, -2]
    assert np.array_equal(left["scheduled"].get_ydata(), top)
    assert np.array_equal(left["in effect"].get_ydata(), top * FACTOR)
    assert np.array_equal(right["this optimizer"].get_ydata(), FACTOR)
    assert right["with correction"].get_ydata().tolist() == [1, 1]
    for pane, names in ((left, ("scheduled", "in effect")), (right, ("with correction", "this optimizer"))):
        assert len({pane[name].get_linestyle() for name in names}) == 2, "lines differ by more than colour"
    assert "warm-up ends" in [text.get_text() for text in figure.axes[0].texts]
    assert figure.axes[0].get_ylim()[1] > (top * FACTOR).max() and figure.axes[1].get_ylim()[1] > FACTOR.max()
    assert figure.png().startswith(b"\x89PNG")


def test_how_much_farther_is_the_ratio_of_the_sums():
    assert plots.how_much_farther(SCHEDULE, np.full(54, 3.0)) == pytest.approx(3.0)
    constant = preview(Recipe(schedule="constant", epochs=2))
    assert plots.how_much_farther(constant, FACTOR) == pytest.approx(FACTOR.mean())
    late = np.where(SCHEDULE.steps == 53, 100.0, 1.0)  # where hardly any rate is left, a factor hardly counts
    share = SCHEDULE.lr[53, 0] / SCHEDULE.lr[:, 0].sum()
    assert plots.how_much_farther(SCHEDULE, late) == pytest.approx(1 + 99 * share)


def test_the_sentence_names_first_largest_and_last_factor():
    sentence = plots.describe_effective(SCHEDULE, FACTOR)
    most = int(FACTOR.argmax())
    for part in ("3.16 times that at step 0", f"{FACTOR.max():.2f} times at step {most}",
                 f"{FACTOR[-1]:.2f} times at step 53", "Learning rate over 54 steps"):  # fmt: skip
        assert part in sentence


def test_a_frozen_model_has_a_picture_too():
    frozen = preview(Recipe(lr=0.0, schedule="warmup_cosine"))
    figure = plots.plot_effective(frozen, missing_correction(frozen.steps))
    assert figure.sentence == "Every rate is 0." and figure.png().startswith(b"\x89PNG")
