"""The range test's panel: both controls over their whole range, the suggestions drawn, its code, its errors."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import ftlab as ft
from ftlab.checks import number
from ftlab.errors import RecipeError
from ftlab.lab.panels import LRFinderPanel
from ftlab.tuning.lr_finder import RULES
from tests.lab.panels.test_panels import places
from tests.lab.pictures import line_of
from tests.lab.pictures import texts_of as labels
from tests.tuning.test_lr_finder import BOWL, RATES, RECIPE, X, synthetic

NOISY = BOWL + np.random.default_rng(0).normal(0, 0.1, len(X))


def finder(**arguments):
    return synthetic(NOISY, smoothing=0.9, recipe=RECIPE.but(lr=2e-4, head_lr=4e-4, layer_decay=0.9), **arguments)


@pytest.mark.parametrize("name", ["smoothing", "rule"])
def test_every_control_moves_over_its_whole_range(name):
    panel = LRFinderPanel(finder())
    seen = set()
    for widget, value in places(panel.controls[name]):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        ElementTree.fromstring(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": panel.base}) == panel.recipe
    assert len(seen) > (50 if name == "smoothing" else 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 0.9, 0.99])
def test_the_panel_reads_the_test_as_the_finder_does(smoothing):
    panel = LRFinderPanel(finder())
    panel.smoothing.value = smoothing
    again = dataclasses.replace(finder(), smoothing=smoothing)
    for rule in RULES:
        panel.rule.value = rule
        assert panel.recipe == again.apply(rule) and panel.recipe.head_lr == pytest.approx(2 * panel.recipe.lr)
        shown = labels(panel.svg)
        for other in RULES:
            pointer = "▶ " if other == rule else ""
            assert f"{pointer}{other} {number(again.suggestions[other])}" in shown


def test_it_goes_back_to_where_it_stood():
    panel = LRFinderPanel(finder())
    before = panel.svg, panel.recipe
    panel.set(smoothing=0.2, rule="steepest")
    assert panel.svg != before[0]
    panel.reset()
    assert (panel.svg, panel.recipe) == before


def test_the_figure_is_the_finders_own():
    panel = LRFinderPanel(finder())
    panel.smoothing.value = 0.5
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    smoothed = line_of(figure.sheet.charts[0], "smoothed")
    np.testing.assert_array_equal(smoothed.y, dataclasses.replace(finder(), smoothing=0.5).smoothed)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"smoothing": 1.0}, ["smoothing", "1.0", "0 to 0.99"]),
        ({"smoothing": "much"}, ["smoothing", "'much'"]),
        ({"rule": "best"}, ["rule", "'best'", "'steepest', 'valley', 'min/10'"]),
        ({"smoothin": 0.5}, ["smoothin", "did you mean 'smoothing'"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = LRFinderPanel(finder())
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(part in str(error.value) for part in parts)
    assert panel.svg == before and not panel.message


def test_a_test_without_a_suggestion_is_refused():
    with pytest.raises(RecipeError, match="^high: the loss never fell"):
        LRFinderPanel(synthetic(np.full(60, 2.0)))


def test_a_smoothing_that_leaves_no_suggestion_is_shown_as_a_message():
    losses = np.full(85, 1.5)
    losses[40] = 0.5  # a single lucky batch
    panel = LRFinderPanel(synthetic(losses, smoothing=0.0))
    before = panel.svg
    panel.smoothing.slider.value = 0.95
    assert panel.message.startswith("high: the loss never fell") and panel.svg == before
    panel.reset()
    assert not panel.message


def test_the_picture_shows_rates_on_a_logarithmic_axis():
    panel = LRFinderPanel(finder())
    assert {"1e-6", "1e-4", "0.01"} <= set(labels(panel.svg)) and panel.picture(panel.recipe).charts[0].x.log
    assert len(RATES) == len(panel.reading.rates)
    assert ft.plots.describe(panel.figure(panel.recipe)).startswith("Range test, completed after 85 of 85 updates")
