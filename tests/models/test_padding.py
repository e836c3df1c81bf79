"""A prediction depends on its text alone: not on its neighbours, on what came before, on where it was loaded from."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

import ftlab as ft
from ftlab.errors import ModelError
from ftlab.models.load import load_model, load_pretrained, load_tokenizer
from ftlab.models.padding import SEES_PADDING, max_positions
from tests.model_families import CONFIGS, MAPPED, MORE, NO_CLASSIFIER, one_thread, recipe, save, tiny, tokenizer  # noqa: F401

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore:model .*:UserWarning")]

SHORT, LONG = list(range(5, 12)), list(range(20, 43))


def padded(rows: list[list[int]], side: str, pad: int) -> dict[str, torch.Tensor]:
    """Pad texts of token numbers to the longest of them."""
    width = max(map(len, rows))
    filled = [row + [pad] * (width - len(row)) if side == "right" else [pad] * (width - len(row)) + row for row in rows]
    real = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    mask = torch.tensor([row if side == "right" else row[::-1] for row in real])
    return {"input_ids": torch.tensor(filled), "attention_mask": mask}


def spread(model: torch.nn.Module) -> torch.nn.Module:
    """Give the matrices weights so large that whatever changes an input shows in the output."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1 and parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    return model


def global_states() -> tuple:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


# Kept and restored with the weights, or made anew in each forward pass, or used in training alone.
HARMLESS = {"x_min", "x_max", "pooling_mult", "seq_len", "attention_seed", "feed_forward_seed", "layers_are_rescaled"}


def state_of(model: torch.nn.Module) -> dict[str, object]:
    """Everything in a model that is no parameter, as text or numbers."""
    found: dict[str, object] = {"config": model.config.to_json_string(use_diff=False)}
    for path, module in model.named_modules():
        found[path] = type(module).__name__
        for name, value in {**vars(module), **module._buffers}.items():
            if isinstance(value, torch.Tensor):
                found[f"{path}.{name}"] = value.tolist()
            elif isinstance(value, (bool, int, float, str, tuple)) and name != "training":
                found[f"{path}.{name}"] = value
    return {name: value for name, value in found.items() if name.rpartition(".")[2] not in HARMLESS}


def faults_of(model: torch.nn.Module, side: str, folder) -> list[str]:
    """What is wrong with a model's predictions, however short the texts and whatever came before."""
    pad, found = model.config.pad_token_id, []

    @torch.no_grad()
    def predict(*rows: list[int], with_model=None) -> torch.Tensor:
        return (with_model or model)(**padded(list(rows), side, pad)).logits[0]

    before, states = state_of(model), global_states()
    alone = predict(SHORT)
    if not torch.allclose(predict(SHORT, LONG), alone, rtol=1e-3, atol=1e-4):
        found.append("depends on its neighbours")
    for length in (1, 2, 3):
        predict(SHORT[:length])
    if global_states() != states:
        found.append("a prediction draws from a global random state")
    model.train()
    for rows in ([SHORT, LONG], [SHORT[:1]]):
        model(**padded(rows, side, pad)).logits.sum().backward()
    model.eval()
    if changed := {name for name, value in state_of(model).items() if before.get(name) != value}:
        found.append(f"training leaves {min(changed)} changed")
    if not torch.equal(predict(SHORT), alone):
        found.append("another prediction than before")
    model.save_pretrained(folder)
    if not torch.equal(predict(SHORT, LONG, with_model=load_pretrained(folder)), predict(SHORT, LONG)):
        found.append("another prediction after loading")
    return found


@pytest.mark.parametrize("families", [[*CONFIGS], [*MORE, *NO_CLASSIFIER]], ids=["mapped by hand", "further"])
def test_a_prediction_depends_on_its_text_alone(tmp_path, families):
    failed = {}
    for family in families:
        if family == "qwen2":  # its tokenizer's class adds a token to the tiny vocabulary
            continue
        folder = save(tmp_path / family, family)
        head = "mean" if family in ("t5", "umt5", *NO_CLASSIFIER) else "auto"
        model = spread(load_model(recipe(folder, head=head, max_length=32)))
        side = load_tokenizer(str(folder)).padding_side
        if found := faults_of(model, side, tmp_path / f"{family} saved"):
            failed[family] = found
    assert not failed


@pytest.mark.parametrize("head", ["mean", "attention", "concat4", "mix"])
def test_with_every_head(tmp_path, head):
    for family in ("bert", "gpt2", "xlnet", "convbert", "llama"):
        folder = save(tmp_path / family, family)
        model = spread(load_model(recipe(folder, head=head, max_length=32)))
        side = load_tokenizer(str(folder)).padding_side
        assert not faults_of(model, side, tmp_path / f"{family} saved"), family


SPECIAL = {  # what only some configurations of a family do
    "big_bird, in blocks": ("big_bird", dict(attention_type="block_sparse", block_size=2, num_random_blocks=1)),
    "llama, dynamic": ("llama", dict(rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4})),
    "phi3, long": (
        "phi3",
        dict(
            original_max_position_embeddings=16,
            rope_parameters={
                "rope_type": "longrope", "short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "rope_theta": 1e4,
                "original_max_position_embeddings": 16,
            },
        ),
    ),
    "reformer, hashing": ("reformer", dict(attn_layers=["lsh", "local"] * 2, lsh_attn_chunk_length=8, num_buckets=2)),
    "reformer, axial": ("reformer", dict(axial_pos_embds=True, axial_pos_shape=(8, 8), axial_pos_embds_dim=(16, 16))),
    "rwkv, deep": ("rwkv", dict(num_hidden_layers=13)),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_configurations(tmp_path, name):
    family, changes = SPECIAL[name]
    if family == "llama":
        changes = {**changes, "max_position_embeddings": 16}
    folder = save(tmp_path / "source", family, **changes)
    model = spread(load_model(recipe(folder, head="mean", max_length=32)))
    found = faults_of(model, "right", tmp_path / "saved")
    # the frequencies in use are made anew for each batch, and all batches have one length
    found = [fault for fault in found if not ("rotary_emb" in fault and name in ("llama, dynamic", "phi3, long"))]
    assert not found


def test_what_is_padded_is_said(tmp_path):
    def said(family: str, max_length: int, **changes) -> list[str]:
        folder = save(tmp_path / f"{family}{len(list(tmp_path.iterdir()))}", family, **changes)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            load_model(recipe(folder, max_length=max_length))
        return [str(w.message) for w in caught if "padd" in str(w.message) or "in full" in str(w.message)]

    for family in SEES_PADDING:
        [message] = said(family, 32)
        assert "its layers see the padding, so every text is padded to 32 tokens" in message
    blocks = dict(attention_type="block_sparse", block_size=2, num_random_blocks=1)  # 14 tokens or fewer never are
    assert not said("big_bird", 14, **blocks) and "is computed in full" in said("big_bird", 15, **blocks)[0]
    assert not said("bert", 32) and not said("llama", 32)


def test_a_model_that_pads_takes_the_length_of_its_new_recipe(tmp_path):
    model = load_model(recipe(save(tmp_path / "a", "fnet"), max_length=16))
    assert model.config.ftlab_padded_length == 16
    model.save_pretrained(tmp_path / "b")
    tokenizer(pad_token="[PAD]").save_pretrained(tmp_path / "b")
    assert load_pretrained(tmp_path / "b").config.ftlab_padded_length == 16
    assert load_model(recipe(tmp_path / "b", max_length=32)).config.ftlab_padded_length == 32
    ids = torch.arange(5, 10)[None]
    shape = dict(input_ids=ids, attention_mask=torch.ones_like(ids))
    assert torch.equal(model(ids).logits, model(**shape).logits), "ids alone, without a mask"
    assert not hasattr(load_model(recipe(save(tmp_path / "c", "bert"))).config, "ftlab_padded_length")


# ---------------------------------------------------------------------------------------------------- tokenizers


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "roberta", "xlnet"])
def test_texts_are_padded_on_the_side_that_the_model_can_take(tmp_path, family):
    folder = save(tmp_path, family)
    for saved in ("left", "right"):
        tokenizer(pad_token="[PAD]", unk_token="[UNK]", padding_side=saved).save_pretrained(folder)
        assert load_tokenizer(str(folder)).padding_side == ("left" if family == "xlnet" else "right")


def frame(n: int = 24) -> pd.DataFrame:
    draws = np.random.default_rng(0)
    texts = [" ".join(f"w{j}" for j in draws.integers(0, 90, 1 + i % 9)) + f" w{i}" for i in range(n)]
    return pd.DataFrame({"text": texts, "target": draws.normal(size=n)})


def fit(folder, **fields) -> ft.Run:
    fields = {"model": str(folder), "max_length": 16, "epochs": 1, "batch_size": 8, "lr": 1e-3, **fields}
    return ft.fit(ft.Recipe(**fields), ft.load_data(frame()), live=False)


@pytest.mark.parametrize(
    ("family", "fields"),
    [
        ("gpt2", {}), ("xlnet", {}), ("big_bird", {}), ("funnel", {"head": "auto"}), ("reformer", {"head": "mean"}),
        ("convbert", {}),
        ("t5", {"head": "mean", "swa_start": 0}), ("rwkv", {"head": "mix"}),
    ],
)  # fmt: skip
def test_a_run_predicts_the_same_alone_together_and_loaded(tmp_path, family, fields):
    """Through fit, with a tokenizer saved to pad on the left; texts of one token are among them."""
    folder = save(tmp_path / "model", family)
    tokenizer(pad_token="[PAD]", unk_token="[UNK]", padding_side="left").save_pretrained(folder)
    states = global_states()
    run = fit(folder, **fields)
    if family == "reformer":  # seeds torch's global generator itself, in each training step
        states = (torch.get_rng_state().tolist(), *states[1:])
    assert global_states() == states
    texts = ["w5", "w5 w6 w7", " ".join(f"w{i}" for i in range(14))]
    together = run.predict(texts)
    assert global_states() == states
    np.testing.assert_allclose(together, [float(run.predict(text)) for text in texts], rtol=1e-4, atol=1e-5)
    run.save(tmp_path / "run")
    assert np.array_equal(ft.Run.load(tmp_path / "run").predict(texts), together)


def test_tokens_without_an_embedding_are_refused(tmp_path):
    remedy = r"call model.resize_token_embeddings\(len\(tokenizer\)\) and save both again"
    folder, words = save(tmp_path / "bert", "bert"), tokenizer(pad_token="[PAD]", unk_token="[UNK]")
    words.add_tokens(["<user>", "<url>"])
    words.save_pretrained(folder)
    with pytest.raises(ModelError, match=f"its tokenizer has 102 tokens, its embeddings 100; {remedy}"):
        fit(folder)
    resized = transformers.AutoModel.from_pretrained(folder)
    resized.resize_token_embeddings(len(words))
    resized.save_pretrained(folder)
    fit(folder)
    for family in ("gpt2", "llama"):  # a padding token of their own: refused before the model is made
        folder = save(tmp_path / family, family, pad_token_id=None)
        words = tokenizer(eos_token="<|end|>", unk_token="[UNK]")
        words.add_special_tokens({"pad_token": "<pad>"})
        words.save_pretrained(folder)
        for load in (load_tokenizer, lambda name: load_model(recipe(name))):
            with pytest.raises(ModelError, match=f"its tokenizer has 101 tokens, its embeddings 100; {remedy}"):
                load(str(folder))


# ------------------------------------------------------------------------------------------------------ lengths


def test_the_position_limit_holds_where_positions_are_absolute():
    """One token more than the limit raises an error in the model itself; without a limit 80 tokens work."""
    failed = []
    for family in MAPPED:
        model = tiny(family).eval()
        limit = max_positions(model)

        @torch.no_grad()
        def works(tokens: int, model=model) -> bool:
            try:
                ids = torch.full((1, tokens), 7)
                return bool(model(input_ids=ids, attention_mask=torch.ones_like(ids)))
            except (IndexError, RuntimeError, ValueError):
                return False

        if limit is None and not works(80):
            failed.append(f"{family} has a limit")
        if limit is not None and (works(limit + 1) or not works(limit)):
            failed.append(f"{family} has another limit than {limit}")
    assert not failed


def test_rotary_positions_go_on(tmp_path):
    folder = save(tmp_path / "llama", "llama", max_position_embeddings=8)
    run = fit(folder, max_length=16)
    assert np.isfinite(run.test_score)
    with pytest.raises(ModelError, match="max_length: 16 tokens, but .* has 8 positions; use 8 or less"):
        fit(save(tmp_path / "gpt2", "gpt2", n_positions=8), max_length=16)
