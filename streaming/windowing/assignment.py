"""Assigns events to event-time windows and decides which of them are late.

All times are whole milliseconds, so that Python, the JVM and the tests agree on every boundary.
The rule depends on one partition's records, their order and their arrival, never on how they were
fetched: a record is late when the records *before* it in its partition had already closed its
window. Where the topic has the broker's time, a replay after a crash decides the same; elsewhere a
record arrives when it is fetched, which bounds the watermark only where most clocks are fast.
`event_clock` has the rule of the watermark.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from streaming.contracts.errors import ConfigurationError
from streaming.windowing.event_clock import BLOCKS, STEP_MS, Arrival, EventClock

_MIN_STUCK_MS = 3_600_000
"""A partition's event time is stuck only when it is at least this far behind the clock, so that
coarse event times (a quarter of an hour) are not taken for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Tumbling windows aligned to 1970, with bounded out-of-orderness."""

    size_ms: int
    max_out_of_orderness_ms: int
    """The watermark follows the event time of most rows at this distance."""

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
        if size <= 0 or size % STEP_MS or abs(size - window_seconds * 1000) > 1e-6:
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

    def assign(self, times: NDArray[np.float64], clock: EventClock, arrival: Arrival) -> Assignment:
        """Assign a partition's events to windows and advance its clock.

        Parameters
        ----------
        times:
            Event times in seconds, in offset order.
        clock:
            The partition's clock before the first of them.
        arrival:
            When the events at some positions arrived, seconds since 1970.

        >>> clock = EventClock(watermark_ms=10_000)
        >>> assignment = Windows.of(5.0, 2.0).assign(np.array([12.0, 4.0]), clock, lambda _: 13.0)
        >>> assignment.late.tolist(), assignment.clock.watermark_ms
        ([False, True], 10000)
        """
        ends = self.end_ms(times)
        times_ms = np.floor(np.maximum(times, -1.0) * 1000.0).astype(np.int64)
        watermarks, clock = clock.after(
            times_ms, arrival, max_out_of_orderness_ms=self.max_out_of_orderness_ms
        )
        return Assignment(
            ends=ends, late=ends <= watermarks[:-1], watermarks=watermarks, clock=clock
        )

    def is_stuck(self, clock: EventClock, now: float) -> bool:
        """Whether a partition's event time is far behind `now` (seconds) and cannot advance,
        although it brings events: it stands still, or fell back behind what it has told before.

        >>> stuck = EventClock(reached_ms=0, stalled=9)
        >>> [Windows.of(60.0, 10.0).is_stuck(stuck, now) for now in (1_800.0, 7_200.0)]
        [False, True]
        """
        behind_ms = max(_MIN_STUCK_MS, 2 * self.size_ms + self.max_out_of_orderness_ms)
        return clock.stalled >= BLOCKS and now * 1000.0 - clock.reached_ms > behind_ms

    def idle_watermark(self, now: float, watermark_ms: int) -> int:
        """The watermark of a partition that has nothing usable to read at `now` (seconds)."""
        bound = math.floor((now * 1000.0 - self.max_out_of_orderness_ms) / STEP_MS) * STEP_MS
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
    clock: EventClock = field(default_factory=EventClock)
    """The partition's clock after the last event."""
