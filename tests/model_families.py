"""Tiny random models of many families, a tiny tokenizer, a recipe's fields: what the model tests share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForSequenceClassification, PreTrainedTokenizerFast

L = 4
VOCABULARY = ["[PAD]", "[UNK]", "<|end|>", *(f"w{i}" for i in range(97))]

_PLAIN = dict(
    hidden_size=32, num_hidden_layers=L, num_attention_heads=2, intermediate_size=64, vocab_size=100,
    max_position_embeddings=64,
)  # fmt: skip
_OFFSET = {**_PLAIN, "max_position_embeddings": 66}  # positions begin at the padding index + 1
_DECODER = {**_PLAIN, "pad_token_id": 0}
_GROUPED = {**_DECODER, "num_key_value_heads": 1, "head_dim": 16}
_DEBERTA = {**_PLAIN, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "pooler_hidden_size": 32}
_GPT = dict(n_embd=32, n_layer=L, n_head=2, vocab_size=100, n_positions=64, pad_token_id=0)
_T5 = dict(d_model=32, d_kv=16, d_ff=64, num_layers=L, num_heads=2, vocab_size=100)

CONFIGS = {
    "albert": {**_PLAIN, "embedding_size": 16},
    "bert": _PLAIN,
    "big_bird": _PLAIN,
    "bloom": dict(hidden_size=32, n_layer=L, n_head=2, vocab_size=100, pad_token_id=0),
    "camembert": _OFFSET,
    "data2vec-text": _OFFSET,
    "deberta": _DEBERTA,
    "deberta-v2": {
        **_DEBERTA, "norm_rel_ebd": "layer_norm", "conv_kernel_size": 3, "position_buckets": 8,
        "share_att_key": True, "position_biased_input": False,
    },
    "distilbert": dict(
        dim=32, n_layers=L, n_heads=2, hidden_dim=64, vocab_size=100, max_position_embeddings=64
    ),
    "electra": {**_PLAIN, "embedding_size": 16},
    "ernie": _PLAIN,
    "eurobert": _GROUPED,
    "falcon": dict(
        hidden_size=32, num_hidden_layers=L, num_attention_heads=2, vocab_size=100, pad_token_id=0
    ),
    "funnel": dict(vocab_size=100, block_sizes=[2, 1, 1], d_model=32, n_head=2, d_head=16, d_inner=64),
    "gemma": _GROUPED,
    "gemma2": _GROUPED,
    "gpt2": _GPT,
    "gpt_neo": dict(
        hidden_size=32, num_layers=L, num_heads=2, attention_types=[[["global", "local"], L // 2]],
        vocab_size=100, max_position_embeddings=64, intermediate_size=64, pad_token_id=0,
    ),
    "gpt_neox": _DECODER,
    "gptj": {**_GPT, "rotary_dim": 8},
    "llama": _GROUPED,
    "longformer": {**_OFFSET, "attention_window": 8},
    "megatron-bert": _PLAIN,
    "mistral": _GROUPED,
    "modernbert": _DECODER,
    "mpnet": _OFFSET,
    "mpt": dict(d_model=32, n_layers=L, n_heads=2, vocab_size=100, pad_token_id=0),
    "nomic_bert": _PLAIN,
    "olmo2": _GROUPED,
    "openai-gpt": _GPT,
    "opt": dict(
        hidden_size=32, num_hidden_layers=L, num_attention_heads=2, ffn_dim=64, vocab_size=100,
        max_position_embeddings=64, word_embed_proj_dim=16, pad_token_id=0,
    ),
    "phi": _DECODER,
    "qwen2": _GROUPED,
    "qwen3": _GROUPED,
    "rembert": {**_PLAIN, "input_embedding_size": 16},
    "roberta": _OFFSET,
    "roberta-prelayernorm": _OFFSET,
    "roformer": {**_PLAIN, "embedding_size": 16},
    "t5": _T5,
    "umt5": _T5,
    "xlm-roberta": _OFFSET,
    "xlm-roberta-xl": _OFFSET,
    "xlnet": dict(d_model=32, n_layer=L, n_head=2, d_inner=64, vocab_size=100),
}  # fmt: skip

# Further families, whose layer maps are not written out by hand.
MORE = {
    "convbert": {**_PLAIN, "embedding_size": 32},
    "esm": {**_DECODER, "position_embedding_type": "rotary"},
    "fnet": _PLAIN,
    "gpt_bigcode": _GPT,
    "ibert": _PLAIN,
    "luke": {**_OFFSET, "entity_vocab_size": 10, "entity_emb_size": 16},
    "mobilebert": {**_PLAIN, "embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16},
    "modernbert-decoder": _DECODER,
    "mra": _PLAIN,
    "nystromformer": {**_PLAIN, "num_landmarks": 4, "segment_means_seq_len": 4},
    "phi3": _DECODER,
    "reformer": dict(
        hidden_size=32, attn_layers=["local"] * L, num_attention_heads=2, attention_head_size=16,
        feed_forward_size=64, vocab_size=100, max_position_embeddings=64, axial_pos_embds=False,
        local_attn_chunk_length=8, pad_token_id=0, is_decoder=False,
    ),
    "squeezebert": {**_PLAIN, "embedding_size": 32},
    "xmod": {**_OFFSET, "languages": ["en_XX"], "default_language": "en_XX"},
    "yoso": _PLAIN,
}  # fmt: skip
NO_CLASSIFIER = {
    "mamba": dict(hidden_size=32, num_hidden_layers=L, vocab_size=100, state_size=4),
    "rwkv": dict(hidden_size=32, num_hidden_layers=L, vocab_size=100, attention_hidden_size=32),
}
"""Families that the hub has without ...ForSequenceClassification."""
MAPPED = [*(family for family in CONFIGS if family not in ("t5", "umt5")), *MORE, *NO_CLASSIFIER]
"""Families that `tiny` builds and the layer map takes as they are."""


@pytest.fixture(scope="module")
def one_thread():
    """Run on one thread: for models this small, more only get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def recipe(model: str | Path = "minilm", **changes) -> SimpleNamespace:
    """Return the fields that load_model reads."""
    fields = {"model": str(model), "head": "auto", "dropout": 0.0, "max_length": 32, "seed": 0}
    return SimpleNamespace(**{**fields, **changes})


def tiny(family: str, **changes) -> torch.nn.Module:
    """Build a random ...ForSequenceClassification with one output, or a model without a head where there is none."""
    fields = {**CONFIGS, **MORE, **NO_CLASSIFIER}[family]
    config = CONFIG_MAPPING[family](**{**fields, "num_labels": 1, **changes})
    torch.manual_seed(0)
    return (AutoModel if family in NO_CLASSIFIER else AutoModelForSequenceClassification).from_config(config)


def tokenizer(**special) -> PreTrainedTokenizerFast:
    """Build a tokenizer of whole words: w0 is 3, w1 is 4, ..."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, **special)


def save(folder: Path, family: str, **changes) -> Path:
    """Save a tiny model without a head, and a tokenizer, as the hub keeps them; return the folder."""
    model = tiny(family, **changes)
    model.base_model.save_pretrained(folder)
    tokenizer(pad_token="[PAD]", unk_token="[UNK]").save_pretrained(folder)
    return folder


def batch(pad: int | None = 0) -> dict[str, torch.Tensor]:
    """Return two texts of 10 and 6 tokens, padded on the right."""
    ids = torch.randint(5, 100, (2, 10), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    ids[1, 6:] = pad or 0
    return {"input_ids": ids, "attention_mask": mask}
