"""The conformance suite of both logs: in memory and on Kafka."""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Iterator

import pytest

from streaming.contracts.codec import decode
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import MemoryLog, Message, RecordLog
from streaming.contracts.records import CommandReply, OffsetRange
from streaming.contracts.topics import COMMAND_REPLIES, Topic, applications_topic
from streaming.engines.kafka.log import KafkaLog
from tests.waiting import wait_for


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.engine)])
def log(request: pytest.FixtureRequest) -> Iterator[RecordLog]:
    record_log: RecordLog
    if request.param == "memory":
        record_log = MemoryLog()
    else:
        record_log = KafkaLog(request.getfixturevalue("broker").bootstrap)
    yield record_log
    record_log.close()


@pytest.fixture
def topic(log: RecordLog) -> Topic:
    fresh = applications_topic(f"events-{uuid.uuid4().hex[:8]}", partitions=2)
    log.ensure([fresh])
    return fresh


def reply(number: int) -> CommandReply:
    return CommandReply(
        record_id=f"{number}", model="m", at=1.0, command_id="x", accepted=True, reason="r"
    )


def all_values(log: RecordLog, topic: str) -> list[bytes]:
    return [m.value or b"" for span in log.spans(topic) for m in log.read(span)]


def test_appended_records_are_read_back_in_order(log: RecordLog) -> None:
    fresh = Topic(name=f"replies-{uuid.uuid4().hex[:8]}", record=CommandReply, key="model")
    log.ensure([fresh])
    log.append([reply(1), reply(2)], topic=fresh)
    log.append([reply(3)], topic=fresh)
    assert [decode(value) for value in all_values(log, fresh.name)] == [
        reply(1),
        reply(2),
        reply(3),
    ]


def test_records_are_written_to_their_own_topic(log: RecordLog) -> None:
    log.ensure([COMMAND_REPLIES])
    before = sum(span.stop for span in log.spans("command-replies"))
    log.append([reply(1)])
    assert sum(span.stop for span in log.spans("command-replies")) == before + 1


def test_the_key_determines_the_partition(log: RecordLog, topic: Topic) -> None:
    keys = [f"k{number}".encode() for number in range(50)]
    for _ in range(2):
        log.append_raw(topic.name, [(key, b"v") for key in keys])
    partitions_of: dict[bytes | None, set[int]] = {}
    for span in log.spans(topic.name):
        for message in log.read(span):
            partitions_of.setdefault(message.key, set()).add(message.partition)
    assert len(partitions_of) == 50
    assert all(len(partitions) == 1 for partitions in partitions_of.values())
    assert len(set().union(*partitions_of.values())) == 2


def test_a_range_is_half_open_and_ends_at_the_end_of_the_log(log: RecordLog) -> None:
    fresh = applications_topic(f"one-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([fresh])
    log.append_raw(fresh.name, [(None, str(number).encode()) for number in range(10)])
    span = OffsetRange(topic=fresh.name, partition=0, start=3, stop=6)
    assert [(m.offset, m.value) for m in log.read(span)] == [(3, b"3"), (4, b"4"), (5, b"5")]
    beyond = OffsetRange(topic=fresh.name, partition=0, start=8, stop=99)
    assert [m.offset for m in log.read(beyond)] == [8, 9]
    empty = OffsetRange(topic=fresh.name, partition=0, start=5, stop=5)
    assert list(log.read(empty)) == []


def test_unknown_topics_and_partitions_are_empty(log: RecordLog, topic: Topic) -> None:
    assert log.spans("never-made") == ()
    assert list(log.read(OffsetRange(topic="never-made", partition=0, start=0, stop=9))) == []
    assert list(log.read(OffsetRange(topic=topic.name, partition=7, start=0, stop=9))) == []


def test_spans_begin_at_a_time(log: RecordLog) -> None:
    fresh = applications_topic(f"timed-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([fresh])
    log.append_raw(fresh.name, [(None, b"old")] * 3)
    (written,) = log.spans(fresh.name)
    since = max(message.time for message in log.read(written)) + 0.002  # the log rounds down to ms
    wait_for(lambda: time.time() >= since)
    log.append_raw(fresh.name, [(None, b"new")] * 2)
    (span,) = log.spans(fresh.name, since=since)
    assert (span.start, span.stop) == (3, 5)
    (empty,) = log.spans(fresh.name, since=since + 3600)
    assert empty.start == empty.stop == 5


def test_messages_carry_the_time_of_the_log(log: RecordLog, topic: Topic) -> None:
    before = time.time()
    log.append_raw(topic.name, [(b"k", b"v")])
    (message,) = [m for span in log.spans(topic.name) for m in log.read(span)]
    assert before - 0.01 <= message.time <= time.time() + 0.01


@pytest.mark.parametrize("from_start", [True, False])
def test_following_yields_messages_as_they_come(
    log: RecordLog, topic: Topic, from_start: bool
) -> None:
    log.append_raw(topic.name, [(b"a", b"1")])
    following = log.follow([topic.name], from_start=from_start, poll_seconds=0.1)
    assert next_values(following, 1 if from_start else 0) == ([b"1"] if from_start else [])
    assert next(following) is None  # a poll found nothing more
    log.append_raw(topic.name, [(b"a", b"2"), (b"b", b"3")])
    assert set(next_values(following, 2)) == {b"2", b"3"}


def next_values(following: Iterator[Message | None], count: int) -> list[bytes | None]:
    """The values of the next messages; polls that find none are skipped, but not for ever."""
    messages = (message for message in itertools.islice(following, 200) if message)
    return [message.value for message in itertools.islice(messages, count)]


def test_a_partition_is_read_to_its_end_without_waiting_for_more(log: RecordLog) -> None:
    fresh = applications_topic(f"ends-{uuid.uuid4().hex[:8]}", partitions=8)
    log.ensure([fresh])
    log.append_raw(fresh.name, [(f"k{number}".encode(), b"v") for number in range(80)])
    spans = log.spans(fresh.name)
    began = time.monotonic()
    assert sum(1 for span in spans for _ in log.read(span)) == 80
    # waiting for a full batch took half a second for each partition
    assert time.monotonic() - began < 0.5 * len(spans)


def test_another_partition_count_is_refused(log: RecordLog, topic: Topic) -> None:
    log.ensure([topic])
    with pytest.raises(ConfigurationError, match="partitions"):
        log.ensure([applications_topic(topic.name, partitions=3)])
