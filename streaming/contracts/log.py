"""The log of records as a port: append durably, read back in order, find offsets by time.

Everything but the hot path talks to Kafka through this small port. `MemoryLog` is a complete
in-memory log for tests and for the loop in one process; the engine is
`streaming.engines.kafka.log.KafkaLog`. Both pass the same conformance suite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from streaming.contracts.clock import Clock, SystemClock
from streaming.contracts.codec import encode
from streaming.contracts.records import OffsetRange, Record
from streaming.contracts.topics import TOPIC_OF, Topic, message_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it lies in the log."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    time: float
    """The log's own time stamp, seconds since 1970."""


class RecordLog(Protocol):
    """What the parts ask of Kafka."""

    def ensure(self, topics: Sequence[Topic]) -> None:
        """Create what is missing; refuse (`ConfigurationError`) a wrong partition count."""

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        """Write in order; durable when it returns. `topic` overrides `TOPIC_OF`."""

    def append_raw(self, topic: str, messages: Sequence[tuple[bytes | None, bytes]]) -> None:
        """Write (key, value) pairs of the applications; durable when it returns."""

    def read(self, span: OffsetRange) -> Iterator[Message]:
        """The messages of a range, in offset order; ends at `stop` or at the log's end."""

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        """Per partition from the first message at or after `since` (or the start) to the end."""

    def follow(
        self, topics: Sequence[str], *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        """New messages as they come, for ever; None whenever `poll_seconds` brought nothing."""

    def close(self) -> None:
        """Flush and let go."""


@dataclass(slots=True)
class MemoryLog:
    """A whole log in memory; messages are spread over partitions by key."""

    clock: Clock = field(default_factory=SystemClock)
    _partitions: dict[str, list[list[Message]]] = field(default_factory=dict)

    def ensure(self, topics: Sequence[Topic]) -> None:
        from streaming.contracts.errors import ConfigurationError

        for topic in topics:
            there = self._partitions.setdefault(topic.name, [[] for _ in range(topic.partitions)])
            if len(there) != topic.partitions:
                raise ConfigurationError(
                    f"Topic {topic.name} has {len(there)} partitions, not {topic.partitions}."
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
        found = []
        for number, log in enumerate(self._partitions.get(topic, [])):
            start = 0
            if since is not None:
                start = next((m.offset for m in log if m.time >= since), len(log))
            found.append(OffsetRange(topic=topic, partition=number, start=start, stop=len(log)))
        return tuple(found)

    def follow(
        self, topics: Sequence[str], *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        at = {
            (span.topic, span.partition): 0 if from_start else span.stop
            for topic in topics
            for span in self.spans(topic)
        }
        while True:
            found = False
            for topic in topics:
                for span in self.spans(topic):
                    start = at.get((topic, span.partition), 0)
                    at[topic, span.partition] = span.stop
                    for message in self._partitions[topic][span.partition][start : span.stop]:
                        found = True
                        yield message
            if not found:
                yield None

    def close(self) -> None:
        return None
