"""An executor for requests: a few threads for quick ones, and more while slow ones run."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any

from serving.engines.modelserver.log import log
from serving.engines.modelserver.threads import Threads, Work


class Workers(Threads, Executor):
    """An executor with `quick` threads, and more while slow runs go on.

    `submit` never refuses work, because gRPC's server ends when it does; `check_room` does.
    """

    def __init__(self, quick: int, *, most: int = 64, name: str = "worker") -> None:
        super().__init__(quick, most=most, name=name)
        self._queue: SimpleQueue[Work | None] = SimpleQueue()
        self._start()

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
        self._queue.put(partial(_run, future, fn, args, kwargs))
        return future

    def start(self, fn: Callable[..., Any], /, *args: Any) -> Started:
        """Run a function in a thread, for the little that grpc wants to know of it.

        Raises
        ------
        RuntimeError
            After `shutdown`.
        """
        if self._closed.is_set():
            raise RuntimeError("The server is stopping.")
        started = Started(partial(fn, *args))
        self._queue.put(started.run)
        return started

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more work; what runs may end, and nothing is waited for."""
        self._closed.set()
        self._queue.put(None)

    def _take(self) -> Work | None:
        work = self._queue.get()
        if work is None and self._closed.is_set():
            self._queue.put(None)  # for the next thread
        return work

    def _end_one(self) -> None:
        if self._queue.empty():
            self._queue.put(None)

    def _executor(self) -> Executor:
        return self


class Started:
    """Work that was started, and one function to call at its end: a tenth of a future, which costs
    as much as a small request."""

    __slots__ = ("_done", "_ended", "_then", "_work")

    def __init__(self, work: Work) -> None:
        self._work, self._ended, self._done = work, threading.Lock(), False
        self._then: list[Callable[[Any], object]] = []

    def run(self) -> None:
        """Do the work, and what follows."""
        try:
            self._work()
        except Exception as error:  # noqa: BLE001 - the thread goes on
            log.error("work.failed", error=f"{type(error).__name__}: {error}")
        with self._ended:
            then, self._then = self._then, []
            self._done = True
        for function in then:
            function(self)

    def add_done_callback(self, function: Callable[[Any], object]) -> None:
        """Call a function when the work has ended, or at once."""
        with self._ended:
            if not self._done:
                self._then.append(function)
                return
        function(self)


def _run(
    future: Future[Any], function: Callable[..., Any], arguments: Any, named: dict[str, Any]
) -> None:
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(function(*arguments, **named))
        except BaseException as error:  # noqa: BLE001 - it belongs to the caller
            future.set_exception(error)
