"""Memory of a training step: weights, gradients, optimizer states and activations, by formula.

The first three follow from the number of parameters (Rajbhandari et al. 2020, ZeRO). Activations are what the backward
pass will need again: they grow with batch and length, and their count a layer follows Korthikanti et al. (2022,
"Reducing activation recomputation in large Transformer models"), adapted to what torch keeps today: no dropout, and an
attention (`scaled_dot_product_attention`) that computes its scores anew in place of keeping them.

`ftlab.tuning.memory_meter` measures the same things on a real step. Pure arithmetic: nothing here needs torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ftlab.checks import choice, whole
from ftlab.errors import ModelError
from ftlab.known_models import KNOWN_MODELS

OPTIMIZER_STATES = {"adamw": 2, "bertadam": 2, "sgd": 0}
"""Numbers that an optimizer keeps beside each parameter: Adam's two running means; SGD without momentum none."""
PRECISIONS = ("fp32", "bf16", "fp16", "pure bf16")
"""bf16 and fp16 are mixed precision as accelerate means it: weights, gradients and states stay in 32 bits
(Micikevicius et al. 2018); "pure bf16" holds everything in 16 bits."""
DEVICE_SIZES = (8, 16, 24, 80)
"""Memory of common GPUs in GB (10^9 bytes)."""


@dataclass(frozen=True)
class Architecture:
    """The sizes of an encoder with a classifier, as BERT (Devlin et al. 2019), RoBERTa and DistilBERT have them."""

    layers: int
    width: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int = 512
    """Rows of the table of positions."""
    types: int = 2
    """Rows of the table of token types; DistilBERT has none."""
    outputs: int = 1
    """Numbers that come out for a text: 1, or the number of classes."""

    @classmethod
    def of(cls, config: Any) -> Architecture:
        """Read the sizes from a configuration of transformers. Raises ModelError for a family of another build."""
        family = getattr(config, "model_type", type(config).__name__)
        if family not in FAMILIES:
            raise ModelError(
                f"model: the activations of {family!r} follow other formulas; known: {', '.join(FAMILIES)}. "
                "measure_memory(...) measures any model"
            )
        names = FAMILIES[family]
        return cls(*(getattr(config, name) if name else 0 for name in names), outputs=config.num_labels)

    @property
    def embedding_parameters(self) -> int:
        """Parameters of the tables of words, positions and types, and of the norm over their sum."""
        return (self.vocabulary + self.positions + self.types) * self.width + 2 * self.width

    @property
    def layer_parameters(self) -> int:
        """Parameters of one layer: 4 h^2 + 2 h i in its six matrices, their biases, two norms."""
        return self.layer_matrices + 9 * self.width + self.intermediate

    @property
    def layer_matrices(self) -> int:
        """Parameters of one layer's six matrices: query, key, value, output (h x h), up and down (h x i)."""
        return 4 * self.width**2 + 2 * self.width * self.intermediate

    @property
    def head_parameters(self) -> int:
        """Parameters of the pooler, or of the classifier's first matrix, and of the last one."""
        return self.width**2 + self.width + (self.width + 1) * self.outputs

    @property
    def parameters(self) -> int:
        """All of them."""
        return self.embedding_parameters + self.layers * self.layer_parameters + self.head_parameters


_BERT = (
    "num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size", "vocab_size",
    "max_position_embeddings", "type_vocab_size",
)  # fmt: skip
FAMILIES = {
    **dict.fromkeys(("bert", "roberta", "camembert", "xlm-roberta"), _BERT),
    "distilbert": ("n_layers", "dim", "n_heads", "hidden_dim", "vocab_size", "max_position_embeddings", ""),
}
"""Families built as BERT is, and what their configurations call the sizes of an Architecture, in its order."""

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {name: Architecture(*sizes) for name, sizes in KNOWN_MODELS.items() if len(sizes) > 1}
)
"""The sizes of the known models that are built so."""


@dataclass(frozen=True)
class MemoryEstimate:
    """What a training step holds, in bytes.

    parts: {part: bytes}, in the order in which they are listed; a part that a setting does without is left out.
    peak: the most that is there at one moment of a step. It is less than the sum of the parts, since gradients are
        made while activations go; only accumulation carries the gradients through the next forward pass.
    best_checkpoint: the copy of the best weights, which `fit` keeps in the computer's memory, not the device's.
    """

    parts: dict[str, int]
    peak: int
    best_checkpoint: int

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return sum(self.parts.values())

    @property
    def fits(self) -> int | None:
        """The smallest of DEVICE_SIZES, in GB, that the peak fits into; None if none of them is large enough."""
        return next((size for size in DEVICE_SIZES if self.peak <= size * 1e9), None)


def estimate_memory(
    model: str | Architecture | Any = "minilm",
    *,
    batch_size: int = 16,
    length: int = 256,
    optimizer: str = "adamw",
    precision: str = "fp32",
    checkpointing: bool = False,
    swa: bool = False,
    accumulate: bool = False,
    padded: bool = True,
) -> MemoryEstimate:
    """Work out what a training step holds, in bytes.

    model: a name in ARCHITECTURES, an Architecture, or a configuration of transformers. length: tokens that the batch
    is padded to. checkpointing: keep each layer's input alone and compute the rest of it anew in the backward pass
    (Chen et al. 2016). swa: an averaged copy of the weights. accumulate: several batches make one update. padded:
    texts of the batch differ in length, so that attention needs a mask.

    With P parameters of p bytes: weights P p, gradients P p, optimizer states k P p (k in OPTIMIZER_STATES), averaged
    copy P p. Under mixed precision the matrices are also kept in 16 bits until the backward pass has used them.

    Activations, for N = batch_size x length tokens, width h, intermediate size i, a heads, w bytes a number in the
    matrix products and r in the residual stream (norms and sums; 4 under mixed precision). A layer keeps

        N h w       its input, for query, key and value (one copy each under mixed precision: 3 N h w)
        3 N h w     query, key and value
        N h w       what attention found, the input of its output matrix
        4 N a       one number a head and token, from which attention's scores can be computed anew
        B s^2 w     the mask as numbers, if texts are padded (B texts of s tokens)
        N h r       the input of the first norm         N h w   its output, the input of the matrix up
        2 N i w     input and output of GELU
        N h r       the input of the second norm        and 4 N r: mean and deviation of both norms

    that is 16 N h w at i = 4 h in one precision, the 34 s b h bytes of Korthikanti et al. at 2 bytes less the two
    dropout masks, without their 5 a s^2 b of attention scores. Beside the layers: the tokens' numbers, the embeddings'
    norm and the output of the last layer.

    The head is the model's own (`head="auto"`); with another head weights differ by less than 1 %.

    On a CPU BertAdam updates in pieces, without the copy of a group that it takes on a GPU and that counts here.
    Left out: kernels' working space, the allocator's rounding, and CUDA's own 0.3 to 0.6 GB. On one H200, activations
    and 16-bit weights were within 1 % of this in 32 bits, and 4 % above it in bf16 (215 MiB, 206 estimated).

    Raises ModelError for a model that is not known, RecipeError for a setting that is out of range.
    """
    m = _architecture(model)
    _check(batch_size, length, optimizer, precision)
    mixed = precision in ("bf16", "fp16")
    stored = 2 if precision == "pure bf16" else 4  # bytes of a weight, and of a number in the residual stream
    used = 4 if precision == "fp32" else 2  # bytes of a number in a matrix product
    tokens = batch_size * length

    weights = m.parameters * stored
    layer = tokens * m.width * ((8 if mixed else 6) * used + 2 * stored)
    layer += 2 * tokens * m.intermediate * used
    layer += 4 * tokens * m.heads + bool(padded) * batch_size * length**2 * used + 4 * tokens * stored
    below = tokens * (m.width * stored + 2 * stored + 2 * 8)  # embeddings: norm and its statistics, tokens and types
    above = 0 if mixed else tokens * m.width * used
    copy = 2 * m.layer_matrices if mixed else 0
    copies = m.layers * copy + 2 * m.head_parameters * mixed
    kept = tokens * m.width * stored if checkpointing else layer  # of each layer until its turn comes
    activations = below + m.layers * kept + above

    parts = {
        "weights": weights,
        "gradients": weights,
        "optimizer states": OPTIMIZER_STATES[optimizer] * weights,
        "averaged copy": weights * bool(swa),
        "16-bit weights": copies,
        "activations": activations,
    }

    # What comes and goes during a step: the end of the forward pass, each layer's backward pass from the top down, that
    # of the embeddings, the update. Under accumulation the earlier gradients are there all the while.
    earlier = weights * bool(accumulate)
    # Under mixed precision the top layer's input and both norms' outputs are there in 32 bits too, and what is added.
    moments = [earlier + activations + copies + mixed * tokens * m.width * (3 * 4 + 2)]
    work = tokens * (m.intermediate + m.width * mixed) * used  # gradients on their way through a layer
    for done in range(m.layers):
        left = m.layers - done
        inside = layer + copy if checkpointing else copy * left
        new = (m.layer_parameters if accumulate else m.head_parameters + (done + 1) * m.layer_parameters) * stored
        moments.append(earlier + below + left * kept + inside + work + new)
    moments.append(earlier + (m.embedding_parameters * stored if accumulate else weights))
    # BertAdam and SGD hold one number more for each parameter of the group that they are updating; on a CPU BertAdam
    # updates in pieces and holds next to nothing more, so this is too much there.
    moments.append(weights + (0 if optimizer == "adamw" else m.embedding_parameters * stored))
    always = weights + parts["optimizer states"] + parts["averaged copy"]
    return MemoryEstimate({name: size for name, size in parts.items() if size}, always + max(moments), weights)


def readable(size: float) -> str:
    """Write a number of bytes in a unit that suits it: 1.29 GB, 203 MB, 12 kB (powers of 1,000)."""
    unit, factor = next(((u, f) for u, f in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if size >= 0.9995 * f), ("B", 1))
    return f"{size / factor:,.{2 if unit == 'GB' and size < 99.95e9 else 0}f} {unit}"


def _architecture(model: Any) -> Architecture:
    if isinstance(model, Architecture):
        return model
    if isinstance(model, str):
        if model not in ARCHITECTURES:
            raise ModelError(
                f"model: the sizes of {model!r} are not known here; known: {', '.join(ARCHITECTURES)}. For another one "
                "give its configuration, transformers.AutoConfig.from_pretrained(...)"
            )
        return ARCHITECTURES[model]
    return Architecture.of(model)


def _check(batch_size: Any, length: Any, optimizer: Any, precision: Any) -> None:
    for name, value in (("batch_size", batch_size), ("length", length)):
        whole(name, value, 1)
    for name, value, known in (("optimizer", optimizer, OPTIMIZER_STATES), ("precision", precision, PRECISIONS)):
        choice(name, value, known)
