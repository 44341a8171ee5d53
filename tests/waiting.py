"""Waits for an event in another process or thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Poll until the condition is true.

    >>> wait_for(lambda: True)
    >>> wait_for(lambda: False, seconds=0.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: the condition was not true within 0 s...
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds:.0f} s"
        time.sleep(0.05)


def undelayed_seconds() -> float:
    """Seconds of a clock that stands still while this thread waits for a processor.

    For limits on how long a call takes: other programs of the machine do not count against them.

    >>> began = undelayed_seconds()
    >>> time.sleep(0.1)
    >>> 0.09 < undelayed_seconds() - began < 10.0
    True
    """
    file = Path("/proc/thread-self/schedstat")  # nanoseconds that it ran, and that it waited to run
    delay = int(file.read_text().split()[1]) if file.exists() else 0
    return time.monotonic() - delay / 1e9
