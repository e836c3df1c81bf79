"""Load a pre-trained Transformer with a fresh head, and say which of its parameters belong to which layer.

`load_model` gives the embedded MiniLM (Wang et al. 2020), any model of the Hugging Face hub, or a local
folder. `layer_map` finds embeddings, layer 0..L-1 and head in any of them: what layer-wise rates (Howard and
Ruder 2018) and re-initialisation (Zhang et al. 2021) are built on.
"""

from __future__ import annotations

import inspect
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
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

from ftlab.errors import ModelError
from ftlab.heads import HEAD_JSON, HEADS, HeadedModel, reads_left_to_right
from ftlab.hub import fetch

EMBEDDINGS, HEAD = "embeddings", "head"


# ------------------------------------------------------------------------------------------------ layer map


@dataclass(frozen=True, eq=False)
class LayerMap:
    """Where each parameter of a model belongs: embeddings, layer 0 (lowest) to layer L-1, head.

    - embeddings: all that comes before layer 0 or serves every layer alike: word and position tables, their
      norm and projection (ELECTRA, ALBERT), relative position tables (DeBERTa, MPNet, T5).
    - layer i: the i-th Transformer block. A final norm (GPT-2, Llama, ModernBERT) works on the top layer's
      output and goes with it.
    - head: a pooler, and whatever stands above the backbone.

    `shared` is None when every layer has weights of its own. ALBERT applies one set of weights many times:
    then the map has one layer for each set, and `shared` says how many times a set is applied (12 in
    albert-base-v2).
    """

    family: str
    """config.model_type: "bert", "gpt2", ..."""
    layers: list[str]
    """["embeddings", "layer.0", ..., "layer.L-1", "head"]"""
    place: dict[str, str] = field(repr=False)
    """Name of each parameter, as in model.named_parameters() -> its entry of `layers`."""
    sizes: dict[str, int] = field(repr=False)
    """Name of each parameter -> its number of elements."""
    stack: str
    """Path of the list of layers in the backbone: "encoder.layer", "h", ..."""
    blocks: list[nn.Module] = field(repr=False)
    """The module of each layer, layer 0 first."""
    pooler: nn.Module | None = field(repr=False)
    final_norm: nn.Module | None = field(repr=False)
    shared: int | None

    @property
    def num_layers(self) -> int:
        return len(self.blocks)

    def counts(self) -> dict[str, int]:
        """Number of parameters by layer, tied ones counted once, in the order of `layers`."""
        counts = dict.fromkeys(self.layers, 0)
        for name, layer in self.place.items():
            counts[layer] += self.sizes[name]
        return counts

    def require_separate_layers(self, technique: str) -> None:
        """Raise ModelError, naming the technique, if the layers share weights."""
        if self.shared is not None:
            raise ModelError(
                f"{technique}: {self.family} applies the same layer's weights {self.shared} times, so its "
                "layers cannot be treated one by one; switch the technique off, or use a model whose layers "
                "have weights of their own"
            )


def layer_map(model: nn.Module) -> LayerMap:
    """Find the embeddings, layers and head of any encoder or decoder of `transformers`.

    The layers are the one nn.ModuleList of the backbone that has config.num_hidden_layers entries. A
    parameter inside it belongs to its layer; one outside the backbone to the head; the few others of the
    backbone are told apart by `_place_outside_blocks`. Every parameter of model.named_parameters() gets
    exactly one place, a tied one that of its first name.

    Raises ModelError where there is no such list: encoder-decoders, several stacks, layers that share some
    weights.
    """
    prefix, backbone = _backbone_of(model)
    stack, paths, shared = _find_blocks(backbone)
    layers = [EMBEDDINGS, *(f"layer.{i}" for i in range(len(paths))), HEAD]
    layer_of_path = dict(zip(paths, layers[1:-1], strict=True))
    place: dict[str, str] = {}
    blocks_begun = False  # parameters come in the order in which modules were registered
    final_norm = None
    for name, _ in model.named_parameters():
        if not name.startswith(prefix):
            place[name] = HEAD
            continue
        inside = name[len(prefix) :]
        layer = next((layer for path, layer in layer_of_path.items() if inside.startswith(path + ".")), None)
        blocks_begun = blocks_begun or layer is not None
        owner = backbone.get_submodule(inside.rpartition(".")[0])
        place[name] = (
            _exception(backbone, inside, layers) or layer or _place_outside_blocks(inside, owner, blocks_begun, layers)
        )
        if layer is None and place[name] == layers[-2] and _is_norm(owner):
            final_norm = owner
    return LayerMap(
        family=backbone.config.model_type,
        layers=layers,
        place=place,
        sizes={name: parameter.numel() for name, parameter in model.named_parameters()},
        stack=stack,
        blocks=[backbone.get_submodule(path) for path in paths],
        pooler=getattr(backbone, "pooler", None) or getattr(model, "pooler", None),
        final_norm=final_norm,
        shared=shared,
    )


# What the rules would get wrong: (family, beginning of the name in the backbone) -> index in LayerMap.layers
_EXCEPTIONS = {
    # layer 0 holds it, all layers use it
    ("t5", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias."): 0,
    ("mt5", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias."): 0,
    ("deberta-v2", "encoder.LayerNorm."): 0,  # the norm of the relative position table, not of the output
    ("deberta-v2", "encoder.conv."): 1,  # works beside layer 0
    ("opt", "decoder.final_layer_norm."): -2,  # registered before the layers, applied after them
    ("opt", "decoder.project_out."): -2,
}


def _exception(backbone: nn.Module, name: str, layers: list[str]) -> str | None:
    for (family, beginning), index in _EXCEPTIONS.items():
        if family == backbone.config.model_type and name.startswith(beginning):
            return layers[index]
    return None


def _place_outside_blocks(name: str, owner: nn.Module, blocks_begun: bool, layers: list[str]) -> str:
    """Place a parameter that is in no block; a norm registered after the blocks is the final one."""
    if name.startswith(("pooler.", "contact_head.")):  # ESM keeps its contact head in the backbone
        return HEAD
    if _is_norm(owner) and blocks_begun:
        return layers[-2]
    return EMBEDDINGS


def _is_norm(module: nn.Module) -> bool:
    return "Norm" in type(module).__name__


def _backbone_of(model: nn.Module) -> tuple[str, nn.Module]:
    """Return the prefix of the backbone's parameter names and the backbone."""
    prefix = "backbone" if isinstance(model, HeadedModel) else getattr(model, "base_model_prefix", "")
    if prefix and hasattr(model, prefix):
        return prefix + ".", getattr(model, prefix)
    if isinstance(model, PreTrainedModel):
        return "", model
    raise ModelError(f"layer map: {type(model).__name__} is no transformers model, nor one of load_model's")


def _find_blocks(backbone: nn.Module) -> tuple[str, list[str], int | None]:
    """Return the path of the list of layers in the backbone, the path of each layer, and LayerMap.shared."""
    config = backbone.config
    family, depth = config.model_type, getattr(config, "num_hidden_layers", None)
    hint = "its layers cannot be told apart safely; use another model"
    lists = {path: module for path, module in backbone.named_modules() if isinstance(module, nn.ModuleList)}
    if family == "albert":
        stack = "encoder.albert_layer_groups"
        groups = _entries(stack, lists[stack])
        return stack, groups, depth // len(groups) if len(groups) < depth else None
    if not isinstance(depth, int):
        raise ModelError(f"layer map: the configuration of {family} has no number of layers; {hint}")
    entries = {path: _entries(path, module) for path, module in lists.items()}
    stacks = [path for path in entries if len(entries[path]) == depth]
    stacks = [path for path in stacks if any(True for _ in lists[path].parameters())]
    stacks = [path for path in stacks if not any(path.startswith(other + ".") for other in stacks)]
    if len(stacks) != 1:
        found = ", ".join(stacks) if stacks else "none"
        raise ModelError(f"layer map: {family}: wanted one list of {depth} layers, found {found}; {hint}")
    stack = stacks[0]
    for path, module in lists.items():
        above_or_inside = stack.startswith(path + ".") or path.startswith(stack + ".") or path == stack
        if not above_or_inside and any(isinstance(part, nn.Linear) for part in module.modules()):
            raise ModelError(f"layer map: {family} has another stack, {path}, beside {stack}; {hint}")
    blocks = entries[stack]
    parameters = [{id(p) for p in backbone.get_submodule(path).parameters()} for path in blocks]
    if len(set().union(*parameters)) < sum(map(len, parameters)):
        raise ModelError(f"layer map: some layers of {family} share weights with each other; {hint}")
    return stack, blocks, None


def _entries(path: str, modules: nn.ModuleList) -> list[str]:
    """List the paths of a list's entries; a list of lists (Funnel) is flattened."""
    if all(isinstance(module, nn.ModuleList) for module in modules):
        return [f"{path}.{i}.{j}" for i, inner in enumerate(modules) for j in range(len(inner))]
    return [f"{path}.{i}" for i in range(len(modules))]


# -------------------------------------------------------------------------------------------------- loading


def load_model(recipe, *, task: str = "regression", labels: Sequence[str] | None = None) -> nn.Module:
    """Load the model that a recipe names, with a fresh head, in evaluation mode and in float32.

    Reads recipe.model ("minilm", a hub id or a folder), .head, .dropout, .max_length and .seed. The model's
    forward gives .logits of shape (batch, 1) for regression, (batch, len(labels)) for classification.

    `head="auto"` is the hub's own ...ForSequenceClassification, so that `save_pretrained` loads in a plain
    `pipeline("text-classification")`. Its head is fresh unless the checkpoint has one of the same shape.
    MiniLM's checkpoint brings a pooler, on which BERT's classifier stands: only the classifier (385
    parameters) is fresh. "pooler", "mean", "attention" and "concat4" are `ftlab.heads`. A fresh head depends
    on recipe.seed alone; torch's global random state is left as it was. Weights are read from safetensors
    only, and no code from the hub is run.

    Raises ModelError: unknown, unreachable, damaged or unsuitable model; `max_length` beyond its positions.
    """
    config = fetch(recipe.model, lambda source, **where: AutoConfig.from_pretrained(source, **where))
    # a decoder's classifier looks for the last token that is no padding
    if getattr(config, "pad_token_id", None) is None or reads_left_to_right(config):
        config.pad_token_id = load_tokenizer(recipe.model).pad_token_id
    _configure(config, recipe, task, labels)

    def make(auto_class, **options) -> PreTrainedModel:
        model, report = fetch(
            recipe.model,
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
        _check_report(recipe.model, model, report)
        return model

    return _assemble(config, recipe, make)


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
    _configure(config, recipe, task, labels)
    return _assemble(config, recipe, lambda auto_class, **options: auto_class.from_config(config, **options))


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
        return _own_memory(model).eval()

    with _own_random_state(0):
        return fetch(str(folder), read)


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer of "minilm", a hub id or a folder.

    One without a padding token (GPT-2, Llama) pads with its end token.

    Raises ModelError as `load_model` does, and if there is no vocabulary or nothing to pad with.
    """

    def read(source, **where) -> PreTrainedTokenizerBase:
        tokenizer = AutoTokenizer.from_pretrained(source, **where)
        # what transformers makes of a config.json without a tokenizer's files, in a folder or the cache
        if len(tokenizer) <= len(tokenizer.all_special_ids):
            raise OSError("the tokenizer has no vocabulary; its files must stand beside config.json")
        return tokenizer

    tokenizer = fetch(name, read)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise ModelError(f"model {name!r}: its tokenizer has no padding or end token; use another model")
    return tokenizer


def max_positions(model: nn.Module) -> int | None:
    """Return how many tokens a text may have, None if the model sets no limit (T5, XLNet, BLOOM).

    RoBERTa and its kin count positions from the padding index + 1: their table of 514 rows serves 512 tokens.
    """
    limit = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit <= 0:
        return None
    for name, module in model.named_modules():
        if name.endswith(".position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return limit - module.padding_idx - 1
    return limit


# -------------------------------------------------------------------------------------- steps of load_model


def _configure(config: PretrainedConfig, recipe, task: str, labels: Sequence[str] | None) -> None:
    """Set the task, the labels and the dropout in the configuration that the model is then made from."""
    if recipe.head != "auto" and recipe.head not in HEADS:
        raise ModelError(f"head: {recipe.head!r} is unknown; use one of {', '.join(('auto', *HEADS))}")
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
    if recipe.dropout is not None:
        _set_config_dropout(config, float(recipe.dropout))


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


def _assemble(config: PretrainedConfig, recipe, make: Callable[..., PreTrainedModel]) -> nn.Module:
    """Make the model, or the backbone and its head, and finish it as the recipe says."""
    auto_class, options = _backbone_class(config, recipe.head)
    with _own_random_state(recipe.seed):
        model = make(auto_class, **options)
    if recipe.head != "auto":
        _check_head(model, recipe.head)
        dropout = _model_dropout(config) if recipe.dropout is None else float(recipe.dropout)
        with _own_random_state(recipe.seed):  # anew: the head must not depend on what the backbone drew
            model = HeadedModel(model, recipe.head, dropout)
    if recipe.dropout is not None:
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = float(recipe.dropout)
    limit = max_positions(model)
    if limit is not None and recipe.max_length > limit:
        raise ModelError(
            f"max_length: {recipe.max_length} tokens, but {recipe.model} has {limit} positions; use {limit} or less"
        )
    return _own_memory(model).eval()


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
    if lost:
        raise ModelError(
            f"model {name!r}: its weights do not fit its config.json: {_some(lost)} missing or of another "
            "shape; fetch the model again, or use another one"
        )
    unused = [key for key in report["unexpected_keys"] if f".{layers.stack}." in "." + key]
    if unused:
        warnings.warn(f"model {name!r}: weights of its layers are left out: {_some(unused)}", stacklevel=4)


def _some(names) -> str:
    names = sorted(names)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


@contextmanager
def _own_random_state(seed: int) -> Iterator[None]:
    """Draw from a CPU generator seeded for this block alone; the global state is as before when it ends."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
