"""Letters for rows that turned out to be late only after they had been read.

A reader calls a row late by its own partition's watermark. A partition that is added to a topic
has none, while the model's windows have closed without it; only the keyed step knows. It tells
where such rows lie, and they are read once more: that costs nothing until it happens.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import apache_beam as beam
import msgspec

from streaming.contracts.codec import encode
from streaming.contracts.log import RecordLog
from streaming.contracts.records import DeadLetter, OffsetRange
from streaming.engines.kafka.log import KafkaLog
from streaming.job.settings import JobSettings
from streaming.windowing.completeness import Stray
from streaming.windowing.event_reader import Reading, fetches

_LOG = logging.getLogger(__name__)


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(tuple[str, bytes])
class FindStrays(beam.DoFn):  # type: ignore[misc]
    """(model, stray) in; (model, letter) out for each of its rows."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        self.reading = {one.contract.model: Reading(one.contract) for one in self.settings.models}
        self.log: KafkaLog | None = None

    def process(self, element: tuple[str, bytes]) -> Iterator[tuple[str, bytes]]:
        model, data = element
        self.log = self.log or KafkaLog(self.settings.bootstrap)
        stray = msgspec.msgpack.decode(data, type=Stray)
        found = 0
        for letter in letters(self.log, self.reading[model], stray, now=time.time()):
            found += 1
            yield model, encode(letter)
        _LOG.warning(
            "%s: %d rows of a new partition came after their windows had closed; %d have a letter",
            model,
            stray.rows,
            found,
        )

    def teardown(self) -> None:
        if self.log is not None:
            self.log.close()


def letters(log: RecordLog, reading: Reading, stray: Stray, *, now: float) -> Iterator[DeadLetter]:
    """A letter for each of its rows that the log still holds; rows between them that their reader
    called late have theirs again, with the same id."""
    topic = reading.contract.events_topic
    for partition, (start, stop) in sorted(stray.spans.items()):
        span = OffsetRange(topic=topic, partition=partition, start=start, stop=stop)
        for fetch in fetches(log.read(span)):
            yield from reading.of_closed(fetch, stray.ends, now=now)
