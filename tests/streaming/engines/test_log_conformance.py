"""One suite for the log in memory and the log on Kafka."""

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


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.engine)])
def log(request: pytest.FixtureRequest) -> Iterator[RecordLog]:
    made: RecordLog
    if request.param == "memory":
        made = MemoryLog()
    else:
        made = KafkaLog(request.getfixturevalue("broker").bootstrap)
    yield made
    made.close()


@pytest.fixture
def topic(log: RecordLog) -> Topic:
    fresh = applications_topic(f"events-{uuid.uuid4().hex[:8]}", partitions=2)
    log.ensure([fresh])
    return fresh


def answer(number: int) -> CommandReply:
    return CommandReply(record_id=f"{number}", model="m", at=1.0, to="x", accepted=True, reason="r")


def everything(log: RecordLog, topic: str) -> list[bytes]:
    return [m.value or b"" for span in log.spans(topic) for m in log.read(span)]


def test_what_is_appended_is_read_back_in_order(log: RecordLog) -> None:
    fresh = Topic(name=f"answers-{uuid.uuid4().hex[:8]}", record=CommandReply, key="model")
    log.ensure([fresh])
    log.append([answer(1), answer(2)], topic=fresh)
    log.append([answer(3)], topic=fresh)
    assert [decode(value) for value in everything(log, fresh.name)] == [
        answer(1),
        answer(2),
        answer(3),
    ]


def test_records_find_their_own_topic(log: RecordLog) -> None:
    log.ensure([COMMAND_REPLIES])
    before = sum(span.stop for span in log.spans("command-replies"))
    log.append([answer(1)])
    assert sum(span.stop for span in log.spans("command-replies")) == before + 1


def test_keys_decide_the_partition(log: RecordLog, topic: Topic) -> None:
    keys = [f"k{number}".encode() for number in range(50)]
    for _ in range(2):
        log.append_raw(topic.name, [(key, b"v") for key in keys])
    where: dict[bytes | None, set[int]] = {}
    for span in log.spans(topic.name):
        for message in log.read(span):
            where.setdefault(message.key, set()).add(message.partition)
    assert len(where) == 50
    assert all(len(partitions) == 1 for partitions in where.values())
    assert len(set().union(*where.values())) == 2


def test_a_range_is_half_open_and_ends_at_the_end(log: RecordLog) -> None:
    fresh = applications_topic(f"one-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([fresh])
    log.append_raw(fresh.name, [(None, str(number).encode()) for number in range(10)])
    span = OffsetRange(topic=fresh.name, partition=0, start=3, stop=6)
    assert [(m.offset, m.value) for m in log.read(span)] == [(3, b"3"), (4, b"4"), (5, b"5")]
    beyond = OffsetRange(topic=fresh.name, partition=0, start=8, stop=99)
    assert [m.offset for m in log.read(beyond)] == [8, 9]
    empty = OffsetRange(topic=fresh.name, partition=0, start=5, stop=5)
    assert list(log.read(empty)) == []


def test_unknown_topics_and_partitions_hold_nothing(log: RecordLog, topic: Topic) -> None:
    assert log.spans("never-made") == ()
    assert list(log.read(OffsetRange(topic="never-made", partition=0, start=0, stop=9))) == []
    assert list(log.read(OffsetRange(topic=topic.name, partition=7, start=0, stop=9))) == []


def test_spans_begin_at_a_time(log: RecordLog) -> None:
    fresh = applications_topic(f"timed-{uuid.uuid4().hex[:8]}", partitions=1)
    log.ensure([fresh])
    log.append_raw(fresh.name, [(None, b"old")] * 3)
    time.sleep(0.05)
    since = time.time()
    log.append_raw(fresh.name, [(None, b"new")] * 2)
    (span,) = log.spans(fresh.name, since=since)
    assert (span.start, span.stop) == (3, 5)
    (none,) = log.spans(fresh.name, since=since + 3600)
    assert none.start == none.stop == 5


def test_messages_carry_the_time_of_the_log(log: RecordLog, topic: Topic) -> None:
    before = time.time()
    log.append_raw(topic.name, [(b"k", b"v")])
    (message,) = [m for span in log.spans(topic.name) for m in log.read(span)]
    assert before - 0.01 <= message.time <= time.time() + 0.01


@pytest.mark.parametrize("from_start", [True, False])
def test_following_goes_on_as_messages_come(log: RecordLog, topic: Topic, from_start: bool) -> None:
    log.append_raw(topic.name, [(b"a", b"1")])
    following = log.follow([topic.name], from_start=from_start, poll_seconds=0.1)
    first = [m.value for m in until_quiet(following) if m]
    assert first == ([b"1"] if from_start else [])
    log.append_raw(topic.name, [(b"a", b"2"), (b"b", b"3")])
    coming = (m.value for m in itertools.islice(following, 200) if m)
    assert set(itertools.islice(coming, 2)) == {b"2", b"3"}


def until_quiet(following: Iterator[Message | None]) -> list[Message | None]:
    """Messages until a while after the last one: a consumer needs a moment to begin."""
    found: list[Message | None] = []
    quiet = 0
    for message in following:
        found.append(message)
        quiet = quiet + 1 if message is None else 0
        if quiet == 20:
            return found
    return found


def test_another_partition_count_is_refused(log: RecordLog, topic: Topic) -> None:
    log.ensure([topic])
    with pytest.raises(ConfigurationError, match="partitions"):
        log.ensure([applications_topic(topic.name, partitions=3)])
