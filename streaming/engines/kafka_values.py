"""The values of a quiet topic as they come: promotions, whole and without event time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.transforms.core import RestrictionProvider

from streaming.engines.kafka_shard import reader
from streaming.engines.pauses import rest

_END = 2**62
_WAIT_SECONDS = 0.02

Start = tuple[str, int, int]
"""Topic, partition, offset to start at."""


class Offsets(OffsetRestrictionTracker):  # type: ignore[misc]
    """An endless range of offsets, split only to pause."""

    def try_split(self, fraction_of_remainder: float) -> Any:
        if fraction_of_remainder != 0:
            return None
        return super().try_split(0)

    def is_bounded(self) -> bool:
        return False


class FromOffset(RestrictionProvider):  # type: ignore[misc]
    """From the start's offset to the end of time."""

    def initial_restriction(self, element: Start) -> OffsetRange:
        return OffsetRange(element[2], _END)

    def create_tracker(self, restriction: OffsetRange) -> Offsets:
        return Offsets(restriction)

    def restriction_size(self, element: Start, restriction: OffsetRange) -> int:
        return 1

    def truncate(self, element: Start, restriction: OffsetRange) -> None:
        """Draining stops at once: what was not read stays in Kafka."""


_ONE_TRACKER = beam.DoFn.RestrictionParam(FromOffset())


@beam.typehints.with_input_types(tuple[str, int, int])
@beam.typehints.with_output_types(bytes)
class ReadValues(beam.DoFn):  # type: ignore[misc]
    """The values of a quiet topic as they come, without event time."""

    def __init__(self, bootstrap: str, pause_seconds: float = 1.0) -> None:
        self.bootstrap = bootstrap
        self.pause_seconds = pause_seconds

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(self, element: Start, tracker: Any = _ONE_TRACKER) -> Iterator[bytes]:
        topic, partition, _ = element
        start = tracker.current_restriction().start
        place = (topic, partition)
        source = reader(self.bootstrap, place)
        for _, messages in source.fetch({place: start}, most=100, wait_seconds=_WAIT_SECONDS):
            if tracker.try_claim(messages[-1].offset()):
                yield from (m.value() for m in messages if m.value() is not None)
        tracker.defer_remainder(rest(self.pause_seconds))
