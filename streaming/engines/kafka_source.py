"""Splittable sources on Kafka: fetches of thousands of records, summarised where they are read.

Element = (topic, partition), restriction = offsets from the start on, claimed once per fetch. The
watermark is the partition's own and travels in Beam's checkpoints with the restriction, so after
a restore the same records meet the same watermark.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration, Timestamp

from streaming.contracts.codec import encode
from streaming.engines.job import JobSettings
from streaming.engines.kafka_reader import PartitionReader, reader
from streaming.engines.reading import Fetch, Reading, Step
from streaming.engines.windows import NEVER_MS

_END = 2**62
_WAIT_SECONDS = 0.02
"""A step waits this long for records at most: the pause lies between steps, where it costs no
worker."""

DEAD = "dead"
LATE = "late"

Place = tuple[str, int, int]
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
    """From the place's offset to the end of time."""

    def initial_restriction(self, element: Place) -> OffsetRange:
        return OffsetRange(element[2], _END)

    def create_tracker(self, restriction: OffsetRange) -> Offsets:
        return Offsets(restriction)

    def restriction_size(self, element: Place, restriction: OffsetRange) -> int:
        return 1

    def truncate(self, element: Place, restriction: OffsetRange) -> None:
        """Draining stops at once: what was not read stays in Kafka."""


_TRACKER = beam.DoFn.RestrictionParam(FromOffset())
_ESTIMATOR = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


@beam.typehints.with_input_types(tuple[str, int, int])
@beam.typehints.with_output_types(tuple[str, bytes])
class ReadEvents(beam.DoFn):  # type: ignore[misc]
    """Events in; (model, partial) per window, dead letters and late events out."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        self.reading = Reading(self.settings.contract)
        self.idle_since: dict[int, float] = {}
        self.reading.partials.statistics.warm_up()

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(
        self,
        element: Place,
        tracker: Any = _TRACKER,
        estimator: Any = _ESTIMATOR,
    ) -> Iterator[Any]:
        topic, partition, _ = element
        source = reader(self.settings.bootstrap, topic, partition)
        step = Step(watermark_ms=_milliseconds(estimator.current_watermark()))
        self._read(source, partition, tracker, step)
        yield from self._outputs(step)
        if step.watermark_ms > NEVER_MS:
            estimator.set_watermark(Timestamp(micros=step.watermark_ms * 1000))
        tracker.defer_remainder(Duration(self.settings.pause_seconds))

    def _read(self, source: PartitionReader, partition: int, tracker: Any, step: Step) -> None:
        """Fetch after fetch, until there is no more or the step has lasted long enough."""
        most, began = self.settings.fetch_records, time.monotonic()
        start = tracker.current_restriction().start
        while True:
            messages = source.fetch(start, most=most, wait_seconds=_WAIT_SECONDS)
            if not messages:
                break
            if not tracker.try_claim(messages[-1].offset()):
                return
            self.reading.take(step, as_fetch(partition, messages), now=time.time())
            start = messages[-1].offset() + 1
            if len(messages) < most or time.monotonic() - began > self.settings.busy_seconds:
                break
        self._note_idle(source, partition, start, step)

    def _note_idle(self, source: PartitionReader, partition: int, start: int, step: Step) -> None:
        """A partition with nothing to read must not hold every window open."""
        if step.read:
            self.idle_since.pop(partition, None)
            return
        since = self.idle_since.setdefault(partition, time.monotonic())
        if step.watermark_ms == NEVER_MS and not source.used(
            range(self.settings.contract.partitions)
        ):
            self.idle_since.pop(partition)  # an empty topic: its first events may be old ones
            return
        if time.monotonic() - since >= self.settings.idle_seconds and source.end() == start:
            step.watermark_ms = self.reading.windows.idle(time.time(), step.watermark_ms)

    def _outputs(self, step: Step) -> Iterator[Any]:
        model = self.settings.contract.model
        for end, part in step.windows.items():
            data = self.reading.partials.to_bytes(part)
            yield TimestampedValue((model, data), Timestamp(micros=(end - 1) * 1000))
        for letter in step.dead:
            yield beam.pvalue.TaggedOutput(DEAD, encode(letter))
        for letter in step.late:
            yield beam.pvalue.TaggedOutput(LATE, encode(letter))


@beam.typehints.with_input_types(tuple[str, int, int])
@beam.typehints.with_output_types(bytes)
class ReadValues(beam.DoFn):  # type: ignore[misc]
    """The values of a quiet topic as they come, without event time."""

    def __init__(self, bootstrap: str, pause_seconds: float = 0.5) -> None:
        self.bootstrap = bootstrap
        self.pause_seconds = pause_seconds

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]
    def process(self, element: Place, tracker: Any = _TRACKER) -> Iterator[bytes]:
        topic, partition, _ = element
        start = tracker.current_restriction().start
        source = reader(self.bootstrap, topic, partition)
        messages = source.fetch(start, most=100, wait_seconds=_WAIT_SECONDS)
        if messages and tracker.try_claim(messages[-1].offset()):
            yield from (m.value() for m in messages if m.value() is not None)
        tracker.defer_remainder(Duration(self.pause_seconds))


def as_fetch(partition: int, messages: list[Any]) -> Fetch:
    """Kafka's messages as a fetch."""
    return Fetch(
        partition=partition,
        offsets=[message.offset() for message in messages],
        values=[message.value() for message in messages],
        arrived=lambda number: messages[number].timestamp()[1] / 1000,
    )


def _milliseconds(watermark: Timestamp | None) -> int:
    return NEVER_MS if watermark is None else max(NEVER_MS, watermark.micros // 1000)
