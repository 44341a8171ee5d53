"""The log on Kafka, through confluent-kafka.

Writes are durable when a call returns (all replicas, idempotent producer). Reads use no consumer
group; readers keep their own offsets. Topics are created and repaired by
`streaming.engines.kafka.topics`.

When no broker can be reached or none responds, the first call of a log fails within three seconds
and its error names the next command. A log that has reached a broker before waits longer for it to
return, so that services survive its restart.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import repeat
from typing import Any, TypeVar

from confluent_kafka import (
    Consumer,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient
from tenacity import retry, retry_if_exception, stop_after_delay, wait_exponential

from streaming.contracts.codec import encode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import Message
from streaming.contracts.raw_record import Headers
from streaming.contracts.records import OffsetRange, Record
from streaming.contracts.topics import TOPIC_OF, Topic, TopicDifference, message_key
from streaming.engines.kafka.clients import (
    NO_RESPONSE,
    accepting_address,
    consumer_settings,
    has_no_leader,
    no_response,
    produce,
    producer,
    raise_permanent,
    translated,
    unavailable,
)
from streaming.engines.kafka.topics import TopicAdmin

Response = TypeVar("Response")

_TIMEOUT = 15.0
"""Seconds for a response: a broker may be busy, or may be restarting."""
_FIRST_TIMEOUT = 2.2
"""Seconds for the first response of a broker, with the connection."""
_MIN_FIRST_RESPONSE = 0.5
"""Seconds for that response when connecting has taken longer than planned."""
_BATCH = 2000

_retry_election = retry(
    retry=retry_if_exception(has_no_leader),
    wait=wait_exponential(0.2, max=1.0),
    stop=stop_after_delay(_TIMEOUT),
    reraise=True,
)
"""Retries while a leader is being elected, which takes seconds on a busy machine."""


class KafkaLog:
    """A `streaming.contracts.log.RecordLog` on Kafka.

    Parameters
    ----------
    bootstrap:
        ``host:port`` of a broker, or several with commas.
    """

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._reached = False
        self._producer: Producer | None = None
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 2})

    def ensure(self, topics: Sequence[Topic]) -> None:
        self._reach_broker()
        TopicAdmin(self._admin, self._bootstrap).ensure(topics)

    def differences(self, topics: Sequence[Topic]) -> tuple[TopicDifference, ...]:
        self._reach_broker()
        return TopicAdmin(self._admin, self._bootstrap).differences(topics)

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        pairs: dict[str, list[tuple[bytes | None, bytes]]] = {}
        for record in records:
            name = (topic or TOPIC_OF[type(record)]).name
            pairs.setdefault(name, []).append((message_key(record), encode(record)))
        self._write(pairs)

    def append_raw(
        self,
        topic: str,
        messages: Sequence[tuple[bytes | None, bytes]],
        headers: Sequence[Headers] = (),
    ) -> None:
        self._write({topic: messages}, headers)

    def read(self, span: OffsetRange) -> Iterator[Message]:
        if span.partition >= self._partition_counts().get(span.topic, 0):
            return
        end = min(span.stop, self._bounds(span.topic, span.partition)[1])
        if span.start >= end:
            return
        consumer = self._consumer(**{"enable.partition.eof": True})
        try:
            consumer.assign([TopicPartition(span.topic, span.partition, span.start)])
            yield from self._read_until(consumer, end)
        finally:
            consumer.close()

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        partitions = range(self._partition_counts().get(topic, 0))
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
        if "_metadata" in self.__dict__:
            self.__dict__.pop("_metadata").close()

    # ------------------------------------------------------------------ writing

    def _write(self, pairs: dict[str, Any], headers: Sequence[Headers] = ()) -> None:
        if self._producer is None:
            self._reach_broker()
            self._producer = producer(self._bootstrap)
        errors: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                errors.append(error)

        for topic, messages in pairs.items():
            for (key, value), names in zip(messages, headers or repeat(()), strict=False):
                produce(self._producer, topic, key, value, delivered, headers=names)
        self._flush(self._producer)
        if errors:
            raise UnavailableError(
                f"Kafka did not accept {len(errors)} messages: {errors[0].str()}."
            )

    def _flush(self, writer: Producer) -> None:
        unconfirmed = writer.flush(_TIMEOUT * 2)
        if unconfirmed:
            raise UnavailableError(
                f"Kafka at {self._bootstrap} did not confirm {unconfirmed} messages in time."
            )

    # ------------------------------------------------------------------ reading

    @cached_property
    def _metadata(self) -> Consumer:
        """A consumer that reads no messages and only fetches offsets."""
        return self._consumer()

    def _consumer(self, **options: object) -> Consumer:
        return Consumer(consumer_settings(self._bootstrap) | options)

    def _read_until(self, consumer: Consumer, end: int) -> Iterator[Message]:
        """Messages below offset `end`, or until the end of the partition.

        The last offsets may hold no message (compaction, transactions); then the consumer's
        end-of-partition event ends the iteration.
        """
        last_message = time.monotonic()
        while True:
            for message in _available(consumer):
                error = message.error()
                if error is not None and error.code() == KafkaError._PARTITION_EOF:
                    return
                if error is not None:
                    raise_permanent(error)
                    continue
                last_message = time.monotonic()
                if message.offset() >= end:
                    return
                yield _message(message)
                if message.offset() == end - 1:
                    return
            if time.monotonic() - last_message > _TIMEOUT:
                raise UnavailableError(
                    f"Kafka at {self._bootstrap} sent nothing for {_TIMEOUT:.0f} s."
                )

    # ----------------------------------------------------------------- metadata

    def _request(self, request: Callable[[], Response]) -> Response:
        """The response to a metadata request."""
        self._reach_broker()
        try:
            return request()
        except KafkaException as error:
            raise translated(error, self._bootstrap) from error

    def _reach_broker(self) -> None:
        """Before the first request: raise `UnavailableError` unless a broker responds."""
        if self._reached:
            return
        deadline = time.monotonic() + _FIRST_TIMEOUT
        address = accepting_address(self._bootstrap, _FIRST_TIMEOUT - _MIN_FIRST_RESPONSE)
        if address is None:
            raise unavailable(self._bootstrap)
        try:
            self._admin.list_topics(timeout=max(_MIN_FIRST_RESPONSE, deadline - time.monotonic()))
        except KafkaException as error:
            # the address is known: a second connection would only take time
            no_broker = error.args[0].code() in NO_RESPONSE
            raise (
                no_response(address) if no_broker else translated(error, self._bootstrap)
            ) from error
        self._reached = True

    def _bounds(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset of a partition, and the next one that will be written."""
        return self._request(lambda: self._watermarks(TopicPartition(topic, partition)))

    @_retry_election
    def _watermarks(self, partition: TopicPartition) -> tuple[int, int]:
        low, high = self._metadata.get_watermark_offsets(partition, timeout=_TIMEOUT)
        return low, high

    def _first_since(
        self, topic: str, bounds: dict[int, tuple[int, int]], since: float
    ) -> dict[int, int]:
        # the log keeps milliseconds; rounding down may include an earlier message but loses none
        milliseconds = math.floor(since * 1000)
        times = [TopicPartition(topic, number, milliseconds) for number in bounds]
        offsets = self._request(lambda: self._offsets_at(times))
        return {
            first.partition: first.offset if first.offset >= 0 else bounds[first.partition][1]
            for first in offsets
        }

    @_retry_election
    def _offsets_at(self, times: list[TopicPartition]) -> list[Any]:
        """The first offset of each partition since its time."""
        offsets = self._metadata.offsets_for_times(times, timeout=_TIMEOUT)
        for partition in offsets:
            if partition.error is not None:  # each partition has an error of its own
                raise KafkaException(partition.error)
        return list(offsets)

    def _partition_counts(self) -> dict[str, int]:
        """Number of partitions of every topic."""
        metadata = self._request(lambda: self._admin.list_topics(timeout=_TIMEOUT))
        return {name: len(topic.partitions) for name, topic in metadata.topics.items()}


def _usable(messages: list[Any]) -> list[Message]:
    usable = []
    for message in messages:
        error = message.error()
        if error is None:
            usable.append(_message(message))
        else:
            raise_permanent(error)
    return usable


def _available(consumer: Consumer) -> list[Any]:
    """The messages and events that the consumer has fetched; waits half a second for a first one.

    `Consumer.consume` alone waits for a full batch, also at the end of a partition.
    """
    first = consumer.poll(0.5)
    return [] if first is None else [first, *consumer.consume(_BATCH - 1, 0)]


def _message(message: Any) -> Message:
    return Message(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        time=message.timestamp()[1] / 1000.0,
        headers=tuple(message.headers() or ()),
    )
