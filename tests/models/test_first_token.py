"""The shortened top layer: the same logits and gradients as transformers' own, less work, and left alone elsewhere."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForSequenceClassification

import ftlab as ft
from ftlab.models.first_token import FAMILIES, first_token_only
from ftlab.models.heads import HeadedModel
from tests.model_families import CONFIGS

SUITED = [*FAMILIES, "bert with a pooler"]


def make(family, *, head="auto", seed=0, **changes):
    """Make a tiny random model without dropout, its norms and biases random too."""
    torch.manual_seed(seed)
    known = CONFIGS.get(family, CONFIGS["camembert"])  # xlm-roberta is built as camembert is
    config = CONFIG_MAPPING[family](**{**known, "num_labels": 1, **changes})
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "summary_last_dropout"):
        if name not in changes and hasattr(config, name):
            setattr(config, name, 0.0)
    if head == "auto":
        model = AutoModelForSequenceClassification.from_config(config)
    else:
        model = HeadedModel(AutoModel.from_config(config), head, dropout=0.0)
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter, mean=0.5, std=0.2)
    return model.double()


def suited(name):
    return make("bert", head="pooler") if name == "bert with a pooler" else make(name)


def batch(padded=True):
    ids = torch.randint(3, 100, (5, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    if padded:
        for row, length in enumerate((12, 7, 3, 1, 10)):
            mask[row, length:] = 0
    return {"input_ids": ids, "attention_mask": mask}


def logits_and_gradients(model, inputs, shortened):
    model.zero_grad()
    with first_token_only(model) if shortened else nullcontext():
        logits = model(**inputs).logits
        (logits[:, 0] - torch.arange(5.0)).square().mean().backward()
    return logits.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("name", SUITED)
def test_logits_and_gradients_are_those_of_the_whole_layer(name, padded):
    model, inputs = suited(name), batch(padded)
    wanted, slopes = logits_and_gradients(model, inputs, shortened=False)
    found, short = logits_and_gradients(model, inputs, shortened=True)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    assert short.keys() == slopes.keys()
    for parameter, slope in slopes.items():
        torch.testing.assert_close(short[parameter], slope, rtol=1e-9, atol=1e-12, msg=parameter)
    assert np.ptp(wanted.numpy()) > 1e-5, "the texts differ"


def work(model, shortened):
    with FlopCounterMode(display=False) as counter, first_token_only(model) if shortened else nullcontext():
        model(**batch(padded=False)).logits.sum().backward()
    return counter.get_total_flops()


def test_the_work_left_out_is_as_said():
    """10 of 12 h^2 weights of one layer, for 11 of 12 tokens; counted by torch, in a model where i = 4 h."""
    model = make("bert", intermediate_size=128).float()
    saved = work(model, False) - work(model, True)
    tokens, width = 5 * 11, 32
    matrices = 6 * 10 * width**2 * tokens
    assert matrices <= saved <= matrices * 1.2, "the rest: scores of queries that are not asked"


@pytest.mark.parametrize(
    "model",
    [
        lambda: make("bert", hidden_dropout_prob=0.1),
        lambda: make("bert", attention_probs_dropout_prob=0.1),
        lambda: make("bert", head="mean"),
        lambda: make("bert", head="attention"),
        lambda: make("bert", head="concat4"),
        lambda: make("bert", attn_implementation="eager"),
        lambda: make("gpt2"),
        lambda: make("distilbert"),
        lambda: nn.Linear(3, 3),
        lambda: None,
    ],
    ids="dropout,attention dropout,mean,attention,concat4,eager,gpt2,distilbert,linear,none".split(","),
)
def test_other_models_stay_as_they_are(model):
    model = model()
    with first_token_only(model):
        changed = [] if model is None else [m for m in model.modules() if "forward" in vars(m)]
    assert not changed


def test_the_whole_layer_is_back_afterwards_also_after_an_error():
    model = make("bert")
    with pytest.raises(ZeroDivisionError), first_token_only(model, None):
        assert model.bert(**batch()).last_hidden_state.shape == (5, 1, 32)
        1 / 0  # noqa: B018
    assert model.bert(**batch()).last_hidden_state.shape == (5, 12, 32)
    assert not [m for m in model.modules() if "forward" in vars(m)]


@pytest.fixture
def runs(monkeypatch):
    """The same recipe, SWA and all, with the top layer shortened and whole."""
    monkeypatch.setenv("FTLAB_PRESET", "tiny")
    data, recipe = ft.load_data("passages"), ft.Recipe(epochs=2, swa_start=1, layer_decay=0.9)
    short = ft.fit(recipe, data, live=False)
    monkeypatch.setattr("ftlab.trainer.first_token_only", lambda *models: nullcontext())
    return short, ft.fit(recipe, data, live=False)


def test_a_run_is_the_same(runs):
    short, whole = runs
    np.testing.assert_allclose(short.history.loss, whole.history.loss, atol=1e-6)
    assert short.test_score == pytest.approx(whole.test_score, abs=1e-6)
    assert short.swa_score == pytest.approx(whole.swa_score, abs=1e-6)
    assert not [m for m in [*short.model.modules(), *short.swa_model.modules()] if "forward" in vars(m)]
