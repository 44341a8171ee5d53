"""Reads the partitions of one shard through one consumer.

Two hundred models of two partitions each do not need four hundred consumers: a shard owns every
partition whose number, shifted by a checksum of its topic's name, maps to it. Partitions that are
added to a topic are found in the topic metadata, and belong to one shard like any other.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Collection, Hashable, Mapping
from typing import Any

import confluent_kafka
import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException

from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.engines.kafka.clients import consumer_settings
from streaming.windowing.positions import Shard, TopicPartition

log = structlog.get_logger(__name__)

_READERS: dict[tuple[str, Hashable], ShardReader] = {}
_LOCK = threading.Lock()
_METADATA_TIMEOUT = 5.0

Runs = list[tuple[TopicPartition, list[Any]]]
"""Messages by partition."""


def shared_reader(bootstrap: str, owner: Hashable) -> ShardReader:
    """This process's reader for an owner: a shard of a job, or a single partition."""
    with _LOCK:
        key = (bootstrap, owner)
        if key not in _READERS:
            _READERS[key] = ShardReader(bootstrap)
        return _READERS[key]


def belongs(partition: TopicPartition, shard: Shard) -> bool:
    """Whether a partition belongs to a shard; each belongs to exactly one.

    >>> [belongs(("trips", number), (0, 2)) for number in range(4)]
    [True, False, True, False]
    """
    topic, number = partition
    shard_number, shards = shard
    return (number + zlib.crc32(topic.encode())) % shards == shard_number


class ShardReader:
    """Reads many partitions in turn.

    Its consumer prefetches. It seeks only when the requested offsets are not those that it has
    reached.
    """

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            consumer_settings(bootstrap)
            | {"enable.auto.offset.store": False, "enable.partition.eof": True}
        )
        self._eof_offsets: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._counts: dict[str, int] = {}
        self._counted_at = -1e9
        self._written: dict[str, tuple[bool, float]] = {}
        self._answered_at = -1e9
        self._lock = threading.Lock()

    def partitions(self, topics: Collection[str], *, every: float) -> Mapping[str, int]:
        """Number of partitions of each topic, fetched again after `every` seconds."""
        if time.monotonic() - self._counted_at >= every:
            try:
                metadata = self._consumer.list_topics(timeout=_METADATA_TIMEOUT).topics
            except KafkaException as error:
                log.warning("kafka.topic_metadata_unavailable", error=str(error))
                return self._counts
            self._counted_at = time.monotonic()
            self._counts = {
                topic: max(self._counts.get(topic, 0), len(metadata[topic].partitions))
                for topic in topics
                if topic in metadata
            }
            missing = [topic for topic in topics if topic not in self._counts]
            if missing:
                raise UnavailableError(
                    f"Topic {missing[0]} cannot be read: it does not exist on Kafka."
                )
        return self._counts

    def fetch(
        self, starts: Mapping[TopicPartition, int], *, max_records: int, wait_seconds: float
    ) -> Runs:
        """Up to `max_records` messages from these offsets on, in one run for each partition.

        Raises
        ------
        ConfigurationError
            When a log ends before its start: the topic was deleted and created again.
        """
        with self._lock:
            return self._fetch(starts, max_records, wait_seconds)

    def _fetch(
        self, starts: Mapping[TopicPartition, int], max_records: int, wait_seconds: float
    ) -> Runs:
        if starts != self._next:
            self._consumer.assign(
                [
                    confluent_kafka.TopicPartition(topic, number, offset)
                    for (topic, number), offset in starts.items()
                ]
            )
            self._next = dict(starts)
            self._eof_offsets.clear()
        if not starts:
            return []
        messages = self._consumer.consume(max_records, wait_seconds)
        runs = self._by_partition(starts, [m for m in messages if self._usable(m)])
        for partition, run in runs:
            _check_start(partition, run[0].offset(), self._next[partition])
            self._next[partition] = run[-1].offset() + 1
        return runs

    def _by_partition(self, starts: Mapping[TopicPartition, int], messages: list[Any]) -> Runs:
        """The messages, grouped: decoding a run costs milliseconds however short it is, and the
        consumer brings the partitions in turns of a few records."""
        if len(starts) == 1 and messages:
            return [(next(iter(starts)), messages)]
        runs: dict[TopicPartition, list[Any]] = {}
        for message in messages:
            runs.setdefault((message.topic(), message.partition()), []).append(message)
        return list(runs.items())

    def end_offset(self, partition: TopicPartition) -> int | None:
        """The next offset that will be written; None while the broker does not answer."""
        cached = self._high_watermark(partition, cached=True)
        if cached is not None and cached >= 0:
            return cached
        return self._high_watermark(partition, cached=False)

    def at_end(self, partition: TopicPartition, offset: int) -> bool:
        """Whether there is nothing to read from `offset` on.

        The log may continue and still hold no record for us: the marker of a transaction takes an
        offset of its own, and aborted records are never delivered.
        """
        end = self.end_offset(partition)
        current = self._next.get(partition) == offset
        eof = self._eof_offsets.get(partition) if current else None
        return end is not None and end in (offset, eof)

    def broker_end(self, partition: TopicPartition) -> int | None:
        """The next offset that will be written, asked of the broker now; None without an answer."""
        return self._high_watermark(partition, cached=False)

    def has_read(self, partition: TopicPartition, offset: int, end: int) -> bool:
        """Whether everything before `end` was read at `offset`, transactions' markers included."""
        eof = self._eof_offsets.get(partition) if self._next.get(partition) == offset else None
        return max(offset, eof or 0) >= end

    def broker_answers(self, partition: TopicPartition, *, every: float) -> bool:
        """Whether the partition's broker is there; a yes counts for `every` seconds.

        Without it, offsets that the consumer remembers would make each partition look read.
        """
        if time.monotonic() - self._answered_at < every:
            return True
        if self._high_watermark(partition, cached=False) is None:
            return False
        self._answered_at = time.monotonic()
        return True

    def was_written(self, topic: str, *, every: float) -> bool:
        """Whether the topic was ever written to; a no is checked again after `every` seconds."""
        written, checked_at = self._written.get(topic, (False, -1e9))
        if not written and time.monotonic() - checked_at >= every:
            partitions = [(topic, number) for number in range(self._counts.get(topic, 0))]
            written = any((self._high_watermark(p, cached=False) or 0) > 0 for p in partitions)
            self._written[topic] = written, time.monotonic()
        return written

    def _high_watermark(self, partition: TopicPartition, *, cached: bool) -> int | None:
        try:
            offsets = self._consumer.get_watermark_offsets(
                confluent_kafka.TopicPartition(*partition), timeout=2.0, cached=cached
            )
        except KafkaException as error:
            topic, number = partition
            log.warning(
                "kafka.end_offset_unavailable", topic=topic, partition=number, error=str(error)
            )
            return None
        return None if offsets is None else int(offsets[1])

    def _usable(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        topic, number = message.topic(), message.partition()
        if error.code() == KafkaError._PARTITION_EOF:
            self._eof_offsets[topic, number] = message.offset()
            return False
        if error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise UnavailableError(f"{topic}/{number} cannot be read: {error.str()}.")
        log.warning("kafka.read_error", topic=topic, partition=number, error=error.str())
        return False


def _check_start(partition: TopicPartition, first: int, start: int) -> None:
    """Check the first offset that was read against the requested one."""
    topic, number = partition
    if first < start:
        raise ConfigurationError(
            f"{topic}/{number} was to be read from offset {start} but continues at {first}: the "
            "topic was deleted and created again. Submit the job afresh."
        )
    if first > start:
        log.warning(
            "kafka.offsets_without_records",
            topic=topic,
            partition=number,
            first=start,
            last=first - 1,
            reason="retention, compaction or a transaction",
        )
