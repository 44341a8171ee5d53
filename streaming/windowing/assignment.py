"""Which event-time window a row belongs to, and when it is too late for it.

Whole milliseconds everywhere: Python, the JVM and the tests then agree on every border. The rule
looks at one partition's records in their order, never at how they were fetched, so a replay
after a crash decides the same: a record is late when its window had closed by what came *before*
it in the partition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.contracts.errors import ConfigurationError

_STEP_MS = 10
"""Watermarks move in steps of this, and windows are multiples of it: a watermark can then never
lie between a window's last millisecond and its end, where engines disagree."""

NEVER_MS = 0
"""The watermark before the first event. Windows that end before 1970 are late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Tumbling windows aligned to 1970, and the disorder they wait for."""

    size_ms: int
    disorder_ms: int

    @classmethod
    def of(cls, window_seconds: float, max_out_of_orderness_seconds: float) -> Windows:
        """From seconds.

        Raises
        ------
        ConfigurationError
            When the window is no positive multiple of 10 ms, or the disorder is negative.

        >>> Windows.of(5.0, 2.0)
        Windows(size_ms=5000, disorder_ms=2000)
        """
        size = round(window_seconds * 1000)
        if size <= 0 or size % _STEP_MS or abs(size - window_seconds * 1000) > 1e-6:
            raise ConfigurationError(
                f"A window of {window_seconds} s cannot be; give a positive multiple of 0.01 s."
            )
        if not 0 <= max_out_of_orderness_seconds < math.inf:
            raise ConfigurationError(
                f"A disorder of {max_out_of_orderness_seconds} s cannot be; give 0 or more."
            )
        return cls(size_ms=size, disorder_ms=round(max_out_of_orderness_seconds * 1000))

    def end_ms(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """End of the window of each event time (seconds); borders belong to the later window.

        >>> Windows.of(5.0, 2.0).end_ms(np.array([0.0, 4.999, 5.0])).tolist()
        [5000, 5000, 10000]
        """
        index = np.floor(np.maximum(times, -1.0) * 1000.0 / self.size_ms)
        ends: NDArray[np.int64] = (index.astype(np.int64) + 1) * self.size_ms
        return ends

    def end_after(self, watermark_ms: int) -> int:
        """End of the oldest window that is still open at `watermark_ms`.

        >>> Windows.of(5.0, 2.0).end_after(5000)
        10000
        """
        return (watermark_ms // self.size_ms + 1) * self.size_ms

    def settle(self, times: NDArray[np.float64], watermark_ms: int) -> Settled:
        """Walk a partition's events in offset order.

        Parameters
        ----------
        times:
            Event times in seconds, in offset order.
        watermark_ms:
            The partition's watermark before the first of them.

        >>> settled = Windows.of(5.0, 2.0).settle(np.array([1.0, 12.0, 4.0, 6.0]), 0)
        >>> settled.late.tolist(), settled.watermark_ms
        ([False, False, True, True], 10000)
        """
        ends = self.end_ms(times)
        seen = np.maximum(times, -1.0) * 1000.0 - self.disorder_ms
        steps = np.floor(seen / _STEP_MS).astype(np.int64) * _STEP_MS
        running = np.maximum.accumulate(np.concatenate(([watermark_ms], steps)))
        return Settled(ends=ends, late=ends <= running[:-1], running=running)

    def idle(self, now: float, watermark_ms: int) -> int:
        """The watermark of a partition that has nothing to read at `now` (seconds)."""
        waited = math.floor((now * 1000.0 - self.disorder_ms) / _STEP_MS) * _STEP_MS
        return max(watermark_ms, waited)

    def end_of_arrival(self, arrived: float, watermark_ms: int, now: float) -> int:
        """End of the window that accounts for a record which counts in none.

        It is the window in which the record reached the log (`arrived`, seconds), as long as
        that is open and not ahead of the clock: the log's own time is the same at each replay.
        """
        end = int(self.end_ms(np.array([min(arrived, now)]))[0])
        return end if end > watermark_ms else self.end_after(watermark_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a run of events."""

    ends: NDArray[np.int64]
    """End of each event's window, milliseconds."""
    late: NDArray[np.bool_]
    """True where that window had closed before the event came."""
    running: NDArray[np.int64]
    """The partition's watermark before each event, and after the last one."""

    @property
    def watermark_ms(self) -> int:
        """The partition's watermark after the last event."""
        return int(self.running[-1])
