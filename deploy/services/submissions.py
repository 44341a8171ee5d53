"""Submissions of stream jobs in a thread, so that the watchdog's loop goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from streaming.contracts.errors import DriftlineError

LONGEST_SECONDS = 420.0


class SubmissionHangs(DriftlineError):
    """A submission neither succeeded nor failed; a new process starts afresh."""


@dataclass
class Submissions:
    """At most one submission at a time, in a thread: Beam keeps global state."""

    _thread: threading.Thread | None = None
    _since: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether one is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        """Begin one; the caller has made sure that none is under way."""
        self._since = time.monotonic()
        self._thread = threading.Thread(target=work, daemon=True, name="submission")
        self._thread.start()

    def check(self) -> None:
        """Raise `SubmissionHangs` when the one under way takes too long."""
        if self.busy and time.monotonic() - self._since > LONGEST_SECONDS:
            raise SubmissionHangs("A submission has not ended; the watchdog starts again.")
