"""A shard reader detects the end of a partition, also after transactions."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from streaming.contracts.topics import applications_topic
from streaming.engines.kafka.log import KafkaLog
from streaming.engines.kafka.shard_reader import Runs, ShardReader
from streaming.windowing.positions import TopicPartition
from tests.waiting import wait_for

pytestmark = pytest.mark.engine


@pytest.fixture
def partition(broker: Any) -> TopicPartition:
    topic = applications_topic(f"events-{uuid.uuid4().hex[:8]}", partitions=1)
    log = KafkaLog(broker.bootstrap)
    log.ensure([topic])
    log.close()
    return topic.name, 0


def send(producer: Producer, partition: TopicPartition, records: int) -> None:
    topic, number = partition
    for value in range(records):
        producer.produce(topic, b"%d" % value, partition=number)
    producer.flush(20)


def fetch(reader: ShardReader, partition: TopicPartition, start: int) -> Runs:
    return reader.fetch({partition: start}, max_records=100, wait_seconds=0.1)


def read(reader: ShardReader, partition: TopicPartition, start: int, records: int) -> int:
    """Read this many records; returns the next offset."""
    count = 0
    deadline = time.monotonic() + 20
    while count < records:
        assert time.monotonic() < deadline
        for _, run in fetch(reader, partition, start):
            count, start = count + len(run), run[-1].offset() + 1
    assert count == records
    return start


def wait_idle(
    condition: Callable[[], bool], reader: ShardReader, partition: TopicPartition, start: int
) -> None:
    """Fetch, without any record coming, until the condition is true."""

    def fetched() -> bool:
        assert not fetch(reader, partition, start)
        return condition()

    wait_for(fetched)


def test_a_partition_is_at_its_end_after_its_last_record(
    broker: Any, partition: TopicPartition
) -> None:
    reader = ShardReader(broker.bootstrap)
    send(Producer({"bootstrap.servers": broker.bootstrap}), partition, 5)
    offset = read(reader, partition, 0, 3 + 2)
    wait_idle(lambda: reader.at_end(partition, offset), reader, partition, offset)
    assert not reader.at_end(partition, 2)


def test_transaction_markers_are_skipped_at_the_end_but_an_open_transaction_is_not(
    broker: Any, partition: TopicPartition
) -> None:
    reader = ShardReader(broker.bootstrap)
    producer = Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": partition[0]})
    producer.init_transactions()
    producer.begin_transaction()
    send(producer, partition, 3)
    producer.commit_transaction()
    offset = read(reader, partition, 0, 3)
    assert offset == 3
    wait_idle(lambda: reader.at_end(partition, offset), reader, partition, offset)
    producer.begin_transaction()
    send(producer, partition, 1)
    wait_idle(lambda: reader.end_offset(partition) == 5, reader, partition, offset)
    for _ in range(5):
        assert not fetch(reader, partition, offset)
        assert not reader.at_end(partition, offset)
    producer.abort_transaction()
    wait_idle(lambda: reader.at_end(partition, offset), reader, partition, offset)
