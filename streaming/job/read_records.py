"""Reads control records (promotions, schema versions) from topics with little traffic."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import structlog
from apache_beam.coders import VarIntCoder
from apache_beam.transforms.userstate import ReadModifyWriteStateSpec

from streaming.contracts.base import Record
from streaming.contracts.codec import decode_as
from streaming.contracts.errors import DecodeError
from streaming.contracts.topics import PROMOTIONS, SCHEMA_VERSIONS, Topic
from streaming.engines.kafka.shard_reader import shared_reader
from streaming.job.control_input import (
    ControlProgress,
    ControlRecord,
    decode_control,
    encode_control,
)
from streaming.job.polling import ReadTrigger

log = structlog.get_logger(__name__)

CONTROL_TOPICS: tuple[Topic, ...] = (PROMOTIONS, SCHEMA_VERSIONS)
_MAX_RECORDS, _WAIT_SECONDS = 5_000, 0.02
"""A new job reads the history of promotions and schema versions in a few steps."""
_TOLD_PER_WINDOW = 4
"""A model hears this often in a window's length how far the control topics are read: with hundreds
of models each message counts, and one within a window's length is enough to close it in time."""

_OFFSET = beam.DoFn.StateParam(ReadModifyWriteStateSpec("offset", VarIntCoder()))


def partition_key(topic: str, partition: int) -> str:
    """The Beam key of a partition.

    >>> partition_key("promotions", 3)
    'promotions/3'
    """
    return f"{topic}/{partition}"


def topic_partitions(topic: Topic) -> list[str]:
    """The keys of a topic's partitions."""
    return [partition_key(topic.name, number) for number in range(topic.partitions)]


def control_partitions() -> tuple[str, ...]:
    """The keys of all partitions of control topics."""
    return tuple(key for topic in CONTROL_TOPICS for key in topic_partitions(topic))


@beam.typehints.with_input_types(tuple[str, int])
@beam.typehints.with_output_types(bytes)
class ReadRecords(beam.DoFn):  # type: ignore[misc]
    """Triggers for partitions in; encoded `ControlRecord` and `ControlProgress` out."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    def process(self, element: ReadTrigger, state: Any = _OFFSET) -> Iterator[bytes]:
        topic, _, number = str(element[0]).rpartition("/")
        partition = (topic, int(number))
        reader = shared_reader(self.bootstrap, partition)
        now, offset = time.time(), state.read() or 0
        end = reader.broker_end(partition)  # asked before the fetch: what comes later is not read
        for _, messages in reader.fetch(
            {partition: offset}, max_records=_MAX_RECORDS, wait_seconds=_WAIT_SECONDS
        ):
            offset = messages[-1].offset() + 1
            state.write(offset)
            for message in messages:
                if message.value() is not None:
                    record = ControlRecord(message.timestamp()[1], message.value())
                    yield encode_control(record)
        if end is not None and reader.has_read(partition, offset, end):
            yield encode_control(ControlProgress(element[0], int(now * 1000)))


@beam.typehints.with_input_types(bytes)
@beam.typehints.with_output_types(tuple[str, bytes])
class KeepRecords(beam.DoFn):  # type: ignore[misc]
    """Keeps one type of record of the job's models, keyed by model; logs what it cannot decode.

    Parameters
    ----------
    window_seconds:
        Model -> length of its windows. Each model hears of the progress a few times in a window.
    """

    def __init__(self, record_type: type[Record], window_seconds: Mapping[str, float]) -> None:
        self.record_type = record_type
        self.window_seconds = dict(window_seconds)
        self.progress_sent: dict[tuple[str, str], int] = {}

    def process(self, element: bytes) -> Iterator[tuple[str, bytes]]:
        match decode_control(element):
            case ControlRecord(_, value):
                if (model := self._model_of(value)) in self.window_seconds:
                    yield model, element
            case ControlProgress(partition, read_until_ms):
                for model, seconds in self.window_seconds.items():
                    sent = self.progress_sent.get((model, partition), 0)
                    if read_until_ms - sent >= seconds * 1000 / _TOLD_PER_WINDOW:
                        self.progress_sent[model, partition] = read_until_ms
                        yield model, element

    def _model_of(self, value: bytes) -> str:
        """The model of a record; empty where it cannot be decoded."""
        try:
            return decode_as(value, self.record_type).model
        except DecodeError as error:
            log.error("record.skipped", type=self.record_type.__name__, error=str(error))
            return ""
