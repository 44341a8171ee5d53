"""The port to the log: append durably, read in order, find offsets by time.

Everything but the stream job's hot path uses Kafka through this port. `MemoryLog` is a complete
in-memory log for tests; `streaming.engines.kafka.log.KafkaLog` is the engine. Both pass the same
conformance suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streaming.contracts.clock import Clock, SystemClock
from streaming.contracts.codec import encode
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import OffsetRange, Record
from streaming.contracts.topics import TOPIC_OF, Topic, message_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of the log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    time: float
    """Timestamp that the log stores with the message, seconds since 1970."""


class RecordLog(Protocol):
    """An append-only log with topics and partitions."""

    def ensure(self, topics: Sequence[Topic]) -> None:
        """Create missing topics; raise `ConfigurationError` on a wrong partition count."""

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        """Write records in order; durable when it returns. `topic` overrides `TOPIC_OF`."""

    def append_raw(self, topic: str, messages: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Write (key, value) pairs in order; durable when it returns."""

    def read(self, span: OffsetRange) -> Iterator[Message]:
        """The messages of a range in offset order, until `stop` or the end of the log."""

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        """For each partition the range from the first message at or after `since` to the end.

        Without `since` the range begins at the first message.
        """

    def follow(
        self, topics: Sequence[str], *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        """New messages as they arrive, without end; None after each poll that found none."""

    def close(self) -> None:
        """Flush, then release all resources."""


@dataclass(slots=True)
class MemoryLog:
    """A log in memory; the key of a message determines its partition."""

    clock: Clock = field(default_factory=SystemClock)
    _partitions: dict[str, list[list[Message]]] = field(default_factory=dict)

    def ensure(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            known = self._partitions.setdefault(topic.name, [[] for _ in range(topic.partitions)])
            if len(known) != topic.partitions:
                raise ConfigurationError(
                    f"Topic {topic.name} has {len(known)} partitions, not {topic.partitions}."
                )

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        for record in records:
            target = topic or TOPIC_OF[type(record)]
            self.append_raw(target.name, [(message_key(record), encode(record))])

    def append_raw(self, topic: str, messages: Sequence[tuple[bytes | None, bytes]]) -> None:
        partitions = self._partitions.setdefault(topic, [[]])
        for key, value in messages:
            number = sum(key or b"") % len(partitions)
            log = partitions[number]
            log.append(
                Message(
                    topic=topic,
                    partition=number,
                    offset=len(log),
                    key=key,
                    value=value,
                    time=self.clock.now(),
                )
            )

    def read(self, span: OffsetRange) -> Iterator[Message]:
        partitions = self._partitions.get(span.topic, [])
        if span.partition < len(partitions):
            yield from partitions[span.partition][span.start : span.stop]

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        spans = []
        for number, log in enumerate(self._partitions.get(topic, [])):
            start = 0
            if since is not None:
                start = next((m.offset for m in log if m.time >= since), len(log))
            spans.append(OffsetRange(topic=topic, partition=number, start=start, stop=len(log)))
        return tuple(spans)

    def follow(
        self, topics: Sequence[str], *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        next_offsets = {
            (span.topic, span.partition): 0 if from_start else span.stop
            for topic in topics
            for span in self.spans(topic)
        }
        while True:
            idle = True
            for topic in topics:
                for span in self.spans(topic):
                    start = next_offsets.get((topic, span.partition), 0)
                    next_offsets[topic, span.partition] = span.stop
                    for message in self._partitions[topic][span.partition][start : span.stop]:
                        idle = False
                        yield message
            if idle:
                yield None

    def close(self) -> None:
        return None
