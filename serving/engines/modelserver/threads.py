"""Threads that do quick work, and more of them while slow work goes on.

A model can compute for any time: a loop whose number of steps comes from the request needs minutes.
A thread that has been busy for `REPLACE_SECONDS` therefore gets a substitute, and work that takes
longer than `SLOW_SECONDS` is computed by TensorFlow at a lower priority, so that quick requests
find a free thread and the processor.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.priority import Computing
from serving.engines.modelserver.turns import ShortTurns

REPLACE_SECONDS = 0.02
"""A thread that is busy for so long gets a substitute."""
SLOW_SECONDS = 0.1
"""Work that takes longer is slow."""
LOOK_SECONDS = 0.01
_MAX_SUBSTITUTES = 8
"""For threads that are not slow yet: on a busy machine many are late at the same time."""

Work = Callable[[], None]


@dataclass(slots=True, eq=False)
class _Thread:
    """What one thread does."""

    busy_since: float | None = None
    replaced: bool = False
    slow: bool = False
    computing: Computing | None = None
    ended: bool = False


class Threads(ABC):
    """`quick` threads that take one piece of work after another, and more while slow work goes on.

    Parameters
    ----------
    quick:
        Number of threads that are not slow.
    most:
        Number of slow pieces of work from which on `check_room` refuses more.
    name:
        Name of the threads.
    """

    def __init__(self, quick: int, *, most: int, name: str) -> None:
        self.most, self.name, self._quick = most, name, quick
        self._threads: list[_Thread] = []  # only the watching thread changes it after the start
        self._slow = 0
        self._turns = ShortTurns()
        self._closed = threading.Event()

    @abstractmethod
    def _take(self) -> Work | None:
        """Wait for work, which raises nothing; None ends the thread."""

    @abstractmethod
    def _end_one(self) -> None:
        """Let one waiting thread end, if no work waits."""

    @abstractmethod
    def _executor(self) -> Executor:
        """What takes over Python's part of work whose thread has a low priority."""

    def _begin(self) -> None:  # noqa: B027 - not every kind has something to prepare
        """Called by each thread at its start."""

    def _look(self) -> None:  # noqa: B027 - not every kind has something to look at
        """Called by the watching thread every `LOOK_SECONDS`."""

    def check_room(self) -> None:
        """Refuse work while `most` pieces of work are slow.

        Raises
        ------
        Refused
            RESOURCE_EXHAUSTED.
        """
        if self._slow >= self.most:
            raise Refused(Code.RESOURCE_EXHAUSTED, f"{self.most} requests are slow; try later.")

    @property
    def slow_runs(self) -> int:
        """Number of pieces of work that take longer than `SLOW_SECONDS`."""
        return self._slow

    def _start(self) -> None:
        for _ in range(self._quick):
            self._start_thread()
        threading.Thread(target=self._watch, name=f"{self.name}-watch", daemon=True).start()

    def _start_thread(self) -> None:
        thread = _Thread()
        self._threads.append(thread)
        threading.Thread(target=self._run, args=(thread,), name=self.name, daemon=True).start()

    def _run(self, thread: _Thread) -> None:
        self._begin()
        computing = thread.computing = Computing(self._executor())
        while not (thread.replaced or computing.lowered) and (work := self._take()) is not None:
            thread.busy_since = time.monotonic()
            work()
            thread.busy_since = None
        # Another thread has the place of a slow one, and a low priority would stay.
        thread.ended = True

    def _watch(self) -> None:
        """Give the places of busy threads to new ones."""
        while True:
            time.sleep(LOOK_SECONDS)  # a hundred times a second: waiting for an event takes longer
            if self._closed.is_set():
                self._turns.end()
                return
            now = time.monotonic()
            for thread in list(self._threads):
                if thread.ended:
                    self._threads.remove(thread)
                else:
                    _mark(thread, now)
            self._slow = sum(thread.slow for thread in self._threads)
            late = sum(thread.replaced for thread in self._threads) - self._slow
            (self._turns.begin if self._slow or late else self._turns.end)()
            total = self._quick + self._slow + min(late, _MAX_SUBSTITUTES)
            missing = total - len(self._threads)
            for _ in range(missing):
                self._start_thread()
            if missing < 0:
                self._end_one()
            self._look()


def _mark(thread: _Thread, now: float) -> None:
    since = thread.busy_since
    if since is None:  # it ended its work just before it was marked, and waits
        thread.replaced = thread.slow = False
        return
    if now - since > REPLACE_SECONDS:
        thread.replaced = True
    if now - since > SLOW_SECONDS:
        thread.slow = True
        if thread.computing is not None:
            thread.computing.lower()
