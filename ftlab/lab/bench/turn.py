"""One training at a time: two at once on the same processor would each take twice as long, and twice the memory."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ftlab.errors import FtlabError


class BusyError(FtlabError):
    """Something else is training in this kernel."""


class Turn:
    """Who trains now in this process: `name` says it, `progress()` how far it is, `stop` ends it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stop = threading.Event()
        self.owner: object = None
        self.name = ""
        self.progress: Callable[[], str] = str

    @property
    def taken(self) -> bool:
        """Whether something trains now."""
        return self._lock.locked()

    @property
    def sentence(self) -> str:
        """Say what trains now and how far it is."""
        return f"{self.name} is training{', ' * bool(self.progress())}{self.progress()}"

    def take(self, owner: object, name: str, progress: Callable[[], str]) -> threading.Event:
        """Take the turn for `owner` and return the event that ends it. Raises BusyError while another has it."""
        if not self._lock.acquire(blocking=False):
            raise BusyError(f"{self.sentence}. One run at a time: wait for its end, or press Stop")
        return self._taken(owner, name, progress)

    def give_back(self) -> None:
        """Let the next one train."""
        self.owner, self.name, self.progress = None, "", str
        self._lock.release()

    def _taken(self, owner: object, name: str, progress: Callable[[], str]) -> threading.Event:
        self.owner, self.name, self.progress, self.stop = owner, name, progress, threading.Event()
        return self.stop

    @contextmanager
    def waited_for(
        self, owner: object, name: str, progress: Callable[[], str], say: Callable[[str], None]
    ) -> Iterator[threading.Event]:
        """Hold the turn inside the block; while another has it, wait and `say` so once.

        Interrupting the kernel ends the waiting, and not the training that is waited for.
        """
        said = False
        while not self._lock.acquire(timeout=0.2):
            if not said:
                say(f"{self.sentence}. This cell waits for its end; interrupt the kernel to stop waiting.")
            said = True
        try:
            yield self._taken(owner, name, progress)
        finally:
            self.give_back()


TURN = Turn()
"""The one turn of this process."""


@atexit.register
def _end_training() -> None:
    """Ask what trains to stop, so that a kernel that is shut down does not end in the middle of an update."""
    TURN.stop.set()
    if TURN._lock.acquire(timeout=5):
        TURN._lock.release()
