"""Several processes that do the same work on one machine, and end with the process that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

PATIENCE = 60.0
"""Seconds that a worker has to end after an interrupt."""


def run_side_by_side(work: Callable[[str], int], workers: int) -> None:
    """Call `work("[1] ")`, `work("[2] ")`, ... in a process each, and wait for all of them.

    work: a function that a new process can import; it takes the prefix of the lines that it prints, and returns an exit
    status. Each process has one thread for arithmetic unless OMP_NUM_THREADS is set. Whatever ends this process, Ctrl-C
    or kill -9, interrupts the others.
    """
    context = multiprocessing.get_context("spawn")
    lifeline, held_here = context.Pipe(duplex=False)
    processes = {n: context.Process(target=_work, args=(work, f"[{n}] ", lifeline)) for n in range(1, workers + 1)}
    try:
        for process in processes.values():
            process.start()
        for process in processes.values():
            process.join()
    finally:
        held_here.close()
        for process in processes.values():
            if process.is_alive():
                process.join()
    for n, process in processes.items():
        if process.exitcode < 0:
            print(f"[{n}] ended by {signal.Signals(-process.exitcode).name}; its cell is open again", file=sys.stderr)


def _work(work: Callable[[str], int], prefix: str, lifeline: Connection) -> None:
    if hasattr(os, "setsid"):
        os.setsid()  # Ctrl-C in a terminal reaches the first process alone, which hands it on, once
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    for stream in filter(None, (sys.stdout, sys.stderr)):  # a line whole, even under PYTHONUNBUFFERED
        stream.reconfigure(line_buffering=True, write_through=False)
    threading.Thread(target=_interrupt_at_the_end_of, args=(lifeline,), daemon=True).start()
    sys.exit(work(prefix))


def _interrupt_at_the_end_of(lifeline: Connection) -> None:
    """Interrupt this process as Ctrl-C does, once the other end of the pipe is closed: by its process, or its death."""
    try:
        lifeline.recv()
    except EOFError:
        pass
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # wakes a sleep too
    else:
        signal.raise_signal(signal.SIGINT)
    time.sleep(PATIENCE)
    os._exit(1)
