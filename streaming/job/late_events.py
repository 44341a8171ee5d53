"""Dead letters for rows that turned out to be late only after they had been read.

A reader decides by its own partition's watermark whether a row is late. A partition that is added
to a topic has no watermark yet, although the model's windows have closed without it; only the keyed
step knows that. The keyed step emits the range of such rows, and they are read once more. This
costs nothing until it happens.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import apache_beam as beam
import msgspec
import structlog

from streaming.contracts.codec import encode
from streaming.contracts.log import RecordLog
from streaming.contracts.records import DeadLetter, OffsetRange
from streaming.engines.kafka.log import KafkaLog
from streaming.engines.registry import schema_source
from streaming.job.settings import JobSettings
from streaming.windowing.completeness import LateRange
from streaming.windowing.event_reader import EventReader, fetches

log = structlog.get_logger(__name__)


@beam.typehints.with_input_types(tuple[str, bytes])
@beam.typehints.with_output_types(tuple[str, bytes])
class EmitLateEvents(beam.DoFn):  # type: ignore[misc]
    """(model, late range) in; (model, dead letter) out for each of its rows."""

    def __init__(self, settings: JobSettings) -> None:
        self.settings = settings

    def setup(self) -> None:
        contracts = [model.contract for model in self.settings.models]
        schemas = schema_source(self.settings.registry)
        self.readers = {contract.model: EventReader(contract, schemas) for contract in contracts}
        self.kafka: KafkaLog | None = None

    def process(self, element: tuple[str, bytes]) -> Iterator[tuple[str, bytes]]:
        model, data = element
        self.kafka = self.kafka or KafkaLog(self.settings.bootstrap)
        late = msgspec.msgpack.decode(data, type=LateRange)
        written = 0
        for record in late_records(self.kafka, self.readers[model], late, now=time.time()):
            written += 1
            yield model, encode(record)
        log.warning(
            "late_events.after_close",
            model=model,
            rows=late.rows,
            dead_letters=written,
            reason="a new partition was read after its windows had closed",
        )

    def teardown(self) -> None:
        if self.kafka is not None:
            self.kafka.close()


def late_records(
    record_log: RecordLog, reader: EventReader, late: LateRange, *, now: float
) -> Iterator[DeadLetter]:
    """A dead letter for each row of the range that the log still holds.

    Rows in between that the reader itself found late get theirs again, with the same id.
    """
    topic = reader.contract.events_topic
    for partition, (start, stop) in sorted(late.offset_spans.items()):
        span = OffsetRange(topic=topic, partition=partition, start=start, stop=stop)
        for fetch in fetches(record_log.read(span)):
            yield from reader.late_in(fetch, late.window_ends_ms, now=now)
