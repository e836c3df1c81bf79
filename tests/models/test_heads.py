"""The heads against their formulas, worked out by hand on the backbone's own outputs; decoders; padding."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy, linear, mse_loss
from transformers import AutoModel, BertForSequenceClassification

from ftlab.errors import ModelError
from ftlab.models.heads import HEADS, final_inputs, final_linear, reads_left_to_right
from ftlab.models.load import load_model, load_tokenizer, tiny_model
from ftlab.recipe import HEADS as RECIPE_HEADS
from tests.model_families import CONFIGS, batch, one_thread, recipe, save, tiny  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


def pooled_by_hand(head: str, model, outputs, lengths: list[int]) -> torch.Tensor:
    """Pool text by text, real tokens only, with the formulas of the article."""
    hidden = outputs.last_hidden_state
    if head == "mean":
        return torch.stack([hidden[i, :n].mean(0) for i, n in enumerate(lengths)])
    if head == "concat4":
        return torch.stack([torch.cat([layer[i, 0] for layer in outputs.hidden_states[-4:]]) for i in range(2)])
    if head == "mix":
        weights = model.head.weights.exp() / model.head.weights.exp().sum()
        means = [torch.stack([layer[i, :n].mean(0) for i, n in enumerate(lengths)]) for layer in outputs.hidden_states]
        assert len(means) == len(weights) == 7, "the embeddings' output and six layers"
        return model.head.scale * sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    if head == "pooler":
        return torch.tanh(hidden[:, 0] @ model.backbone.pooler.dense.weight.T + model.backbone.pooler.dense.bias)
    first, _, second = model.head.attention
    pooled = []
    for i, n in enumerate(lengths):
        energy = torch.tanh(hidden[i, :n] @ first.weight.T + first.bias) @ second.weight.T + second.bias  # (n, 1)
        weights = energy.exp() / energy.exp().sum()
        pooled.append((weights * hidden[i, :n]).sum(0))
    return torch.stack(pooled)


@pytest.mark.parametrize("head", HEADS)
def test_each_head_is_its_formula(head):
    model = load_model(recipe(head=head, seed=2), task="classification", labels=["a", "b", "c"])
    if head == "mix":
        with torch.no_grad():
            model.head.weights.copy_(torch.linspace(-1, 1, 7))
            model.head.scale.fill_(1.7)
    texts = ["Short.", "A text that is a good deal longer than the other one."]
    inputs = load_tokenizer("minilm")(texts, padding=True, return_tensors="pt")
    outputs = model.backbone(**inputs, output_hidden_states=True)
    pooled = pooled_by_hand(head, model, outputs, inputs.attention_mask.sum(1).tolist())
    logits = model(**inputs).logits
    expected = linear(pooled, model.head.linear.weight, model.head.linear.bias)
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    # padding changes nothing
    alone = torch.cat([model(**load_tokenizer("minilm")(text, return_tensors="pt")).logits for text in texts])
    torch.testing.assert_close(logits, alone, rtol=1e-5, atol=1e-6)


def test_the_pooler_head_is_what_bert_does_itself():
    ours = load_model(recipe(head="pooler"))
    theirs = load_model(recipe(head="auto"))
    assert isinstance(theirs, BertForSequenceClassification)
    theirs.classifier.load_state_dict(ours.head.linear.state_dict())
    assert torch.equal(ours(**batch()).logits, theirs(**batch()).logits)


@pytest.mark.parametrize("head", HEADS)
def test_fresh_weights(head):
    model = load_model(recipe(head=head, seed=1))
    shapes = {name: tuple(p.shape) for name, p in model.head.named_parameters()}
    assert shapes == {"linear.weight": (1, 4 * 384 if head == "concat4" else 384), "linear.bias": (1,)} | (
        {
            "attention.0.weight": (512, 384), "attention.0.bias": (512,),
            "attention.2.weight": (1, 512), "attention.2.bias": (1,),
        }
        if head == "attention"
        else {"weights": (7,), "scale": (1,)}
        if head == "mix"
        else {}
    )  # fmt: skip
    for name, parameter in model.head.named_parameters():
        if name in ("weights", "scale"):  # the plain mean of all depths
            assert torch.equal(parameter, torch.full_like(parameter, name == "scale"))
        elif name.endswith("bias"):
            assert not parameter.any()
        else:
            assert abs(parameter.std().item() - 0.02) < 0.004 and abs(parameter.mean().item()) < 0.004
    again, other = load_model(recipe(head=head, seed=1)), load_model(recipe(head=head, seed=2))
    assert torch.equal(again.head.linear.weight, model.head.linear.weight)
    assert not torch.equal(other.head.linear.weight, model.head.linear.weight)


def test_only_the_pooler_head_keeps_the_pooler():
    kept = {head: load_model(recipe(head=head)).backbone.pooler is not None for head in HEADS}
    assert [head for head in HEADS if kept[head]] == ["pooler"]


def test_every_parameter_gets_a_gradient():
    for head in HEADS:
        model = tiny_model(recipe(head=head))
        model(**batch()).logits.sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters()), head


def test_losses():
    inputs, values, classes = batch(), torch.tensor([0.5, -1.0]), torch.tensor([1, 0])
    model = tiny_model(recipe(head="mean"))
    found = model(**inputs, labels=values)
    assert torch.equal(found.loss, mse_loss(found.logits[:, 0], values))
    model = tiny_model(recipe(head="mean"), task="classification", labels=["a", "b"])
    found = model(**inputs, labels=classes)
    assert torch.equal(found.loss, cross_entropy(found.logits, classes))
    assert model(**inputs).loss is None


def test_without_a_mask_every_token_is_real():
    model = tiny_model(recipe(head="mean"))
    ids = batch()["input_ids"]
    assert torch.equal(model(ids).logits, model(ids, attention_mask=torch.ones_like(ids)).logits)


# -------------------------------------------------------------------------------------------------- decoders


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_concat4_reads_the_token_that_has_seen_the_whole_text(tmp_path, family, side):
    save(tmp_path, family)
    model = load_model(recipe(tmp_path, head="concat4"))
    inputs = batch()
    if side == "left":
        inputs = {name: tensor.flip(1) for name, tensor in inputs.items()}
    # the first real token of an encoder, the last of a decoder, in each text
    where = {
        ("bert", "right"): [0, 0],
        ("bert", "left"): [0, 4],
        ("gpt2", "right"): [9, 5],
        ("gpt2", "left"): [9, 9],
        ("llama", "right"): [9, 5],
        ("llama", "left"): [9, 9],
    }[family, side]
    layers = model.backbone(**inputs, output_hidden_states=True).hidden_states
    vectors = torch.stack([torch.cat([layer[i, j] for layer in layers[-4:]]) for i, j in enumerate(where)])
    assert torch.equal(model(**inputs).logits, model.head.linear(vectors))


@pytest.mark.parametrize("head", ["auto", "mean", "attention", "concat4", "mix"])
def test_padding_changes_nothing_in_a_decoder(tmp_path, head):
    model = load_model(recipe(save(tmp_path, "llama"), head=head))
    inputs = batch()
    alone = model(input_ids=inputs["input_ids"][1:, :6], attention_mask=torch.ones(1, 6, dtype=torch.long)).logits
    torch.testing.assert_close(model(**inputs).logits[1:], alone, rtol=1e-5, atol=1e-6)


def test_which_families_read_left_to_right():
    from transformers import CONFIG_MAPPING

    last = {family: reads_left_to_right(CONFIG_MAPPING[family]()) for family in ("gpt2", "llama", "opt", "xlnet")}
    first = {
        family: reads_left_to_right(CONFIG_MAPPING[family]()) for family in ("bert", "roberta", "modernbert", "t5")
    }
    assert all(last.values()) and not any(first.values())


def test_heads_that_a_model_cannot_have(tmp_path):
    with pytest.raises(
        ModelError, match="head 'pooler': gpt2 has no pooler; use one of 'mean', 'attention', 'concat4', 'mix'"
    ):
        load_model(recipe(save(tmp_path, "gpt2"), head="pooler"))
    with pytest.raises(ModelError, match="head 'concat4' needs 4 layers of 3"):
        tiny_model(recipe(head="concat4"), num_layers=3)


def test_the_plain_backbone_is_untouched_by_the_head(tmp_path):
    save(tmp_path, "distilbert")
    model = load_model(recipe(tmp_path, head="mean"))
    plain = AutoModel.from_pretrained(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.backbone.parameters(), plain.parameters(), strict=True))


# ------------------------------------------------------------------------------------------ the final linear layer


def test_the_final_linear_layer_makes_the_logits_of_every_head_and_family():
    assert RECIPE_HEADS == ("auto", *HEADS)
    models = {head: tiny_model(recipe(head=head), task="classification", labels="abc") for head in HEADS}
    models |= {family: tiny(family, num_labels=3).eval() for family in CONFIGS if family not in ("t5", "umt5")}
    failed = []
    for name, model in models.items():
        inputs, layer = batch(model.config.pad_token_id), final_linear(model)
        vectors = final_inputs(model, inputs)
        with torch.no_grad():
            before = model(**inputs).logits
            layer.weight.copy_(torch.randn_like(layer.weight))  # nothing else may decide the logits
            expected = linear(vectors, layer.weight, layer.bias)
            after = model(**inputs).logits
        right = torch.allclose(after, expected, rtol=1e-5, atol=1e-6) and not torch.allclose(before, after)
        if not right or vectors.requires_grad or layer.weight.grad is not None:
            failed.append(name)
    assert not failed and torch.is_grad_enabled()


def test_a_model_without_a_final_linear_layer_is_refused():
    model = tiny("bert").bert
    with pytest.raises(ModelError, match="BertModel ends in no linear layer with one output a label"):
        final_linear(model)
    model = tiny("bert")
    model.register_forward_hook(lambda _, inputs, output: type(output)(logits=output.logits.exp()))
    with pytest.raises(ModelError, match="logits of BertForSequenceClassification are not the output of its last"):
        final_inputs(model, batch())
