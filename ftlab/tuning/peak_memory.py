"""The most memory that was held since a moment: main memory of the whole process, and torch's on a CUDA device."""

from __future__ import annotations

from pathlib import Path

import torch


def restart_peak() -> bool:
    """Begin to measure the peaks anew; tell whether the system can do so for the process (Linux can)."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_of_process() -> int | None:
    """Return the most main memory, in bytes, that the process has held since; None where the system cannot say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), None)


def peak_of_device() -> int | None:
    """Return the most memory, in bytes, that torch has held on the CUDA device since; None without one."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None
