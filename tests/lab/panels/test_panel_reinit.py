"""The panel of notebook 04: what it shows is what the re-initialisation does, over the whole range of every control."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from ftlab.errors import ModelError, RecipeError
from ftlab.lab.panels import ReinitPanel
from ftlab.lab.plots import describe
from ftlab.models.layer_map import layer_map
from ftlab.models.load import load_model, tiny_model
from ftlab.recipe import PAPER, Recipe
from ftlab.techniques.reinit import reinit_top_layers
from tests.lab.panels.test_panels import places
from tests.lab.pictures import texts_of as labels
from tests.model_families import tiny

POOLED = Recipe(head="auto")  # with a pooler, which goes with the layers


@pytest.fixture(scope="module")
def small():
    return tiny_model(POOLED)


@pytest.fixture(scope="module")
def minilm():
    return ReinitPanel(POOLED)


@pytest.mark.parametrize("name", ["reinit_layers", "seed", "shown"])
@pytest.mark.parametrize("start", [POOLED, POOLED.but(reinit_layers=3, seed=7, lr=5e-5)])
def test_every_control_moves_over_its_whole_range(name, start, small):
    panel = ReinitPanel(start, model=small)
    seen = set()
    for widget, value in places(panel.controls[name]):
        widget.value = value
        assert not panel.message, (value, panel.message)
        assert panel.controls[name].value == value
        changed = {"shown": {}}.get(name, {name: value})
        assert panel.recipe == start.but(**changed)
        assert eval(panel.code.removeprefix("recipe = "), {"base": start}) == panel.recipe
        ElementTree.fromstring(panel.svg)
        notes = [text for text in labels(panel.svg) if text.endswith((" re-initialised", " kept")) and "of" not in text]
        kinds = {"matrices": 8, "LayerNorm scale": 7, "biases": 8}  # the pooler has no LayerNorm
        assert len(notes) == kinds[panel.shown.value]
        seen.add(panel.svg)
    if name == "seed" and start.reinit_layers == 0:
        assert len(seen) == 1  # nothing is drawn at random
    else:
        assert len(seen) == len({value for _, value in places(panel.controls[name])})


@pytest.mark.parametrize("shown", ["matrices", "LayerNorm scale", "biases"])
@pytest.mark.parametrize("n", [0, 2, 6])
def test_the_figure_says_which_layers_are_fresh(minilm, shown, n):
    minilm.set(reinit_layers=n, shown=shown)
    figure = minilm.figure(minilm.recipe)
    assert figure.png().startswith(b"\x89PNG")
    assert f"({ {0: 0.0, 2: 16.3, 6: 47.5}[n] }%) re-initialised" in describe(figure)
    picture = ElementTree.fromstring(minilm.svg)
    fresh = [f"layer.{i}" for i in range(6 - n, 6)] + ["pooler"] * (n > 0)
    assert all(name in picture.get("aria-label") for name in fresh if shown != "LayerNorm scale" or name != "pooler")
    assert ("nothing has changed" in picture.get("aria-label")) == (n == 0)
    minilm.reset()


def test_the_numbers_are_those_of_the_model_before_and_after(minilm):
    """Independent: torch's own standard deviation over the weights that the re-initialisation really left."""
    recipe = POOLED.but(reinit_layers=2)
    model = load_model(recipe)
    layers = layer_map(model)
    pooler = {id(p) for p in layers.pooler.parameters()}
    place = {n: "pooler" if id(p) in pooler else layers.place[n] for n, p in model.named_parameters()}

    def spread():
        of = {name: [] for name in minilm.places}
        for name, p in model.named_parameters():
            if place[name] in of and p.ndim > 1:
                of[place[name]].append(p.detach().double().flatten())
        return {name: torch.cat(parts).std(correction=0).item() for name, parts in of.items()}

    before = spread()
    torch.manual_seed(0)
    reinit_top_layers(model, 2)
    after = spread()
    shown = minilm.after(recipe)
    for name in minilm.places:
        assert minilm.before[name]["matrices"] == pytest.approx(before[name], rel=1e-4)
        # another draw of the fresh weights, since the panel draws all layers: 147,456 values or more each
        exact = name not in ("layer.4", "layer.5", "pooler")
        assert shown[name]["matrices"] == pytest.approx(after[name], rel=1e-4 if exact else 0.01)
    assert shown["layer.5"]["LayerNorm scale"] == 1 and shown["layer.5"]["biases"] == 0
    assert shown["layer.3"] == minilm.before["layer.3"]
    assert math.isnan(shown["pooler"]["LayerNorm scale"])
    changed = sum(p.numel() for name, p in model.named_parameters() if place[name] in minilm.fresh_places(2))
    assert minilm.summary(recipe).startswith(f"{changed:,} of {sum(p.numel() for p in model.parameters()):,} ")


def test_the_given_model_and_the_random_state_stay_as_they_are(small):
    before = [p.detach().clone() for p in small.parameters()]
    torch.manual_seed(0)
    state = torch.get_rng_state()
    panel = ReinitPanel(Recipe(reinit_layers=6), model=small)
    panel.seed.value = 5
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, old) for p, old in zip(small.parameters(), before, strict=True))


def test_a_seed_is_measured_once(small, monkeypatch):
    panel = ReinitPanel(Recipe(reinit_layers=2), model=small)
    measured = []
    monkeypatch.setattr(panel, "_measure", lambda: measured.append(1) or panel.before)
    for n in range(7):
        panel.reinit_layers.value = n
    assert not measured
    panel.seed.value = 1
    panel.seed.value = 0
    panel.seed.value = 1
    assert len(measured) == 1 and not panel.message


@pytest.mark.parametrize(
    "name, value, allowed",
    [
        ("reinit_layers", 7, "whole numbers 0 to 6"),
        ("reinit_layers", -1, "whole numbers 0 to 6"),
        ("reinit_layers", 1.5, "whole numbers 0 to 6"),
        ("reinit_layers", None, "whole numbers 0 to 6"),
        ("seed", 101, "whole numbers 0 to 100"),
        ("seed", -1, "whole numbers 0 to 100"),
        ("shown", "norms", "'matrices', 'LayerNorm scale', 'biases'"),
    ],
)
def test_what_is_out_of_range_is_refused_and_nothing_changes(small, name, value, allowed):
    panel = ReinitPanel(Recipe(reinit_layers=1), model=small)
    before = panel.svg
    with pytest.raises(RecipeError) as error:
        panel.set(**{name: value})
    assert str(error.value) == f"{name}: {value!r} is not allowed here; allowed: {allowed}"
    assert panel.svg == before and panel.recipe == Recipe(reinit_layers=1)


def test_more_layers_than_the_model_has(small):
    with pytest.raises(RecipeError, match="reinit_layers: 7 is not allowed here; .* 0 to 6, since minilm has 6 layers"):
        ReinitPanel(Recipe(reinit_layers=7), model=small)


def test_shared_layers_are_refused():
    with pytest.raises(ModelError, match="re-initialisation of the top layers: albert applies the same layer's"):
        ReinitPanel(model=tiny("albert"))


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "llama"])
def test_other_families(family):
    panel = ReinitPanel(Recipe(reinit_layers=1), model=tiny(family))
    assert "layer.3" in labels(panel.svg) and ("pooler" in panel.places) == (family == "bert")
    assert sum(panel.counts.values()) == sum(p.numel() for p in panel._model.parameters())
    assert panel.fresh_places(0) == [] and len(panel.fresh_places(4)) == 4 + (family == "bert")
    help_text = panel.reinit_layers.help
    assert ("the pooler goes with them" if family == "bert" else "this head has no pooler") in help_text


def test_a_head_without_a_pooler():
    panel = ReinitPanel(Recipe(head="mean", reinit_layers=2))
    assert "pooler" not in panel.places and panel.fresh_places(2) == ["layer.4", "layer.5"]


def test_the_articles_recipe(small):
    """Five of twelve layers, the pooler with them."""
    panel = ReinitPanel(PAPER["all"], model=tiny_model(POOLED, num_layers=12))
    assert panel.fresh_places(5) == [f"layer.{i}" for i in range(7, 12)] + ["pooler"]
    assert panel.recipe == PAPER["all"] and panel.code == "recipe = base"
