"""The picture of notebook 09: the rate as scheduled, the rate in effect, and the factor between the two."""

from __future__ import annotations

import numpy as np
import pytest

from ftlab.bert_schedules import missing_correction
from ftlab.lab import plots
from ftlab.lab.figure import draw
from ftlab.recipe import Recipe
from ftlab.schedules import preview
from tests.lab.pictures import line_of

SCHEDULE = preview(Recipe(lr=1e-3, epochs=2, schedule="warmup_linear", warmup=0.25, layer_decay=0.5))
FACTOR = missing_correction(SCHEDULE.steps)


def test_both_rates_and_the_factor_are_drawn_as_they_are():
    sheet = plots.effective_sheet(SCHEDULE, FACTOR, "bertadam")
    rates, factors = sheet.charts
    top = SCHEDULE.lr[:, -2]
    assert np.array_equal(line_of(rates, "scheduled").y, top)
    assert np.array_equal(line_of(rates, "in effect").y, top * FACTOR)
    assert np.array_equal(line_of(factors, "bertadam").y, FACTOR)
    assert line_of(factors, "with correction").y.tolist() == [1, 1]
    for chart in sheet.charts:
        assert len({line.dash for line in chart.lines}) == 2, "lines differ by more than colour"
    assert "warm-up ends" in [mark.label for mark in rates.marks]
    assert rates.y.high > (top * FACTOR).max() and factors.y.high > FACTOR.max()
    assert sheet.sentence == plots.describe_effective(SCHEDULE, FACTOR) and draw(sheet).png().startswith(b"\x89PNG")


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
    sheet = plots.effective_sheet(frozen, missing_correction(frozen.steps))
    assert sheet.sentence == "Every rate is 0." and draw(sheet).png().startswith(b"\x89PNG")
