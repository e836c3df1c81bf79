"""What the tests of faults share: a process that dies at a chosen write, small runs, processes that start quickly."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
if os.name == "posix":
    CONTEXT.set_forkserver_preload(["ftlab.study.queue", "ftlab.trainer", "torch._dynamo"])

# Every technique at once, dropout for the random state, and groups of three batches of which the last is partial.
ALL_ON = {
    "epochs": 3, "dropout": 0.1, "layer_decay": 0.9, "warmup": 3, "reinit_layers": 2, "swa_start": 1, "swa_lr": 1e-3,
    "eval_every": 2, "batch_size": 5, "gradient_accumulation_steps": 3, "patience": 9, "lr": 3e-3,
}  # fmt: skip


class Assassin:
    """Kill this process with SIGKILL at the `at`-th moment of writing, counted from 0; `at` None only counts.

    Moments: before each file or folder that is made, renamed or removed (Python's audit events), before and after each
    sync, and in the middle of each text file and each safetensors file, with half of it written.
    """

    EVENTS = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod", "shutil.rmtree", "tempfile.mkstemp")

    def __init__(self, at: int | None) -> None:
        self.at, self.count = at, 0
        sys.addaudithook(self.audit)
        fsync, write_text = os.fsync, Path.write_text

        def dying_fsync(descriptor):
            self.moment()
            fsync(descriptor)
            self.moment()

        def dying_write_text(path, text, *args, **kwargs):
            if self.moment(dry=True):
                write_text(path, text[: len(text) // 2], *args, **kwargs)
            self.moment()
            return write_text(path, text, *args, **kwargs)

        os.fsync, Path.write_text = dying_fsync, dying_write_text
        import ftlab.checkpoint

        save_file = ftlab.checkpoint.save_file

        def dying_save_file(tensors, path, *args, **kwargs):
            save_file(tensors, path, *args, **kwargs)
            if self.moment(dry=True):
                os.truncate(path, os.path.getsize(path) // 2)
            self.moment()

        ftlab.checkpoint.save_file = dying_save_file

    def audit(self, event: str, arguments: tuple) -> None:
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in self.EVENTS or writes:
            self.moment()

    def moment(self, dry: bool = False) -> bool:
        if self.count == self.at and not dry:
            os.kill(os.getpid(), signal.SIGKILL)
        self.count += not dry
        return dry and self.count == self.at


def in_a_process(target, *arguments, timeout=120):
    """Run target(*arguments) in a process of its own; return its exit code, negative if a signal ended it."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    process.join(timeout)
    assert process.exitcode is not None, f"{target.__name__}{arguments} hangs"
    return process.exitcode


def die_at(at: int, target, *arguments) -> int:
    """Run target(*arguments) in a fork that dies at its `at`-th moment of writing; return the exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            Assassin(at)
            target(*arguments)
            code = 0
        except BaseException as error:  # the fork must never return into the tests
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def every_moment(target, prepare):
    """Yield after each death: for at = 0, 1, ... until target(*prepare()) outlives it; yields prepare()'s values."""
    at = 0
    while True:
        arguments = prepare()
        code = die_at(at, target, *arguments)
        if code == 0:
            break
        assert code == -signal.SIGKILL, f"moment {at}: exit code {code}"
        yield arguments
        at += 1


def run_it(folder: Path, kill_at: int | None) -> None:
    """Train the run of ALL_ON from its newest checkpoint and write down what came out. Dies at a moment if told to."""
    os.environ["FTLAB_PRESET"] = "tiny"
    import torch

    import ftlab as ft

    torch.set_num_threads(1)
    data = ft.load_data("passages")
    assassin = Assassin(kill_at)
    run = ft.fit(ft.Recipe(**ALL_ON), data, live=False, checkpoint_dir=folder / "checkpoints", resume=True)
    (folder / "moments").write_text(str(assassin.count))
    outcome(run, folder)


def outcome(run, folder: Path) -> None:
    """Write what two runs must agree on, bit for bit: history, scores, predictions, both models' weights."""
    from safetensors.torch import save_file

    history = run.history.to_dict()
    history["evals"] = [{k: v for k, v in e.items() if k != "seconds"} for e in history["evals"]]
    history["rows"] = [row[:2] + row[3:] for row in history["rows"]]
    scores = [run.status, run.best_score, run.test_score, run.swa_score, run.predictions.tolist()]
    Path(folder, "history.json").write_text(json.dumps([history, scores]))
    for name, model in (("model", run.model), ("average", run.swa_model)):
        save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / f"{name}.safetensors")


def outcomes(folder: Path) -> dict[str, bytes]:
    """Return what `outcome` wrote, to be compared byte by byte."""
    return {n: (folder / n).read_bytes() for n in ("history.json", "model.safetensors", "average.safetensors")}


def emptied(folder: Path) -> Path:
    """Return the folder, made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
