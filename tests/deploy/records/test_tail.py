"""The newest records are found from the end, and little more is read than that."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from deploy.records.reader import newest
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.records import CommandReply, OffsetRange


class Counting(MemoryLog):
    """Counts the messages that are read."""

    read_so_far = 0

    def read(self, span: OffsetRange) -> Iterator[Message]:
        for message in super().read(span):
            type(self).read_so_far += 1
            yield message


def answer(number: int, model: str) -> CommandReply:
    return CommandReply(
        record_id=f"a{number}", model=model, at=float(number), to="", accepted=True, reason=""
    )


@given(st.lists(st.sampled_from("ab"), max_size=200), st.integers(1, 30))
def test_the_newest_are_those_of_the_whole_log(models: list[str], most: int) -> None:
    log = MemoryLog()
    made = [answer(number, model) for number, model in enumerate(models)]
    log.append(made)
    assert newest(log, CommandReply, "a", most) == [one for one in made if one.model == "a"][-most:]


def test_five_of_ten_thousand_cost_a_few_reads() -> None:
    log = Counting()
    log.append([answer(number, "a") for number in range(10_000)])
    Counting.read_so_far = 0
    assert [one.at for one in newest(log, CommandReply, "a", 5)] == [9995, 9996, 9997, 9998, 9999]
    assert Counting.read_so_far <= 16


def test_a_repeated_id_counts_once_and_a_broken_record_not_at_all() -> None:
    log = MemoryLog()
    log.append([answer(1, "a"), answer(2, "a"), answer(2, "a")])
    log.append_raw("command-replies", [(b"a", b"{")])
    assert [one.record_id for one in newest(log, CommandReply, "a", 2)] == ["a1", "a2"]
