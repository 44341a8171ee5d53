"""The log on Kafka: leader elections, and the end of partitions that hold no record."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from streaming.contracts.errors import UnavailableError
from streaming.contracts.records import OffsetRange
from streaming.contracts.topics import applications_topic
from streaming.engines.kafka.log import KafkaLog

pytestmark = pytest.mark.engine

ELECTION_CODES = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)


class ElectingConsumer:
    """A consumer whose first requests fail with `codes`, as during a leader election."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self.codes: list[int] = []

    def get_watermark_offsets(self, *arguments: Any, **options: Any) -> Any:
        """First and next offset of a partition."""
        self._fail()
        return self._consumer.get_watermark_offsets(*arguments, **options)

    def offsets_for_times(self, times: Any, **options: Any) -> Any:
        """First offset of each partition since its time."""
        self._fail()
        return self._consumer.offsets_for_times(times, **options)

    def close(self) -> None:
        """Close the real consumer."""
        self._consumer.close()

    def _fail(self) -> None:
        if self.codes:
            raise KafkaException(KafkaError(self.codes.pop()))


def electing_log(bootstrap: str) -> tuple[KafkaLog, ElectingConsumer]:
    """A log, and the consumer that it fetches offsets with."""
    log = KafkaLog(bootstrap)
    consumer = ElectingConsumer(log._metadata)
    log.__dict__["_metadata"] = consumer
    return log, consumer


@pytest.mark.parametrize("since", [None, 1.0])
def test_an_election_is_waited_for(broker: Any, since: float | None) -> None:
    log, consumer = electing_log(broker.bootstrap)
    topic = applications_topic(f"elected-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([topic])
    log.append_raw(topic.name, [(None, b"a"), (None, b"b")])
    consumer.codes.extend(ELECTION_CODES)
    (span,) = log.spans(topic.name, since=since)
    assert (span.start, span.stop) == (0, 2)
    assert not consumer.codes
    log.close()


def test_any_other_error_is_raised_at_once(broker: Any) -> None:
    log, consumer = electing_log(broker.bootstrap)
    topic = applications_topic(f"refused-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([topic])
    consumer.codes.extend([KafkaError.TOPIC_AUTHORIZATION_FAILED] * 2)
    with pytest.raises(UnavailableError):
        log.spans(topic.name)
    assert len(consumer.codes) == 1
    log.close()


def transactional_topic(bootstrap: str) -> tuple[str, Producer]:
    """A new topic of one partition, and a producer with transactions for it."""
    topic = applications_topic(f"marked-{uuid.uuid4().hex[:8]}", partitions=1)
    log = KafkaLog(bootstrap)
    log.ensure([topic])
    log.close()
    producer = Producer(
        {"bootstrap.servers": bootstrap, "transactional.id": topic.name, "log_level": 2}
    )
    producer.init_transactions()
    return topic.name, producer


def test_a_partition_that_ends_with_transaction_markers_is_read_to_its_end(broker: Any) -> None:
    topic, producer = transactional_topic(broker.bootstrap)
    for commit in (True, False):
        producer.begin_transaction()
        for number in range(3):
            producer.produce(topic, b"%d" % number, partition=0)
        producer.flush(20)
        (producer.commit_transaction if commit else producer.abort_transaction)()
    log = KafkaLog(broker.bootstrap)
    (span,) = log.spans(topic)
    assert span.stop == 8  # three records and a marker for each transaction
    began = time.monotonic()
    assert [message.value for message in log.read(span)] == [b"0", b"1", b"2"]
    assert (
        time.monotonic() - began < 10.0
    )  # an end without records was waited for as a silent broker
    log.close()


def test_records_of_an_open_transaction_do_not_block_reading(broker: Any) -> None:
    topic, producer = transactional_topic(broker.bootstrap)
    producer.begin_transaction()
    producer.produce(topic, b"open", partition=0)
    producer.flush(20)
    log = KafkaLog(broker.bootstrap)
    assert list(log.read(OffsetRange(topic=topic, partition=0, start=0, stop=9))) == []
    producer.abort_transaction()
    log.close()
