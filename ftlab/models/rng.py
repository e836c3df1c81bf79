"""Random numbers of one's own: inside `own_generator` a thread draws from a generator that no other uses.

torch's global generator belongs to the whole process. A run in a thread that used it would see its numbers shifted by
every `torch.rand` of another cell, and that cell would see its own put back. Taking turns at the global generator would
not help, because torch lets other threads in between any two operations.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
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

    def states(self) -> dict[str, torch.Tensor]:
        """Return where the numbers stand: on the CPU, and on an accelerator ("cuda", "mps", "xpu") if there is one."""
        kind, device = _accelerator()
        return {"cpu": self.generator.get_state(), **({kind: device.get_rng_state()} if kind else {})}

    def set_states(self, states: dict[str, torch.Tensor]) -> None:
        """Go back to what `states` returned; the state of an accelerator that is not here is passed over."""
        self.generator.set_state(states["cpu"])
        kind, device = _accelerator()
        if kind in states:
            device.set_rng_state(states[kind])

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


def _accelerator() -> tuple[str, Any]:
    """Return the name and torch's module of the machine's accelerator: "cuda", "mps", "xpu"; "" if there is none."""
    if not torch.accelerator.is_available():
        return "", None
    kind = torch.accelerator.current_accelerator().type
    return kind, torch.get_device_module(kind)


@contextmanager
def seeded(seed: int) -> Iterator[own_generator]:
    """Yield an `own_generator`; accelerators draw from their own, seeded inside the block and put back afterwards.

    So are NumPy's and Python's global generators, which some models draw from (BigBird), where the block runs in the
    main thread. In another one they are left alone: putting them back would rewind what other cells draw meanwhile.
    """
    kind, device = _accelerator()
    several = "_all" if hasattr(device, "get_rng_state_all") else ""  # Apple's has one alone
    states = getattr(device, "get_rng_state" + several)() if kind else None
    alone = threading.current_thread() is threading.main_thread()
    legacy, python = np.random.get_state(), random.getstate()
    try:
        if kind:
            getattr(device, "manual_seed" + several)(seed)
        if alone:
            np.random.seed(seed % 2**32)
            random.seed(seed)
        yield own_generator(seed)
    finally:
        if kind:
            getattr(device, "set_rng_state" + several)(states)
        if alone:
            np.random.set_state(legacy)
            random.setstate(python)
