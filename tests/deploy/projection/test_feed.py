"""The consumer goes on from its own offset, misses nothing and survives interruptions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.projection.feed import catch_up, follow, follow_for_ever
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import Applied, ProjectionWriter
from streaming.contracts import topics
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.records import DriftVerdict, OffsetRange
from tests.deploy.projection.builders import verdict


def empty_log() -> MemoryLog:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    return log


def test_feeding_goes_on_where_it_was(tmp_path: Path) -> None:
    log = empty_log()
    log.append([verdict(1), verdict(2)])
    writer = ProjectionWriter(tmp_path)
    assert catch_up(log, writer) == 2
    writer.close()
    log.append([verdict(3)])
    writer = ProjectionWriter(tmp_path)
    assert catch_up(log, writer) == 1
    assert catch_up(log, writer) == 0
    writer.close()


def test_new_records_come_through_while_it_follows(tmp_path: Path) -> None:
    log = empty_log()
    log.append([verdict(1)])
    writer = ProjectionWriter(tmp_path)
    seen: list[Applied] = []

    def on_applied(applied: Applied) -> None:
        seen.append(applied)
        if len(seen) < 3:
            log.append([verdict(len(seen) + 1, model="n")])

    follow(log, writer, stopped=lambda: len(seen) == 3, on_applied=on_applied)
    writer.close()
    assert [sorted(applied.models) for applied in seen] == [["m"], ["n"], ["n"]]
    reader = ProjectionReader(tmp_path)
    assert len(reader.newest(DriftVerdict, "n", 9)) == 2


class LogWithGap(MemoryLog):
    """Its consumer of new messages begins later than it should, as after a lost connection."""

    def follow(
        self, topics: Sequence[str], *, from_start: bool, poll_seconds: float = 0.2
    ) -> Iterator[Message | None]:
        yield None
        self.append([verdict(2)])  # nobody delivers this one
        live = super().follow(topics, from_start=False)
        yield next(live)
        self.append([verdict(3)])
        yield from live


def test_a_message_that_the_consumer_skips_is_read_from_the_log(tmp_path: Path) -> None:
    log = LogWithGap()
    log.ensure(topics.RECORD_TOPICS)
    log.append([verdict(1)])
    writer = ProjectionWriter(tmp_path)
    counted: list[int] = []
    follow(
        log,
        writer,
        stopped=lambda: sum(counted) >= 3,
        on_applied=lambda applied: counted.append(applied.records),
    )
    writer.close()
    rows = ProjectionReader(tmp_path).newest(DriftVerdict, "m", 9)
    assert [row.position for row in rows] == [2, 1, 0]


def test_a_topic_that_was_created_anew_is_read_from_its_start(tmp_path: Path) -> None:
    log = empty_log()
    log.append([verdict(number) for number in range(5)])
    writer = ProjectionWriter(tmp_path)
    catch_up(log, writer)
    another = empty_log()
    another.append([verdict(100), verdict(101)])
    assert catch_up(another, writer) == 2
    writer.close()
    assert len(ProjectionReader(tmp_path).newest(DriftVerdict, "m", 99)) == 7


class InterruptedLog(MemoryLog):
    """Cannot be reached the first two times."""

    failures = 2

    def spans(self, topic: str, *, since: float | None = None) -> tuple[OffsetRange, ...]:
        if self.failures:
            self.failures -= 1
            raise UnavailableError("Kafka at k:9092 did not respond.")
        return super().spans(topic, since=since)


def test_it_says_why_nothing_comes_and_goes_on_by_itself(tmp_path: Path) -> None:
    log = InterruptedLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([verdict(1)])
    writer = ProjectionWriter(tmp_path)
    problems: list[str] = []
    pauses: list[float] = []
    applied: list[Applied] = []
    follow_for_ever(
        log,
        writer,
        stopped=lambda: bool(applied) and problems[-1] == "",
        on_applied=applied.append,
        on_problem=problems.append,
        pause=pauses.append,
    )
    writer.close()
    assert problems == ["Kafka at k:9092 did not respond."] * 2 + [""]
    assert pauses == [1.0, 1.0]
    assert [entry.records for entry in applied] == [1]
