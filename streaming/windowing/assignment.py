"""Assigns events to event-time windows and decides which of them are late.

All times are whole milliseconds, so that Python, the JVM and the tests agree on every boundary.
The rule depends on the order of one partition's records alone, never on how they were fetched, so
a replay after a crash decides the same: a record is late when the records *before* it in its
partition had already closed its window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streaming.contracts.errors import ConfigurationError

_STEP_MS = 10
"""Watermarks and window lengths are multiples of this. A watermark can then never lie between a
window's last millisecond and its end, where engines disagree."""

INITIAL_WATERMARK_MS = 0
"""The watermark before the first event. Windows that end before 1970 are late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Tumbling windows aligned to 1970, with bounded out-of-orderness."""

    size_ms: int
    max_out_of_orderness_ms: int
    """The watermark follows the largest event time at this distance."""

    @classmethod
    def of(cls, window_seconds: float, max_out_of_orderness_seconds: float) -> Windows:
        """Windows of a length and an out-of-orderness in seconds.

        Raises
        ------
        ConfigurationError
            When the window is not a positive multiple of 10 ms, or the out-of-orderness is
            negative.

        >>> Windows.of(5.0, 2.0)
        Windows(size_ms=5000, max_out_of_orderness_ms=2000)
        """
        size = round(window_seconds * 1000)
        if size <= 0 or size % _STEP_MS or abs(size - window_seconds * 1000) > 1e-6:
            raise ConfigurationError(
                f"A window of {window_seconds} s is not possible; give a positive multiple of "
                "0.01 s."
            )
        if not 0 <= max_out_of_orderness_seconds < math.inf:
            raise ConfigurationError(
                f"An out-of-orderness of {max_out_of_orderness_seconds} s is not possible; "
                "give 0 or more."
            )
        return cls(size_ms=size, max_out_of_orderness_ms=round(max_out_of_orderness_seconds * 1000))

    def end_ms(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """End of the window of each event time (seconds); a boundary belongs to the later window.

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

    def assign(self, times: NDArray[np.float64], watermark_ms: int) -> Assignment:
        """Assign a partition's events to windows and advance its watermark.

        Parameters
        ----------
        times:
            Event times in seconds, in offset order.
        watermark_ms:
            The partition's watermark before the first of them.

        >>> assignment = Windows.of(5.0, 2.0).assign(np.array([1.0, 12.0, 4.0, 6.0]), 0)
        >>> assignment.late.tolist(), assignment.watermark_ms
        ([False, False, True, True], 10000)
        """
        ends = self.end_ms(times)
        bounds = np.maximum(times, -1.0) * 1000.0 - self.max_out_of_orderness_ms
        steps = np.floor(bounds / _STEP_MS).astype(np.int64) * _STEP_MS
        watermarks = np.maximum.accumulate(np.concatenate(([watermark_ms], steps)))
        return Assignment(ends=ends, late=ends <= watermarks[:-1], watermarks=watermarks)

    def idle_watermark(self, now: float, watermark_ms: int) -> int:
        """The watermark of a partition that has nothing to read at `now` (seconds)."""
        bound = math.floor((now * 1000.0 - self.max_out_of_orderness_ms) / _STEP_MS) * _STEP_MS
        return max(watermark_ms, bound)

    def accounting_window(self, timestamp: float, watermark_ms: int, now: float) -> int:
        """End of the window that accounts for a rejected or late record.

        This is the window that holds the record's Kafka `timestamp` (seconds), unless that window
        is closed or the timestamp is ahead of the clock. Kafka's timestamp is the same at each
        replay.
        """
        end = int(self.end_ms(np.array([min(timestamp, now)]))[0])
        return end if end > watermark_ms else self.end_after(watermark_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The windows of a run of events, and which of the events are late."""

    ends: NDArray[np.int64]
    """End of each event's window, milliseconds."""
    late: NDArray[np.bool_]
    """True where the event's window was closed before the event."""
    watermarks: NDArray[np.int64]
    """The partition's watermark before each event, and after the last one."""

    @property
    def watermark_ms(self) -> int:
        """The partition's watermark after the last event."""
        return int(self.watermarks[-1])
