"""Layer maps of many families against names written by hand; loading, dropout, saving, bad input."""

from __future__ import annotations

import json
import logging

import pytest
import torch
import transformers
from huggingface_hub.utils import are_progress_bars_disabled
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.utils import logging as hf_logging

from ftlab.errors import ModelError
from ftlab.models.heads import HEADS
from ftlab.models.hub import minilm_folder
from ftlab.models.layer_map import layer_map
from ftlab.models.load import load_model, load_pretrained, load_tokenizer, tiny_model
from ftlab.models.padding import max_positions
from tests.model_families import CONFIGS, L, batch, one_thread, recipe, save, tiny, tokenizer  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["The cat sat on the mat.", "A longer sentence, of which the shorter one is padded to the length."]

# ------------------------------------------------------------------------------------------------ layer maps

# Of each family a few names, written by hand: place -> parameters that belong there; "top" is the last layer.
BERT_LIKE = {
    "embeddings": ["{}.embeddings.word_embeddings.weight", "{}.embeddings.LayerNorm.bias"],
    "layer.0": ["{}.encoder.layer.0.attention.self.query.weight"],
    "layer.1": ["{}.encoder.layer.1.attention.output.LayerNorm.weight"],
    "top": ["{}.encoder.layer.3.output.dense.bias"],
    "head": [],
}
LLAMA_LIKE = {
    "embeddings": ["model.embed_tokens.weight"],
    "layer.0": ["model.layers.0.self_attn.q_proj.weight"],
    "layer.2": ["model.layers.2.mlp.down_proj.weight"],
    "top": ["model.norm.weight", "model.layers.3.self_attn.o_proj.weight"],
    "head": ["score.weight"],
}
GPT_LIKE = {
    "embeddings": ["transformer.wte.weight"],
    "layer.0": ["transformer.h.0.ln_1.weight"],
    "top": ["transformer.ln_f.weight", "transformer.h.3.ln_1.bias"],
    "head": ["score.weight"],
}


def bert_like(prefix: str, **more: list[str]) -> dict[str, list[str]]:
    extra = {place.replace("_", "."): names for place, names in more.items()}
    return {
        place: [*extra.get(place, []), *(name.format(prefix) for name in names)] for place, names in BERT_LIKE.items()
    }


ROBERTA_HEAD = ["classifier.dense.weight", "classifier.out_proj.bias"]
EXPECTED = {
    "bert": bert_like("bert", head=["bert.pooler.dense.weight", "classifier.weight"]),
    "big_bird": bert_like("bert", head=["bert.pooler.weight", "classifier.dense.weight"]),
    "bloom": {
        "embeddings": ["transformer.word_embeddings_layernorm.weight", "transformer.word_embeddings.weight"],
        "layer.0": ["transformer.h.0.input_layernorm.weight"],
        "top": ["transformer.ln_f.weight", "transformer.h.3.mlp.dense_h_to_4h.weight"],
        "head": ["score.weight"],
    },
    "camembert": bert_like("roberta", head=ROBERTA_HEAD),
    "data2vec-text": bert_like("data2vec_text", head=ROBERTA_HEAD),
    "deberta": {
        "embeddings": ["deberta.encoder.rel_embeddings.weight", "deberta.embeddings.LayerNorm.weight"],
        "layer.0": ["deberta.encoder.layer.0.attention.self.in_proj.weight"],
        "top": ["deberta.encoder.layer.3.output.LayerNorm.weight"],
        "head": ["pooler.dense.weight", "classifier.bias"],
    },
    "deberta-v2": {
        "embeddings": ["deberta.encoder.LayerNorm.weight", "deberta.encoder.rel_embeddings.weight"],
        "layer.0": ["deberta.encoder.conv.conv.weight", "deberta.encoder.conv.LayerNorm.bias"],
        "layer.1": ["deberta.encoder.layer.1.attention.self.query_proj.weight"],
        "top": ["deberta.encoder.layer.3.output.LayerNorm.weight"],
        "head": ["pooler.dense.weight", "classifier.weight"],
    },
    "distilbert": {
        "embeddings": ["distilbert.embeddings.position_embeddings.weight"],
        "layer.0": ["distilbert.transformer.layer.0.attention.q_lin.weight"],
        "top": ["distilbert.transformer.layer.3.ffn.lin2.bias"],
        "head": ["pre_classifier.weight", "classifier.weight"],
    },
    "electra": bert_like("electra", embeddings=["electra.embeddings_project.weight"], head=ROBERTA_HEAD),
    "ernie": bert_like("ernie", head=["ernie.pooler.dense.bias", "classifier.weight"]),
    "eurobert": LLAMA_LIKE | {"head": ["dense.weight", "classifier.weight"]},
    "falcon": {
        "embeddings": ["transformer.word_embeddings.weight"],
        "layer.0": ["transformer.h.0.self_attention.query_key_value.weight"],
        "top": ["transformer.ln_f.bias"],
        "head": ["score.weight"],
    },
    "funnel": {
        "embeddings": ["funnel.embeddings.layer_norm.weight"],
        "layer.0": ["funnel.encoder.blocks.0.0.attention.q_head.weight"],
        "layer.1": ["funnel.encoder.blocks.0.1.ffn.linear_1.weight"],
        "layer.2": ["funnel.encoder.blocks.1.0.attention.q_head.weight"],
        "top": ["funnel.encoder.blocks.2.0.ffn.layer_norm.weight"],
        "head": ["classifier.linear_hidden.weight"],
    },
    "gemma": LLAMA_LIKE,
    "gemma2": LLAMA_LIKE,
    "gpt2": GPT_LIKE | {"embeddings": ["transformer.wpe.weight", "transformer.wte.weight"]},
    "gpt_neo": GPT_LIKE | {"embeddings": ["transformer.wpe.weight", "transformer.wte.weight"]},
    "gpt_neox": {
        "embeddings": ["gpt_neox.embed_in.weight"],
        "layer.0": ["gpt_neox.layers.0.attention.query_key_value.weight"],
        "top": ["gpt_neox.final_layer_norm.weight"],
        "head": ["score.weight"],
    },
    "gptj": GPT_LIKE,
    "llama": LLAMA_LIKE,
    "longformer": bert_like(
        "longformer",
        layer_1=["longformer.encoder.layer.1.attention.self.key_global.weight"],
        head=ROBERTA_HEAD,
    ),
    "megatron-bert": {
        "embeddings": ["bert.embeddings.word_embeddings.weight"],
        "layer.0": ["bert.encoder.layer.0.attention.ln.weight"],
        "top": ["bert.encoder.ln.weight", "bert.encoder.layer.3.ln.bias"],
        "head": ["bert.pooler.dense.weight", "classifier.weight"],
    },
    "mistral": LLAMA_LIKE,
    "modernbert": {
        "embeddings": ["model.embeddings.norm.weight", "model.embeddings.tok_embeddings.weight"],
        "layer.0": ["model.layers.0.attn.Wqkv.weight"],
        "top": ["model.final_norm.weight", "model.layers.3.mlp.Wo.weight"],
        "head": ["head.norm.weight", "head.dense.weight", "classifier.weight"],
    },
    "mpnet": {
        "embeddings": ["mpnet.encoder.relative_attention_bias.weight", "mpnet.embeddings.LayerNorm.weight"],
        "layer.0": ["mpnet.encoder.layer.0.attention.attn.q.weight"],
        "top": ["mpnet.encoder.layer.3.output.LayerNorm.weight"],
        "head": ROBERTA_HEAD,
    },
    "mpt": {
        "embeddings": ["transformer.wte.weight"],
        "layer.0": ["transformer.blocks.0.attn.Wqkv.weight"],
        "top": ["transformer.norm_f.weight"],
        "head": ["score.weight"],
    },
    "nomic_bert": {
        "embeddings": ["nomic_bert.embeddings.LayerNorm.weight"],
        "layer.0": ["nomic_bert.layers.0.self_attn.q_proj.weight"],
        "top": ["nomic_bert.layers.3.mlp.down_proj.weight"],
        "head": ["nomic_bert.pooler.dense.weight", "classifier.weight"],
    },
    "olmo2": LLAMA_LIKE,
    "openai-gpt": {
        "embeddings": ["transformer.positions_embed.weight", "transformer.tokens_embed.weight"],
        "layer.0": ["transformer.h.0.attn.c_attn.weight"],
        "top": ["transformer.h.3.ln_2.bias"],
        "head": ["score.weight"],
    },
    "opt": {
        "embeddings": ["model.decoder.project_in.weight", "model.decoder.embed_positions.weight"],
        "layer.0": ["model.decoder.layers.0.final_layer_norm.weight"],
        "top": ["model.decoder.final_layer_norm.weight", "model.decoder.project_out.weight"],
        "head": ["score.weight"],
    },
    "phi": {
        "embeddings": ["model.embed_tokens.weight"],
        "layer.0": ["model.layers.0.self_attn.dense.bias"],
        "top": ["model.final_layernorm.weight"],
        "head": ["score.weight"],
    },
    "qwen2": LLAMA_LIKE,
    "qwen3": LLAMA_LIKE,
    "rembert": bert_like(
        "rembert",
        embeddings=["rembert.encoder.embedding_hidden_mapping_in.weight"],
        head=["rembert.pooler.dense.bias"],
    ),
    "roberta": bert_like("roberta", head=ROBERTA_HEAD),
    "roberta-prelayernorm": {
        "embeddings": ["roberta_prelayernorm.embeddings.LayerNorm.weight"],
        "layer.0": ["roberta_prelayernorm.encoder.layer.0.attention.LayerNorm.weight"],
        "top": ["roberta_prelayernorm.LayerNorm.weight"],
        "head": ROBERTA_HEAD,
    },
    "roformer": bert_like(
        "roformer",
        embeddings=["roformer.encoder.embed_positions.weight", "roformer.embeddings_project.weight"],
        head=ROBERTA_HEAD,
    ),
    "xlm-roberta": bert_like("roberta", head=ROBERTA_HEAD),
    "xlm-roberta-xl": {
        "embeddings": ["roberta.embeddings.word_embeddings.weight"],
        "layer.0": ["roberta.encoder.layer.0.LayerNorm.weight"],
        "top": ["roberta.encoder.LayerNorm.weight"],
        "head": ROBERTA_HEAD,
    },
    "xlnet": {
        "embeddings": ["transformer.mask_emb", "transformer.word_embedding.weight"],
        "layer.0": ["transformer.layer.0.rel_attn.r_w_bias"],
        "top": ["transformer.layer.3.ff.layer_norm.weight"],
        "head": ["sequence_summary.summary.weight", "logits_proj.weight"],
    },
}  # fmt: skip


@pytest.mark.parametrize("family", EXPECTED)
def test_layer_map_of_each_family(family):
    model = tiny(family)
    found = layer_map(model)
    names = [name for name, _ in model.named_parameters()]
    assert list(found.place) == names  # each parameter once, in order
    assert found.num_layers == L == len(found.blocks) and found.shared is None and found.family == family
    assert found.layers == ["embeddings", *(f"layer.{i}" for i in range(L)), "head"]
    for place, expected in EXPECTED[family].items():
        place = f"layer.{L - 1}" if place == "top" else place
        assert {name: found.place[name] for name in expected} == dict.fromkeys(expected, place)
    counts = found.counts()
    assert list(counts) == found.layers and all(counts.values())
    assert sum(counts.values()) == sum(p.numel() for p in model.parameters()) == model.num_parameters()
    # a final norm is of the top layer and none of its block
    in_top = {id(p) for name, p in model.named_parameters() if found.place[name] == found.layers[-2]}
    norm = set() if found.final_norm is None else {id(p) for p in found.final_norm.parameters()}
    assert norm <= in_top - {id(p) for p in found.blocks[-1].parameters()}
    # what the map says is used: a gradient reaches every place
    model(**batch(model.config.pad_token_id)).logits.sum().backward()
    reached = {found.place[name] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert reached == set(found.layers)


@pytest.mark.parametrize("family", ["bert", "gpt2", "modernbert", "opt"])
def test_blocks_are_in_the_order_in_which_they_run(family):
    model = tiny(family).eval()
    ran = []
    for i, block in enumerate(layer_map(model).blocks):
        block.register_forward_hook(lambda *_, i=i: ran.append(i))
    model(**batch())
    assert ran == list(range(L))


def test_pooler_and_final_norm_are_the_modules_themselves():
    bert, gpt2, deberta = tiny("bert"), tiny("gpt2"), tiny("deberta-v2")
    assert layer_map(bert).pooler is bert.bert.pooler and layer_map(bert).final_norm is None
    assert layer_map(gpt2).final_norm is gpt2.transformer.ln_f and layer_map(gpt2).pooler is None
    assert layer_map(deberta).pooler is deberta.pooler and layer_map(deberta).final_norm is None
    assert layer_map(bert).blocks[2] is bert.bert.encoder.layer[2]


def test_a_backbone_without_a_head_has_a_map_too():
    found = layer_map(tiny("bert").bert)
    assert found.place["encoder.layer.1.output.dense.weight"] == "layer.1"
    assert found.place["pooler.dense.weight"] == "head"


def test_albert_shares_one_layer():
    model = tiny("albert")
    found = layer_map(model)
    assert found.layers == ["embeddings", "layer.0", "head"] and found.shared == L and found.num_layers == 1
    assert found.place["albert.encoder.embedding_hidden_mapping_in.weight"] == "embeddings"
    shared = "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn.weight"
    assert found.place[shared] == "layer.0" and found.place["albert.pooler.weight"] == "head"
    assert sum(found.counts().values()) == model.num_parameters()
    with pytest.raises(ModelError, match="layer-wise decay: albert applies the same layer's weights 4 times"):
        found.require_separate_layers("layer-wise decay")
    layer_map(tiny("bert")).require_separate_layers("layer-wise decay")
    separate = layer_map(tiny("albert", num_hidden_groups=L))
    assert separate.shared is None and separate.num_layers == L


@pytest.mark.parametrize("family", ["t5", "umt5"])
def test_the_encoder_of_an_encoder_decoder(tmp_path, family):
    model = load_model(recipe(save(tmp_path, family), head="mean"))
    found = layer_map(model)
    bias = "backbone.encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    # T5 has one table, in layer 0, for all layers; UMT5 one in each
    assert found.place[bias] == ("embeddings" if family == "t5" else "layer.0")
    assert found.place["backbone.encoder.final_layer_norm.weight"] == "layer.3"
    assert found.place["backbone.encoder.block.3.layer.1.layer_norm.weight"] == "layer.3"
    assert "backbone.shared.weight" in found.place and not any("decoder" in name for name in found.place)
    # the word table is tied to the encoder's: one parameter with two names
    assert model.backbone.shared.weight is model.backbone.encoder.embed_tokens.weight
    assert sum(found.counts().values()) == sum(p.numel() for p in model.parameters())
    with pytest.raises(ModelError, match="encoder-decoder.*use head='mean'"):
        load_model(recipe(tmp_path))


def test_models_without_a_right_map_are_refused():
    with torch.device("meta"):
        bart = transformers.AutoModelForSequenceClassification.from_config(transformers.BartConfig())
        xlm = transformers.AutoModelForSequenceClassification.from_config(transformers.XLMConfig())
        canine = transformers.AutoModelForSequenceClassification.from_config(transformers.CanineConfig())
        perceiver = transformers.PerceiverForSequenceClassification(transformers.PerceiverConfig())
    for model, message in [
        (bart, "bart: expected one list of 12 layers, found encoder.layers, decoder.layers"),
        (xlm, "found attentions, layer_norm1, ffns, layer_norm2"),
        (canine, "canine has another stack, initial_char_encoder.layer"),
        (perceiver, "the configuration of perceiver has no number of layers"),
        (nn.Linear(2, 2), "Linear is no transformers model"),
    ]:
        with pytest.raises(ModelError, match=message):
            layer_map(model)
    llama = tiny("llama")
    llama.model.layers[2].mlp = llama.model.layers[0].mlp
    with pytest.raises(ModelError, match="some layers of llama share weights"):
        layer_map(llama)


# ---------------------------------------------------------------------------------------------------- MiniLM


def test_minilm_has_the_published_weights_and_a_fresh_classifier():
    model = load_model(recipe())
    published = load_file(minilm_folder() / "model.safetensors")
    ours = dict(model.bert.named_parameters())
    assert set(published) - set(ours) == {"embeddings.position_ids"} and set(ours) <= set(published)
    assert all(torch.equal(ours[name], published[name]) for name in ours)  # the pooler, too, comes from there
    assert layer_map(model).counts() == {
        "embeddings": (30522 + 512 + 2) * 384 + 2 * 384,
        **{f"layer.{i}": 4 * (384 * 384 + 384) + 2 * 384 * 1536 + 1536 + 384 + 4 * 384 for i in range(6)},
        "head": 384 * 384 + 384 + 384 + 1,
    }
    assert isinstance(model, transformers.BertForSequenceClassification) and not model.training
    assert model.classifier.bias.tolist() == [0.0]
    assert abs(model.classifier.weight.std().item() - 0.02) < 0.004  # 384 draws: 5 standard errors


def test_the_fresh_head_depends_on_the_seed_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = load_model(recipe(seed=5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    again, other = load_model(recipe(seed=5)), load_model(recipe(seed=6))
    assert torch.equal(first.classifier.weight, again.classifier.weight)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    assert torch.equal(first.bert.pooler.dense.weight, other.bert.pooler.dense.weight)


def test_classification_has_the_labels():
    model = load_model(recipe(), task="classification", labels=["hard", "easy", "so so"])
    assert model.config.id2label == {0: "hard", 1: "easy", 2: "so so"} and model.config.label2id["easy"] == 1
    tokens = load_tokenizer("minilm")(TEXTS, padding=True, return_tensors="pt")
    assert model(**tokens).logits.shape == (2, 3)
    assert model(**tokens, labels=torch.tensor([0, 2])).loss > 0
    for labels in (None, ["one"]):
        with pytest.raises(ModelError, match="labels: classification needs"):
            load_model(recipe(), task="classification", labels=labels)
    with pytest.raises(ModelError, match="task: 'ranking' is unknown"):
        load_model(recipe(), task="ranking")
    with pytest.raises(ModelError, match="head: 'cls' is unknown; use one of auto, pooler, mean"):
        load_model(recipe(head="cls"))


def test_loading_is_quiet_and_leaves_the_loggers_as_they_were(capfd, caplog):
    logger = logging.getLogger("transformers.modeling_utils")

    def state() -> list:
        bars = [hf_logging.is_progress_bar_enabled(), are_progress_bars_disabled()]
        return [logger.level, *logger.filters, *bars]

    before = state()
    load_model(recipe())
    load_model(recipe(head="mean"))
    assert capfd.readouterr() == ("", "") and not caplog.records
    assert state() == before
    # the same load without ftlab is not quiet, so the test above can fail
    transformers.AutoModelForSequenceClassification.from_pretrained(minilm_folder(), num_labels=1)
    assert "Loading weights" in capfd.readouterr().err
    assert any("classifier.weight" in record.getMessage() for record in caplog.records)


def test_training_does_not_write_into_the_installed_file():
    model = load_model(recipe())
    weights = minilm_folder() / "model.safetensors"
    before = load_file(weights)["pooler.dense.weight"].clone()
    with torch.no_grad():
        model.bert.pooler.dense.weight.add_(1)
    assert torch.equal(load_file(weights)["pooler.dense.weight"], before)
    assert all(parameter.data_ptr() % 64 == 0 for parameter in model.parameters())  # torch's own memory


# --------------------------------------------------------------------------------------------------- dropout

# Families with a dropout of their own in the tiny configuration: some by modules, some by numbers.
DROPPING = {
    "bert": {}, "distilbert": {}, "electra": {}, "deberta-v2": {}, "mpnet": {}, "gpt2": {}, "xlnet": {},
    "funnel": {}, "longformer": {}, "opt": {"layerdrop": 0.5}, "bloom": {"hidden_dropout": 0.1},
    "roformer": {},
    "llama": {"attention_dropout": 0.3}, "modernbert": {"embedding_dropout": 0.1, "mlp_dropout": 0.1},
    "gpt_neo": {"resid_dropout": 0.1},
}  # fmt: skip


@pytest.mark.parametrize("family", DROPPING)
def test_dropout_zero_is_no_dropout_anywhere(tmp_path, family):
    folder = save(tmp_path, family, **DROPPING[family])

    def differs(dropout: float | None) -> bool:
        model = load_model(recipe(folder, dropout=dropout))
        inputs = batch(model.config.pad_token_id)
        evaluated = model.eval()(**inputs).logits
        model.train()
        return any(not torch.equal(model(**inputs).logits, evaluated) for _ in range(4))

    assert not differs(0.0)
    assert differs(None)  # so the family has dropout, and None keeps it


def test_dropout_fields_of_type_int(tmp_path):
    model = load_model(recipe(save(tmp_path, "mpt"), dropout=0.0))
    assert model.config.attn_config.attn_pdrop == 0 and layer_map(model).num_layers == L


def test_a_number_sets_every_dropout():
    model = load_model(recipe(dropout=0.25))
    rates = [module.p for module in model.modules() if isinstance(module, nn.Dropout)]
    assert len(rates) > 12 and set(rates) == {0.25}
    assert model.config.classifier_dropout == model.config.attention_probs_dropout_prob == 0.25
    own = load_model(recipe(dropout=None))
    assert {module.p for module in own.modules() if isinstance(module, nn.Dropout)} == {0.1}


@pytest.mark.parametrize("head", HEADS)
def test_dropout_of_the_other_heads(head):
    model = tiny_model(recipe(head=head, dropout=0.0)).train()
    inputs = batch()
    assert torch.equal(model(**inputs).logits, model.eval()(**inputs).logits)
    dropping = tiny_model(recipe(head=head, dropout=0.5)).train()
    assert not torch.equal(dropping(**inputs).logits, dropping(**inputs).logits)
    assert dropping.head.dropout.p == 0.5
    assert tiny_model(recipe(head=head, dropout=None)).head.dropout.p == 0.1  # BERT's own


def test_a_family_without_dropout_gets_none_in_its_head(tmp_path):
    assert load_model(recipe(save(tmp_path, "llama"), head="mean", dropout=None)).head.dropout.p == 0.0


# ------------------------------------------------------------------------------------------- length, padding


def test_max_length_beyond_the_positions():
    with pytest.raises(ModelError, match="max_length: 513 tokens, but minilm has 512 positions; use 512 or less"):
        load_model(recipe(max_length=513))
    load_model(recipe(max_length=512))


# positions that really work: one more than these raises an IndexError in the model itself
@pytest.mark.parametrize("family", ["bert", "roberta", "mpnet", "gpt2", "opt", "distilbert", "xlm-roberta"])
def test_max_positions_is_the_longest_text_that_works(family):
    model = tiny(family)
    limit = max_positions(model)
    assert limit == 64
    model(input_ids=torch.full((1, limit), 7))
    with pytest.raises((IndexError, RuntimeError)):
        model(input_ids=torch.full((1, limit + 1), 7))


@pytest.mark.parametrize("family", ["xlnet", "bloom"])
def test_models_without_a_position_limit(family):
    model = tiny(family)
    assert max_positions(model) is None
    model(input_ids=torch.full((1, 100), 7))


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_decoder_without_padding_token_gets_one(tmp_path, family):
    tiny(family, pad_token_id=None, eos_token_id=2).base_model.save_pretrained(tmp_path)
    tokenizer(eos_token="<|end|>", unk_token="[UNK]").save_pretrained(tmp_path)
    words = load_tokenizer(str(tmp_path))
    model = load_model(recipe(tmp_path))
    assert words.pad_token == "<|end|>" and model.config.pad_token_id == words.pad_token_id == 2
    texts = ["w5 w6 w7", "w1 w2 w3 w4 w5 w6 w7 w8"]
    together = model(**words(texts, padding=True, return_tensors="pt")).logits
    alone = torch.cat([model(**words(text, return_tensors="pt")).logits for text in texts])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="no padding or end token"):
        load_tokenizer(str(tmp_path))


def test_tokenizer_of_minilm():
    words = load_tokenizer("minilm")
    assert words.convert_ids_to_tokens(words("The cat sat").input_ids) == [
        "[CLS]",
        "the",
        "cat",
        "sat",
        "[SEP]",
    ]
    assert words.pad_token_id == 0 and len(words) == 30522


# ----------------------------------------------------------------------------------------- saving, restoring


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_auto_loads_in_a_plain_pipeline(tmp_path, task):
    labels = ["hard", "easy"] if task == "classification" else None
    model, words = load_model(recipe(), task=task, labels=labels), load_tokenizer("minilm")
    model.save_pretrained(tmp_path)
    words.save_pretrained(tmp_path)
    plain = transformers.pipeline("text-classification", model=str(tmp_path), device="cpu")
    for text in TEXTS:
        logits = model(**words(text, return_tensors="pt")).logits[0].detach()
        if task == "regression":
            assert plain(text)[0]["score"] == pytest.approx(logits.item(), rel=1e-6)
        else:
            answer = {found["label"]: found["score"] for found in plain(text, top_k=None)}
            assert answer == pytest.approx(dict(zip(labels, logits.softmax(-1).tolist(), strict=True)), rel=1e-6)
    restored = load_pretrained(tmp_path)
    inputs = words(TEXTS, padding=True, return_tensors="pt")
    assert torch.equal(restored(**inputs).logits, model(**inputs).logits)
    assert str(minilm_folder()) not in (tmp_path / "config.json").read_text()


@pytest.mark.parametrize(
    ("family", "head"),
    [
        *((family, head) for family in ("bert", "roberta") for head in ("auto", "pooler", "mean", "attention", "mix")),
        *((family, "concat4") for family in ("bert", "roberta", "gpt2")),
        ("gpt2", "auto"),
        ("gpt2", "mean"),
        ("gpt2", "mix"),
    ],
)
def test_every_head_is_restored_bit_for_bit(tmp_path, family, head):
    labels = ["a", "b", "c"]
    model = load_model(
        recipe(save(tmp_path / "source", family), head=head, dropout=0.1),
        task="classification",
        labels=labels,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.01)
    model.save_pretrained(tmp_path / "saved")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    restored = load_pretrained(tmp_path / "saved")
    assert torch.equal(torch.get_rng_state(), before)
    assert type(restored) is type(model) and restored.config.id2label == dict(enumerate(labels))
    wanted, got = model.state_dict(), restored.state_dict()
    assert list(wanted) == list(got) and all(torch.equal(wanted[name], got[name]) for name in wanted)
    assert torch.equal(restored(**batch()).logits, model(**batch()).logits)
    dropouts = [[m.p for m in each.modules() if isinstance(m, nn.Dropout)] for each in (model, restored)]
    assert dropouts[0] == dropouts[1]
    assert not list((tmp_path / "saved").glob("*.bin")) and not list((tmp_path / "saved").glob("*.p*"))


def test_the_backbone_of_another_head_loads_in_transformers(tmp_path):
    model = load_model(recipe(save(tmp_path / "source", "bert"), head="mean"))
    model.save_pretrained(tmp_path / "saved")
    plain = transformers.AutoModel.from_pretrained(tmp_path / "saved", add_pooling_layer=False)
    assert torch.equal(plain.encoder.layer[0].output.dense.weight, model.backbone.encoder.layer[0].output.dense.weight)


def test_damaged_saved_models(tmp_path):
    with pytest.raises(ModelError, match="there is no folder"):
        load_pretrained(tmp_path / "nothing")
    tiny_model(recipe(head="mean")).save_pretrained(tmp_path)
    head = tmp_path / "ftlab_head.safetensors"
    weights = load_file(head)
    save_file({"linear.weight": weights["linear.weight"]}, head)
    with pytest.raises(ModelError, match="linear.bias|Missing key|Error.s. in loading"):
        load_pretrained(tmp_path)
    head.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        load_pretrained(tmp_path)
    whole = load_file(tmp_path / "model.safetensors")
    whole.pop("embeddings.LayerNorm.weight")
    save_file(whole, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="lacks embeddings.LayerNorm.weight"):
        load_pretrained(tmp_path)


# ------------------------------------------------------------------------------------- folders, good and bad


def test_a_checkpoint_that_lacks_more_than_the_head_is_refused(tmp_path):
    file = save(tmp_path, "bert") / "model.safetensors"
    whole = load_file(file)
    save_file({k: v for k, v in whole.items() if "layer.1.output" not in k}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"do not fit its config.json: bert\.encoder\.layer\.1\.output\.LayerNorm\.b"):
        load_model(recipe(tmp_path))
    reshaped = whole | {"encoder.layer.0.intermediate.dense.weight": torch.zeros(7, 32)}
    save_file(reshaped, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"layer\.0\.intermediate\.dense\.weight missing or of another shape"):
        load_model(recipe(tmp_path, head="mean"))


def test_layers_that_the_configuration_leaves_out_are_named(tmp_path):
    config = json.loads((save(tmp_path, "bert") / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 2}))
    with pytest.warns(UserWarning, match=r"weights of its layers are left out: .*layer\.2\..* and \d+ more"):
        model = load_model(recipe(tmp_path))
    assert layer_map(model).num_layers == 2


def test_a_head_of_another_shape_is_replaced_and_one_of_the_same_shape_kept(tmp_path):
    words = tokenizer(pad_token="[PAD]")
    three = tiny("bert", num_labels=3)
    three.save_pretrained(tmp_path / "three")
    words.save_pretrained(tmp_path / "three")
    model = load_model(recipe(tmp_path / "three"))
    assert model.classifier.weight.shape == (1, 32) and model.config.num_labels == 1
    assert torch.equal(model.bert.pooler.dense.weight, three.bert.pooler.dense.weight)
    model.save_pretrained(tmp_path / "one")
    words.save_pretrained(tmp_path / "one")
    assert torch.equal(load_model(recipe(tmp_path / "one", seed=9)).classifier.weight, model.classifier.weight)


def test_weights_are_loaded_in_single_precision(tmp_path):
    tiny("bert").to(torch.bfloat16).base_model.save_pretrained(tmp_path)
    tokenizer(pad_token="[PAD]").save_pretrained(tmp_path)
    assert {p.dtype for p in load_model(recipe(tmp_path)).parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: (d / "config.json").unlink(), "has no config.json"),
        (lambda d: (d / "config.json").write_text("{"), "cannot be read: .*config.json"),
        (lambda d: (d / "config.json").write_text("{}"), "cannot be read: .*model_type"),
        (lambda d: (d / "config.json").write_text('{"model_type": "nothing"}'), "cannot be read: .*nothing"),
        (lambda d: (d / "model.safetensors").unlink(), "no model.safetensors, the only form"),
        (lambda d: (d / "model.safetensors").write_bytes(b"\x00" * 50), "cannot be read: .*SafetensorError"),
    ],
)  # fmt: skip
def test_damaged_folders(tmp_path, damage, message):
    damage(save(tmp_path, "bert"))
    with pytest.raises(ModelError, match=message):
        load_model(recipe(tmp_path))


def test_half_a_file_of_weights(tmp_path):
    file = save(tmp_path, "bert") / "model.safetensors"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ModelError, match="cannot be read.*SafetensorError.*copy it again"):
        load_model(recipe(tmp_path))


def test_pickled_weights_are_not_opened(tmp_path):
    save(tmp_path, "bert")
    (tmp_path / "model.safetensors").unlink()
    torch.save(tiny("bert").bert.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no model.safetensors, the only form of weights that ftlab reads"):
        load_model(recipe(tmp_path))


def test_code_of_a_model_is_never_run(tmp_path):
    save(tmp_path, "bert")
    config = json.loads((tmp_path / "config.json").read_text())
    classes = {"AutoConfig": "code.Config", "AutoModelForSequenceClassification": "code.Model"}
    (tmp_path / "config.json").write_text(json.dumps(config | {"auto_map": classes, "model_type": "of-its-own"}))
    (tmp_path / "code.py").write_text("raise SystemExit('the code was run')")
    with pytest.raises(ModelError, match="brings code of its own, which ftlab never runs"):
        load_model(recipe(tmp_path))


def test_a_folder_without_tokenizer(tmp_path):
    tiny("bert").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="the tokenizer has no vocabulary; its files must stand beside config.json"):
        load_tokenizer(str(tmp_path))


def test_encoder_decoders_are_refused(tmp_path):
    config = transformers.BartConfig(d_model=16, encoder_layers=2, decoder_layers=2, vocab_size=100)
    config.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="bart is an encoder-decoder.*use another model"):
        load_model(recipe(tmp_path, head="mean"))


def test_a_model_without_sequence_classifier(tmp_path):
    transformers.ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2).save_pretrained(tmp_path)
    tokenizer(pad_token="[PAD]").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="there is no sequence classifier for vit"):
        load_model(recipe(tmp_path))


# ------------------------------------------------------------------------------------------------ tiny model


def test_the_tiny_model_stands_in_for_minilm():
    model = tiny_model(recipe(seed=3), task="classification", labels=["a", "b"], num_layers=5)
    found = layer_map(model)
    assert found.num_layers == 5 and found.family == "bert" and not model.training
    inputs = load_tokenizer("minilm")(TEXTS, padding=True, return_tensors="pt")
    assert model(**inputs).logits.shape == (2, 2)
    assert model.num_parameters() < 1_100_000
    again = tiny_model(recipe(seed=3), task="classification", labels=["a", "b"], num_layers=5)
    other = tiny_model(recipe(seed=4), task="classification", labels=["a", "b"], num_layers=5)
    assert torch.equal(model(**inputs).logits, again(**inputs).logits)
    assert not torch.equal(model(**inputs).logits, other(**inputs).logits)
    with pytest.raises(ModelError, match="max_length: 600"):
        tiny_model(recipe(max_length=600))


def test_every_configuration_of_the_table_is_used():
    assert set(CONFIGS) - set(EXPECTED) == {"albert", "t5", "umt5"}
