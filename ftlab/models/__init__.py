"""Pre-trained Transformers: where they come from, their layers, their heads."""

from ftlab.models.cuda_graph import cuda_graphs
from ftlab.models.first_token import first_token_only
from ftlab.models.layer_map import EMBEDDINGS, HEAD, LayerMap, layer_map
from ftlab.models.load import load_model, load_pretrained, load_tokenizer, tiny_model
from ftlab.models.padding import max_positions

__all__ = [
    "EMBEDDINGS",
    "HEAD",
    "LayerMap",
    "cuda_graphs",
    "first_token_only",
    "layer_map",
    "load_model",
    "load_pretrained",
    "load_tokenizer",
    "max_positions",
    "tiny_model",
]
