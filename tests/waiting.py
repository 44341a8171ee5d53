"""Waits for what another process or thread is about to do."""

from __future__ import annotations

import time
from collections.abc import Callable


def wait_for(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Poll until it is true.

    >>> wait_for(lambda: True)
    >>> wait_for(lambda: False, seconds=0.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    AssertionError: it never became true...
    """
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it never became true"
        time.sleep(0.05)
