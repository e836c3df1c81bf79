"""The panel of notebook 07: every choice, the numbers of the cells that it shows, and choices that a study lacks."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import ftlab as ft
from ftlab.errors import DataError, RecipeError
from ftlab.lab.chart import smooth, smoothing_window
from ftlab.lab.layout import place
from ftlab.lab.panels import ResultsPanel
from ftlab.recipe import Recipe
from ftlab.study import load_cells
from tests.lab.panels.test_panels import places
from tests.lab.pictures import problems, texts_of
from tests.study.test_report import CHANGES, cell, load_frame

LOSS = np.linspace(1, 0.1, 108).tolist()


def study(folds=2, seeds=2):
    generator = np.random.default_rng(0)
    names = ("baseline", "llrd", "swa", "frequent_eval")
    return load_frame(
        [
            cell(name, fold, seed, 0.3 + generator.normal(0, 0.02), loss=LOSS)
            for name, fold, seed in itertools.product(names, range(folds), range(seeds))
        ]
    )


def pictures(panel):
    return ElementTree.fromstring(f"<div>{panel.svg}</div>")


@pytest.mark.parametrize("name", ["left", "right", "fold", "seed"])
def test_every_control_moves_over_its_whole_range(name):
    panel = ResultsPanel(study())
    seen = set()
    for widget, value in places(panel.controls[name]):
        widget.value = value
        assert not panel.message and str(panel.controls[name].value) == value
        assert len(panel.picture(panel.recipe).charts) == 4 and problems(place(panel.picture(panel.recipe), 580)) == []
        seen.add(panel.svg)
        assert eval(panel.code.removeprefix("recipe = "), {"base": Recipe()}) == panel.recipe
    assert len(seen) == len(panel.controls[name].options)
    panel.reset()
    assert panel.left.value == "baseline" and panel.right.value == "llrd" and not panel.message


def test_the_recipe_is_the_cells_own_where_defaults_have_changed_since():
    """The first edition's cells keep what differed from its own defaults, with another head."""
    cells = load_cells(Path(__file__).resolve().parents[3] / "data" / "results" / "techniques.jsonl")
    panel = ResultsPanel(cells)
    panel.set(left="baseline", right="llrd", fold=1, seed=2)
    of_the_cell = cells[(cells["name"] == "llrd") & (cells["fold"] == 1) & (cells["seed"] == 2)].iloc[0]["recipe"]
    assert panel.recipe == of_the_cell and of_the_cell.head == "auto" != Recipe().head
    assert eval(panel.code.removeprefix("recipe = "), {"base": Recipe()}) == of_the_cell


def test_it_shows_the_cells_that_were_chosen():
    cells = study()
    panel = ResultsPanel(cells)
    panel.set(left="llrd", right="swa", fold=1, seed=1)
    index = cells.set_index(["name", "fold", "seed"])
    left, right = index.loc[("llrd", 1, 1)], index.loc[("swa", 1, 1)]
    words = pictures(panel)[0].get("aria-label")
    assert " ".join(texts_of(panel.svg)[-3:]).strip().endswith(words[-40:]), "what counts stands below the picture"
    assert words == panel.describe(panel.shown()) == panel.figure(panel.recipe).sentence
    assert words.startswith("Fold 1, seed 1. A: llrd, completed after 108 steps: ")
    assert f"validation {left['validation']:.4f}, test {left['test']:.4f}" in words
    assert f"test {right['swa_test']:.4f}" in words  # the averaged weights are what is judged
    assert f"B minus A in the test score: {right['swa_test'] - left['test']:+.4f}" in words


def test_losses_looks_and_rates_are_those_of_the_cells():
    panel = ResultsPanel(study())
    panel.set(left="swa", right="llrd")
    sides = panel.shown()
    loss = panel.losses(sides)[0]
    assert np.array_equal(loss.y, smooth(np.array(LOSS), smoothing_window(108))) and loss.dash
    looks = {line.label: line for line in panel.scores(sides)}
    assert set(looks) == {"A validation", "A averaged", "B validation"}  # test was not scored at these looks
    assert looks["B validation"].x.tolist() == [27, 54, 81, 108]
    assert looks["B validation"].y.tolist() == [look["validation"] for look in sides[1].cell["evals"]]
    for shown, name in zip(sides, ("swa", "llrd"), strict=True):
        expected = ft.preview(Recipe().but(**CHANGES[name]), 27)
        assert np.array_equal(shown.schedule.lr, expected.lr[shown.schedule.steps])
    left, right = panel.picture(panel.recipe).charts[2:]
    assert left.y == right.y and left.y.high > max(shown.schedule.lr.max() for shown in sides), "on one scale"
    assert panel.recipe == Recipe(layer_decay=0.9, head="auto"), "a cell of the first edition has its head"


def test_an_epoch_is_as_long_as_in_the_study():
    assert ResultsPanel(study()).steps_per_epoch == 27
    longer = {"changes": {"epochs": 12}}
    panel = ResultsPanel(load_frame([cell("longer", loss=LOSS, **longer), cell(loss=LOSS[:36])]))
    assert panel.steps_per_epoch == 9 and panel.shown()[0].schedule.total_steps == 108


def test_a_run_that_the_study_lacks_is_said_and_the_picture_stays():
    cells = study()
    panel = ResultsPanel(cells[~((cells["name"] == "swa") & (cells["seed"] == 1))])
    panel.right.value = "swa"
    before = panel.svg
    panel.seed.value = 1
    assert panel.message.startswith("recipe B: 'swa' has no run on fold 0 with seed 1; there: baseline, ")
    assert panel.svg == before and "image/png" in panel._repr_mimebundle_()[0]
    with pytest.raises(DataError, match="recipe B: 'swa' has no run"):
        panel.recipe  # noqa: B018
    panel.right.value = "llrd"
    assert not panel.message and panel.svg != before


def test_a_run_that_diverged_is_drawn():
    lost = {**cell("llrd", loss=[0.5, 0.6, None]), "status": "diverged", "validation": None, "test": None, "evals": []}
    panel = ResultsPanel(load_frame([cell(loss=LOSS), lost]))
    words = panel.describe(panel.shown())
    assert "B: llrd, diverged after 3 steps: validation none, test none." in words and "minus" not in words
    assert panel.figure(panel.recipe).png().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "values, words",
    [
        ({"left": "lrd"}, "left: 'lrd' is not allowed here; allowed: 'baseline'"),
        ({"fold": 7}, "fold: 7 is not allowed here; allowed: 0, 1"),
        ({"seed": "first"}, "seed: 'first'"),
    ],
)
def test_what_is_no_choice_is_refused_and_nothing_changes(values, words):
    panel = ResultsPanel(study())
    before = panel.svg
    with pytest.raises(RecipeError, match=words):
        panel.set(**values)
    assert panel.svg == before


@pytest.mark.parametrize(
    "cells, words",
    [
        (study()[:0], "cells: 0 of them; there must be some"),
        (load_frame([cell(loss=LOSS), cell(loss=LOSS, data="clear")]), "each recipe once .*choose one study"),
        (load_frame([cell(status="diverged")]), "none of the runs was completed"),
    ],
)
def test_cells_that_cannot_be_shown_are_refused(cells, words):
    with pytest.raises(DataError, match=words):
        ResultsPanel(cells)
