"""Which parameters of a Transformer belong to which layer: embeddings, layer 0 to L-1, head.

Layer-wise learning rates (Howard and Ruder 2018) and re-initialisation (Zhang et al. 2021) are built on this map.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn
from transformers import PreTrainedModel

from ftlab.errors import ModelError
from ftlab.models.heads import HeadedModel

EMBEDDINGS, HEAD = "embeddings", "head"


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
    exactly one place, a tied one that of its first name. Wrappers are looked through: torch.compile,
    DistributedDataParallel, PEFT's adapters.

    Raises ModelError where there is no such list: encoder-decoders, several stacks, layers that share some
    weights; where a wrapper has parameters of its own; and where a layer has none.
    """
    outer, whole = unwrap(model)
    prefix, backbone = _backbone_of(whole)
    prefix = outer + prefix
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
    if empty := set(layers[1:-1]) - set(place.values()):
        raise ModelError(
            f"layer map: {type(model).__name__} has no parameter in {min(empty)}, so its names do not tell the layers "
            "apart; give the plain model, before anything is put around it"
        )
    return LayerMap(
        family=backbone.config.model_type,
        layers=layers,
        place=place,
        sizes={name: parameter.numel() for name, parameter in model.named_parameters()},
        stack=stack,
        blocks=[backbone.get_submodule(path) for path in paths],
        pooler=getattr(backbone, "pooler", None) or getattr(whole, "pooler", None),
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


def unwrap(model: nn.Module) -> tuple[str, nn.Module]:
    """Return the model inside torch.compile, DistributedDataParallel or PEFT, and what its names begin with there.

    Raises ModelError if there is none, or if the wrapper has parameters of its own beside it.
    """
    inside = ((path, m) for path, m in model.named_modules() if isinstance(m, (HeadedModel, PreTrainedModel)))
    path, module = next(inside, (None, None))
    if module is None:
        raise ModelError(f"layer map: {type(model).__name__} is no transformers model, nor one of load_model's")
    prefix = path and path + "."
    beside = [name for name, _ in model.named_parameters() if not name.startswith(prefix)]
    if beside:
        raise ModelError(
            f"layer map: {type(model).__name__} has parameters beside the {type(module).__name__} inside it "
            f"({beside[0]}, {len(beside)} in all), and their layer is not known; give the model inside"
        )
    return prefix, module


def _backbone_of(model: nn.Module) -> tuple[str, nn.Module]:
    """Return the prefix of the backbone's parameter names and the backbone."""
    prefix = "backbone" if isinstance(model, HeadedModel) else model.base_model_prefix
    if not prefix or not hasattr(model, prefix):
        return "", model
    outer, backbone = unwrap(getattr(model, prefix))
    return f"{prefix}.{outer}", backbone


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
        raise ModelError(f"layer map: {family}: expected one list of {depth} layers, found {found}; {hint}")
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
