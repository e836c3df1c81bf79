"""Layer-wise rates: the article's numbers for every parameter, every family, each parameter once."""

import pytest
import torch
from model_families import CONFIGS, one_thread, tiny  # noqa: F401
from transformers import RobertaConfig, RobertaForSequenceClassification

from ftlab.errors import ModelError, RecipeError
from ftlab.llrd import grouped_param_groups, param_groups
from ftlab.models import layer_map

NO_DECAY = ("bias", "LayerNorm.weight")


@pytest.fixture(scope="module")
def roberta():
    """roberta-base's shape, in small: 12 layers, and the pooler that the article's model has."""
    config = RobertaConfig(
        num_hidden_layers=12,
        hidden_size=16,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
        num_labels=1,
    )
    return RobertaForSequenceClassification(config)


def by_parameter(groups, model):
    """{parameter name: (rate, weight decay)}; each parameter must be in exactly one group."""
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    found = [(names[id(p)], (g["lr"], g["weight_decay"])) for g in groups for p in g["params"]]
    assert len(found) == len(dict(found)) == len(names)
    return dict(found)


def the_articles_rates(model):
    """The article's own loop over tensors: from the head down, times 0.9 a layer, the embeddings last."""
    wanted, rate = {}, 3.5e-6
    named = list(model.named_parameters())
    for name, _ in named:
        if "classifier" in name or "pooler" in name:
            wanted[name] = 3.6e-6
    for layer in range(11, -1, -1):
        for name, _ in named:
            if f"encoder.layer.{layer}." in name:
                wanted[name] = rate
        rate *= 0.9
    for name, _ in named:
        if "embeddings" in name:
            wanted[name] = rate
    return {name: (wanted[name], 0.0 if name.endswith(NO_DECAY) else 0.01) for name, _ in named}


def test_every_parameter_has_the_articles_rate(roberta):
    groups = param_groups(roberta, lr=3.5e-6, head_lr=3.6e-6, layer_decay=0.9, weight_decay=0.01)
    got = by_parameter(groups, roberta)
    assert got == the_articles_rates(roberta)
    assert got["roberta.embeddings.word_embeddings.weight"][0] == pytest.approx(9.885033776835e-07, rel=1e-12)
    assert got["roberta.encoder.layer.0.output.dense.weight"][0] == pytest.approx(
        1.098337086315e-06, rel=1e-12
    )
    assert got["roberta.encoder.layer.11.output.dense.weight"][0] == 3.5e-06
    assert len(groups) == 28, "14 places, with and without weight decay, and not one group a tensor"


def test_the_articles_groups(roberta):
    groups = grouped_param_groups(roberta, lrs=(1e-6, 1.75e-6, 3.5e-6), head_lr=3.6e-6)
    rates = {}
    for group in groups:
        rates.setdefault(group["layer"], group["lr"])
    assert list(rates.values()) == [1e-6] * 5 + [1.75e-6] * 4 + [3.5e-6] * 4 + [3.6e-6]
    by_parameter(groups, roberta)


@pytest.mark.parametrize(
    "family", [f for f in CONFIGS if f not in ("t5", "umt5")]
)  # refused by the layer map
@pytest.mark.usefixtures("one_thread")
def test_every_family_has_each_parameter_once_and_rates_that_rise(family):
    model = tiny(family)
    if layer_map(model).shared:
        with pytest.raises(ModelError, match="applies the same layer's weights"):
            param_groups(model, lr=1e-4, layer_decay=0.9)
        by_parameter(param_groups(model, lr=1e-4), model)
        return
    groups = param_groups(model, lr=1e-4, head_lr=2e-4, layer_decay=0.5)
    by_parameter(groups, model)
    for group in groups:
        assert group["name"].startswith(group["layer"])
        assert (group["weight_decay"] == 0) == all(p.ndim <= 1 for p in group["params"])
    rates = {group["layer"]: group["lr"] for group in groups}
    assert rates["layer.3"] == 1e-4 and rates["layer.0"] == 1e-4 / 8 and rates["head"] == 2e-4
    assert rates.get("embeddings", 1e-4 / 16) == 1e-4 / 16


def test_a_decay_of_zero_freezes_all_but_top_and_head(roberta):
    before = {name: p.clone() for name, p in roberta.named_parameters()}
    optimizer = torch.optim.AdamW(param_groups(roberta, lr=1e-2, layer_decay=0.0))
    roberta(torch.arange(3, 9)[None], labels=torch.ones(1, 1)).loss.backward()
    optimizer.step()
    moved = {name for name, p in roberta.named_parameters() if not torch.equal(p, before[name])}
    assert moved and all("layer.11." in name or "classifier" in name for name in moved)


def test_frozen_parameters_are_left_out():
    config = RobertaConfig(
        num_hidden_layers=2, hidden_size=16, num_attention_heads=2, intermediate_size=32, vocab_size=50
    )
    model = RobertaForSequenceClassification(config)
    model.roberta.embeddings.requires_grad_(False)
    assert "embeddings" not in {g["layer"] for g in param_groups(model, lr=1e-4)}


def test_more_groups_than_layers(roberta):
    with pytest.raises(RecipeError, match="13 groups for 12 layers"):
        grouped_param_groups(roberta, lrs=[1e-5] * 13)
