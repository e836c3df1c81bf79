"""Weights of the runs that a bench keeps: on the disk, read when they are asked for."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ftlab.errors import CheckpointError
from ftlab.models.load import load_pretrained
from ftlab.run import Run

if TYPE_CHECKING:
    from torch import nn


@cache
def folder_of_this_process() -> tempfile.TemporaryDirectory:
    """Return the folder in which this process keeps weights; it goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="ftlab-bench-", ignore_cleanup_errors=True)


class StoredRun(Run):
    """A Run whose weights can be put on the disk and are read from there when they are asked for."""

    folder: Path | None = None

    @classmethod
    def of(cls, run: Run) -> StoredRun:
        """Make one that shares everything with `run`."""
        return cls(**{each.name: getattr(run, each.name) for each in fields(run)})

    def store(self) -> str:
        """Write the run to the disk; return why not, if there is no room: the weights then stay in memory."""
        folder = Path(tempfile.mkdtemp(dir=folder_of_this_process().name)) / "run"
        try:
            self.save(folder)
        except CheckpointError as error:
            return f"The weights stay in memory, because they cannot be written to the disk: {error}"
        self.folder = folder
        return ""

    def release(self) -> None:
        """Drop the weights from memory, if they are on the disk."""
        if self.folder is not None:
            self._weights.clear()

    def delete(self) -> None:
        """Remove what lies on the disk, for good."""
        if self.folder is not None:
            shutil.rmtree(self.folder.parent, ignore_errors=True)

    def _get(self, name: str) -> nn.Module | None:
        if name not in self._weights:
            path = self.folder / name
            self._weights[name] = load_pretrained(path) if path.is_dir() else None
        return self._weights[name]

    def _set(self, name: str, model: nn.Module | None) -> None:
        self.__dict__.setdefault("_weights", {})[name] = model

    model = property(lambda self: self._get("model"), lambda self, model: self._set("model", model))
    swa_model = property(lambda self: self._get("swa_model"), lambda self, model: self._set("swa_model", model))
