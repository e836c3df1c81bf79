"""A whole update as one CUDA graph: on a GPU the hundreds of kernels of a small model's step are launched by one call.

A step of a small model costs its launches, not its arithmetic: forward and backward pass, clipping and optimizer are
some 600 kernels of a few microseconds, and Python needs longer than that to ask for each. A CUDA graph (Gray 2019,
"Getting started with CUDA graphs") records them once and replays them together. A graph has fixed shapes, so batches
are padded to one of a few lengths, and fixed addresses, so each update's rows and learning rates are copied to one
place on the GPU, and its loss and gradient norm are left in another, from which they are read 16 at a time.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

READ_BACK = 16
"""Updates whose losses and norms are read back together: the history is at most 15 updates behind the GPU."""
LENGTHS = 4
"""Lengths that batches are padded to, at most: to record a graph takes as long as two or three plain updates."""
TABLE_LIMIT = 2**30
"""Bytes of token numbers that may lie on the GPU during a run: about 350,000 texts of 256 tokens."""
PADDING = {"input_ids": "pad_token_id", "token_type_ids": "pad_token_type_id"}
"""The columns that a tokenizer gives, each with the attribute that says what they are padded with."""


@contextmanager
def cuda_graphs(job: Any) -> Iterator[None]:
    """Let the job's updates be replayed from CUDA graphs inside the block; on a CPU nothing is changed.

    Losses and weights are those of plain training up to the rounding of 32-bit numbers, the learning rates in the
    history are the schedule's to the last bit, and a resumed run repeats itself bit for bit. The history is complete at
    each evaluation, when the run is stopped and at the end of the block, and up to 15 updates late in between. Once a
    loss or a norm is not finite the GPU changes no weight any more, so late reading does not move the end of a run.

    Where this cannot hold, one warning says why and the job trains as it is: see `reason_against`. The same if a model
    refuses to be recorded, because its forward pass asks the GPU for a number, for example.
    """
    reason = reason_against(job)
    if reason is not None:
        if job.accelerator.device.type == "cuda":
            _warn(reason)
        yield
        return
    updates = _Updates(job)
    try:
        yield
        updates.read_back()
    except KeyboardInterrupt:
        updates.read_back()
        raise
    finally:
        updates.release()


def reason_against(job: Any) -> str | None:
    """Say in a few words why a job's updates cannot be replayed from graphs; None if they can."""
    accelerator, optimizer = job.accelerator, job.recipe.optimizer
    if accelerator.device.type != "cuda":
        return f"the device is {accelerator.device.type}"
    if os.environ.get("FTLAB_CUDA_GRAPHS") == "0":
        return "FTLAB_CUDA_GRAPHS=0"
    if accelerator.num_processes > 1:
        return "several processes share the gradient"
    if accelerator.scaler is not None:
        return "fp16 scales the loss by a factor that is decided on the CPU; bf16 does not"
    if optimizer != "adamw":
        return f"optimizer={optimizer!r} takes its learning rates from the CPU; 'adamw' does not"
    others = set(job.rows.column_names) - {*PADDING, "length", "label"}
    if others:
        return f"the tokenizer gives a column that cannot be padded here: {', '.join(sorted(others))}"
    size = 4 * len(job.rows) * int(job.batches.lengths.max()) * len(job.rows.column_names)
    if size > TABLE_LIMIT:
        return f"the texts would take {size / 1e9:.1f} GB on the GPU"
    return None


def padded_lengths(longest: Sequence[int] | np.ndarray, limit: int, at_most: int = LENGTHS) -> list[int]:
    """Choose at most `at_most` lengths to pad batches to, ascending, such that each serves as many batches as another.

    longest: tokens of each batch's longest text. limit: no length is above it, unless a text is. The lengths are
    quantiles of `longest`, rounded up to multiples of 8, which matrix products are fastest with; the last one is long
    enough for all.
    """
    shares = np.arange(1, at_most + 1) / at_most
    wanted = np.quantile(np.asarray(longest), shares, method="higher").tolist()
    return sorted({max(length, min(8 * math.ceil(length / 8), limit)) for length in map(int, wanted)})


def padded_rows(job: Any, width: int) -> dict[str, Tensor]:
    """Return all texts of a job as its collator would pad them to `width`: each column (texts, width), labels (texts,).

    Token numbers are 32-bit here, to take half the memory.
    """
    columns = job.rows.with_format("arrow")[:]
    position = np.arange(width) if job.tokenizer.padding_side == "right" else np.arange(width)[::-1]
    real = position < job.batches.lengths[:, None]
    table = {"attention_mask": torch.from_numpy(real.astype(np.int32))}
    for name in PADDING.keys() & set(columns.column_names):
        padded = np.full(real.shape, getattr(job.tokenizer, PADDING[name]), dtype=np.int32)
        padded[real] = columns[name].combine_chunks().flatten().to_numpy()
        table[name] = torch.from_numpy(padded)
    return {**table, "labels": torch.from_numpy(columns["label"].to_numpy().copy())}


class _Updates:
    """The recorded updates of one run, and what stands in for the parts of its job meanwhile."""

    def __init__(self, job: Any) -> None:
        self.job = job
        self.device = job.accelerator.device
        self.optimizer = job.optimizer.optimizer  # without accelerate's wrapper, which asks what process it is in
        planned = range(job.schedule.steps_per_epoch)
        longest = [job.batches.lengths[np.concatenate(job.batches_of(step))].max() for step in planned]
        longest[int(np.argmax(longest))] = job.batches.lengths[job.split.train].max()
        at_most = min(LENGTHS, 1 + job.schedule.total_steps // 16)  # a graph must be worth its recording
        self.lengths = padded_lengths(longest, job.recipe.max_length, at_most)
        width = max(self.lengths[-1], int(job.batches.lengths.max()))
        self.table = {name: column.to(self.device) for name, column in padded_rows(job, width).items()}
        self.full = (job.recipe.batch_size,) * job.recipe.gradient_accumulation_steps
        if job.schedule.steps_per_epoch == 1:  # every update is the whole train set, however large
            self.full = tuple(sorted(map(len, job.batches_of(0)), reverse=True))
        # One copy an update: the place of its results, a rate for each parameter group, the numbers of its rows.
        groups = len(self.optimizer.param_groups)
        most_rows = job.recipe.batch_size * job.recipe.gradient_accumulation_steps
        self.inputs = torch.zeros(1 + groups + most_rows, dtype=torch.float64, device=self.device)
        self.staged = torch.zeros(
            READ_BACK, len(self.inputs), dtype=torch.float64, pin_memory=self.device.type == "cuda"
        )
        self.rates = torch.zeros(groups, device=self.device)
        self.results = torch.zeros(READ_BACK, 2, device=self.device)
        self.failed = torch.zeros((), device=self.device)  # 1 from the first loss or norm on that is not finite
        self.pending: list[dict[str, Any]] = []  # the updates under way: their learning rates and times
        self.graphs: dict[tuple[tuple[int, ...], int], Callable[[], None]] = {}
        self.pool: Any = None
        self.constants = _Constants()
        self.parts = [
            (job, "forward_and_backward", self.forward_and_backward),
            (job, "record", self.record),
            (job.batches, "make", self.make_batch),
            (job.optimizer, "step", lambda: None),  # it is part of the graph
            (job.optimizer, "zero_grad", lambda: None),
        ]
        for part in self.parts:
            setattr(*part)

    def release(self) -> None:
        """Give the job its own parts back, and the GPU's memory."""
        for owner, name, _ in self.parts:
            delattr(owner, name)  # the class's own comes back
        self.parts.clear()
        self.graphs.clear()
        self.table.clear()

    # ------------------------------------------------------------------------------- what stands in for the job's parts

    def forward_and_backward(self, batches: list[np.ndarray]) -> tuple[Any, Any]:
        """Start a whole update, the optimizer's part too; its loss and norm are still on the GPU."""
        batches = sorted(batches, key=len, reverse=True)  # so that a smaller batch makes one more shape and not several
        sizes, rows = tuple(map(len, batches)), np.concatenate(batches)
        fitting = [length for length in self.lengths if length >= self.job.batches.lengths[rows].max()]
        key = (sizes, fitting[0] if sizes == self.full else fitting[-1])
        if key not in self.graphs:
            self.read_back()
            if not self.job.history.is_finite:
                return None, None
        held = {group["layer"]: group["lr"] for group in self.optimizer.param_groups}
        values = [len(self.pending), *(group["lr"] for group in self.optimizer.param_groups), *rows]
        staged = self.staged[len(self.pending), : len(values)]
        staged.numpy()[:] = values
        self.inputs[: len(values)].copy_(staged, non_blocking=True)
        if key not in self.graphs:
            try:
                self.graphs[key] = self.capture(*key)
            except Exception as error:  # whatever a model does that a graph cannot hold
                self.release()
                _warn(f"{type(self.job.bare_model).__name__} cannot be recorded ({_cause(error)})")
                return self.job.forward_and_backward(batches)
        self.graphs[key]()
        self.pending.append(
            {"lr": [held[name] for name in self.job.schedule.layers], "seconds": time.perf_counter() - self.job.started}
        )
        return None, None

    def record(self, *_: Any) -> None:
        """Bring the history up to date if it is time to: every 16 updates, to evaluate, to stop."""
        done = len(self.job.history) + len(self.pending)
        if len(self.pending) == READ_BACK or self.job.is_evaluation_step(done) or self.job.stop.is_set():
            self.read_back()

    def make_batch(self, rows: np.ndarray) -> dict[str, Tensor]:
        """Take an evaluation's batch from the texts on the GPU, padded to the longest among them."""
        return self.take(torch.as_tensor(rows, device=self.device), int(self.job.batches.lengths[rows].max()))

    def read_back(self) -> None:
        """Write the updates under way into the history, up to the first whose loss or norm is not finite."""
        pending, self.pending = self.pending, []
        results = self.results.tolist() if pending else []  # waits for the GPU
        for update, (loss, grad_norm) in zip(pending, results, strict=False):
            self.job.history.append(loss=loss, grad_norm=grad_norm, **update)
            if not self.job.history.is_finite:
                return

    # -------------------------------------------------------------------------------------------- what a graph records

    def take(self, rows: Tensor, length: int) -> dict[str, Tensor]:
        """Return rows of the table as a batch, without the padding beyond `length`."""
        batch = {name: column.index_select(0, rows) for name, column in self.table.items()}
        cut = slice(length) if self.job.tokenizer.padding_side == "right" else slice(-length, None)
        return {name: value if name == "labels" else value[:, cut].long() for name, value in batch.items()}

    def update(self, sizes: tuple[int, ...], length: int) -> None:
        """Do one update, from the rows and learning rates in `inputs` to the loss and norm in `results`."""
        groups = len(self.rates)
        self.rates.copy_(self.inputs[1 : 1 + groups])
        rows = self.inputs[1 + groups : 1 + groups + sum(sizes)].long()
        batches = [self.take(part, length) for part in rows.split(list(sizes))]
        loss, grad_norm = self.job.gradient(batches, [size / sum(sizes) for size in sizes])
        results = torch.stack([loss, grad_norm.to(loss)])
        self.results.index_copy_(0, self.inputs[:1].long(), results[None])
        self.failed.copy_(torch.maximum(self.failed, 1 - results.isfinite().all().to(self.failed)))
        self.optimizer.step()  # which leaves weights and states as they are if `failed` is 1
        self.optimizer.zero_grad()

    def capture(self, sizes: tuple[int, ...], length: int) -> Callable[[], None]:
        """Record the update for batches of these sizes padded to `length`; return what replays it.

        It is rehearsed once, with an optimizer that changes nothing: then all kernels are loaded and the optimizer's
        states exist. Neither rehearsal nor recording takes random numbers from the run.
        """
        graph, stream = torch.cuda.CUDAGraph(), _side_stream()
        random_state = torch.cuda.get_rng_state(self.device)
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream), self.rates_on_the_gpu(), self.constants:
                self.failed.fill_(1)
                self.update(sizes, length)
                self.failed.zero_()
                with torch.cuda.graph(graph, self.pool, stream, capture_error_mode="thread_local"):
                    self.update(sizes, length)
        except BaseException:
            self.optimizer.zero_grad()
            # The generator takes the recording to be still under way. It gets a state of its own again.
            anew = torch.Generator(self.device)
            anew.set_state(random_state)
            index = torch.cuda.current_device() if self.device.index is None else self.device.index
            torch.cuda.default_generators[index].graphsafe_set_state(anew.graphsafe_get_state())
            raise
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.set_rng_state(random_state, self.device)
        self.pool = graph.pool()
        return graph.replay

    @contextmanager
    def rates_on_the_gpu(self) -> Iterator[None]:
        """Let the optimizer read its learning rates, and whether to change anything, from the GPU inside the block."""
        groups = self.optimizer.param_groups
        held = [(group["lr"], group["capturable"]) for group in groups]
        for group, rate in zip(groups, self.rates.unbind(), strict=True):
            group.update(lr=rate, capturable=True)
        self.optimizer.found_inf = self.failed
        try:
            yield
        finally:
            for group, (lr, capturable) in zip(groups, held, strict=True):
                group.update(lr=lr, capturable=capturable)
            del self.optimizer.found_inf


class _Constants(TorchFunctionMode):
    """Let the constants that a model makes on the CPU reach a graph, which cannot wait for a copy from there.

    What the rehearsal copies to the GPU is kept, by its content, and taken from here by the recording. A number becomes
    a tensor by filling and not by copying. MPNet before transformers 5.2x needs both: its table of relative positions.
    """

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[Any, Tensor] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one of torch's functions."""
        kwargs = kwargs or {}
        if func is torch.tensor and len(args) == 1 and isinstance(args[0], (bool, int, float)):
            return torch.full((), args[0], **kwargs)
        others = [*args[1:], *kwargs.values()]
        if func is not Tensor.to or args[0].device.type != "cpu" or any(map(torch.is_tensor, others)):
            return func(*args, **kwargs)
        content = args[0].detach().reshape(-1).view(torch.uint8).numpy().tobytes()
        key = (content, args[0].shape, args[0].dtype, repr(others))
        if key not in self.kept:
            moved = func(*args, **kwargs)
            if moved.device.type == "cpu":
                return moved
            self.kept[key] = moved
        return self.kept[key]


@cache
def _side_stream() -> Any:
    """Return the stream that all graphs of the process are recorded on: each stream that multiplies takes memory."""
    return torch.cuda.Stream()


def _cause(error: BaseException) -> str:
    """Return the first line of the error that came first: the end of a recording that failed raises another one."""
    while error.__context__ is not None:
        error = error.__context__
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _warn(reason: str) -> None:
    warnings.warn(f"training goes on without CUDA graphs, more slowly on a GPU: {reason}", stacklevel=3)
