"""Worker processes of a small study, for the tests: started, killed, and their logs read."""

import faulthandler
import multiprocessing
import os
from collections import Counter

import ftlab as ft
from ftlab.study import Study

RECIPES = {"baseline": ft.Recipe(epochs=2), "llrd": ft.Recipe(epochs=2, layer_decay=0.8, swa_start=1)}
TIMES = {"seconds", "evaluation_seconds", "cpu_seconds", "load_before", "peak_memory_mib"}

CONTEXT = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
if os.name == "posix":
    CONTEXT.set_forkserver_preload(["ftlab.study.queue", "ftlab.trainer", "torch._dynamo"])


def make(data, folder, **changes):
    options = {"folds": 2, "seeds": 2, "storage": f"sqlite:///{folder}/study.db", "out": folder / "cells.jsonl"}
    return Study(RECIPES, data, **{**options, "heartbeat": 1, **changes})


def untimed(records):
    """What must be equal between two studies: all but times and memory."""
    return [
        {k: [{n: v for n, v in e.items() if n != "seconds"} for e in x] if k == "evals" else x
         for k, x in record.items() if k not in TIMES}
        for record in records
    ]  # fmt: skip


def work(folder, changes):
    """A worker process: what another machine would run; if it hangs, it writes down where.

    The server that forks it may have been started by an earlier test, in another environment: the preset is set here.
    """
    os.environ["FTLAB_PRESET"] = "tiny"
    with (folder / f"hangs-{os.getpid()}").open("w") as stacks:
        faulthandler.dump_traceback_later(200, file=stacks)
        study = make(ft.load_data("passages"), folder, **changes)
        study.run(report=lambda line: (folder / f"log-{os.getpid()}").open("a").write(line + "\n"))
        faulthandler.cancel_dump_traceback_later()


def start(folder, **changes):
    """Start a worker on a study in a folder; `changes` are arguments of Study."""
    process = CONTEXT.Process(target=work, args=(folder, changes))
    process.start()
    return process


def where(process, folder):
    """The stacks and the last words of a worker that did not end well."""
    files = (folder / f"{kind}-{process.pid}" for kind in ("hangs", "log"))
    return "\n".join(file.read_text()[-3000:] for file in files if file.exists())


def logged(folder):
    """All lines of the workers' logs."""
    return [line for log in sorted(folder.glob("log-*")) for line in log.read_text().splitlines()]


def trained(folder):
    """How often each cell was trained to the end, by the workers' logs."""
    return Counter(line.partition(":")[0] for line in logged(folder) if ": completed" in line)
