"""The log of records on Kafka, by confluent-kafka.

Writes are durable when a call returns (all replicas, idempotent producer). Reads keep no consumer
group: who reads knows where it stands. Topics are made here with their partition count, clean-up
rule and retention; a topic that is there with another partition count is refused.
"""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from tenacity import retry, retry_if_exception, stop_after_delay, wait_exponential

from streaming.contracts.codec import LARGEST_RECORD_BYTES, encode
from streaming.contracts.errors import ConfigurationError, NotFoundError, UnavailableError
from streaming.contracts.log import Message
from streaming.contracts.records import OffsetRange, Record
from streaming.contracts.topics import TOPIC_OF, Topic, message_key

_LARGEST_BYTES = LARGEST_RECORD_BYTES + 64 * 1024
"""A record may be as long as the codec reads; the rest is the message's own head."""
_TIMEOUT = 15.0
_BATCH = 2000


def _is_leaderless(error: BaseException) -> bool:
    """A topic that was just made, or a broker that was just started, has no leader yet."""
    return isinstance(error, KafkaException) and error.args[0].code() in (
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
    )


_once_there_is_a_leader = retry(
    retry=retry_if_exception(_is_leaderless),
    wait=wait_exponential(0.2, max=1.0),
    stop=stop_after_delay(_TIMEOUT),
    reraise=True,
)
"""An election on a busy machine takes seconds."""


class KafkaLog:
    """A `streaming.contracts.log.RecordLog` on Kafka.

    Parameters
    ----------
    bootstrap:
        ``host:port`` of a broker, or several with commas.
    replicas:
        Copies of each topic that this log creates.
    """

    def __init__(self, bootstrap: str, *, replicas: int = 1) -> None:
        self._bootstrap = bootstrap
        self._replicas = replicas
        self._producer: Producer | None = None
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})

    def ensure(self, topics: Sequence[Topic]) -> None:
        known = self._partitions_of_all()
        for topic in topics:
            there = known.get(topic.name)
            if there is not None and there != topic.partitions:
                raise ConfigurationError(
                    f"Topic {topic.name} has {there} partitions, not {topic.partitions}; "
                    "delete it or set its partitions to what is there."
                )
        missing = [topic for topic in topics if topic.name not in known]
        if missing:
            self._create(missing)

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        pairs: dict[str, list[tuple[bytes | None, bytes]]] = {}
        for record in records:
            name = (topic or TOPIC_OF[type(record)]).name
            pairs.setdefault(name, []).append((message_key(record), encode(record)))
        self._write(pairs)

    def append_raw(self, topic: str, messages: Sequence[tuple[bytes | None, bytes]]) -> None:
        self._write({topic: messages})

    def read(self, span: OffsetRange) -> Iterator[Message]:
        if span.partition >= self._partitions_of_all().get(span.topic, 0):
            return
        end = min(span.stop, self._bounds(span.topic, span.partition)[1])
        if span.start >= end:
            return
        consumer = self._consumer(**{"enable.partition.eof": True})
        try:
            consumer.assign([TopicPartition(span.topic, span.partition, span.start)])
            yield from self._until(consumer, end)
        finally:
            consumer.close()

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        partitions = range(self._partitions_of_all().get(topic, 0))
        bounds = {number: self._bounds(topic, number) for number in partitions}
        starts = {number: low for number, (low, _) in bounds.items()}
        if since is not None and bounds:
            starts = self._first_since(topic, bounds, since)
        return tuple(
            OffsetRange(topic=topic, partition=number, start=min(starts[number], high), stop=high)
            for number, (_, high) in bounds.items()
        )

    def follow(
        self, topics: Sequence[str], *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        consumer = self._consumer()
        try:
            consumer.assign(
                [
                    TopicPartition(topic, span.partition, span.start if from_start else span.stop)
                    for topic in topics
                    for span in self.spans(topic)
                ]
            )
            while True:
                messages = _usable(consumer.consume(_BATCH, poll_seconds))
                yield from messages
                if not messages:
                    yield None
        finally:
            consumer.close()

    def close(self) -> None:
        if self._producer is not None:
            self._flush(self._producer)
            self._producer = None
        if "_asker" in self.__dict__:
            self.__dict__.pop("_asker").close()

    # -------------------------------------------------------------------- parts

    def _write(self, pairs: dict[str, Any]) -> None:
        if self._producer is None:
            self._producer = producer(self._bootstrap)
        failed: list[KafkaError] = []

        def note(error: KafkaError | None, _: object) -> None:
            if error is not None:
                failed.append(error)

        for topic, messages in pairs.items():
            for key, value in messages:
                produce(self._producer, topic, key, value, note)
        self._flush(self._producer)
        if failed:
            raise UnavailableError(f"Kafka did not take {len(failed)} messages: {failed[0].str()}.")

    def _flush(self, writer: Producer) -> None:
        left = writer.flush(_TIMEOUT * 2)
        if left:
            raise UnavailableError(
                f"Kafka at {self._bootstrap} did not confirm {left} messages in time."
            )

    @cached_property
    def _asker(self) -> Consumer:
        """A consumer that reads nothing and only asks for offsets."""
        return self._consumer()

    def _consumer(self, **options: object) -> Consumer:
        return Consumer(consumer_settings(self._bootstrap) | options)

    def _until(self, consumer: Consumer, end: int) -> Iterator[Message]:
        """Messages below offset `end`; the log's end (compaction leaves gaps) ends it too."""
        waited = time.monotonic()
        while True:
            for message in consumer.consume(_BATCH, 0.5):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return
                if error is not None:
                    _raise(error)
                    continue
                waited = time.monotonic()
                if message.offset() >= end:
                    return
                yield _message(message)
                if message.offset() == end - 1:
                    return
            if time.monotonic() - waited > _TIMEOUT:
                raise UnavailableError(
                    f"Kafka at {self._bootstrap} sent nothing for {_TIMEOUT:.0f} s."
                )

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        try:
            return self._watermarks(TopicPartition(topic, partition))
        except KafkaException as error:
            raise _foreign(error, self._bootstrap) from error

    @_once_there_is_a_leader
    def _watermarks(self, place: TopicPartition) -> tuple[int, int]:
        low, high = self._asker.get_watermark_offsets(place, timeout=_TIMEOUT)
        return low, high

    def _first_since(
        self, topic: str, bounds: dict[int, tuple[int, int]], since: float
    ) -> dict[int, int]:
        moment = math.floor(since * 1000)  # the log keeps milliseconds; rather one early than lost
        places = [TopicPartition(topic, number, moment) for number in bounds]
        try:
            found = self._offsets_at(places)
        except KafkaException as error:
            raise _foreign(error, self._bootstrap) from error
        return {
            part.partition: part.offset if part.offset >= 0 else bounds[part.partition][1]
            for part in found
        }

    @_once_there_is_a_leader
    def _offsets_at(self, places: list[TopicPartition]) -> list[Any]:
        """The first offsets since the places' times; a partition may have an error of its own."""
        found = self._asker.offsets_for_times(places, timeout=_TIMEOUT)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
        return list(found)

    def _partitions_of_all(self) -> dict[str, int]:
        try:
            found = self._admin.list_topics(timeout=_TIMEOUT)
        except KafkaException as error:
            raise _foreign(error, self._bootstrap) from error
        return {name: len(topic.partitions) for name, topic in found.topics.items()}

    def _create(self, topics: Sequence[Topic]) -> None:
        wanted = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=self._replicas,
                config={
                    "cleanup.policy": topic.cleanup,
                    "retention.ms": str(topic.retention_hours * 3_600_000),
                    "max.message.bytes": str(_LARGEST_BYTES),
                },
            )
            for topic in topics
        ]
        for name, future in self._admin.create_topics(wanted, operation_timeout=_TIMEOUT).items():
            try:
                future.result(_TIMEOUT)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise _foreign(error, self._bootstrap) from error
            self._await(name)

    def _await(self, name: str) -> None:
        """A new topic is usable once the broker's metadata shows it."""
        for _ in range(100):
            if name in self._partitions_of_all():
                return
            time.sleep(0.05)
        raise UnavailableError(f"Topic {name} was created but the broker does not show it.")


def producer(bootstrap: str) -> Producer:
    """A producer whose writes survive: all replicas, no duplicates from its own retries."""
    return Producer(
        {
            "bootstrap.servers": bootstrap,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": 5,
            "message.max.bytes": _LARGEST_BYTES,
            # gzip: the one codec that every client can read (kafka-python and aiokafka have no lz4)
            "compression.type": "gzip",
        }
    )


def produce(
    writer: Producer,
    topic: str,
    key: bytes | None,
    value: bytes,
    note: Callable[[KafkaError | None, object], None],
) -> None:
    """Queue one message; waits while the producer's queue is full."""
    while True:
        try:
            writer.produce(topic, value, key, on_delivery=note)
            writer.poll(0)
            return
        except BufferError:
            writer.poll(0.1)


def consumer_settings(bootstrap: str) -> dict[str, object]:
    """Settings of a consumer that is assigned its partitions and commits nothing.

    The client's own log is silent but for the worst: errors reach us as messages.
    """
    return {
        "bootstrap.servers": bootstrap,
        "group.id": f"driftline-{uuid.uuid4().hex}",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        "fetch.wait.max.ms": 100,
        "fetch.message.max.bytes": 2 * 1024 * 1024,
        "queued.max.messages.kbytes": 16 * 1024,
        # a full queue is looked at again this soon; the default, a second, would let the reader of
        # a backlog starve with 40,000 records in hand
        "fetch.queue.backoff.ms": 10,
        "reconnect.backoff.ms": 500,
        "log_level": 2,
    }


def _usable(messages: list[Any]) -> list[Message]:
    usable = []
    for message in messages:
        error = message.error()
        if error is None:
            usable.append(_message(message))
        else:
            _raise(error)
    return usable


def _message(message: Any) -> Message:
    return Message(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        time=message.timestamp()[1] / 1000.0,
    )


def _raise(error: KafkaError) -> None:
    """Raise what waiting does not mend; broken connections are mended by the client itself."""
    if error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
        raise NotFoundError(f"Kafka knows no such topic or partition: {error.str()}.")
    if error.fatal():
        raise UnavailableError(f"Kafka gave up: {error.str()}.")


def _foreign(error: KafkaException, bootstrap: str) -> Exception:
    cause = error.args[0]
    if cause.code() in (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC):
        return NotFoundError(
            f"Kafka at {bootstrap} knows no such topic or partition: {cause.str()}."
        )
    return UnavailableError(f"Kafka at {bootstrap} does not answer: {cause.str()}.")
