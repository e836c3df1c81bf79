"""Re-initialisation: the top changes, really; everything below stays bit for bit, in every family."""

import numpy as np
import pytest
import torch

from ftlab.errors import ModelError
from ftlab.models.heads import HEADS
from ftlab.models.layer_map import layer_map
from ftlab.models.load import load_model
from ftlab.recipe import Recipe
from ftlab.techniques.reinit import reinit_top_layers
from tests.model_families import CONFIGS, one_thread, tiny  # noqa: F401


def snapshot(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.fixture(scope="module")
def minilm():
    return load_model(Recipe())


@pytest.mark.parametrize("n", [1, 3, 6])
def test_the_loaded_model_really_changes_and_only_at_the_top(n):
    """In transformers 5 loaded parameters are marked as initialised, and the initialiser passes over them silently."""
    model = load_model(Recipe())
    marked = [p for p in model.parameters() if getattr(p, "_is_hf_initialized", False)]
    assert marked, "the trap is gone: transformers no longer marks loaded parameters"
    before, place = snapshot(model), layer_map(model).place
    torch.manual_seed(0)
    names = reinit_top_layers(model, n)
    fresh = {f"layer.{i}" for i in range(6 - n, 6)}
    for name, parameter in model.named_parameters():
        inside = place[name] in fresh or "pooler" in name
        assert (name in names) == inside
        if not inside:
            assert torch.equal(parameter, before[name]), name
        elif name.endswith("LayerNorm.weight"):
            assert torch.equal(parameter, torch.ones_like(parameter)), name
        elif name.endswith("bias"):
            assert torch.equal(parameter, torch.zeros_like(parameter)), name
        else:
            assert not torch.equal(parameter, before[name]), name
            # 147,456 draws or more of normal(0, 0.02): mean and spread are known to a fraction of a per cent
            assert abs(parameter.mean().item()) < 4 * 0.02 / np.sqrt(parameter.numel())
            assert parameter.std().item() == pytest.approx(0.02, rel=0.01)


def test_the_seed_decides_the_fresh_weights():
    def fresh(seed):
        model = load_model(Recipe())
        torch.manual_seed(seed)
        reinit_top_layers(model, 1)
        return model.bert.encoder.layer[5].output.dense.weight

    assert torch.equal(fresh(0), fresh(0)) and not torch.equal(fresh(0), fresh(1))


def test_zero_changes_nothing(minilm):
    before = snapshot(minilm)
    assert reinit_top_layers(minilm, 0) == []
    assert all(torch.equal(p, before[name]) for name, p in minilm.named_parameters())


@pytest.mark.parametrize("n", [-1, 7])
def test_more_layers_than_there_are(minilm, n):
    with pytest.raises(ModelError, match=f"reinit_layers: {n} layers of a model that has 6"):
        reinit_top_layers(minilm, n)


@pytest.mark.parametrize("head", HEADS)
def test_every_head(head):
    model = load_model(Recipe(head=head))
    before, place = snapshot(model), layer_map(model).place
    reinit_top_layers(model, 2)
    changed = {place[n] for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {"layer.4", "layer.5"} | ({"head"} if head == "pooler" else set())


@pytest.mark.parametrize("family", [f for f in CONFIGS if f not in ("t5", "umt5")])  # refused by the layer map
@pytest.mark.usefixtures("one_thread")
def test_every_family(family):
    model = tiny(family)
    layers = layer_map(model)
    with torch.no_grad():  # far from any fresh start, and marked as loaded
        for p in model.parameters():
            p.add_(1.0)
            p._is_hf_initialized = True
    before = snapshot(model)
    if layers.shared:
        with pytest.raises(ModelError, match="re-initialisation"):
            reinit_top_layers(model, 1)
        return
    names = reinit_top_layers(model, 2)
    inside_blocks = {id(p) for block in layers.blocks[-2:] for p in block.parameters()}
    for name, p in model.named_parameters():
        if name not in names:
            assert torch.equal(p, before[name]), name
        elif p.ndim > 1:
            assert not torch.equal(p, before[name]), f"{name} was not re-initialised"
    assert inside_blocks <= {id(p) for name, p in model.named_parameters() if name in names}
