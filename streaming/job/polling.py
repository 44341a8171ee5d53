"""What makes the job read: ticks of Flink's clock, and who heeds them.

A source that is a splittable DoFn would put its rest off, again and again; Beam's Flink runner
registers a state of its own for each such rest and never gives it back (Beam issue 27648: 2 kB of
every checkpoint each, and heap until the TaskManager dies), and it keeps only whole seconds of a
pause. A reader that is told when to read keeps one small state for ever.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.io.flink.flink_streaming_impulse_source import FlinkStreamingImpulseSource

Asked = tuple[Any, int]
"""Whom a tick asks to read, and when it did, milliseconds since 1970."""


def ticks(every_seconds: float) -> FlinkStreamingImpulseSource:
    """An endless source of empty elements, one after each such time from each worker."""
    return FlinkStreamingImpulseSource().set_interval_ms(round(every_seconds * 1000))


@beam.typehints.with_input_types(bytes)
class Ask(beam.DoFn):  # type: ignore[misc]
    """Asks each of some readers at a tick, but not sooner than `every_seconds` after the last."""

    def __init__(self, readers: Sequence[Hashable], every_seconds: float = 0.0) -> None:
        self.readers = tuple(readers)
        self.every_seconds = every_seconds

    def setup(self) -> None:
        self.asked = -1e9

    def process(self, tick: bytes) -> Iterator[Asked]:
        if time.monotonic() - self.asked >= self.every_seconds:
            self.asked = time.monotonic()
            now = round(time.time() * 1000)
            yield from ((one, now) for one in self.readers)


@dataclass(slots=True)
class Rests:
    """Which ticks a reader heeds.

    Ticks queue up while a step lasts. Those are dropped, but the newest, which starts the next
    step at once where there is more to read. Where there is not, a reader rests.

    Parameters
    ----------
    tick_seconds, rest_seconds:
        Between two ticks; between a step that found no more and the next one.

    Examples
    --------
    >>> rests = Rests(tick_seconds=0.5, rest_seconds=1.0)
    >>> rests.due("a", 10_000)
    True
    >>> rests.ended("a", 12_000, more=True)
    >>> [rests.due("a", asked) for asked in (10_500, 11_000, 11_500, 12_000)]
    [False, False, True, True]
    >>> rests.ended("a", 12_010, more=False)
    >>> [rests.due("a", asked) for asked in (12_500, 13_000)]
    [False, True]
    """

    tick_seconds: float
    rest_seconds: float
    _next: dict[Hashable, float] = field(default_factory=dict)

    def due(self, reader: Hashable, asked_ms: int) -> bool:
        """Should the reader make a step for a tick of this time?"""
        return asked_ms >= self._next.get(reader, 0.0)

    def ended(self, reader: Hashable, at_ms: int, *, more: bool) -> None:
        """A step ended."""
        wait = -self.tick_seconds if more else self.rest_seconds - self.tick_seconds
        self._next[reader] = at_ms + wait * 1000
