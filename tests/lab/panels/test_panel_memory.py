"""The memory panel: every control over its whole range, numbers that are the formulas', its code and its errors."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import ftlab as ft
from ftlab.errors import RecipeError
from ftlab.lab.panels import MemoryPanel
from ftlab.recipe import Recipe
from ftlab.tuning.memory import Architecture, estimate_memory, readable
from tests.lab.panels.test_panels import places
from tests.lab.pictures import texts_of

SVG = "{http://www.w3.org/2000/svg}"
STATES = {
    "minilm": Recipe(),
    "large": Recipe(model="roberta-large", batch_size=32, gradient_accumulation_steps=4, swa_start=2),
    "sgd": Recipe(model="xlm-roberta-base", optimizer="sgd", max_length=512, batch_size=300),
}


def pictures(panel):
    """The two charts, parsed."""
    return ElementTree.fromstring(f"<div>{panel.svg}</div>")


def texts(panel):
    return texts_of(panel.svg)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", list(MemoryPanel().controls))
def test_every_control_moves_over_its_whole_range(name, state):
    base = STATES[state]
    panel = MemoryPanel(base)
    seen = set()
    for i, (widget, value) in enumerate(places(panel.controls[name])):
        widget.value = value
        assert not panel.message, (value, panel.message)
        seen.add(panel.svg)
        if i % 16 and not isinstance(value, (bool, str)):  # reading every picture again would take long
            continue
        assert eval(panel.code.removeprefix("recipe = "), {"base": base}) == panel.recipe
        shown = texts(panel)
        estimate = panel.estimate(panel.recipe)
        for size in (*estimate.parts.values(), estimate.peak, estimate.best_checkpoint):
            assert readable(size) in shown
    assert len(seen) > 1


def test_what_is_shown_is_the_estimate_of_the_settings():
    panel = MemoryPanel()
    panel.set(
        model="bert-base-uncased", batch_size=24, max_length=200, optimizer="sgd", precision="bf16", swa=True,
        checkpointing=True, gradient_accumulation_steps=3,
    )  # fmt: skip
    assert panel.recipe == Recipe(
        model="bert-base-uncased", batch_size=24, max_length=200, optimizer="sgd", swa_start=3,
        gradient_accumulation_steps=3,
    )  # fmt: skip
    expected = estimate_memory(
        "bert-base-uncased", batch_size=24, length=200, optimizer="sgd", precision="bf16", checkpointing=True, swa=True,
        accumulate=True,
    )  # fmt: skip
    assert panel.estimate(panel.recipe) == expected
    assert panel.summary(panel.recipe) == f"{readable(expected.peak)} at most: fits a GPU of 8 GB; 72 texts an update"
    bars = [float(r.get("width")) for r in pictures(panel)[0].iter(f"{SVG}rect")]
    sizes = [*expected.parts.values(), expected.peak, expected.best_checkpoint]
    assert np.corrcoef(bars, sizes)[0, 1] > 0.9999 and "optimizer states" not in texts(panel)


def test_accumulation_is_the_way_to_the_same_update_on_a_smaller_gpu():
    panel = MemoryPanel(Recipe(model="roberta-large", batch_size=128))
    assert "too much" not in panel.summary(panel.recipe) and "80 GB; 128 texts" in panel.summary(panel.recipe)
    panel.set(batch_size=4, gradient_accumulation_steps=32)
    assert texts(panel)[0].endswith("fits a GPU of 8 GB; 128 texts an update")
    panel.set(batch_size=256, max_length=512)
    assert "too much for a GPU of 80 GB" in texts(panel)[0]


def test_the_lines_of_gpus_reach_just_above_the_need():
    panel = MemoryPanel(Recipe(max_length=64))
    assert {f"{size} GB GPU" for size in (8, 16, 24, 80)} & set(texts(panel)) == {"8 GB GPU"}
    panel.max_length.value = 256
    panel.model.value = "roberta-large"
    assert {"8 GB GPU", "16 GB GPU", "24 GB GPU", "80 GB GPU", "batch 16"} <= set(texts(panel))


@pytest.mark.parametrize("recipe", STATES.values())
def test_a_panel_starts_from_its_recipe(recipe):
    panel = MemoryPanel(recipe)
    assert panel.recipe == recipe and panel.code == "recipe = base"
    panel.set(model="minilm", batch_size=1, max_length=4, swa=not panel.swa.value, precision="pure bf16")
    panel.reset()
    assert panel.recipe == recipe and panel.precision.value == "fp32" and not panel.message


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"model": "gpt2"}, ["model", "'gpt2'", "'roberta-large'"]),
        ({"batch_size": 0}, ["batch_size", "0", "whole numbers 1 to 256"]),
        ({"batch_size": 1.5}, ["batch_size", "1.5", "whole numbers 1 to 256"]),
        ({"max_length": 513}, ["max_length", "513", "4 to 512"]),
        ({"gradient_accumulation_steps": 65}, ["gradient_accumulation_steps", "65", "1 to 64"]),
        ({"optimizer": "lion"}, ["optimizer", "'lion'", "'adamw'"]),
        ({"precision": "fp8"}, ["precision", "'fp8'", "'pure bf16'"]),
        ({"checkpointing": 1}, ["checkpointing", "1", "True or False"]),
        ({"swa": None}, ["swa", "None", "True or False"]),
        ({"batchsize": 8}, ["batchsize", "did you mean 'batch_size'"]),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(values, parts):
    panel = MemoryPanel()
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**values)
    assert all(part in str(error.value) for part in parts), str(error.value)
    assert panel.recipe == Recipe() and panel.svg == before and not panel.message


def test_an_error_while_drawing_is_shown_in_the_panel(monkeypatch):
    panel = MemoryPanel()
    before = panel.svg
    monkeypatch.setattr(panel, "architectures", {"minilm": "no such sizes"})
    panel.batch_size.slider.value = 20
    assert "no such sizes" in panel.message and panel.svg == before


@pytest.mark.parametrize("state", STATES)
def test_the_stored_picture_says_the_same(state):
    panel = MemoryPanel(STATES[state])
    figure = panel.figure(panel.recipe)
    assert figure.png().startswith(b"\x89PNG")
    assert figure.sentence == pictures(panel)[0].get("aria-label")
    assert panel._repr_mimebundle_()[0]["image/png"]


def test_a_model_of_unknown_sizes_is_refused_or_given_its_sizes():
    recipe = Recipe(model="nobody/knows-this")
    with pytest.raises(RecipeError, match="'nobody/knows-this'.*roberta-base.*architecture="):
        MemoryPanel(recipe)
    panel = ft.panels.MemoryPanel(recipe, architecture=Architecture(2, 128, 2, 512, 30522))
    assert panel.recipe == recipe and panel.estimate(recipe).parts["weights"] == 4 * 4_386_049
    panel.model.value = "minilm"
    assert panel.recipe.model == "minilm"
