"""The port to the log: append durably, read in order, find offsets by time.

Everything but the stream job's hot path uses Kafka through this port. `MemoryLog` is a complete
in-memory log for tests; `streaming.engines.kafka.log.KafkaLog` is the engine. Both pass the same
conformance suite.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Protocol

from streaming.contracts.clock import Clock, SystemClock
from streaming.contracts.codec import encode
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.raw_record import Headers
from streaming.contracts.records import OffsetRange, Record
from streaming.contracts.topics import TOPIC_OF, Topic, TopicDifference, message_key


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
    headers: Headers = ()
    """Names and values of the headers."""


class RecordLog(Protocol):
    """An append-only log with topics and partitions."""

    def ensure(self, topics: Sequence[Topic]) -> None:
        """Create missing topics and repair the settings of existing ones.

        Partitions are added, never removed, and the topics of the applications are not altered.

        Raises
        ------
        ConfigurationError
            When a topic has another number of partitions and may not be altered, or when there are
            fewer brokers than copies are asked for.
        """

    def differences(self, topics: Sequence[Topic]) -> tuple[TopicDifference, ...]:
        """How the topics differ from what they should be; what `ensure` would change is marked."""

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        """Write records in order; durable when it returns. `topic` overrides `TOPIC_OF`."""

    def append_raw(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        headers: Sequence[Headers] = (),
    ) -> None:
        """Write (key, value) pairs in order; durable when it returns.

        `headers` are those of each message; empty where no message has any.
        """

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
class MemoryPartition:
    """Messages by offset; cleaning leaves gaps, as it does in Kafka."""

    messages: list[Message] = field(default_factory=list)
    end: int = 0
    """The next offset that will be written."""

    def between(self, start: int, stop: int) -> list[Message]:
        """The messages that are left with offsets in this range."""
        first = bisect_left(self.messages, start, key=_offset)
        return self.messages[first : bisect_left(self.messages, stop, key=_offset)]

    def clean(self, topic: Topic, now: float) -> None:
        """Drop what Kafka's cleaner may drop: older messages of a key, or messages past their time.

        A range begins at the first message that was not deleted by age; compaction leaves the
        beginning of a range as it is.
        """
        if topic.cleanup == "compact":
            newest = {message.key: message.offset for message in self.messages}
            self.messages = [m for m in self.messages if newest[m.key] == m.offset]
        else:
            oldest = now - topic.retention_hours * 3600.0
            self.messages = [m for m in self.messages if m.time >= oldest]


@dataclass(slots=True)
class MemoryLog:
    """A log in memory; the key of a message determines its partition."""

    clock: Clock = field(default_factory=SystemClock)
    _partitions: dict[str, list[MemoryPartition]] = field(default_factory=dict)
    _topics: dict[str, Topic] = field(default_factory=dict)

    def ensure(self, topics: Sequence[Topic]) -> None:
        for topic in topics:
            known = self._partitions.setdefault(
                topic.name, [MemoryPartition() for _ in range(topic.partitions)]
            )
            may_grow = topic.altered and len(known) < topic.partitions
            if len(known) != topic.partitions and not may_grow:
                raise ConfigurationError(
                    f"Topic {topic.name} has {len(known)} partitions, not {topic.partitions}."
                )
            known += [MemoryPartition() for _ in range(topic.partitions - len(known))]
            if topic.altered or topic.name not in self._topics:
                self._topics[topic.name] = topic

    def differences(self, topics: Sequence[Topic]) -> tuple[TopicDifference, ...]:
        return tuple(
            TopicDifference(topic=topic.name, setting="topic", actual="missing", expected="exists")
            for topic in topics
            if topic.name not in self._partitions
        )

    def clean(self) -> None:
        """Compact and expire every topic, as thoroughly as Kafka ever would."""
        now = self.clock.now()
        for name, topic in self._topics.items():
            for partition in self._partitions[name]:
                partition.clean(topic, now)

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        for record in records:
            target = topic or TOPIC_OF[type(record)]
            self.append_raw(target.name, [(message_key(record), encode(record))])

    def append_raw(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        headers: Sequence[Headers] = (),
    ) -> None:
        partitions = self._partitions.setdefault(topic, [MemoryPartition()])
        for (key, value), pairs in zip(messages, headers or repeat(()), strict=False):
            number = sum(key or b"") % len(partitions)
            partition = partitions[number]
            partition.messages.append(
                Message(
                    topic=topic,
                    partition=number,
                    offset=partition.end,
                    key=key,
                    value=value,
                    time=self.clock.now(),
                    headers=pairs,
                )
            )
            partition.end += 1

    def read(self, span: OffsetRange) -> Iterator[Message]:
        partitions = self._partitions.get(span.topic, [])
        if span.partition < len(partitions):
            yield from partitions[span.partition].between(span.start, span.stop)

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        spans = []
        cleanup = self._topics[topic].cleanup if topic in self._topics else "delete"
        for number, partition in enumerate(self._partitions.get(topic, [])):
            messages, start = partition.messages, 0
            if since is not None:
                start = next((m.offset for m in messages if m.time >= since), partition.end)
            elif cleanup == "delete":
                start = messages[0].offset if messages else partition.end
            spans.append(
                OffsetRange(topic=topic, partition=number, start=start, stop=partition.end)
            )
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
                    for message in self._partitions[topic][span.partition].between(
                        start, span.stop
                    ):
                        idle = False
                        yield message
            if idle:
                yield None

    def close(self) -> None:
        return None


def _offset(message: Message) -> int:
    return message.offset
