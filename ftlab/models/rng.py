"""Random numbers of one's own: inside `own_generator` a thread draws from a generator that no other uses.

torch's global generator belongs to the whole process. A run in a thread that used it would see its numbers shifted by
every `torch.rand` of another cell, and that cell would see its own put back. Taking turns at the global generator would
not help, because torch lets other threads in between any two operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class own_generator(TorchDispatchMode):  # noqa: N801 - a context manager, written as torch.no_grad is
    """Inside the block, draw this thread's random numbers on the CPU from a generator seeded with `seed`.

    The numbers are those that follow `torch.manual_seed(seed)`, bit for bit; the global generator neither moves nor
    matters. The block may be entered again and goes on where it left off; `generator` is the torch.Generator. Numbers
    on another device stay the business of that device's own generator.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Give every operation that draws, and names no generator, this one."""
        kwargs = kwargs or {}
        drawing = _with_generator(function)
        if drawing is not None and kwargs.get("generator") is None and _device(args, kwargs) == "cpu":
            return drawing(*args, **{**kwargs, "generator": self.generator})
        return function(*args, **kwargs)


@cache
def _with_generator(function: Any) -> Any:
    """Find the form of an operation that takes a generator; None if it draws no random numbers."""
    if torch.Tag.nondeterministic_seeded not in function.tags:
        return None
    if any(argument.name == "generator" for argument in function._schema.arguments):
        return function
    name = "_".join(part for part in (function._overloadname.replace("default", ""), "generator") if part)
    return getattr(function.overloadpacket, name, None)


def _device(args: Any, kwargs: Any) -> str:
    tensor = next((value for value in args if isinstance(value, torch.Tensor)), None)
    return str(kwargs.get("device") or "cpu") if tensor is None else tensor.device.type


@contextmanager
def seeded(seed: int) -> Iterator[own_generator]:
    """Yield an `own_generator`; GPUs draw from their global generators, seeded here and put back afterwards."""
    states = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)
    try:
        yield own_generator(seed)
    finally:
        if states:
            torch.cuda.set_rng_state_all(states)
