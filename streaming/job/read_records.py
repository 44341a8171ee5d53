"""Reads control records (promotions, schema versions) from topics with little traffic."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import apache_beam as beam
import structlog
from apache_beam.coders import VarIntCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from streaming.contracts.base import Record
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import DecodeError
from streaming.engines.kafka.shard_reader import shared_reader
from streaming.job.polling import ReadTrigger

log = structlog.get_logger(__name__)

_MAX_RECORDS, _WAIT_SECONDS = 100, 0.02

_OFFSET = beam.DoFn.StateParam(ReadModifyWriteStateSpec("offset", VarIntCoder()))


def partition_key(topic: str, partition: int) -> str:
    """The Beam key of a partition.

    >>> partition_key("promotions", 3)
    'promotions/3'
    """
    return f"{topic}/{partition}"


@beam.typehints.with_input_types(tuple[str, int])
@beam.typehints.with_output_types(bytes)
class ReadRecords(beam.DoFn):  # type: ignore[misc]
    """Triggers for partitions in; the values of their new messages out, without event time."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def process(self, element: ReadTrigger, state: Any = _OFFSET) -> Iterator[bytes]:
        topic, _, number = str(element[0]).rpartition("/")
        partition = (topic, int(number))
        reader = shared_reader(self.bootstrap, partition)
        starts = {partition: state.read() or 0}
        for _, messages in reader.fetch(
            starts, max_records=_MAX_RECORDS, wait_seconds=_WAIT_SECONDS
        ):
            state.write(messages[-1].offset() + 1)
            yield from (m.value() for m in messages if m.value() is not None)


@beam.typehints.with_input_types(bytes)
@beam.typehints.with_output_types(tuple[str, bytes])
class KeepRecords(beam.DoFn):  # type: ignore[misc]
    """Keeps one type of record of the job's models, keyed by model; logs what it cannot decode."""

    def __init__(self, record_type: type[Record], models: frozenset[str]) -> None:
        self.record_type = record_type
        self.models = models

    def process(self, element: bytes) -> Iterable[tuple[str, bytes]]:
        try:
            record = decode_as(element, self.record_type)
        except DecodeError as error:
            log.error("record.skipped", type=self.record_type.__name__, error=str(error))
            return []
        return [(record.model, element)] if record.model in self.models else []
