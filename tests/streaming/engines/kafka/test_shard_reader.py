"""A shard's reader knows when a partition has nothing more to read, also after transactions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from streaming.contracts.topics import applications_topic
from streaming.engines.kafka.log import KafkaLog
from streaming.engines.kafka.shard_reader import ShardReader
from streaming.windowing.positions import Place

pytestmark = pytest.mark.engine


@pytest.fixture
def place(broker: Any) -> Place:
    topic = applications_topic(f"events-{uuid.uuid4().hex[:8]}", partitions=1)
    log = KafkaLog(broker.bootstrap)
    log.ensure([topic])
    log.close()
    return topic.name, 0


def send(producer: Producer, place: Place, rows: int) -> None:
    for number in range(rows):
        producer.produce(place[0], b"%d" % number, partition=place[1])
    producer.flush(20)


def read(reader: ShardReader, place: Place, start: int, rows: int) -> int:
    """Read so many rows; the next offset."""
    found = 0
    until = time.monotonic() + 20
    while found < rows:
        assert time.monotonic() < until
        for _, run in reader.fetch({place: start}, most=100, wait_seconds=0.1):
            found, start = found + len(run), run[-1].offset() + 1
    assert found == rows
    return start


def becomes(true: Callable[[], bool], reader: ShardReader, place: Place, start: int) -> bool:
    """Whether it becomes true while there is nothing to read."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        assert not reader.fetch({place: start}, most=100, wait_seconds=0.1)
        if true():
            return True
    return False


def test_a_partition_is_read_up_after_its_last_record(broker: Any, place: Place) -> None:
    reader = ShardReader(broker.bootstrap)
    send(Producer({"bootstrap.servers": broker.bootstrap}), place, 5)
    at = read(reader, place, 0, 3 + 2)
    assert becomes(lambda: place in reader._ended, reader, place, at)
    assert reader.read_up(place, at)
    assert not reader.read_up(place, 2)


def test_marks_of_transactions_are_nothing_to_read_and_open_ones_may_be(
    broker: Any, place: Place
) -> None:
    reader = ShardReader(broker.bootstrap)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": place[0]})
    producer.init_transactions()
    producer.begin_transaction()
    send(producer, place, 3)
    producer.commit_transaction()
    at = read(reader, place, 0, 3)
    assert at == 3
    assert becomes(lambda: reader.read_up(place, at), reader, place, at)
    producer.begin_transaction()
    send(producer, place, 1)
    assert becomes(lambda: reader.end(place) == 5, reader, place, at)
    assert not becomes(lambda: reader.read_up(place, at), reader, place, at)
    producer.abort_transaction()
    assert becomes(lambda: reader.read_up(place, at), reader, place, at)
