"""The BertAdam panel: every control over its whole range, picture, recipe and code in agreement, bad values refused."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import ftlab as ft
from ftlab.bert_schedules import BERT_SCHEDULES, missing_correction
from ftlab.errors import RecipeError
from ftlab.lab.layout import place
from ftlab.lab.panels import BertAdamPanel, SchedulePanel, WarmupPanel
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview, schedule_arguments
from tests.lab.panels.test_panels import places
from tests.lab.pictures import line_of, problems
from tests.lab.pictures import texts_of as labels

DEFAULT = Recipe(optimizer="bertadam", schedule="warmup_linear", warmup=0.1)
STARTS = {
    "default": DEFAULT,
    "steps": DEFAULT.but(warmup=20, schedule="warmup_cosine"),
    "linear exp": DEFAULT.but(
        schedule="warmup_linear_decay_exp", schedule_args={"decay_rate": 0.5, "decay_steps": 27.0}
    ),
    "exp exp": DEFAULT.but(schedule="warmup_exp_decay_exp", schedule_args={"degree": 3.0}),
    "poly": DEFAULT.but(schedule="warmup_exp_decay_poly"),
    "adamw": Recipe(schedule="cosine", schedule_args={"num_cycles": 1.5}, warmup=0.2),
    "sgd": Recipe(optimizer="sgd"),
    "article": PAPER["all"],
}


def spoken(panel):
    return ElementTree.fromstring(panel.svg).get("aria-label")


def some(moves, count=40):
    """About `count` of a control's places, evenly spread, and both ends."""
    return moves[:: max(1, len(moves) // count)] + moves[-3:]


def is_shown(control):
    return control.widget.layout.display != "none"


# What the picture does not depend on: the share of a warm-up given in steps, the rate where groups of layers have
# theirs, the averages of a corrected optimizer.
OVERRIDDEN = {("steps", "warmup"), ("article", "warmup"), ("article", "lr")}
OVERRIDDEN |= {(start, name) for start in ("adamw", "sgd", "article") for name in ("b1", "b2")}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", list(BertAdamPanel().controls))
def test_every_control_moves_over_its_whole_range(name, start):
    base = STARTS[start]
    panel = BertAdamPanel(base)
    control, seen = panel.controls[name], set()
    for widget, value in some(places(control)):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": base}) == panel.recipe
        preview(panel.recipe, 27)  # what the panel describes can be planned
    assert (len(seen) > 1) == (is_shown(control) and (start, name) not in OVERRIDDEN)


@pytest.mark.parametrize("start", STARTS)
def test_a_panel_starts_from_its_recipe_and_goes_back_to_it(start):
    base = STARTS[start]
    panel = BertAdamPanel(base)
    assert panel.recipe == base and panel.code == "recipe = base"
    panel.set(schedule="warmup_exp_decay_poly", degree=4.0, warmup_steps=7, epochs=15, b2=0.9)
    assert panel.recipe.schedule_args["degree"] == 4.0 and panel.recipe.warmup == 7
    panel.reset()
    assert panel.recipe == base and not panel.message


def test_without_a_recipe_it_shows_berts_own():
    assert BertAdamPanel().recipe == DEFAULT


@pytest.mark.parametrize("schedule", BERT_SCHEDULES)
def test_each_schedule_shows_the_controls_it_takes_and_no_other(schedule):
    panel = BertAdamPanel()
    panel.set(decay_rate=0.5, decay_steps=30.0, degree=3.0, warm_degree=1.0, schedule=schedule)
    own = {name for name in ("decay_rate", "decay_steps", "degree", "warm_degree") if is_shown(panel.controls[name])}
    assert own == set(panel.recipe.schedule_args) == set(schedule_arguments(schedule))


def test_the_lines_are_the_rate_and_its_effect():
    panel = BertAdamPanel(DEFAULT.but(schedule="warmup_cosine"), steps_per_epoch=20)
    schedule = preview(panel.recipe, 20)
    rate, factor = schedule.lr[:, -2], missing_correction(schedule.steps)

    rates, factors = panel.picture(panel.recipe).charts
    assert np.array_equal(line_of(rates, "scheduled").y, rate)
    assert np.array_equal(line_of(rates, "in effect").y, rate * factor)
    assert np.array_equal(line_of(factors, "bertadam").y, factor)
    assert {"scheduled", "in effect", "warm-up ends"} <= set(labels(panel.svg))
    assert spoken(panel) == ft.plots.describe_effective(schedule, factor)


def test_with_correction_nothing_is_added():
    panel = BertAdamPanel()
    assert "times as much" in panel.picture(panel.recipe).charts[0].note
    assert not panel.b1.list.disabled
    panel.optimizer.value = "adamw"
    rates, factors = panel.picture(panel.recipe).charts
    assert rates.note == "scheduled and in effect" and line_of(factors, "adamw").y.tolist() == [1] * 108
    assert panel.b1.list.disabled and panel.b2.list.disabled
    assert "at most 1.00 times" in spoken(panel)
    assert panel.recipe == DEFAULT.but(optimizer="adamw")


def test_fewer_epochs_bring_the_warm_up_back_into_the_run():
    panel = BertAdamPanel()
    panel.warmup_steps.value = 100
    panel.epochs.slider.value = 2
    assert panel.recipe.warmup == 54 and not panel.message


def test_the_figure_is_the_same_picture():
    for start in ("default", "poly", "adamw"):
        panel = BertAdamPanel(STARTS[start])
        figure = panel.figure(panel.recipe)
        assert figure.png().startswith(b"\x89PNG")
        assert figure.sentence == spoken(panel)
        assert problems(place(figure.sheet, 840)) == problems(place(figure.sheet, 580)) == []


def test_a_frozen_model_has_a_picture_too():
    panel = BertAdamPanel(DEFAULT.but(lr=0.0))
    assert not panel.message and spoken(panel) == "Every rate is 0."


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"optimizer": "adam"}, ["optimizer", "'adam'", "'bertadam', 'adamw'"]),
        ({"schedule": "linear"}, ["schedule", "'linear'", "'warmup_linear'", "'warmup_exp_decay_poly'"]),
        ({"warmup": 0.95}, ["warmup", "0.95", "0 to 0.9"]),
        ({"warmup_steps": 109}, ["warmup_steps", "109", "whole numbers 0 to 108, or None"]),
        ({"epochs": 0}, ["epochs", "0", "1 to 20"]),
        ({"lr": 1.0}, ["lr", "1.0", "1e-07 to 0.01"]),
        ({"decay_rate": 0.0}, ["decay_rate", "0.0", "0.01 to 1"]),
        ({"decay_steps": 0.5}, ["decay_steps", "0.5", "1 to 500, or None"]),
        ({"degree": 0}, ["degree", "0", "0.25 to 6"]),
        ({"warm_degree": "two"}, ["warm_degree", "'two'", "0.25 to 6"]),
        ({"b1": 1.0}, ["b1", "1.0", "0.0, 0.5, 0.8, 0.9"]),
        ({"b2": 0.5}, ["b2", "0.5", "0.999, 0.9999"]),
        ({"decay_step": 9}, ["decay_step", "did you mean 'decay_steps'"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = BertAdamPanel()
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(part in str(error.value) for part in parts)
    assert panel.recipe == DEFAULT and panel.svg == before and not panel.message


def test_unusual_values_of_a_recipe_widen_the_range():
    base = DEFAULT.but(schedule="warmup_exp_decay_poly", schedule_args={"degree": 9, "warm_degree": 0.1})
    panel = BertAdamPanel(base)
    assert panel.recipe == base and panel.degree.high == 9 and panel.warm_degree.low == 0.1


def test_other_panels_and_these_schedules():
    """The panel of notebook 01 shows any recipe; that of notebook 03 says which panel has BERT's own."""
    panel = SchedulePanel(STARTS["exp exp"])
    assert panel.recipe == STARTS["exp exp"] and not panel.message
    panel.schedule.value = "cosine"
    assert panel.recipe.schedule_args == {}
    with pytest.raises(RecipeError, match="schedule: 'warmup_linear' .* BertAdamPanel shows it"):
        WarmupPanel(DEFAULT)
