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
from tests.model_families import MAPPED, one_thread, tiny  # noqa: F401


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


def test_the_seed_decides_the_new_weights():
    def fresh(seed):
        model = load_model(Recipe(head="auto"))
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


@pytest.mark.usefixtures("one_thread")
def test_every_family_gets_the_weights_that_its_own_constructor_gives():
    """Against a model just built: the same constants, and the same spread within six standard errors."""
    failed = []
    for family in MAPPED:
        model = tiny(family)
        layers = layer_map(model)
        own = snapshot(model)
        with torch.no_grad():  # far from any fresh start, and marked as loaded
            for p in model.parameters():
                p.add_(1.0)
                p._is_hf_initialized = True
        before = snapshot(model)
        if layers.shared:
            with pytest.raises(ModelError, match="re-initialisation"):
                reinit_top_layers(model, 1)
            continue
        names = reinit_top_layers(model, 2)
        inside_blocks = {id(p) for block in layers.blocks[-2:] for p in block.parameters()}
        if not inside_blocks <= {id(p) for name, p in model.named_parameters() if name in names}:
            failed.append(f"{family}: not all of the two blocks")
        for name, p in model.named_parameters():
            if name not in names:
                right = torch.equal(p, before[name])
            elif own[name].min() == own[name].max():
                right = torch.equal(p, own[name])
            else:
                ratio = (p.std() / own[name].std()).item()
                right = abs(ratio - 1) < 6 / p.numel() ** 0.5 and not torch.equal(p, before[name])
            if not right:
                failed.append(f"{family}: {name} {before[name].std().item():.4f} -> {p.std().item():.4f}")
    assert not failed, "\n".join(failed)


def test_projections_onto_the_residual_stream_are_narrow():
    """GPT-2's rule for a child stands in its parent: 0.02 / sqrt(2 L) (Radford et al. 2019)."""
    model = tiny("gpt2", n_layer=8, n_embd=64)
    reinit_top_layers(model, 1)
    block = model.transformer.h[-1]
    for projection in (block.attn.c_proj, block.mlp.c_proj):
        assert projection.weight.std().item() == pytest.approx(0.02 / 16**0.5, rel=0.05)
    assert block.attn.c_attn.weight.std().item() == pytest.approx(0.02, rel=0.05)


def test_a_constant_that_is_drawn_again_is_no_skipped_parameter():
    model = tiny("xlnet")
    with torch.no_grad():
        for block in layer_map(model).blocks:
            block.rel_attn.q.zero_()
    model._init_weights = lambda module: [p.zero_() for p in module.parameters(recurse=False)]
    names = reinit_top_layers(model, 1)
    assert names and not any(p.any() for name, p in model.named_parameters() if name in names)


def test_a_parameter_that_the_initialiser_skips_is_an_error_and_leaves_the_model_as_it_was():
    model = tiny("bert")
    layer_map(model).blocks[-1].scale = torch.nn.Parameter(torch.ones(32))
    before = snapshot(model)
    with pytest.raises(ModelError, match=r"initialiser skips bert\.encoder\.layer\.3\.scale; set reinit_layers=0"):
        reinit_top_layers(model, 2)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_frozen_layers_are_refused():
    model = tiny("bert")
    before = snapshot(model)
    model.bert.encoder.layer[3].requires_grad_(False)
    with pytest.raises(ModelError, match=r"layer\.3\..* \(16 parameters in all\) is frozen and would stay random"):
        reinit_top_layers(model, 1)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    model.bert.encoder.layer[3].requires_grad_(True)
    model.bert.embeddings.requires_grad_(False)
    assert reinit_top_layers(model, 1)
