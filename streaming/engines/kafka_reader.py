"""One Kafka partition, read from wherever the caller stands.

Consumers outlive the single reading step: they are kept per process, prefetch in the background,
and are only moved when the wanted offset is not the one they have reached.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streaming.contracts.errors import Misconfigured, Unreachable
from streaming.engines.kafka_log import consumer_settings

_LOG = logging.getLogger(__name__)
_READERS: dict[tuple[str, str, int], PartitionReader] = {}
_GUARD = threading.Lock()


def reader(bootstrap: str, topic: str, partition: int) -> PartitionReader:
    """This process's reader of the partition."""
    with _GUARD:
        key = (bootstrap, topic, partition)
        if key not in _READERS:
            _READERS[key] = PartitionReader(bootstrap, topic, partition)
        return _READERS[key]


class PartitionReader:
    """Reads one partition; safe to call from several threads."""

    def __init__(self, bootstrap: str, topic: str, partition: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partition = partition
        self._consumer = Consumer(
            consumer_settings(bootstrap) | {"enable.auto.offset.store": False}
        )
        self._next: int | None = None
        self._lock = threading.Lock()

    def fetch(self, start: int, *, most: int, wait_seconds: float) -> list[Any]:
        """Up to `most` messages from offset `start` on; empty when none came in time.

        Raises
        ------
        Misconfigured
            When the log now ends before `start`: the topic was made anew.
        """
        with self._lock:
            if start != self._next:
                self._consumer.assign([TopicPartition(self._topic, self._partition, start)])
                self._next = start
            messages = [m for m in self._consumer.consume(most, wait_seconds) if self._usable(m)]
            if messages:
                self._check(messages[0].offset(), start)
                self._next = messages[-1].offset() + 1
            return messages

    def end(self) -> int | None:
        """The next offset to be written, or None while the broker does not say."""
        return self.end_of(self._partition)

    def end_of(self, partition: int) -> int | None:
        """The same of a sibling partition."""
        place = TopicPartition(self._topic, partition)
        try:
            return int(self._consumer.get_watermark_offsets(place, timeout=2.0)[1])
        except KafkaException as error:
            _LOG.warning("Kafka does not tell the end of %s/%d: %s", self._topic, partition, error)
            return None

    def used(self, partitions: Sequence[int]) -> bool:
        """Was anything ever written to these partitions?"""
        return any((self.end_of(partition) or 0) > 0 for partition in partitions)

    def _check(self, found: int, start: int) -> None:
        if found < start:
            raise Misconfigured(
                f"{self._topic}/{self._partition} was to be read from offset {start} but goes on "
                f"at {found}: the topic was made anew. Submit the job afresh."
            )
        if found > start:
            _LOG.warning(
                "%s/%d: offsets %d to %d are gone (retention or compaction)",
                self._topic,
                self._partition,
                start,
                found - 1,
            )

    def _usable(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise Unreachable(f"{self._topic}/{self._partition} cannot be read: {error.str()}.")
        _LOG.warning("%s/%d: %s", self._topic, self._partition, error.str())
        return False
