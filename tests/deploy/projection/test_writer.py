"""The projection is idempotent, survives a kill, and keeps what the log drops."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.projection import database
from deploy.projection.feed import catch_up
from deploy.projection.reader import ProjectionReader
from deploy.projection.writer import NEWEST_BODIES, ProjectionWriter
from streaming.contracts import topics
from streaming.contracts.codec import decode
from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.records import DriftVerdict, Promotion
from tests.deploy.projection.builders import projected, promotion, verdict


def log_with(*records: DriftVerdict | Promotion) -> MemoryLog:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append(records)
    return log


def dump(folder: Path) -> list[tuple[object, ...]]:
    """All that was derived, without the numbers that SQLite gives to rows."""
    connection = sqlite3.connect(folder / database.FILE)
    rows: list[tuple[object, ...]] = []
    for table in ("records", "causes", "unreadable", "positions", "bodies"):
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        names = ", ".join(name for name in columns if name != "id")
        rows += connection.execute(f"SELECT {names} FROM {table} ORDER BY 1, 2, 3").fetchall()
    connection.close()
    return rows


def test_messages_that_come_again_change_nothing(tmp_path: Path) -> None:
    log = log_with(verdict(1), verdict(2, caused_by=("verdict-m-000001",)), promotion(1))
    messages = [
        message
        for name in ("drift-verdicts", "promotions")
        for span in log.spans(name)
        for message in log.read(span)
    ]
    writer = ProjectionWriter(tmp_path)
    assert writer.apply(messages).records == 3
    once = dump(tmp_path)
    assert writer.apply(messages).records == 0
    assert writer.apply(messages[1:]).records == 0
    writer.close()
    assert dump(tmp_path) == once


def test_a_record_that_comes_again_at_another_offset_has_one_row(tmp_path: Path) -> None:
    changed = replace(promotion(1), reason="sent again")
    reader = projected(log_with(promotion(1), changed), tmp_path)
    (row,) = reader.newest(Promotion, "m", 9)
    assert (row.reason, row.position) == ("sent again", 1)


def test_a_failing_transaction_leaves_neither_rows_nor_offsets(tmp_path: Path) -> None:
    log = log_with(verdict(1))
    (span,) = log.spans("drift-verdicts")
    (good,) = log.read(span)
    not_bytes: Any = object()
    broken = Message(topic=good.topic, partition=0, offset=1, key=None, value=not_bytes, time=0.0)
    writer = ProjectionWriter(tmp_path)
    with pytest.raises(TypeError):
        writer.apply([good, broken])
    assert writer.positions() == {}
    assert writer.apply([good]).records == 1
    writer.close()


KILLED = """
import sys
from pathlib import Path
from deploy.projection.writer import ProjectionWriter
from streaming.contracts.codec import encode
from streaming.contracts.log import Message
from tests.deploy.projection.builders import verdict

writer = ProjectionWriter(Path(sys.argv[1]))
number = writer.positions().get(("drift-verdicts", 0), 0)
while True:
    batch = [
        Message(topic="drift-verdicts", partition=0, offset=index, key=None,
                value=encode(verdict(index)), time=0.0)
        for index in range(number, number + 25)
    ]
    writer.apply(batch)
    number += 25
    print(number, flush=True)
"""


def test_after_a_kill_rows_and_offsets_agree_and_feeding_goes_on(tmp_path: Path) -> None:
    reached = 0
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            printed = [int(child.stdout.readline()) for _ in range(4)]
            child.kill()
        assert printed[0] == reached + 25
        connection = sqlite3.connect(tmp_path / database.FILE)
        (rows,) = connection.execute("SELECT count(*) FROM records").fetchone()
        (reached,) = connection.execute("SELECT next FROM positions").fetchone()
        connection.close()
        assert rows == reached >= printed[-1]


def test_what_the_log_has_dropped_stays_also_through_a_rebuild(tmp_path: Path) -> None:
    log = log_with(promotion(1), promotion(2, caused_by=("promotion-m-0001",)))
    projected(log, tmp_path).close()
    topic = replace_retention(log)
    log.clean()
    (span,) = log.spans(topic)
    assert len(list(log.read(span))) == 0
    writer = ProjectionWriter(tmp_path)
    writer.rebuild()
    assert catch_up(log, writer) == 0
    writer.close()
    reader = ProjectionReader(tmp_path)
    assert [row.version for row in reader.newest(Promotion, "m", 9)] == [2, 1]
    assert reader.record("promotion-m-0001", Promotion) == promotion(1)
    assert [row.version for row in reader.causes("promotion-m-0002")] == [1]


def replace_retention(log: MemoryLog) -> str:
    """Let every promotion expire, as a broker with another retention does."""
    log._topics["promotions"] = topics.Topic(
        name="promotions", record=Promotion, key="", retention_hours=-1
    )
    return "promotions"


def test_a_rebuild_gives_the_same_tables(tmp_path: Path) -> None:
    log = log_with(*(verdict(number) for number in range(40)), promotion(1))
    projected(log, tmp_path).close()
    before = dump(tmp_path)
    writer = ProjectionWriter(tmp_path)
    writer.rebuild()
    assert writer.positions() == {}
    catch_up(log, writer)
    writer.close()
    assert dump(tmp_path) == before


def test_tables_of_another_release_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_with(verdict(1), promotion(1))
    projected(log, tmp_path).close()
    monkeypatch.setattr(database, "FORMAT", database.FORMAT + 1)
    with pytest.raises(NotFoundError, match="driftline console"):
        ProjectionReader(tmp_path)
    reader = projected(log, tmp_path)
    assert len(reader.newest(DriftVerdict, "m", 9)) == 1
    assert len(reader.newest(Promotion, "m", 9)) == 1


def test_old_verdicts_keep_their_row_and_their_place_in_the_log(tmp_path: Path) -> None:
    kept = NEWEST_BODIES["drift-verdict"]
    log = log_with(*(verdict(number) for number in range(kept + 30)))
    reader = projected(log, tmp_path)
    assert len(reader.newest(DriftVerdict, "m", 10_000)) == kept + 30
    assert len(reader.records(DriftVerdict, "m", 10_000)) == kept
    row = reader.find("verdict-m-000003")
    assert row is not None
    assert reader.body(row.record_id) is None
    (message,) = log.read(row.span)
    assert message.value is not None
    assert decode(message.value) == verdict(3)
    assert reader.at_position(row.topic, row.partition, row.position) == row


def test_a_message_that_cannot_be_read_is_listed_with_its_place(tmp_path: Path) -> None:
    log = log_with(promotion(1))
    log.append_raw("promotions", [(b"m", b'{"kind": "promotion", "version": "two"}')])
    log.append([promotion(2)])
    reader = projected(log, tmp_path)
    (problem,) = reader.unreadable()
    assert (problem.topic, problem.position) == ("promotions", 1)
    assert "format version" in problem.problem
    assert len(reader.newest(Promotion, "m", 9)) == 2


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    writer = ProjectionWriter(tmp_path)
    with pytest.raises(Conflict, match="only one console"):
        ProjectionWriter(tmp_path)
    writer.close()
    ProjectionWriter(tmp_path).close()
