"""The panel of layer-wise rates: every control over its whole range; recipe, code, bars and lines in agreement."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from ftlab.checks import number
from ftlab.errors import RecipeError
from ftlab.lab.chart import rate_lines
from ftlab.lab.layout import place
from ftlab.lab.panels import LLRDPanel
from ftlab.lab.panels.llrd import spread_rates
from ftlab.recipe import PAPER, Recipe
from ftlab.schedules import layer_rates, preview
from ftlab.techniques.llrd import convention_rates
from tests.lab.panels.test_panels import places
from tests.lab.pictures import SVG, problems
from tests.lab.pictures import texts_of as labels

STATES = {
    "off": Recipe(),
    "decay": Recipe(layer_decay=0.8, head_lr=5e-4, warmup=0.1),
    "groups": Recipe(group_lrs=(1e-5, 4e-5, 2e-4)),
    "article": PAPER["grouped_llrd+warmup+swa"],
}
GROUPED = {"groups", "article"}


def rates_of(recipe, num_layers):
    return preview(recipe.but(schedule="constant", warmup=0, swa_start=None), num_layers=num_layers).lr[0]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", list(LLRDPanel().controls))
def test_every_control_moves_over_its_whole_range(name, state):
    recipe = STATES[state]
    panel = LLRDPanel(recipe)
    control = panel.controls[name]
    seen = set()
    for widget, value in places(control):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        rates = rates_of(panel.recipe, panel.num_layers)
        words = set(labels(panel.svg))
        assert {number(rate) for rate in rates} <= words
        drawn = preview(panel.recipe, 27, steps=300)
        expected = [line.label for line in rate_lines(drawn.layers, drawn.steps, drawn.lr)]
        assert set(expected) <= words
        assert eval(panel.code.removeprefix("recipe = "), {"base": recipe}) == panel.recipe
    # Decay and comparison mean nothing while the layers are in groups, nor the lowest rate while they are not.
    idle = (name in ("layer_decay", "convention")) if state in GROUPED else name == "lowest_lr"
    assert (len(seen) == 1) == idle


@pytest.mark.parametrize("recipe", [*STATES.values(), Recipe(lr=0.0), Recipe(group_lrs=(0.0, 1e-4)), *PAPER.values()])
def test_a_panel_starts_from_its_recipe_and_returns_to_it(recipe):
    panel = LLRDPanel(recipe)
    assert panel.recipe == recipe and panel.code == "recipe = base"
    panel.groups.value = 2
    panel.lr.value = 1e-3
    assert len(panel.recipe.group_lrs) == 2 and panel.recipe.group_lrs[-1] == 1e-3 and not panel.message
    panel.groups.value = None
    panel.layer_decay.value = 0.5
    assert panel.recipe.layer_decay == 0.5 and panel.recipe.group_lrs is None and not panel.message
    panel.reset()
    assert panel.recipe == recipe and not panel.message


def test_the_articles_groups_stay_until_they_are_moved():
    panel = LLRDPanel(PAPER["grouped_llrd"])
    panel.head_lr.value = 5e-6
    assert panel.recipe.group_lrs == (1e-6, 1.75e-6, 3.5e-6)
    panel.groups.value = 2
    assert panel.recipe.group_lrs == (1e-6, 3.5e-6)


@pytest.mark.parametrize("groups", range(1, 13))
def test_groups_are_spread_in_equal_ratios(groups):
    panel = LLRDPanel(Recipe(model="roberta-base"))
    panel.set(lr=1e-4, groups=groups, lowest_lr=1e-5)
    rates = panel.recipe.group_lrs
    assert len(rates) == groups and rates[-1] == 1e-4 and (groups == 1 or rates[0] == 1e-5)
    assert np.allclose(np.diff(np.log(rates)), np.log(10) / max(1, groups - 1), atol=2e-3)
    assert len(set(panel.rates(panel.recipe)[1:-1])) == groups


def test_rates_that_have_no_equal_ratios():
    assert spread_rates(0.0, 3.0, 4) == (0.0, 1.0, 2.0, 3.0)
    assert spread_rates(5.0, 3.0, 2) == (3.0, 3.0), "a lowest rate above the highest"


def test_groups_take_the_place_of_the_decay_and_give_it_back():
    panel = LLRDPanel(Recipe(layer_decay=0.7))
    panel.groups.on.value = True
    assert panel.recipe.layer_decay == 1.0 and len(panel.recipe.group_lrs) == 3
    assert panel.layer_decay.slider.disabled and panel.convention.list.disabled and not panel.lowest_lr.slider.disabled
    panel.groups.value = 1
    assert panel.lowest_lr.slider.disabled and panel.recipe.group_lrs == (2e-4,)
    panel.groups.on.value = False
    assert panel.recipe == Recipe(layer_decay=0.7) and not panel.layer_decay.slider.disabled


@pytest.mark.parametrize("convention", ["Zhang et al. 2021, code", "timm", "ELECTRA"])
def test_the_strokes_stand_where_the_other_convention_puts_the_rates(convention):
    panel = LLRDPanel(Recipe(layer_decay=0.8))
    assert 'stroke-width="2.5"' not in panel.svg
    panel.convention.value = convention
    assert panel.recipe == panel.base, "a comparison changes no recipe"
    root = ElementTree.fromstring(panel.svg)
    paths = [p for p in root.iter(f"{SVG}path") if p.get("stroke-width") == "2.5"]
    x = [float(p.get("d")[1:].split(",")[0]) for p in paths]
    others = convention_rates(convention, 6, lr=2e-4, layer_decay=0.8)
    assert len(x) == 8 and np.corrcoef(x, others)[0, 1] > 0.9999
    widths = [float(r.get("width")) for r in root.iter(f"{SVG}rect")]
    left = min(float(r.get("x")) for r in root.iter(f"{SVG}rect"))
    scale = widths[-1] / 2e-4  # pixels a unit of rate, from the bar of the head
    assert np.allclose(np.array(x), left + scale * others, atol=0.2)
    assert convention in root.get("aria-label") and any(convention in text for text in labels(panel.svg))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "recipe", [*STATES.values(), Recipe(lr=0.0), Recipe(layer_decay=0.0), Recipe(model="roberta-large")]
)
def test_the_stored_figure_renders_bars_and_lines(recipe, log):
    panel = LLRDPanel(recipe)
    panel.set(log_axis=log, convention="timm")
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    bars = sorted(figure.sheet.charts[0].bars, key=lambda bar: -bar.row)
    assert [bar.value for bar in bars] == panel.rates(recipe).tolist()
    assert figure.sentence.startswith("Rate by layer: ") and number(recipe.lr) in figure.sentence
    assert any(np.isfinite(bar.stroke) for bar in bars) == (recipe.group_lrs is None)
    assert problems(place(figure.sheet, 840)) == problems(place(figure.sheet, 580)) == []


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"layer_decay": 1.1}, ["layer_decay", "1.1", "0 to 1"]),
        ({"layer_decay": -0.1}, ["layer_decay", "-0.1", "0 to 1"]),
        ({"lr": 1.0}, ["lr", "1.0", "1e-07 to 0.01"]),
        ({"head_lr": float("inf")}, ["head_lr", "inf", "or None"]),
        ({"groups": 0}, ["groups", "0", "whole numbers 1 to 6, or None"]),
        ({"groups": 7}, ["groups", "7", "whole numbers 1 to 6, or None"]),
        ({"groups": 2.5}, ["groups", "2.5", "whole numbers"]),
        ({"lowest_lr": None}, ["lowest_lr", "None"]),
        ({"convention": "keras"}, ["convention", "'keras'", "'timm'"]),
        ({"log_axis": 1}, ["log_axis", "True or False"]),
        ({"decay": 0.9}, ["decay", "layer_decay"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = LLRDPanel()
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(part in str(error.value) for part in parts)
    assert panel.recipe == Recipe() and panel.svg == before and not panel.message


def test_depth():
    assert LLRDPanel(Recipe(model="roberta-base")).groups.high == 12
    assert LLRDPanel(Recipe(model="nobody/knows-this"), num_layers=3).groups.high == 3
    with pytest.raises(RecipeError, match="num_layers"):
        LLRDPanel(Recipe(model="nobody/knows-this"))
    with pytest.raises(RecipeError, match="7 groups for 6 layers"):
        LLRDPanel(Recipe(group_lrs=[1e-4] * 7))


def test_the_code_line():
    panel = LLRDPanel(Recipe())
    panel.layer_decay.value = 0.9
    assert panel.code == "recipe = base.but(layer_decay=0.9)"
    panel.set(groups=3, lowest_lr=5e-5)
    assert panel.code == "recipe = base.but(group_lrs=(5e-05, 0.0001, 0.0002))"
    assert layer_rates(6, lr=2e-4, group_lrs=panel.recipe.group_lrs).tolist() == panel.rates(panel.recipe).tolist()
