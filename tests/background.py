"""Work in a thread of its own, for tests and benches that need traffic while they measure."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Background(ABC):
    """Runs its work in a thread from `start` to `stop`.

    `stop` raises an error of the thread again. Otherwise traffic that has failed would be measured
    as an idle job.

    >>> @dataclass
    ... class Count(Background):
    ...     seen: int = 0
    ...     def work(self) -> None:
    ...         while not self.stopped:
    ...             self.seen += 1
    >>> count = Count()
    >>> count.start()
    >>> count.stop()
    >>> count.stopped
    True
    """

    _stop: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _thread: threading.Thread | None = field(default=None, init=False, repr=False)
    _error: Exception | None = field(default=None, init=False, repr=False)

    @abstractmethod
    def work(self) -> None:
        """The work in the thread; returns soon after `stopped` has become true."""

    @property
    def stopped(self) -> bool:
        """Whether the work should end."""
        return self._stop.is_set()

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self, seconds: float = 60.0) -> None:
        """Stop the work and wait for its end; returns at once when it was not started.

        Raises
        ------
        RuntimeError
            When the work has not ended after this time, or has failed.
        """
        self._stop.set()
        if self._thread is None:
            return
        self._thread.join(seconds)
        if self._thread.is_alive():
            raise RuntimeError(f"The work has not ended {seconds:.0f} s after it was stopped.")
        if self._error is not None:
            raise RuntimeError(f"The work failed: {self._error}") from self._error

    @contextmanager
    def running(self) -> Iterator[None]:
        """Work for the length of a `with`."""
        self.start()
        try:
            yield
        finally:
            self.stop()

    def _run(self) -> None:
        try:
            self.work()
        except Exception as error:  # noqa: BLE001  # raised again by `stop`
            self._error = error
