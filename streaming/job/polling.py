"""Polling schedule of the readers: a periodic Flink impulse triggers reads, and each reader decides
whether one is due.

The source is not a splittable DoFn, because that would defer its remainder again and again. Beam's
Flink runner registers a state for each deferral and never releases it (Beam issue 27648: 2 kB of
every checkpoint each, and heap until the TaskManager dies), and it rounds a pause to whole seconds.
A reader that is triggered keeps one small state for ever.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.io.flink.flink_streaming_impulse_source import FlinkStreamingImpulseSource

ReadTrigger = tuple[Any, int]
"""Key of the reader, and time of the trigger in milliseconds since 1970."""


def poll_impulse(interval_seconds: float) -> FlinkStreamingImpulseSource:
    """An endless source of empty elements, one per interval from each worker."""
    return FlinkStreamingImpulseSource().set_interval_ms(round(interval_seconds * 1000))


@beam.typehints.with_input_types(bytes)
class TriggerReads(beam.DoFn):  # type: ignore[misc]
    """Emits a trigger for each reader at an impulse, but at most one per `min_seconds`."""

    def __init__(self, readers: Sequence[Hashable], min_seconds: float = 0.0) -> None:
        self.readers = tuple(readers)
        self.min_seconds = min_seconds

    def setup(self) -> None:
        self.triggered = -1e9

    def process(self, impulse: bytes) -> Iterator[ReadTrigger]:
        if time.monotonic() - self.triggered >= self.min_seconds:
            self.triggered = time.monotonic()
            now = round(time.time() * 1000)
            yield from ((reader, now) for reader in self.readers)


@dataclass(slots=True)
class PollSchedule:
    """Decides which triggers start a reading step.

    Triggers queue up while a step runs. All but the newest are dropped; the newest starts the next
    step at once if there is more to read. Otherwise the reader pauses.

    Parameters
    ----------
    interval_seconds:
        Time between two impulses.
    pause_seconds:
        Time from a step that found nothing more to read until the next step.

    Examples
    --------
    >>> schedule = PollSchedule(interval_seconds=0.5, pause_seconds=1.0)
    >>> schedule.due("a", 10_000)
    True
    >>> schedule.step_ended("a", 12_000, more=True)
    >>> [schedule.due("a", triggered) for triggered in (10_500, 11_000, 11_500, 12_000)]
    [False, False, True, True]
    >>> schedule.step_ended("a", 12_010, more=False)
    >>> [schedule.due("a", triggered) for triggered in (12_500, 13_000)]
    [False, True]
    """

    interval_seconds: float
    pause_seconds: float
    _due_ms: dict[Hashable, float] = field(default_factory=dict)

    def due(self, reader: Hashable, triggered_ms: int) -> bool:
        """Whether the reader should make a step for a trigger of this time."""
        return triggered_ms >= self._due_ms.get(reader, 0.0)

    def step_ended(self, reader: Hashable, at_ms: int, *, more: bool) -> None:
        """Set when the reader's next step is due."""
        wait = -self.interval_seconds if more else self.pause_seconds - self.interval_seconds
        self._due_ms[reader] = at_ms + wait * 1000
