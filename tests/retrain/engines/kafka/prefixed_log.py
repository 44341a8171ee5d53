"""A log on a real broker whose topics belong to one test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace as with_fields

from msgspec.structs import replace

from streaming.contracts.log import Message
from streaming.contracts.raw_record import Headers
from streaming.contracts.records import OffsetRange, Record
from streaming.contracts.topics import (
    MODEL_VERSIONS,
    RETRAIN_CLAIMS,
    RETRAIN_FAILURES,
    RETRAIN_REQUESTS,
    TOPIC_OF,
    Topic,
)
from streaming.engines.kafka.log import KafkaLog


class PrefixedLog(KafkaLog):
    """Every topic has a prefix on the broker."""

    def __init__(self, bootstrap: str, prefix: str) -> None:
        super().__init__(bootstrap)
        self._prefix = prefix

    def create(self) -> None:
        """Make the topics that a queue of requests reads and writes."""
        topics = (RETRAIN_REQUESTS, RETRAIN_CLAIMS, RETRAIN_FAILURES, MODEL_VERSIONS)
        self.ensure([with_fields(topic, name=self._prefix + topic.name) for topic in topics])

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        for record in records:
            target = topic or TOPIC_OF[type(record)]
            named = with_fields(target, name=self._prefix + target.name)
            super().append([record], topic=named)

    def append_raw(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        headers: Sequence[Headers] = (),
    ) -> None:
        super().append_raw(self._prefix + topic, messages, headers)

    def read(self, span: OffsetRange) -> Iterator[Message]:
        return super().read(replace(span, topic=self._prefix + span.topic))

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        spans = super().spans(self._prefix + topic, since=since)
        return tuple(replace(span, topic=topic) for span in spans)
