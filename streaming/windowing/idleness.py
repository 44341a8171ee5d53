"""Decides which partitions count as idle: they bring nothing that moves their event time.

A partition is idle when it has nothing to read, and likewise when all it brings is unusable (dead
letters only, or a clock that stands still far in the past). An idle partition holds no window open:
its watermark follows the clock until it brings usable events again.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

_STOPPED_SECONDS = 5.0
"""A reader whose steps are this far apart was held up. Steps follow each other within 1 to 3 s."""


@dataclass(slots=True)
class _Looks:
    """The reader's looks at a partition that brings nothing usable; any clock, seconds."""

    since: float
    last: float
    gap: float = 0.0
    """Time between the last two."""


@dataclass(slots=True)
class IdlePartitions:
    """Since when each partition has brought nothing usable.

    Time counts only while the reader looks. A reader that was stopped, or waited for the broker,
    finds records from that time at its next steps; no partition was idle meanwhile.

    Parameters
    ----------
    timeout_seconds:
        A partition that has brought nothing usable for this long is idle.

    Examples
    --------
    >>> idle = IdlePartitions(timeout_seconds=5.0)
    >>> [idle.is_idle("a", usable=False, now=now) for now in (0.0, 4.0, 5.0)]
    [False, False, True]
    >>> idle.is_idle("a", usable=True, now=6.0), idle.is_idle("a", usable=False, now=7.0)
    (False, False)

    The reader was stopped for a minute:

    >>> [idle.is_idle("a", usable=False, now=now) for now in (8.0, 68.0, 72.0, 73.0)]
    [False, False, False, True]
    """

    timeout_seconds: float
    _looks: dict[Hashable, _Looks] = field(default_factory=dict)

    def is_idle(self, partition: Hashable, *, usable: bool, now: float) -> bool:
        """Whether the partition is idle after a step, at `now` (any clock that only advances).

        `usable` says whether the step brought usable events.
        """
        if usable:
            self.restart(partition)
            return False
        looks = self._looks.setdefault(partition, _Looks(since=now, last=now))
        gap = now - looks.last
        # a reader that is always this slow is slow, and was not stopped
        if gap > max(self.timeout_seconds, _STOPPED_SECONDS) and gap > 2.0 * looks.gap:
            looks.since = now
        looks.last, looks.gap = now, gap
        return now - looks.since >= self.timeout_seconds

    def restart(self, partition: Hashable) -> None:
        """Count the partition's idle time from its next step on."""
        self._looks.pop(partition, None)

    def restart_all(self) -> None:
        """Count the idle time of all partitions from their next step on."""
        self._looks.clear()


def caught_up(position: int, end: int | None, *, brought_records: bool, max_records: int) -> bool:
    """Whether a partition that is not at its end is near enough to count as read.

    One that keeps bringing records is rarely at its end exactly; no more may be left than one fetch
    brings. `end` is None while it is not known.

    >>> [caught_up(90, 100, brought_records=brought, max_records=50) for brought in (True, False)]
    [True, False]
    """
    return brought_records and end is not None and end - position <= max_records
