"""Measure the memory of a real training step, to hold against the formulas of `ftlab.tuning.memory`."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ftlab.data import Data
from ftlab.errors import RecipeError
from ftlab.recipe import Recipe
from ftlab.trainer import Job, prepare
from ftlab.tuning.memory import FAMILIES, PRECISIONS, MemoryEstimate, estimate_memory
from ftlab.tuning.peak_memory import peak_of_process, restart_peak

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class MeasuredMemory:
    """What a real training step held, in bytes.

    parts: {part: bytes} as in `MemoryEstimate`; activations, and under mixed precision the 16-bit weights, are what the
        forward pass left. saved: of these, what autograd itself had put by for the backward pass.
    peak: the most at one moment of a step; on a CUDA device by its allocator, elsewhere by counting every tensor.
    peak_rss: the most main memory that the whole process held at that time, with Python and all libraries; None where
        the system cannot say (it can on Linux).
    estimate: the formulas for the same batch; None for a family whose activations follow others.
    """

    parts: dict[str, int]
    saved: int
    peak: int
    peak_rss: int | None
    device: str
    batch_size: int
    length: int
    estimate: MemoryEstimate | None


def measure_memory(
    recipe: Recipe, data: Data, fold: int = 0, *, precision: str = "fp32", checkpointing: bool = False
) -> MeasuredMemory:
    """Train two steps on the longest texts of a fold's training set, and measure the second, which has all its states.

    precision: one of `PRECISIONS`. checkpointing: compute each layer anew in the backward pass. The model is
    loaded for this and thrown away.

    Raises RecipeError for an unknown precision, and RecipeError, DataError or ModelError as `fit` does.
    """
    if precision not in PRECISIONS:
        raise RecipeError(f"precision: {precision!r} is unknown; use one of {', '.join(PRECISIONS)}")
    others = torch.cuda.memory_allocated() if torch.cuda.is_available() else 0
    job = prepare(recipe, data, fold)
    recipe, device = job.recipe, job.accelerator.device
    model = job.accelerator.unwrap_model(job.model, keep_fp32_wrapper=False)
    if precision == "pure bf16":
        model.to(torch.bfloat16)
    if checkpointing:
        backbone = getattr(model, "backbone", model)
        enable = getattr(backbone, "activation_checkpointing_enable", None)  # its name since transformers 5.2x
        (enable or backbone.gradient_checkpointing_enable)()
    rows = job.split.train
    rows = rows[np.argsort(-job.batches.lengths[rows], kind="stable")[: recipe.batch_size]]
    batch = job.make_batch(rows)
    batches = min(2, recipe.gradient_accumulation_steps)  # from the second on nothing grows
    fixed = sum(map(_bytes, [model.parameters(), model.buffers(), batch.values()]))
    averaged = _bytes(job.averager.model.parameters()) if job.averager else 0

    meter = _DeviceMeter(others) if device.type == "cuda" else _TensorMeter(fixed + averaged)
    with meter:
        for _ in range(2):
            meter.restart()
            knows_process = restart_peak()
            for _ in range(batches):
                loss, activations, saved = _forward(job, batch, precision, meter)
                loss.backward()
            gradients = _bytes(p.grad for p in model.parameters())
            job.optimizer.step()
            job.optimizer.zero_grad()
        peak, peak_rss = meter.peak(), peak_of_process() if knows_process else None
        copies = _sixteen_bit_weights(job, batch, precision, meter)
    states = _bytes(t for state in job.optimizer.state.values() for t in state.values() if torch.is_tensor(t))
    length = batch["input_ids"].shape[1]
    parts = {
        "weights": _bytes(model.parameters()),
        "gradients": gradients,
        "optimizer states": states,
        "averaged copy": averaged,
        "16-bit weights": copies,
        "activations": activations - copies,
    }
    return MeasuredMemory(
        parts={name: size for name, size in parts.items() if size},
        saved=saved,
        peak=peak,
        peak_rss=peak_rss,
        device=device.type,
        batch_size=len(rows),
        length=length,
        estimate=estimate_memory(
            model.config,
            batch_size=len(rows),
            length=length,
            optimizer=recipe.optimizer,
            precision=precision,
            checkpointing=checkpointing,
            swa=job.averager is not None,
            accumulate=batches > 1,
            padded=not batch["attention_mask"].all(),
        )
        if model.config.model_type in FAMILIES
        else None,
    )


def _forward(
    job: Job, batch: dict[str, torch.Tensor], precision: str, meter: _DeviceMeter | _TensorMeter
) -> tuple[torch.Tensor, int, int]:
    """Run the model forward; return the loss, the bytes it left, and how many of them autograd has put by."""
    own = {t.untyped_storage()._cdata for t in [*job.bare_model.parameters(), *job.bare_model.buffers()]}
    saved: dict[int, int] = {}  # each piece of memory once, however many views of it are saved

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
        return tensor

    before = meter.now()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), _autocast(job, precision):
        loss = job.loss(_logits(job, batch).float(), batch["labels"])
        left = meter.now() - before  # before autocast releases the weights in 16 bits
    return loss, left, sum(saved.values())


def _sixteen_bit_weights(
    job: Job, batch: dict[str, torch.Tensor], precision: str, meter: _DeviceMeter | _TensorMeter
) -> int:
    """Return the bytes of autocast's copies of the weights: all that a forward pass without gradients leaves."""
    with _autocast(job, precision), torch.no_grad():
        before = meter.now()
        _logits(job, batch)
        return meter.now() - before if precision in _DTYPES else 0


def _autocast(job: Job, precision: str) -> Any:
    dtype = _DTYPES.get(precision)
    return torch.autocast(job.accelerator.device.type, dtype) if dtype else nullcontext()


def _logits(job: Job, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    return job.bare_model(**{key: value for key, value in batch.items() if key != "labels"}).logits


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


# -------------------------------------------------------------------------------------------------------- meters


class _DeviceMeter:
    """Read CUDA's allocator, less what other work held there before."""

    def __init__(self, others: int) -> None:
        self._others = others

    def __enter__(self) -> _DeviceMeter:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def restart(self) -> None:
        torch.cuda.reset_peak_memory_stats()

    def now(self) -> int:
        return torch.cuda.memory_allocated() - self._others

    def peak(self) -> int:
        return torch.cuda.max_memory_allocated() - self._others


class _TensorMeter(TorchDispatchMode):
    """Count the memory of every tensor that torch's operations make, until nothing uses it any more.

    For devices whose allocator keeps no count, such as a CPU. fixed: bytes that were there before.
    """

    def __init__(self, fixed: int) -> None:
        super().__init__()
        self._held: dict[int, int] = {}
        self._now = self._peak = fixed

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and note the memory that is new in its results."""
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if torch.is_tensor(t)}
        results = function(*args, **(kwargs or {}))
        for tensor in filter(torch.is_tensor, tree_leaves(results)):
            storage = tensor.untyped_storage()
            key = storage._cdata
            if key not in given and key not in self._held:  # neither a view nor a change in place
                self._held[key] = storage.nbytes()
                self._now += storage.nbytes()
                self._peak = max(self._peak, self._now)
                weakref.finalize(storage, self._release, key)
        return results

    def _release(self, key: int) -> None:
        self._now -= self._held.pop(key)

    def restart(self) -> None:
        self._peak = self._now

    def now(self) -> int:
        return self._now

    def peak(self) -> int:
        return self._peak
