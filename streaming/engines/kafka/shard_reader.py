"""The partitions of one shard, read through one consumer.

Two hundred models of two partitions each need not mean four hundred consumers: a shard owns every
partition whose number, moved by a digest of its topic's name, falls to it. Partitions added to a
topic while it is read are found by asking for its metadata, and belong to one shard like any other.
"""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Collection, Hashable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.engines.kafka.log import consumer_settings
from streaming.windowing.positions import Place, Shard

_LOG = logging.getLogger(__name__)
_READERS: dict[tuple[str, Hashable], ShardReader] = {}
_GUARD = threading.Lock()
_ASK_SECONDS = 5.0


def reader(bootstrap: str, of: Hashable) -> ShardReader:
    """This process's reader for whoever calls itself `of`: a shard of a job, a single partition."""
    with _GUARD:
        key = (bootstrap, of)
        if key not in _READERS:
            _READERS[key] = ShardReader(bootstrap)
        return _READERS[key]


def belongs(place: Place, shard: Shard) -> bool:
    """Whether a partition falls to a shard; each falls to exactly one.

    >>> [belongs(("trips", partition), (0, 2)) for partition in range(4)]
    [True, False, True, False]
    """
    topic, partition = place
    number, of = shard
    return (partition + zlib.crc32(topic.encode())) % of == number


class ShardReader:
    """Reads many partitions in turn; consumers prefetch, and are only moved when the wanted offsets
    are not those they have reached."""

    def __init__(self, bootstrap: str) -> None:
        self._consumer = Consumer(
            consumer_settings(bootstrap)
            | {"enable.auto.offset.store": False, "enable.partition.eof": True}
        )
        self._ended: dict[Place, int] = {}
        self._next: dict[Place, int] = {}
        self._counts: dict[str, int] = {}
        self._asked = -1e9
        self._used: dict[str, tuple[bool, float]] = {}
        self._lock = threading.Lock()

    def partitions(self, topics: Collection[str], *, every: float) -> Mapping[str, int]:
        """How many partitions each topic has, asked anew after `every` seconds."""
        if time.monotonic() - self._asked >= every:
            try:
                found = self._consumer.list_topics(timeout=_ASK_SECONDS).topics
            except KafkaException as error:
                _LOG.warning("Kafka does not tell its partitions: %s", error)
                return self._counts
            self._asked = time.monotonic()
            self._counts = {
                topic: max(self._counts.get(topic, 0), len(found[topic].partitions))
                for topic in topics
                if topic in found
            }
            missing = [topic for topic in topics if topic not in self._counts]
            if missing:
                raise UnavailableError(f"Topic {missing[0]} cannot be read: Kafka knows none.")
        return self._counts

    def fetch(
        self, starts: Mapping[Place, int], *, most: int, wait_seconds: float
    ) -> list[tuple[Place, list[Any]]]:
        """Up to `most` messages from these offsets on, in one run for each partition.

        Raises
        ------
        ConfigurationError
            When a log now ends before its start: the topic was made anew.
        """
        with self._lock:
            return self._fetch(starts, most, wait_seconds)

    def _fetch(
        self, starts: Mapping[Place, int], most: int, wait_seconds: float
    ) -> list[tuple[Place, list[Any]]]:
        if starts != self._next:
            self._consumer.assign(
                [TopicPartition(topic, number, at) for (topic, number), at in starts.items()]
            )
            self._next = dict(starts)
            self._ended.clear()
        if not starts:
            return []
        messages = [m for m in self._consumer.consume(most, wait_seconds) if self._usable(m)]
        runs = self._runs(starts, messages)
        for place, run in runs:
            _check(place, run[0].offset(), self._next[place])
            self._next[place] = run[-1].offset() + 1
        return runs

    def _runs(
        self, starts: Mapping[Place, int], messages: list[Any]
    ) -> list[tuple[Place, list[Any]]]:
        """By partition: taking one run costs milliseconds, however short, and the consumer brings
        the partitions in turns of a few records."""
        if len(starts) == 1 and messages:
            return [(next(iter(starts)), messages)]
        found: dict[Place, list[Any]] = {}
        for message in messages:
            found.setdefault((message.topic(), message.partition()), []).append(message)
        return list(found.items())

    def end(self, place: Place) -> int | None:
        """The next offset to be written, or None while the broker does not say."""
        known = self._bounds(place, cached=True)
        return known if known is not None and known >= 0 else self._bounds(place, cached=False)

    def read_up(self, place: Place, offset: int) -> bool:
        """Whether there is nothing to read from `offset` on.

        The log may go on and still hold no record for us: the mark of a transaction takes an offset
        of its own, and what was aborted is never shown.
        """
        end = self.end(place)
        seen = self._ended.get(place) if self._next.get(place) == offset else None
        return end is not None and end in (offset, seen)

    def used(self, topic: str, *, every: float) -> bool:
        """Was anything ever written to the topic? A no is asked anew after `every` seconds."""
        known, at = self._used.get(topic, (False, -1e9))
        if not known and time.monotonic() - at >= every:
            places = [(topic, number) for number in range(self._counts.get(topic, 0))]
            known = any((self._bounds(place, cached=False) or 0) > 0 for place in places)
            self._used[topic] = known, time.monotonic()
        return known

    def _bounds(self, place: Place, *, cached: bool) -> int | None:
        try:
            bounds = self._consumer.get_watermark_offsets(
                TopicPartition(*place), timeout=2.0, cached=cached
            )
        except KafkaException as error:
            _LOG.warning("Kafka does not tell the end of %s/%d: %s", *place, error)
            return None
        return None if bounds is None else int(bounds[1])

    def _usable(self, message: Any) -> bool:
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended[message.topic(), message.partition()] = message.offset()
            return False
        place = f"{message.topic()}/{message.partition()}"
        if error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise UnavailableError(f"{place} cannot be read: {error.str()}.")
        _LOG.warning("%s: %s", place, error.str())
        return False


def _check(place: Place, found: int, start: int) -> None:
    topic, partition = place
    if found < start:
        raise ConfigurationError(
            f"{topic}/{partition} was to be read from offset {start} but goes on "
            f"at {found}: the topic was made anew. Submit the job afresh."
        )
    if found > start:
        _LOG.warning(
            "%s/%d: offsets %d to %d hold no records (retention, compaction or a transaction)",
            topic,
            partition,
            start,
            found - 1,
        )
