"""Threads for requests: a few for quick ones, and more while slow ones run.

A model can compute for any time: a loop whose number of steps comes from the request needs minutes.
A run that takes longer than `SLOW_SECONDS` therefore no longer counts as one of the few threads,
and TensorFlow computes it at a lower priority, so that quick requests find a free thread and the
processor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from serving.engines.modelserver.codes import Code, Refused
from serving.engines.modelserver.priority import Computing

SLOW_SECONDS = 0.1
"""A run that takes longer is slow."""
_LOOK_SECONDS = 0.02

Work = tuple["Future[Any]", Callable[..., Any], tuple[Any, ...], dict[str, Any]]


@dataclass(slots=True, eq=False)
class _Thread:
    """What one thread does."""

    busy_since: float | None = None
    slow: bool = False
    computing: Computing | None = None
    ended: bool = False


class Workers(Executor):
    """An executor with `quick` threads, and more while slow runs go on.

    `submit` never refuses work, because gRPC's server ends when it does; `check_room` does.
    """

    def __init__(self, quick: int, *, most: int = 64, name: str = "worker") -> None:
        self.most, self.name, self._quick = most, name, quick
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._threads: list[_Thread] = []  # only the watching thread changes it after the start
        self._slow = 0
        self._closed = threading.Event()
        for _ in range(quick):
            self._start_thread()
        threading.Thread(target=self._watch, name=f"{name}-watch", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a function in a thread.

        Raises
        ------
        RuntimeError
            After `shutdown`.
        """
        if self._closed.is_set():
            raise RuntimeError("The server is stopping.")
        future: Future[Any] = Future()
        self._queue.put((future, fn, args, kwargs))
        return future

    def check_room(self) -> None:
        """Refuse work while `most` runs are slow.

        Raises
        ------
        Refused
            RESOURCE_EXHAUSTED.
        """
        if self._slow >= self.most:
            raise Refused(Code.RESOURCE_EXHAUSTED, f"{self.most} requests are slow; try later.")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; what runs may end, and nothing is waited for."""
        self._closed.set()
        for _ in self._threads:
            self._queue.put(None)

    @property
    def slow_runs(self) -> int:
        """Number of runs that take longer than `SLOW_SECONDS`."""
        return self._slow

    def _start_thread(self) -> None:
        thread = _Thread()
        self._threads.append(thread)
        threading.Thread(target=self._run, args=(thread,), name=self.name, daemon=True).start()

    def _run(self, thread: _Thread) -> None:
        computing = thread.computing = Computing(self)
        while not (thread.slow or computing.lowered) and (work := self._queue.get()) is not None:
            future, function, arguments, named = work
            thread.busy_since = time.monotonic()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*arguments, **named))
                except BaseException as error:  # noqa: BLE001 - it belongs to the caller
                    future.set_exception(error)
            thread.busy_since = None
        # Another thread has the place of a slow one, and a low priority would stay.
        thread.ended = True

    def _watch(self) -> None:
        """Give the places of slow threads to new ones."""
        while not self._closed.wait(_LOOK_SECONDS):
            latest = time.monotonic() - SLOW_SECONDS
            for thread in list(self._threads):
                since = thread.busy_since
                if thread.ended:
                    self._threads.remove(thread)
                elif since is not None and since < latest:
                    thread.slow = True
                    if thread.computing is not None:
                        thread.computing.lower()
                elif since is None:  # it ended its work just before it was marked, and waits
                    thread.slow = False
            self._slow = sum(thread.slow for thread in self._threads)
            missing = self._quick - (len(self._threads) - self._slow)
            for _ in range(missing):
                self._start_thread()
            if missing < 0 and self._queue.empty():
                self._queue.put(None)  # ends one thread
