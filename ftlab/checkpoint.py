"""Checkpoints of a run in progress: everything needed to continue it bit for bit, or nothing.

A checkpoint is a folder `step-00000054` of safetensors files and one `state.json`, written under another name, synced,
and renamed when complete; `manifest.json`, written last inside it, holds the SHA-256 of every file. The newest two are
kept, so a damaged one still leaves the one before. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ftlab.errors import CheckpointError
from ftlab.history import History

KEEP = 2


def save_checkpoint(
    folder: str | Path, step: int, tensors: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]
) -> None:
    """Write the checkpoint of `step`: each dictionary of tensors to one safetensors file, `state` as JSON.

    A crash at any moment leaves the earlier checkpoints as they were. Those of later steps belong to a run that was
    given up, or are damaged, and go first: they would be taken for the newest. Raises CheckpointError if the folder
    cannot be written to or the disk is full.
    """
    folder = Path(folder)
    final = folder / f"step-{step:08d}"
    partial = folder / f".partial-{final.name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, named in tensors.items():
            save_file(_apart(named), partial / f"{name}.safetensors")
        (partial / "state.json").write_text(json.dumps(state), encoding="utf-8")
        write_manifest(partial)
        for abandoned in _newest_first(folder):
            if abandoned.name >= final.name:
                _remove(abandoned)
        partial.rename(final)
        _sync(folder)
        for old in _newest_first(folder)[KEEP:]:
            _remove(old)
    except (OSError, SafetensorError) as error:  # safetensors has an error of its own for a full disk
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"{folder}: cannot write the checkpoint of step {step} ({error}); "
            "free some space or choose another checkpoint_dir"
        ) from error


def load_checkpoint(folder: str | Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]] | None:
    """Read the newest undamaged checkpoint: (tensors by file, state), or None if the folder holds none at all.

    A damaged one is passed over with a warning. Raises CheckpointError if there are checkpoints but none is whole.
    """
    problem: Exception | None = None
    for path in _newest_first(Path(folder)):
        try:
            names = check_manifest(path)
            tensors = {Path(n).stem: load_file(path / n) for n in names if n.endswith(".safetensors")}
            return tensors, json.loads((path / "state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, SafetensorError) as error:
            problem = problem or error
            warnings.warn(f"{path} is damaged ({error}); trying the checkpoint before it", stacklevel=2)
    if problem is not None:
        raise CheckpointError(
            f"{folder}: every checkpoint in it is damaged or cannot be read (the newest: {problem}); mend that, or "
            "delete the folder and start afresh"
        )
    return None


def save_job(job: Any, done: int) -> None:
    """Save everything that a run (`ftlab.trainer.Job`) needs to continue after `done` updates.

    With several processes each gives its random state and the first writes. Raises CheckpointError as
    `save_checkpoint` does.
    """
    states_of_all = gather_object([job.random.states()])
    if not job.accelerator.is_main_process:
        return
    optimizer, rest = flatten_optimizer(job.optimizer.state_dict())
    scaler = job.accelerator.scaler  # of float16
    tensors = {
        "model": job.bare_model.state_dict(),
        "optimizer": optimizer,
        "best": job.best_weights or {},
        "average": job.averager.state_dict() if job.averager else {},
        "random": {f"{rank}/{k}": v for rank, states in enumerate(states_of_all) for k, v in states.items()},
    }
    state = {
        "fingerprint": job.fingerprint,
        "step": done,
        "optimizer": rest,
        "scaler": scaler and scaler.state_dict(),
        "best_score": job.best.score,
        "looks_without_progress": job.best.looks_without_progress,
        "history": job.history.to_dict(),
    }
    save_checkpoint(job.checkpoint_dir, done, tensors, state)


def resume_job(job: Any) -> None:
    """Continue a run from its folder's newest checkpoint, if there is one: everything is put as `save_job` found it.

    Raises CheckpointError if the checkpoint belongs to another run, or lacks a part.
    """
    found = load_checkpoint(job.checkpoint_dir)
    if found is None:
        return
    try:
        _restore(job, *found)
    except CheckpointError:
        raise
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{job.checkpoint_dir}: its checkpoint lacks a part, or another version of ftlab wrote it "
            f"({type(error).__name__}: {error}); delete the folder and start afresh"
        ) from error


def _restore(job: Any, tensors: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]) -> None:
    _same_run(state["fingerprint"], job.fingerprint, job.checkpoint_dir)
    job.bare_model.load_state_dict(tensors["model"])
    job.optimizer.load_state_dict(unflatten_optimizer(tensors["optimizer"], state["optimizer"]))
    if job.accelerator.scaler and state.get("scaler"):  # the first edition saved none
        job.accelerator.scaler.load_state_dict(state["scaler"])
    job.best_weights = tensors["best"] or None
    if job.averager:
        job.averager.load_state_dict(tensors["average"])
    mine = f"{job.accelerator.process_index}/"
    job.random.set_states({k.removeprefix(mine): v for k, v in tensors["random"].items() if k.startswith(mine)})
    job.best.score, job.best.looks_without_progress = state["best_score"], state["looks_without_progress"]
    job.first_step = state["step"]
    job.history = History.from_dict(state["history"])
    if len(job.history):
        job.started -= job.history.seconds[-1]


def _same_run(saved: dict[str, Any], present: dict[str, Any], folder: str | Path | None) -> None:
    """Raise CheckpointError naming what differs between the checkpoint's run and the present one."""
    differing = [key for key in present if key != "recipe" and saved[key] != present[key]]
    fields = {**saved["recipe"], **present["recipe"]}  # a field of later editions is left out while it is neutral
    differing += [f"recipe.{k}" for k in fields if saved["recipe"].get(k) != present["recipe"].get(k)]
    if differing:
        raise CheckpointError(
            f"{folder}: its checkpoint belongs to another run; these differ: {', '.join(differing)}. "
            "Choose another checkpoint_dir, or delete this one to start afresh"
        )


def write_manifest(folder: Path) -> None:
    """Write `manifest.json`, the SHA-256 of every file under a folder, and sync everything to the disk."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    manifest = {path.relative_to(folder).as_posix(): _sha256(path) for path in files}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    for path in [*folder.rglob("*"), folder]:
        _sync(path)


def check_manifest(folder: Path) -> list[str]:
    """Return the names in `manifest.json` if every file is as it was written; a file beside them does not matter.

    Raises ValueError or OSError naming what has changed or is missing.
    """
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except RecursionError:
        manifest = None
    if not isinstance(manifest, dict) or not manifest:
        raise ValueError("manifest.json names no file")
    for name, wanted in manifest.items():
        if _sha256(folder / name) != wanted:
            raise ValueError(f"{name} has changed since it was written")
    return list(manifest)


def flatten_optimizer(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Split an optimizer's state dictionary into named tensors and the plain rest."""
    tensors, rest = {}, {"groups": state["param_groups"], "scalars": []}
    for index, values in state["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}/{key}"] = value
            else:
                rest["scalars"].append([index, key, value])
    return tensors, rest


def unflatten_optimizer(tensors: dict[str, torch.Tensor], rest: dict[str, Any]) -> dict[str, Any]:
    """Put together what `flatten_optimizer` took apart."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in tensors.items():
        index, key = name.split("/", 1)
        state.setdefault(int(index), {})[key] = value
    for index, key, value in rest["scalars"]:
        state.setdefault(index, {})[key] = value
    return {"state": state, "param_groups": rest["groups"]}


def _apart(named: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy what lies in the memory of an earlier tensor (tied weights): safetensors writes each place once."""
    first = {tensor.untyped_storage().data_ptr(): name for name, tensor in reversed(named.items())}
    tied = {name for name, tensor in named.items() if first[tensor.untyped_storage().data_ptr()] != name}
    return {k: (v.clone() if k in tied else v).detach().cpu().contiguous() for k, v in named.items()}


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-[0-9]*"), reverse=True)


def _remove(path: Path) -> None:
    """Remove a checkpoint, or the file that stands in the place of one."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    is_folder = path.is_dir()
    if os.name == "nt" and is_folder:
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)  # Windows flushes only what it may write
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
