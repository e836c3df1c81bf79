"""Layer-wise rates: the article's numbers for every parameter, every family, each parameter once."""

import pytest
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification, Trainer

from ftlab.errors import ModelError, RecipeError
from ftlab.models.layer_map import layer_map
from ftlab.techniques.llrd import CONVENTIONS, convention_rates, grouped_param_groups, merge_groups, param_groups
from tests.model_families import MAPPED, one_thread, tiny  # noqa: F401

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
    assert got["roberta.encoder.layer.0.output.dense.weight"][0] == pytest.approx(1.098337086315e-06, rel=1e-12)
    assert got["roberta.encoder.layer.11.output.dense.weight"][0] == 3.5e-06
    assert len(groups) == 28, "14 places, with and without weight decay, and not one group a tensor"


def test_the_articles_groups(roberta):
    groups = grouped_param_groups(roberta, lrs=(1e-6, 1.75e-6, 3.5e-6), head_lr=3.6e-6)
    rates = {}
    for group in groups:
        rates.setdefault(group["layer"], group["lr"])
    assert list(rates.values()) == [1e-6] * 5 + [1.75e-6] * 4 + [3.5e-6] * 4 + [3.6e-6]
    by_parameter(groups, roberta)


@pytest.mark.usefixtures("one_thread")
def test_every_family_has_each_parameter_once_rates_that_rise_and_trainers_weight_decay():
    failed = []
    for family in MAPPED:
        model = tiny(family)
        if layer_map(model).shared:
            with pytest.raises(ModelError, match="applies the same layer's weights"):
                param_groups(model, lr=1e-4, layer_decay=0.9)
            groups = param_groups(model, lr=1e-4)
        else:
            groups = param_groups(model, lr=1e-4, head_lr=2e-4, layer_decay=0.5)
            rates = {group["layer"]: group["lr"] for group in groups}
            expected = {"embeddings": 1e-4 / 16, "layer.3": 1e-4, "layer.0": 1e-4 / 8, "head": 2e-4}
            if (
                any(rates[layer] != expected[layer] for layer in rates.keys() & expected.keys())
                or "layer.0" not in rates
            ):
                failed.append(f"{family}: {rates}")
        failed += [f"{family}: {group['name']}" for group in groups if not group["name"].startswith(group["layer"])]
        decays = {name: decay > 0 for name, (_, decay) in by_parameter(groups, model).items()}
        if family == "roberta-prelayernorm":
            continue  # Trainer takes the whole model for a norm, for its name
        trainers = Trainer.get_decay_parameter_names(None, model)
        for name, p in ((name, p) for name, p in model.named_parameters() if p.requires_grad):
            # one vector has no decay here and has it there: what is neither called a bias nor a norm, as Mamba's D
            if decays[name] != (name in trainers and p.ndim > 1):
                failed.append(f"{family}: {name} of {p.ndim} dimensions, decay {decays[name]}")
    assert not failed, "\n".join(failed)


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


def test_bad_rates_are_refused_by_name(roberta):
    with pytest.raises(RecipeError, match="lrs: the list of rates is empty"):
        grouped_param_groups(roberta, lrs=[])
    for decay in (-0.1, 1.1, float("nan")):
        with pytest.raises(RecipeError, match=r"layer_decay: .* (range|number); allowed: \[0, 1\]"):
            param_groups(roberta, lr=1e-4, layer_decay=decay)


@pytest.mark.parametrize("num_groups", range(1, 13))
def test_groups_are_as_even_as_the_layers_allow(roberta, num_groups):
    lrs = [1e-5 * (i + 1) for i in range(num_groups)]
    rates = {g["layer"]: g["lr"] for g in grouped_param_groups(roberta, lrs=lrs)}
    layers = [rates[f"layer.{i}"] for i in range(12)]
    sizes = [layers.count(lr) for lr in lrs]
    assert layers == sorted(layers) and sum(sizes) == 12 and max(sizes) - min(sizes) <= 1
    assert rates["embeddings"] == lrs[0] and rates["head"] == lrs[-1]


def test_groups_with_equal_settings_are_merged(roberta):
    groups = grouped_param_groups(roberta, lrs=(1e-6, 1.75e-6, 3.5e-6), head_lr=3.6e-6)
    merged = merge_groups(groups)
    assert by_parameter(merged, roberta) == by_parameter(groups, roberta)
    assert [group["name"] for group in merged] == [
        "embeddings to layer.3, decay", "embeddings to layer.3, no decay", "layer.4 to layer.7, decay",
        "layer.4 to layer.7, no decay", "layer.8 to layer.11, decay", "layer.8 to layer.11, no decay",
        "head, decay", "head, no decay",
    ]  # fmt: skip
    assert merged[0]["layers"] == ["embeddings", "layer.0", "layer.1", "layer.2", "layer.3"]
    assert len(merge_groups(param_groups(roberta, lr=1e-4))) == 2, "the baseline"
    assert len(merge_groups(param_groups(roberta, lr=1e-4, layer_decay=0.9, head_lr=1e-5))) == 28
    apart = merge_groups(grouped_param_groups(roberta, lrs=(1e-6, 2e-6), head_lr=1e-6))
    assert apart[0]["name"].endswith("layer.5, head, decay")


def test_merging_changes_no_update(roberta):
    """AdamW with one group a tensor, with one a layer, and with merged groups: the same weights, bit for bit."""
    torch.manual_seed(0)
    gradients = [torch.randn_like(p) for p in roberta.parameters()]
    start = [p.detach().clone() for p in roberta.parameters()]
    ends = []
    groups = grouped_param_groups(roberta, lrs=(1e-3, 2e-3), head_lr=3e-3)
    each = [{**group, "params": [p]} for group in groups for p in group["params"]]
    for form in (groups, each, merge_groups(groups)):
        optimizer = torch.optim.AdamW(form)
        for _ in range(3):
            for p, gradient in zip(roberta.parameters(), gradients, strict=True):
                p.grad = gradient.clone()
            optimizer.step()
        ends.append([p.detach().clone() for p in roberta.parameters()])
        with torch.no_grad():
            for p, value in zip(roberta.parameters(), start, strict=True):
                p.copy_(value)
    for other in ends[1:]:
        assert all(torch.equal(a, b) for a, b in zip(ends[0], other, strict=True))
    assert not torch.equal(ends[0][0], start[0])


def test_conventions():
    """Against each source's own way of counting: from the input (timm, ELECTRA), in a loop from the top (Zhang)."""
    lr, decay, num_layers = 1e-3, 0.75, 12
    timm = [lr * decay ** (num_layers + 1 - layer_id) for layer_id in range(num_layers + 2)]
    electra = [lr * decay ** (num_layers + 2 - depth) for depth in [*range(num_layers + 1), num_layers + 2]]
    zhang, rate = [lr], lr
    for _ in range(num_layers + 1):
        rate *= decay
        zhang.insert(0, rate)
    wanted = {"timm": timm, "ELECTRA": electra, "Zhang et al. 2021, code": zhang}
    for name, rates in wanted.items():
        assert convention_rates(name, num_layers, lr=lr, layer_decay=decay).tolist() == pytest.approx(rates, rel=1e-12)
    article = convention_rates("article", num_layers, lr=lr, layer_decay=decay)
    assert article[-2] == article[-1] == lr and article[0] == pytest.approx(lr * decay**num_layers)
    assert set(wanted) | {"article"} == set(CONVENTIONS)
    assert convention_rates("timm", 2, lr=1.0, layer_decay=0.0).tolist() == [0, 0, 0, 1]
    with pytest.raises(RecipeError, match="'keras' is unknown. Known: article"):
        convention_rates("keras", 12, lr=lr, layer_decay=decay)
