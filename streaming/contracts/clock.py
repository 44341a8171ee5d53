"""Clocks; the only module of the contracts that reads the time.

Decisions take `now` as an argument. Services take a `Clock`, so that tests can run the whole loop
on a `ManualClock`. All times are seconds since 1970-01-01 UTC, as floats.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Returns the time, and waits."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""

    def sleep(self, seconds: float) -> None:
        """Wait this long."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class ManualClock:
    """A clock for tests that moves only when it is advanced.

    >>> clock = ManualClock(100.0)
    >>> clock.sleep(2.5)
    >>> clock.now()
    102.5
    """

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move forward; time never runs backwards."""
        if seconds < 0:
            raise ValueError(f"The clock cannot go back ({seconds} s).")
        self._now += seconds
