"""The panel of notebook 06: every control over its whole range, and a picture that agrees with the training loop."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import ftlab as ft
from ftlab.errors import RecipeError
from ftlab.lab.layout import place
from ftlab.lab.panels import FrequentEvalPanel
from ftlab.lab.panels.frequent_eval import true_quality
from ftlab.recipe import PAPER, Recipe
from ftlab.techniques.frequent_eval import BestScore, is_evaluation_step
from tests.lab.panels.test_panels import places
from tests.lab.pictures import problems

STATES = {
    "off": Recipe(),
    "on": Recipe(epochs=6, eval_every=10, patience=5),
    "every step": Recipe(epochs=20, eval_every=1),
    "averaging": Recipe(swa_start=2.5, warmup=40, eval_every=3, patience=2),
}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ["eval_every", "patience", "noise", "epochs"])
def test_every_control_moves_over_its_whole_range(name, state):
    panel = FrequentEvalPanel(STATES[state])
    seen = set()
    for widget, value in places(panel.controls[name]):
        widget.value = value
        assert not panel.message, (value, panel.message)
        pictures = ElementTree.fromstring(f"<div>{panel.svg}</div>")
        assert len(pictures) == 1
        seen.add(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": STATES[state]}) == panel.recipe
        ft.preview(panel.recipe, 27)  # averaging and warm-up still fit
    assert len(seen) > 1
    panel.reset()
    assert panel.recipe == STATES[state] and panel.code == "recipe = base"


@pytest.mark.parametrize("recipe", [*STATES.values(), Recipe(eval_every=500), Recipe(epochs=40), *PAPER.values()])
def test_a_panel_starts_from_its_recipe(recipe):
    panel = FrequentEvalPanel(recipe, steps_per_epoch=142)
    assert panel.recipe == recipe and panel.code == "recipe = base" and not panel.message


@pytest.mark.parametrize("patience", [None, 1, 3, 8])
@pytest.mark.parametrize("eval_every", [None, 1, 4, 10])
def test_the_example_is_what_the_training_loop_would_do(eval_every, patience):
    panel = FrequentEvalPanel(Recipe(epochs=5, eval_every=eval_every, patience=patience))
    seen = panel.example(panel.recipe)
    scores = dict(zip(seen.steps.tolist(), seen.scores.tolist(), strict=True))
    best, looks, kept = BestScore(patience=patience), [], None
    for step in range(1, 136):
        if best.exhausted:
            break
        if is_evaluation_step(step, eval_every=eval_every, steps_per_epoch=27, total_steps=135):
            looks.append(step)
            kept = step if best.update(scores[step]) else kept
    assert seen.steps.tolist() == looks and seen.steps[seen.kept] == kept
    assert seen.stopped == (looks[-1] < 135)
    assert len(seen.expected) == seen.counts[-1] == len(looks) and len(seen.luck) == len(seen.counts)


def test_a_look_keeps_its_noise_however_many_there_are():
    panel = FrequentEvalPanel(Recipe(eval_every=10))
    few = panel.example(panel.recipe)
    panel.set(eval_every=1, epochs=9)
    many = panel.example(panel.recipe)
    both = np.isin(many.steps, few.steps)
    assert np.array_equal(many.scores[both], few.scores)


def test_more_looks_and_more_noise_flatter_more():
    panel = FrequentEvalPanel()
    seen = []
    for changes in ({"eval_every": None}, {"eval_every": 10}, {"eval_every": 1}, {"noise": 0.03}):
        panel.set(**changes)
        seen.append(panel.example(panel.recipe).expected[-1])
    assert 0 < seen[0] < seen[1] < seen[2] < seen[3] < panel.example(panel.recipe).luck[-1]
    panel.noise.value = 0.0
    silent = panel.example(panel.recipe)
    assert np.array_equal(silent.scores, silent.quality) and not silent.expected.any()
    assert silent.kept == len(silent.steps) - 1  # the invented curve falls to its end
    assert np.all(np.diff(true_quality(np.linspace(0, 20, 50))) < 0)


def test_the_words_say_which_look_wins_and_by_how_much():
    panel = FrequentEvalPanel(Recipe(eval_every=10))
    seen = panel.example(panel.recipe)
    label = ElementTree.fromstring(f"<div>{panel.svg}</div>")[0].get("aria-label")
    assert label == panel.describe(seen) == panel.figure(panel.recipe).sentence
    assert label.startswith("14 evaluations.") and f"after step {seen.steps[seen.kept]}" in label
    assert 0 < seen.kept < 13, "the example teaches more when the last look does not win"


def test_the_code_names_the_fields_and_not_the_noise():
    panel = FrequentEvalPanel()
    panel.set(eval_every=5, patience=7, noise=0.02)
    assert panel.code == "recipe = base.but(eval_every=5, patience=7)"
    panel.set(eval_every=None)
    assert panel.recipe == Recipe(patience=7)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"eval_every": 0}, "eval_every: 0 .*whole numbers 1 to 1000, or None"),
        ({"eval_every": 2.5}, "eval_every: 2.5"),
        ({"patience": 0}, "patience: 0 .*whole numbers 1 to 60, or None"),
        ({"noise": -0.01}, "noise: -0.01 .*0 to 0.05"),
        ({"noise": None}, "noise: None"),
        ({"epochs": 21}, "epochs: 21 .*whole numbers 1 to 20"),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, words):
    panel = FrequentEvalPanel()
    before = panel.svg
    with pytest.raises(RecipeError, match=words):
        panel.set(**values)
    assert panel.svg == before and panel.recipe == Recipe()


@pytest.mark.parametrize("state", STATES)
def test_the_figure_is_drawn(state):
    panel = FrequentEvalPanel(STATES[state])
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG") and all(chart.x.label for chart in figure.sheet.charts)
    assert problems(place(figure.sheet, 840)) == problems(place(figure.sheet, 580)) == []
