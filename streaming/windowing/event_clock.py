"""The event time that a partition has reached, as most of its rows tell it.

The watermark does not follow the newest event: a producer whose clock is fast would make the
events of all others late. Every `BLOCK_ROWS` usable rows of a partition form a block, and the last
`BLOCKS` blocks tell the time by their medians: the latest of them, but no more ahead of the middle
one than their own progress bears out (see `_time_of`). Where clocks are right, that is one block
behind the newest event. With a fifth of the rows wrong at random, the middle one (a remedian,
Rousseeuw & Bassett 1990) leaves the range of the others about once in 6e9 blocks; 60 wrong rows in
succession do not move it out of that range either.

Blocks are counted from the partition's first row, so the watermark depends on the order of the rows
alone, and on when they arrived: it never passes the arrival of the row that ends a block.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

BLOCK_ROWS = 15
BLOCKS = 9
"""Both odd, so that a median is one of the values."""
STEP_MS = 10
"""Watermarks and window lengths are multiples of this. A watermark can then never lie between a
window's last millisecond and its end, where engines disagree."""
INITIAL_WATERMARK_MS = 0
"""The watermark before the first event. Windows that end before 1970 are late."""
_BEFORE_ANY = -(2**62)

Arrival = Callable[[NDArray[np.int64]], NDArray[np.float64] | float]
"""When the rows at these positions arrived, seconds since 1970; one number where it is the same."""


class EventClock(msgspec.Struct, frozen=True, array_like=True):
    """The event time of one partition; travels in the checkpoints."""

    watermark_ms: int = INITIAL_WATERMARK_MS
    latest_ms: int = _BEFORE_ANY
    """The latest time that the blocks told so far."""
    reached_ms: int = _BEFORE_ANY
    """The time that the last blocks reached."""
    stalled: int = 0
    """Blocks since `latest_ms` rose."""
    medians: tuple[int, ...] = ()
    """Medians of the last complete blocks, one fewer than `BLOCKS`, oldest first."""
    pending: tuple[int, ...] = ()
    """Event times of the rows after the last complete block."""

    def at_least(self, watermark_ms: int) -> EventClock:
        """The clock with its watermark no lower than this."""
        watermark_ms = max(self.watermark_ms, watermark_ms)
        return msgspec.structs.replace(self, watermark_ms=watermark_ms)

    def after(
        self, times_ms: NDArray[np.int64], arrival: Arrival, *, max_out_of_orderness_ms: int
    ) -> tuple[NDArray[np.int64], EventClock]:
        """The watermark before each of these rows and after the last one; and the clock after them.

        Parameters
        ----------
        times_ms:
            Event times of the partition's next rows, in offset order.
        arrival:
            Asked for the last rows of blocks only.
        max_out_of_orderness_ms:
            The watermark stays this far behind the time that the blocks tell, and behind arrival.

        Examples
        --------
        >>> times = np.arange(0, 200_000, 1_000)
        >>> watermarks, clock = EventClock().after(times, lambda _: 1e9, max_out_of_orderness_ms=0)
        >>> watermarks[[134, 135, 150]].tolist(), clock.watermark_ms, len(clock.pending)
        ([0, 127000, 142000], 187000, 5)
        """
        waiting = len(self.pending)
        values: NDArray[np.int64] = np.concatenate((np.array(self.pending, np.int64), times_ms))
        complete = len(values) // BLOCK_ROWS
        if not complete:
            clock = msgspec.structs.replace(self, pending=tuple(values.tolist()))
            return np.full(len(times_ms) + 1, self.watermark_ms), clock
        blocks = values[: complete * BLOCK_ROWS].reshape(complete, BLOCK_ROWS)
        medians = np.concatenate((np.array(self.medians, np.int64), _medians(blocks)))
        reached = _time_of(medians)
        ends = np.arange(complete - len(reached) + 1, complete + 1) * BLOCK_ROWS - waiting
        arrived_ms = np.floor(np.multiply(arrival(ends - 1), 1000.0)).astype(np.int64)
        steps = (np.minimum(reached, arrived_ms) - max_out_of_orderness_ms) // STEP_MS * STEP_MS
        levels = np.maximum.accumulate(np.concatenate(([self.watermark_ms], steps)))
        latest_ms, stalled = self._latest(reached)
        clock = EventClock(
            watermark_ms=int(levels[-1]),
            latest_ms=latest_ms,
            reached_ms=int(reached[-1]) if len(reached) else self.reached_ms,
            stalled=stalled,
            medians=tuple(medians[1 - BLOCKS :].tolist()),
            pending=tuple(values[complete * BLOCK_ROWS :].tolist()),
        )
        runs = np.diff(ends, prepend=0, append=len(times_ms) + 1)
        return np.repeat(levels, runs), clock

    def _latest(self, reached: NDArray[np.int64]) -> tuple[int, int]:
        """The latest time so far, and the number of blocks since it rose."""
        latest = np.maximum.accumulate(np.concatenate(([self.latest_ms], reached)))
        rises = np.flatnonzero(np.diff(latest))
        stalled = len(reached) - 1 - rises[-1] if len(rises) else self.stalled + len(reached)
        return int(latest[-1]), int(stalled)


def _medians(blocks: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.partition(blocks, BLOCK_ROWS // 2, axis=1)[:, BLOCK_ROWS // 2]


def _time_of(medians: NDArray[np.int64]) -> NDArray[np.int64]:
    """The time that each `BLOCKS` successive medians tell.

    Where time advances evenly, the middle one is half-way between the third and the seventh, and
    the latest is twice as far ahead of it as the third is behind. A later one is not borne out.

    >>> even, fast = np.arange(9), np.array([0, 1, 2, 3, 900, 5, 6, 900, 8])
    >>> slow = np.array([0, -900, 2, 3, -900, 5, 6, 7, 8])
    >>> [int(_time_of(medians)[0]) for medians in (even, fast, slow)]
    [8, 11, 8]
    """
    if len(medians) < BLOCKS:
        return np.zeros(0, np.int64)
    ordered = np.sort(sliding_window_view(medians, BLOCKS), axis=1)
    middle, third = ordered[:, BLOCKS // 2], ordered[:, BLOCKS // 4]
    return np.minimum(ordered[:, -1], middle + (middle - third) * 2)
