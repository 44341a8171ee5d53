"""Limits how often something happens: a token bucket for each key, in memory."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable

MAX_KEYS = 10_000
"""Keys that are remembered; the one that was unused for longest is forgotten first."""


class RateLimit:
    """Lets `burst` events of a key through at once, then `per_second`.

    Parameters
    ----------
    now:
        Seconds of a clock that never goes back.
    """

    def __init__(self, per_second: float, burst: float, now: Callable[[], float]) -> None:
        self._per_second, self._burst, self._now = per_second, burst, now
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str) -> int:
        """Count one event: 0 when it is let through, else the seconds until the next one is."""
        with self._lock:
            left = self._refilled(key)
            if left >= 1.0:
                self._put(key, left - 1.0)
                return 0
            self._put(key, left)
            return self._wait(left)

    def give_back(self, key: str) -> None:
        """Take back one event that was counted."""
        with self._lock:
            self._put(key, min(self._burst, self._refilled(key) + 1.0))

    def _wait(self, left: float) -> int:
        return max(1, math.ceil((1.0 - left) / self._per_second))

    def _refilled(self, key: str) -> float:
        left, at = self._left.get(key, (self._burst, self._now()))
        return min(self._burst, left + (self._now() - at) * self._per_second)

    def _put(self, key: str, left: float) -> None:
        self._left[key] = (left, self._now())
        self._left.move_to_end(key)
        while len(self._left) > MAX_KEYS:
            self._left.popitem(last=False)
