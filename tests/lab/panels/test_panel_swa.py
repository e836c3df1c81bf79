"""The panel of weight averaging: every control over its whole range, the steps it counts, its code and its errors."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

import ftlab as ft
from ftlab.errors import RecipeError
from ftlab.lab.panels import SWAPanel
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import preview
from tests.lab.panels.test_panels import places
from tests.lab.pictures import texts_of

STATES = {
    "off": Recipe(),
    "kept": Recipe(swa_start=3, layer_decay=0.9),
    "flat": Recipe(swa_start=2, swa_lr=5e-5, layer_decay=0.8, warmup=0.1),
    "groups": PAPER["grouped_llrd+warmup+swa"],
}
# What changes nothing in the picture: rate and annealing of an averaging that is off, annealing to no flat rate.
OVERRIDDEN = {("swa_lr", "off"), ("swa_anneal_steps", "off"), ("swa_anneal_steps", "kept")}


def texts(panel):
    return texts_of(panel.svg)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", list(SWAPanel().controls))
def test_every_control_moves_over_its_whole_range(name, state):
    base = STATES[state]
    panel = SWAPanel(base)
    seen = set()
    for widget, value in places(panel.controls[name]):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": base}) == panel.recipe
        schedule = preview(panel.recipe, 27)
        averaged = 0 if schedule.swa_step is None else schedule.total_steps - schedule.swa_step
        assert f"{averaged / schedule.total_steps:.0%} of the steps are averaged" in " ".join(texts(panel))
    assert (len(seen) == 1) == ((name, state) in OVERRIDDEN)


def test_the_counts_are_those_of_the_steps():
    panel = SWAPanel(Recipe(swa_start=3, swa_lr=5e-5))
    assert {"81 (75%)", "10 (9%)", "17 (16%)", "Weights 25% of the steps are averaged"} <= set(texts(panel))
    panel.swa_anneal_steps.value = 50  # longer than the 27 steps that are left
    assert {"81 (75%)", "27 (25%)", "0 (0%)"} <= set(texts(panel))
    panel.swa_lr.value = None
    assert "averaged, annealing" not in texts(panel) and "27 (25%)" in texts(panel)
    panel.swa_start.value = None
    assert "108 (100%)" in texts(panel) and "averaging starts" not in texts(panel)


def test_a_flat_rate_leaves_one_height_and_a_kept_one_all():
    panel = SWAPanel(STATES["flat"])

    def heights_at_the_end():
        bands = [line for line in panel.picture(panel.recipe).charts[0].lines if line.width == 7]
        assert len(bands) == 8
        return {float(band.y[-1]) for band in bands}

    assert len(heights_at_the_end()) == 1
    panel.swa_lr.value = None
    assert len(heights_at_the_end()) == 7  # the head shares the top layer's


@pytest.mark.parametrize("recipe", [*STATES.values(), Recipe(swa_start=3.9), Recipe(lr=0.0), Recipe(epochs=1)])
def test_a_panel_starts_from_its_recipe(recipe):
    panel = SWAPanel(recipe)
    assert panel.recipe == recipe and panel.code == "recipe = base"
    panel.set(swa_start=0, swa_lr=1e-3, layer_decay=0.5)
    panel.reset()
    assert panel.recipe == recipe and not panel.message


def test_what_has_no_meaning_cannot_be_moved():
    panel = SWAPanel()
    assert panel.swa_lr.on.disabled and panel.swa_anneal_steps.box.disabled
    panel.swa_start.on.value = True
    assert not panel.swa_lr.on.disabled and panel.swa_anneal_steps.box.disabled
    panel.swa_lr.on.value = True
    assert not panel.swa_anneal_steps.box.disabled
    assert panel.code == "recipe = base.but(swa_start=3, swa_lr=0.0001)"


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"swa_start": 4}, ["swa_start", "4", "0 to 3.5, or None"]),
        ({"swa_start": -0.5}, ["swa_start", "-0.5", "0 to 3.5, or None"]),
        ({"swa_lr": 0.5}, ["swa_lr", "0.5", "1e-07 to 0.01, or None"]),
        ({"swa_anneal_steps": 2.5}, ["swa_anneal_steps", "2.5", "whole numbers 0 to 54"]),
        ({"swa_anneal_steps": 55}, ["swa_anneal_steps", "55", "whole numbers 0 to 54"]),
        ({"layer_decay": 1.2}, ["layer_decay", "1.2", "0 to 1"]),
        ({"log_axis": "yes"}, ["log_axis", "True or False"]),
        ({"swa_star": 1}, ["swa_star", "did you mean 'swa_start'"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = SWAPanel()
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(part in str(error.value) for part in parts), str(error.value)
    assert panel.recipe == Recipe() and panel.svg == before and not panel.message


@pytest.mark.parametrize("steps_per_epoch", [1, 2, 3, 142])
def test_the_latest_start_always_leaves_a_step_to_average(steps_per_epoch):
    panel = SWAPanel(Recipe(epochs=2), steps_per_epoch=steps_per_epoch)
    panel.swa_start.value = panel.swa_start.high
    assert not panel.message and preview(panel.recipe, steps_per_epoch).swa_step < 2 * steps_per_epoch


@pytest.mark.parametrize("state", STATES)
def test_the_stored_picture_says_the_same(state):
    panel = SWAPanel(STATES[state])
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    assert figure.sentence == ElementTree.fromstring(panel.svg).get("aria-label")
    assert panel._repr_mimebundle_()[0]["image/png"]


def test_a_model_of_unknown_depth_is_told_or_refused():
    with pytest.raises(RecipeError, match="num_layers"):
        SWAPanel(Recipe(model="nobody/knows-this"))
    assert ft.panels.SWAPanel(Recipe(model="nobody/knows-this", swa_start=1), num_layers=3).svg
