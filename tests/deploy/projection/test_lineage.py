"""Causes and effects are followed through the projection; a trace is that of the log."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.projection.lineage import find, steps, trace, trace_effects
from deploy.records import lineage
from deploy.records.effects import trace_effects as effects
from deploy.records.lineage import Link
from streaming.contracts import topics
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    AnyRecord,
    ApprovalRequest,
    Artifact,
    ModelVersion,
    Promotion,
)
from tests.deploy.cli.builders import version
from tests.deploy.console import scenario
from tests.deploy.projection.builders import projected, promotion, verdict


def flat(link: Link) -> list[tuple[str, bool, bool, int]]:
    return [
        (link.record.record_id, link.repeated, link.more, len(link.causes)),
        *(entry for cause in link.causes for entry in flat(cause)),
    ]


def test_a_trace_is_that_of_the_log(tmp_path: Path) -> None:
    loop = scenario.shared()
    reader = projected(loop.log, tmp_path)
    targets = ["1", "2", *(r.record_id for r in loop.records(ApprovalRequest))]
    for target in targets:
        expected = lineage.trace(loop.log, target, scenario.MODEL)
        assert flat(trace(reader, loop.log, target, scenario.MODEL)) == flat(expected)
    (version,) = [v for v in loop.records(ModelVersion) if v.version == 2]
    assert flat(trace(reader, loop.log, version.record_id[:9])) == flat(
        lineage.trace(loop.log, version.record_id[:9])
    )


def test_an_unknown_record_says_what_to_do(tmp_path: Path) -> None:
    log = MemoryLog()
    reader = projected(log, tmp_path)
    with pytest.raises(NotFoundError, match="driftline versions"):
        trace(reader, log, "nothing")


def test_an_old_verdict_is_read_from_the_log_at_its_offset(tmp_path: Path) -> None:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([verdict(number) for number in range(300)])
    log.append([promotion(1, caused_by=("verdict-m-000002",))])
    reader = projected(log, tmp_path)
    assert reader.body("verdict-m-000002") is None
    (cause,) = trace(reader, log, "1", "m").causes
    assert cause.record == verdict(2)


def chain(tmp_path: Path, versions: int) -> MemoryLog:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    for number in range(1, versions + 1):
        before = (f"promotion-m-{number - 1:04}",) if number > 1 else ()
        log.append([promotion(number, caused_by=before)])
    return log


def test_steps_go_both_ways(tmp_path: Path) -> None:
    reader = projected(chain(tmp_path, 5), tmp_path)
    middle = find(reader, "3", "m")
    assert middle is not None
    causes = steps(reader, middle, "causes", depth=9, count=99)
    effects = steps(reader, middle, "effects", depth=9, count=99)
    assert [(step.row.version, step.depth) for step in causes] == [(3, 0), (2, 1), (1, 2)]
    assert [(step.row.version, step.depth) for step in effects] == [(3, 0), (4, 1), (5, 2)]
    assert len(steps(reader, middle, "causes", depth=1, count=99)) == 2
    assert len(steps(reader, middle, "causes", depth=9, count=2)) == 2


def test_a_shared_cause_is_followed_once(tmp_path: Path) -> None:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    shared = ("verdict-m-000001",)
    log.append([verdict(0), verdict(1, caused_by=("verdict-m-000000",))])
    log.append([promotion(1, caused_by=shared)])
    log.append([promotion(2, caused_by=(*shared, "promotion-m-0001"))])
    reader = projected(log, tmp_path)
    start = find(reader, "2", "m")
    assert start is not None
    assert start.kind == "promotion"
    listed = steps(reader, start, "causes", depth=9, count=99)
    ids = [(step.row.record_id, step.repeated) for step in listed]
    assert ids == [
        ("promotion-m-0002", False),
        ("verdict-m-000001", False),
        ("verdict-m-000000", False),
        ("promotion-m-0001", False),
        ("verdict-m-000001", True),
    ]


def test_a_promotion_stands_for_its_version(tmp_path: Path) -> None:
    reader = projected(chain(tmp_path, 2), tmp_path)
    row = find(reader, "2")
    assert row is not None
    assert row.kind == "promotion"
    assert reader.record(row.record_id, Promotion) == promotion(2, caused_by=("promotion-m-0001",))


@pytest.mark.parametrize("projection", [True, False])
def test_a_window_and_a_digest_are_followed_both_ways(tmp_path: Path, projection: bool) -> None:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    published = replace(
        version(2), model="m", caused_by=("verdict-m-000001",),
        artifact=Artifact(uri="file:///x", digest="d1a2b3c4"),
    )  # fmt: skip
    live = replace(promotion(2, caused_by=("version-2",)), artifact=published.artifact)
    log.append([verdict(0), verdict(1, caused_by=("verdict-m-000000",)), published, live])
    reader = projected(log, tmp_path)

    def ids(target: str) -> tuple[list[str], list[str]]:
        start = trace(reader, log, target) if projection else lineage.trace(log, target)
        back, forward = [start.record.record_id], []
        while start.causes:
            (start,) = start.causes
            back.append(start.record.record_id)
        first = by_id[back[0]]
        step = trace_effects(reader, log, first) if projection else effects(log, first)
        while step.effects:
            (step,) = step.effects
            forward.append(step.record.record_id)
        return back, forward

    records = (verdict(0), verdict(1), published, live)
    by_id: dict[str, AnyRecord] = {record.record_id: record for record in records}
    assert ids("1970-01-01T00:00:30") == (
        ["verdict-m-000001", "verdict-m-000000"],
        ["version-2", "promotion-m-0002"],
    )
    assert ids("d1a2b3") == (
        ["promotion-m-0002", "version-2", "verdict-m-000001", "verdict-m-000000"],
        [],
    )
    with pytest.raises(NotFoundError, match="No record, version, digest or window"):
        ids("1999-01-01")
