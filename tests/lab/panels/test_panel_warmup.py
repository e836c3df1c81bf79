"""The warm-up panel: every control over its whole range, the gallery drawn from the schedules themselves, bad values
refused."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import ftlab as ft
from ftlab.errors import RecipeError
from ftlab.lab.layout import place
from ftlab.lab.panels import WarmupPanel
from ftlab.lab.panels.warmup import ARGUMENTS
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import SCHEDULES, preview
from tests.lab.panels.test_panels import EVERYTHING, places
from tests.lab.pictures import problems
from tests.lab.pictures import texts_of as labels

STARTS = {
    "default": Recipe(),
    "steps": Recipe(warmup=10, schedule="inverse_sqrt", schedule_args={"timescale": 30}),
    "cosine": Recipe(warmup=0.1, schedule="cosine", schedule_args={"num_cycles": 1.5}),
    "restarts": Recipe(warmup=0.1, schedule="cosine_with_restarts", schedule_args={"num_cycles": 3}),
    "polynomial": Recipe(schedule="polynomial", schedule_args={"power": 2, "end_factor": 0.1}),
    "decay": Recipe(
        warmup=4, schedule="warmup_stable_decay", schedule_args={"decay_steps": 20, "decay_type": "linear"}
    ),
    "share": Recipe(warmup=0.3, schedule="warmup_stable_decay", schedule_args={"decay_steps": 0.2}),
    "everything": EVERYTHING,
    "article": PAPER["all"],
}


def some(moves, count):
    """About `count` of a control's places, evenly spread, and both ends."""
    return moves[:: max(1, len(moves) // count)] + moves[-3:]


def charts(panel):
    """The gallery's charts by title, the pointer of the chosen one left out."""
    return {chart.title.removeprefix("▶ "): chart for chart in panel.picture(panel.recipe).charts}


# In the gallery a control of one schedule moves that schedule's picture, whichever is chosen. The share given by a
# slider is overridden where the control beside it counts steps, and averaging has begun before the last decay.
OVERRIDDEN = {("decay", "warmup"), ("decay", "decay"), ("everything", "warmup"), ("everything", "decay_type")}


@pytest.mark.parametrize("start", ["default", "decay", "everything"])
@pytest.mark.parametrize("name", list(WarmupPanel().controls))
def test_every_control_moves_over_its_whole_range(name, start):
    base = STARTS[start]
    panel = WarmupPanel(base)
    seen = set()
    for widget, value in some(places(panel.controls[name]), 30):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        ElementTree.fromstring(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": base}) == panel.recipe
        preview(panel.recipe, 27)  # what the panel describes can be planned
    assert (len(seen) > 1) == ((start, name) not in OVERRIDDEN)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_chosen_schedule_alone_follows_exactly_the_controls_that_are_shown(schedule):
    for name in WarmupPanel().controls:
        if name in ("schedule", "gallery"):
            continue
        panel = WarmupPanel(Recipe(warmup=0.1), gallery=False)
        panel.schedule.value = schedule
        control, seen = panel.controls[name], set()
        for widget, value in some(places(control), 5):
            widget.value = value
            assert not panel.message
            seen.add(panel.svg)
        assert (len(seen) > 1) == (control.widget.layout.display != "none"), name


def test_the_gallery_shows_every_schedule_as_it_is():
    panel = WarmupPanel(STARTS["polynomial"].but(warmup=0.1), steps_per_epoch=20)
    assert list(charts(panel)) == list(SCHEDULES)
    for name, chart in charts(panel).items():
        arguments = {"power": 2, "end_factor": 0.1} if name == "polynomial" else {}
        arguments |= {"end_factor": 0.1} if name == "warmup_stable_decay" else {}
        expected = panel.recipe.lr * SCHEDULES[name](np.arange(80), 80, 8, **arguments)
        np.testing.assert_allclose(chart.lines[0].y, expected, rtol=1e-12)
    titles = [chart.title for chart in panel.picture(panel.recipe).charts]
    assert [title for title in titles if "▶" in title] == ["▶ polynomial"]
    assert set(titles) <= set(labels(panel.svg))
    spoken = ElementTree.fromstring(panel.svg).get("aria-label")
    assert "polynomial (chosen): Learning rate over 80 steps" in spoken and spoken.count("(chosen)") == 1


def test_an_argument_moves_the_schedules_that_take_it_and_no_other():
    panel = WarmupPanel(Recipe(warmup=0.1))
    for control, value, moved in [
        ("num_cycles", 2.0, {"cosine"}),
        ("restarts", 3, {"cosine_with_restarts"}),
        ("power", 3.0, {"polynomial"}),
        ("end_factor", 0.3, {"polynomial", "warmup_stable_decay"}),
        ("timescale", 50, {"inverse_sqrt"}),
        ("decay", 0.5, {"warmup_stable_decay"}),
        ("decay_steps", 30, {"warmup_stable_decay"}),
        ("decay_type", "1-sqrt", {"warmup_stable_decay"}),
        ("warmup_steps", 20, set(SCHEDULES)),
        ("lr", 1e-3, set(SCHEDULES)),
        ("epochs", 2, set(SCHEDULES)),
    ]:
        before = {name: chart.lines[0].y for name, chart in charts(panel).items()}
        panel.controls[control].value = value
        after = {name: chart.lines[0].y for name, chart in charts(panel).items()}
        assert {name for name in SCHEDULES if not np.array_equal(before[name], after[name])} == moved, control


def test_each_schedule_takes_its_own_arguments_into_the_recipe():
    panel = WarmupPanel(Recipe(epochs=4))
    panel.set(num_cycles=1.0, restarts=2, power=2.0, end_factor=0.1, timescale=40, decay_steps=30, decay_type="linear")
    assert panel.code == "recipe = base"
    wanted = {
        "linear": {},
        "cosine": {"num_cycles": 1.0},
        "cosine_with_restarts": {"num_cycles": 2},
        "constant": {},
        "polynomial": {"power": 2.0, "end_factor": 0.1},
        "inverse_sqrt": {"timescale": 40},
        "warmup_stable_decay": {"decay_steps": 30, "decay_type": "linear", "end_factor": 0.1},
    }
    for name, arguments in wanted.items():
        panel.schedule.value = name
        assert panel.recipe == Recipe(schedule=name, schedule_args=arguments)
    panel.decay_steps.value = None
    panel.decay.value = 0.5
    assert panel.recipe.schedule_args["decay_steps"] == 0.5


def test_every_argument_of_every_schedule_has_a_control():
    panel = WarmupPanel()
    for name in SCHEDULES:
        assert set(panel.controls_of(name)) == set(ARGUMENTS[name])
        assert all(c in panel.controls.values() for cs in panel.controls_of(name).values() for c in cs)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("gallery", [True, False])
def test_a_panel_starts_from_its_recipe_and_goes_back_to_it(start, gallery):
    base = STARTS[start]
    panel = WarmupPanel(base, gallery=gallery)
    assert panel.recipe == base and panel.code == "recipe = base"
    panel.set(warmup_steps=7, epochs=15, schedule="constant", gallery=not gallery)
    assert panel.recipe.warmup == 7 and panel.recipe.schedule_args == {}
    panel.reset()
    assert panel.recipe == base and not panel.message


def test_fewer_epochs_bring_warm_up_and_decay_back_into_the_run():
    panel = WarmupPanel(Recipe(schedule="warmup_stable_decay"))
    panel.set(warmup_steps=100, decay_steps=90)
    panel.epochs.slider.value = 2
    assert panel.recipe.warmup == 54 and panel.recipe.schedule_args == {"decay_steps": 54} and not panel.message


def test_epochs_stay_beyond_the_start_of_averaging():
    panel = WarmupPanel(Recipe(swa_start=3))
    panel.epochs.box.value = 1
    assert panel.epochs.value == 4 and "whole numbers 4 to 20" in panel.message


def test_the_single_picture_marks_the_corners_of_the_rate():
    panel = WarmupPanel(Recipe(lr=1e-3, warmup=0.25), gallery=False)
    assert {"without warm-up", "warm-up ends"} <= set(labels(panel.svg))
    [dots] = [line for line in panel.picture(panel.recipe).charts[0].lines if line.marker == "dot"]
    assert dots.x.tolist() == [0, 27, 107] and dots.y == pytest.approx([0, 1e-3, 1e-3 / 81])
    panel.warmup.value = 0.0
    assert "without warm-up" not in labels(panel.svg)


@pytest.mark.parametrize("start", ["default", "decay", "article"])
@pytest.mark.parametrize("gallery", [True, False])
def test_the_figure_is_the_same_picture(start, gallery):
    panel = WarmupPanel(STARTS[start], gallery=gallery)
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    drawn = figure.sheet.charts
    assert len(drawn) == (len(SCHEDULES) if gallery else 1)
    assert problems(place(figure.sheet, 840)) == problems(place(figure.sheet, 580)) == []
    schedule = preview(panel.recipe, 27, steps=300)
    at = list(SCHEDULES).index(panel.recipe.schedule) if gallery else 0
    top = schedule.lr[:, -2]
    assert any(len(line.y) == len(top) and np.allclose(line.y, top) for line in drawn[at].lines)
    assert "Learning rate over" in ft.plots.describe(figure)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"warmup": 0.95}, ["warmup", "0.95", "0 to 0.9"]),
        ({"warmup": -0.1}, ["warmup", "-0.1", "0 to 0.9"]),
        ({"warmup_steps": 109}, ["warmup_steps", "109", "whole numbers 0 to 108, or None"]),
        ({"warmup_steps": 2.5}, ["warmup_steps", "2.5", "whole numbers"]),
        ({"epochs": 0}, ["epochs", "0", "1 to 20"]),
        ({"lr": 1.0}, ["lr", "1.0", "1e-07 to 0.01"]),
        ({"num_cycles": 9.0}, ["num_cycles", "9.0", "0.1 to 4"]),
        ({"restarts": 0}, ["restarts", "0", "whole numbers 1 to 6"]),
        ({"power": 0.0}, ["power", "0.0", "0.25 to 4"]),
        ({"end_factor": 1.5}, ["end_factor", "1.5", "0 to 1"]),
        ({"timescale": 0}, ["timescale", "0", "whole numbers 1 to 200, or None"]),
        ({"decay": 1.0}, ["decay", "1.0", "0 to 0.99"]),
        ({"decay_steps": 200}, ["decay_steps", "200", "whole numbers 0 to 108, or None"]),
        ({"decay_type": "cubic"}, ["decay_type", "'cubic'", "'cosine', 'linear', '1-sqrt'"]),
        ({"schedule": "all"}, ["schedule", "'all'", "'linear'", "'warmup_stable_decay'"]),
        ({"gallery": "yes"}, ["gallery", "'yes'", "True or False"]),
        ({"warm_up": 3}, ["warm_up", "did you mean 'warmup'"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = WarmupPanel()
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(part in str(error.value) for part in parts)
    assert panel.recipe == Recipe() and panel.svg == before and not panel.message


def test_unusual_values_of_a_recipe_widen_the_range():
    base = Recipe(schedule="cosine", schedule_args={"num_cycles": 7}, warmup=0.97)
    panel = WarmupPanel(base)
    assert panel.recipe == base and panel.num_cycles.high == 7 and panel.warmup.high == 0.97


def test_a_frozen_model_has_a_picture_too():
    panel = WarmupPanel(Recipe(lr=0.0, warmup=0.1))
    assert len(charts(panel)) == len(SCHEDULES) and not panel.message
    panel.gallery.value = False
    assert not panel.message and "all layers" in labels(panel.svg)
