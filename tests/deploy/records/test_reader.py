"""Reading records: all of a kind, and the newest ones from the end of the log."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from deploy.records.reader import newest, records
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.records import CommandReply, OffsetRange
from streaming.contracts.topics import Topic


class CountingLog(MemoryLog):
    """Counts the messages that are read."""

    read_so_far = 0

    def read(self, span: OffsetRange) -> Iterator[Message]:
        for message in super().read(span):
            type(self).read_so_far += 1
            yield message


def reply(number: int, model: str) -> CommandReply:
    return CommandReply(
        record_id=f"a{number}",
        model=model,
        at=float(number),
        command_id="",
        accepted=True,
        reason="",
    )


def test_a_repeated_id_is_read_once() -> None:
    log = MemoryLog()
    log.append([reply(1, "a"), reply(1, "a")])
    assert len(records(log, CommandReply)) == 1


@given(st.lists(st.sampled_from("ab"), max_size=200), st.integers(1, 30))
def test_the_newest_are_those_of_the_whole_log(models: list[str], count: int) -> None:
    log = MemoryLog()
    replies = [reply(number, model) for number, model in enumerate(models)]
    log.append(replies)
    expected = [entry for entry in replies if entry.model == "a"][-count:]
    assert newest(log, CommandReply, "a", count) == expected


def test_five_of_ten_thousand_cost_a_few_reads() -> None:
    log = CountingLog()
    log.append([reply(number, "a") for number in range(10_000)])
    CountingLog.read_so_far = 0
    times = [entry.at for entry in newest(log, CommandReply, "a", 5)]
    assert times == [9995, 9996, 9997, 9998, 9999]
    assert CountingLog.read_so_far <= 16


def test_a_repeated_id_counts_once_and_an_unreadable_record_not_at_all() -> None:
    log = MemoryLog()
    log.append([reply(1, "a"), reply(2, "a"), reply(2, "a")])
    log.append_raw("command-replies", [(b"a", b"{")])
    assert [entry.record_id for entry in newest(log, CommandReply, "a", 2)] == ["a1", "a2"]


def test_a_condition_is_met_by_the_newest_matching_records() -> None:
    log = MemoryLog()
    log.append([reply(number, "a") for number in range(100)])
    even = newest(log, CommandReply, None, 3, where=lambda entry: entry.at % 20 == 0)
    assert [entry.at for entry in even] == [40.0, 60.0, 80.0]


def test_each_partition_gives_its_newest() -> None:
    log = MemoryLog()
    topic = Topic(name="command-replies", record=CommandReply, key="model", partitions=2)
    log.ensure([topic])
    log.append([reply(number, "a") for number in range(50)])  # one partition
    log.append([reply(number, "b") for number in range(50, 60)])  # the other one
    models = [entry.model for entry in newest(log, CommandReply, None, 20)]
    assert models.count("b") == 10
    assert models.count("a") == 10
