"""Load a pre-trained Transformer with a new head.

`load_model` gives the embedded MiniLM (Wang et al. 2020), any model of the Hugging Face hub, or a local folder.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from torch import nn
from transformers import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForSequenceClassification,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import is_protobuf_available, is_sentencepiece_available

from ftlab.errors import ModelError
from ftlab.models.heads import HEAD_JSON, HEADS, HeadedModel, reads_left_to_right
from ftlab.models.hub import fetch
from ftlab.models.layer_map import HEAD, layer_map
from ftlab.models.padding import PADDED_LENGTH, max_positions, padding_side, settle, steady
from ftlab.models.rng import own_generator

SENTENCEPIECE_FILES = (
    "spm.model", "spiece.model", "sentencepiece.bpe.model", "sentencepiece.model", "tokenizer.model",
)  # fmt: skip


# -------------------------------------------------------------------------------------------------- loading
def load_model(recipe, *, task: str = "regression", labels: Sequence[str] | None = None) -> nn.Module:
    """Load the model that a recipe names, with a new head, in evaluation mode and in float32.

    Reads recipe.model ("minilm", a hub id or a folder), .head, .dropout, .max_length and .seed. The model's
    forward gives .logits of shape (batch, 1) for regression, (batch, len(labels)) for classification.

    `head="auto"` is the hub's own ...ForSequenceClassification, so that `save_pretrained` loads in a plain
    `pipeline("text-classification")`. Its head is new unless the checkpoint has one of the same shape.
    MiniLM's checkpoint brings a pooler, on which BERT's classifier stands: only the classifier (385
    parameters) is new. "pooler", "mean", "attention", "concat4" and "mix" are `ftlab.models.heads`. A new
    head depends on recipe.seed alone; torch's global random state is left as it was. Weights are read from
    safetensors only, and no code from the hub is run.

    Raises ModelError: unknown, unreachable, damaged or unsuitable model; `max_length` beyond its positions.
    """
    name, head, dropout = recipe.model, recipe.head, recipe.dropout
    config = fetch(name, lambda source, **where: AutoConfig.from_pretrained(source, **where))
    # a decoder's classifier looks for the last token that is no padding
    if getattr(config, "pad_token_id", None) is None or reads_left_to_right(config):
        config.pad_token_id = load_tokenizer(name).pad_token_id
    _configure(config, task, labels, head, dropout)
    settle(name, config, recipe.max_length)

    def make(auto_class, **options) -> PreTrainedModel:
        model, report = fetch(
            name,
            lambda source, **where: auto_class.from_pretrained(
                source,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                **options,
                **where,
            ),
        )
        _check_report(name, model, report)
        return model

    model = _assemble(config, make, head, dropout, recipe.seed)
    _check_length(name, model, recipe.max_length)
    return steady(model)


def tiny_model(
    recipe, *, task: str = "regression", labels: Sequence[str] | None = None, num_layers: int = 6
) -> nn.Module:
    """Build a small random BERT (width 32) that stands in for recipe.model where only the mechanics matter.

    Its vocabulary is MiniLM's, so `load_tokenizer("minilm")` serves it. All weights depend on recipe.seed
    alone; head, dropout and max_length are treated as `load_model` treats them, with 512 positions.
    """
    config = transformers.BertConfig(
        vocab_size=30522,
        hidden_size=32,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=512,
        initializer_range=0.02,
    )
    head, dropout = recipe.head, recipe.dropout
    _configure(config, task, labels, head, dropout)
    model = _assemble(
        config, lambda auto_class, **options: auto_class.from_config(config, **options), head, dropout, recipe.seed
    )
    _check_length(recipe.model, model, recipe.max_length)
    return model


def load_pretrained(folder: str | Path) -> nn.Module:
    """Restore a model from a folder that `save_pretrained` wrote, bit for bit, whichever head it has.

    Raises ModelError if the folder or a file in it is missing or damaged, or if weights are missing.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ModelError(f"saved model: there is no folder {folder}")

    def read(source, **where) -> nn.Module:
        config = AutoConfig.from_pretrained(source, **where)
        about = folder / HEAD_JSON
        custom = json.loads(about.read_text(encoding="utf-8")) if about.exists() else None
        auto_class, options = _backbone_class(config, custom["head"] if custom else "auto")
        model, report = auto_class.from_pretrained(
            source, dtype="auto", use_safetensors=True, output_loading_info=True, **where, **options
        )
        if report["missing_keys"]:
            raise ModelError(f"saved model: {folder} lacks {_some(report['missing_keys'])}; save it again")
        if custom:
            model = HeadedModel(model, custom["head"], custom["dropout"])
            model.load_head(folder)
        return steady(_own_memory(model).eval())

    with own_generator(0):
        return fetch(str(folder), read)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of "minilm", a hub id or a folder.

    One without a padding token (GPT-2, Llama) pads with its end token. All pad on the right but XLNet's, whatever they
    were saved with: where positions are absolute, padding on the left would move the text.

    Raises ModelError as `load_model` does, and if there is no vocabulary, nothing to pad with, or a token that the
    model has no embedding for.
    """

    def read(source, **where) -> PreTrainedTokenizerBase:
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, **where)
        except Exception as error:
            _check_sentencepiece(source, error)
            raise
        # what transformers makes of a config.json without a tokenizer's files, in a folder or the cache
        if len(tokenizer) <= len(tokenizer.all_special_ids):
            raise OSError("the tokenizer has no vocabulary; its files must stand beside config.json")
        return tokenizer

    tokenizer = fetch(name, read)
    config = fetch(name, lambda source, **where: AutoConfig.from_pretrained(source, **where))
    tokenizer.padding_side = padding_side(config)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(f"model {name!r}: its tokenizer has no padding or end token; use another model")
    tokens, rows = max(tokenizer.get_vocab().values()) + 1, getattr(config.get_text_config(), "vocab_size", None)
    if rows and tokens > rows:
        raise ModelError(
            f"model {name!r}: its tokenizer has {tokens} tokens, its embeddings {rows}; call "
            "model.resize_token_embeddings(len(tokenizer)) and save both again"
        )
    return tokenizer


def _check_sentencepiece(source: str, error: Exception) -> None:
    """Raise ImportError if a package is missing that reads SentencePiece files; transformers blames another one."""
    found = [try_to_load_from_cache(source, name) for name in SENTENCEPIECE_FILES] if not os.path.isdir(source) else []
    found += Path(source).glob("*.model")
    packages = {"sentencepiece": is_sentencepiece_available(), "protobuf": is_protobuf_available()}
    missing = " ".join(name for name, there in packages.items() if not there)
    if missing and any(isinstance(file, (str, Path)) for file in found):
        raise ImportError(
            f"its vocabulary is a SentencePiece file; run pip install {missing}, or pip install 'ftlab[sentencepiece]'"
        ) from error


# -------------------------------------------------------------------------------------- steps of load_model
def _configure(
    config: PretrainedConfig, task: str, labels: Sequence[str] | None, head: str, dropout: float | None
) -> None:
    """Set the task, the labels and the dropout in the configuration that the model is then made from."""
    if head != "auto" and head not in HEADS:
        raise ModelError(f"head: {head!r} is unknown; use one of {', '.join(('auto', *HEADS))}")
    if task == "regression":
        config.num_labels, config.problem_type = 1, "regression"
    elif task == "classification":
        if labels is None or len(labels) < 2:
            raise ModelError(f"labels: classification needs the names of two classes or more, got {labels!r}")
        config.id2label = {i: str(label) for i, label in enumerate(labels)}
        config.label2id = {label: i for i, label in config.id2label.items()}
        config.problem_type = "single_label_classification"
    else:
        raise ModelError(f"task: {task!r} is unknown; use 'regression' or 'classification'")
    if getattr(config, "use_cache", None):
        config.use_cache = False  # keys and values of past tokens serve generation only
    if dropout is not None:
        _set_config_dropout(config, float(dropout))


def _is_dropout_field(name: str, value: Any) -> bool:
    # classifier_dropout=None means "as the rest", hence the None
    return bool(re.search("dropout|drop_prob|pdrop", name)) and (value is None or type(value) in (int, float))


def _set_config_dropout(config: PretrainedConfig, p: float) -> None:
    """Set every dropout field of a configuration and of those inside it; p = 0 also ends skipping layers."""
    for name, value in list(vars(config).items()):
        if isinstance(value, PretrainedConfig):
            _set_config_dropout(value, p)
        elif _is_dropout_field(name, value) or (p == 0 and name.endswith("layerdrop")):
            # a zero of the field's own type: MPT insists on an int
            setattr(config, name, p if p or value is None else type(value)(0))


def _model_dropout(config: PretrainedConfig) -> float:
    """Return the model's own dropout in front of a classifier, 0 if it has none."""
    names = "classifier_dropout seq_classif_dropout hidden_dropout_prob hidden_dropout dropout resid_pdrop"
    for name in names.split():
        value = getattr(config, name, None)
        if value is not None:
            return float(value)
    return 0.0


def _backbone_class(config: PretrainedConfig, head: str) -> tuple[type, dict[str, bool]]:
    """Choose the transformers class to load for a head, and whether it gets a pooler."""
    family = config.model_type
    has_encoder_class = family in ("t5", "mt5", "umt5")
    if getattr(config, "is_encoder_decoder", False) and (head == "auto" or not has_encoder_class):
        raise ModelError(
            f"model: {family} is an encoder-decoder, whose two stacks of layers ftlab does not map; "
            + ("use head='mean', which reads its encoder alone" if has_encoder_class else "use another model")
        )
    if head == "auto":
        if type(config) not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
            raise ModelError(f"head 'auto': there is no sequence classifier for {family}; use head='mean'")
        return AutoModelForSequenceClassification, {}
    auto_class = AutoModelForTextEncoding if has_encoder_class else AutoModel
    model_class = auto_class._model_mapping[type(config)]
    # a pooler that nothing reads would be parameters without gradient
    if "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        return auto_class, {"add_pooling_layer": head == "pooler"}
    return auto_class, {}


def _assemble(
    config: PretrainedConfig, make: Callable[..., PreTrainedModel], head: str, dropout: float | None, seed: int
) -> nn.Module:
    """Make the model, or the backbone and its head; dropout None keeps the model's own probabilities."""
    auto_class, options = _backbone_class(config, head)
    with own_generator(seed):
        model = make(auto_class, **options)
    if head != "auto":
        _check_head(model, head)
        with own_generator(seed):  # anew: the head must not depend on what the backbone drew
            model = HeadedModel(model, head, _model_dropout(config) if dropout is None else float(dropout))
    if dropout is not None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = float(dropout)
    return _own_memory(model).eval()


def _check_length(name: str, model: nn.Module, max_length: int) -> None:
    limit = max_positions(model)
    if limit is not None and max(max_length, getattr(model.config, PADDED_LENGTH, 0)) > limit:
        raise ModelError(f"max_length: {max_length} tokens, but {name} has {limit} positions; use {limit} or less")


def _own_memory(model: nn.Module) -> nn.Module:
    """Copy the weights from the file they are mapped to into memory of torch's own.

    A file's weights start anywhere, and some CPU kernels round differently on unaligned ones: a model saved
    and loaded would differ from itself in the last bit.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


def _check_head(backbone: PreTrainedModel, head: str) -> None:
    config = backbone.config
    if head == "pooler" and getattr(backbone, "pooler", None) is None:
        others = ", ".join(repr(other) for other in HEADS if other != "pooler")
        raise ModelError(f"head 'pooler': {config.model_type} has no pooler; use one of {others}")
    if head == "concat4" and config.num_hidden_layers < 4:
        raise ModelError(f"head 'concat4' needs 4 layers of {config.num_hidden_layers}; use head='mean'")


def _check_report(name: str, model: PreTrainedModel, report: dict) -> None:
    """Compare a checkpoint with the model: only the head may be missing or of another shape."""
    layers = layer_map(model)
    # a table of sines (RoFormer) may be missing: it is computed, not trained
    trained = {key for key, parameter in model.named_parameters() if parameter.requires_grad}
    lost = trained & {*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])}
    lost = {key for key in lost if layers.place[key] != HEAD}
    unexpected = set(report["unexpected_keys"])
    if lost and (prefix := _wrapper_of(lost, unexpected, f"{model.base_model_prefix}.")):
        raise ModelError(
            f"model {name!r}: the names of its weights begin with {prefix!r}, which something put around the model "
            "(torch.compile, DistributedDataParallel, a trainer); save the model inside it, or take the beginning off: "
            f"safetensors.torch.save_file({{k.removeprefix({prefix!r}): v for k, v in load_file(file).items()}}, file, "
            "metadata={'format': 'pt'})"
        )
    if lost:
        raise ModelError(
            f"model {name!r}: its weights do not fit its config.json: {_some(lost)} missing or of another "
            "shape; fetch the model again, or use another one"
        )
    unused = [key for key in unexpected if f".{layers.stack}." in "." + key]
    if unused:
        warnings.warn(f"model {name!r}: weights of its layers are left out: {_some(unused)}", stacklevel=4)


def _wrapper_of(lost: set[str], unexpected: set[str], base: str) -> str | None:
    """Return what stands before every lost name among the unexpected ones, with or without the backbone's prefix."""
    name = min(lost)
    for tail in (name, name.removeprefix(base)):
        for prefix in {key.removesuffix(tail) for key in unexpected if key.endswith("." + tail)}:
            if all(prefix + key in unexpected or prefix + key.removeprefix(base) in unexpected for key in lost):
                return prefix
    return None


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
