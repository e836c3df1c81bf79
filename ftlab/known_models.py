"""Models known by name: how many layers they have, and their sizes where they are built as BERT is.

The one list that previews, suggestions for a name nearly right and the memory formula read; the numbers are those of
the published config.json. A model that is not listed works all the same, once it is loaded.
"""

from __future__ import annotations

_BASE, _LARGE = (12, 768, 12, 3072), (24, 1024, 16, 4096)

KNOWN_MODELS: dict[str, tuple[int, ...]] = {
    "minilm": (6, 384, 12, 1536, 30522), "mpnet": (12,),
    "albert-base-v2": (1,),  # applied twelve times
    "answerdotai/ModernBERT-base": (22,), "answerdotai/ModernBERT-large": (28,),
    "bert-base-cased": (*_BASE, 28996), "bert-base-uncased": (*_BASE, 30522), "bert-large-uncased": (*_LARGE, 30522),
    "camembert-base": (*_BASE, 32005, 514, 1), "distilbert-base-uncased": (6, *_BASE[1:], 30522, 512, 0),
    "distilroberta-base": (6, *_BASE[1:], 50265, 514, 1), "facebook/opt-125m": (12,),
    "FacebookAI/roberta-base": (*_BASE, 50265, 514, 1), "FacebookAI/roberta-large": (*_LARGE, 50265, 514, 1),
    "google-bert/bert-base-uncased": (*_BASE, 30522), "google/electra-base-discriminator": (12,),
    "google/electra-small-discriminator": (12,), "gpt2": (12,), "microsoft/deberta-v3-base": (12,),
    "microsoft/deberta-v3-small": (6,), "microsoft/mpnet-base": (12,), "Qwen/Qwen3-0.6B": (28,),
    "roberta-base": (*_BASE, 50265, 514, 1), "roberta-large": (*_LARGE, 50265, 514, 1),
    "xlm-roberta-base": (*_BASE, 250002, 514, 1), "xlnet-base-cased": (12,),
}  # fmt: skip
"""Layers; then, of models built as BERT, RoBERTa and DistilBERT are: width, heads, width of the intermediate layer,
words, and where they are not 512 and 2, positions and token types: the fields of `ftlab.tuning.memory.Architecture`."""
