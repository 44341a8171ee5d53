"""Waits for an event in another process or thread."""

from __future__ import annotations

import time
from collections.abc import Callable


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
