"""The chain of records behind a version, found without reading whole topics."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from deploy.records.describe import describe
from deploy.records.lineage import MAX_DEPTH, Link, trace
from streaming.contracts import topics
from streaming.contracts.errors import NotFoundError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    Artifact,
    DriftVerdict,
    Promotion,
    RetrainRequest,
)
from tests.deploy.records.test_reader import CountingLog


def verdict(record_id: str, at: float) -> DriftVerdict:
    return DriftVerdict(
        record_id=record_id,
        model="m",
        at=at,
        window_start=at - 1.0,
        window_end=at,
        outcome="drifted",
        reason="fare moved by 0.8 sd",
        rows=1,
        offsets=(),
        reference_id="",
        reference_version=1,
        features=(),
    )


def fill(log: MemoryLog) -> MemoryLog:
    """A verdict, its request and its promotion, written twice."""
    log.ensure(topics.RECORD_TOPICS)
    request = RetrainRequest(
        record_id="request-1",
        model="m",
        at=2.0,
        caused_by=("verdict-1",),
        cause="drift",
        reason="3 of 5",
        events=(),
        labels=(),
        window_start=0.0,
        window_end=1.0,
        base_version=1,
        deadline=9.0,
    )
    promotion = Promotion(
        record_id="promotion-1",
        model="m",
        at=3.0,
        caused_by=("request-1",),
        version=2,
        replaced=1,
        change="promoted",
        reason="every gate passed",
        artifact=Artifact(uri="file:///x", digest="d"),
        reference=None,
        window_start=0.0,
        window_end=1.0,
    )
    log.append([verdict("verdict-1", 1.0), request, promotion, promotion])
    return log


def test_a_version_is_traced_back_to_its_window() -> None:
    link = trace(fill(MemoryLog()), "2", "m")
    assert isinstance(link.record, Promotion)
    assert [type(cause.record) for cause in link.causes] == [RetrainRequest]
    (window,) = link.causes[0].causes
    assert describe(window.record) == (
        "window 1970-01-01 00:00:00 UTC to 1970-01-01 00:00:01 UTC drifted: fare moved by 0.8 sd"
    )


def test_a_record_is_traced_by_the_beginning_of_its_id() -> None:
    link = trace(fill(MemoryLog()), "reques")
    assert link.record.record_id == "request-1"
    assert [cause.record.record_id for cause in link.causes] == ["verdict-1"]


def test_a_chain_at_the_end_of_a_long_topic_costs_a_few_reads() -> None:
    log = CountingLog()
    log.append([verdict(f"old-{number}", float(-number)) for number in range(5_000)])
    fill(log)
    CountingLog.read_so_far = 0
    assert trace(log, "2", "m").causes[0].causes
    assert CountingLog.read_so_far < 100


def test_a_cause_that_is_gone_is_left_out() -> None:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    log.append([replace(verdict("verdict-2", 1.0), caused_by=("gone",))])
    assert trace(log, "verdict-2").causes == []


def test_an_unknown_id_says_what_to_do() -> None:
    with pytest.raises(NotFoundError, match="driftline versions"):
        trace(fill(MemoryLog()), "nothing")


def chained(versions: int, verdicts_each: int) -> MemoryLog:
    """Each version has several verdicts as causes, and each of those the promotion before it."""
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    for number in range(versions):
        before = (f"promotion-{number - 1:05}",) if number else ()
        names = [f"verdict-{number:05}-{index}" for index in range(verdicts_each)]
        log.append([replace(verdict(name, float(number)), caused_by=before) for name in names])
        promotion = Promotion(
            record_id=f"promotion-{number:05}",
            model="m",
            at=number + 0.5,
            caused_by=tuple(names),
            version=number + 1,
            replaced=number,
            change="promoted",
            reason="",
            artifact=Artifact(uri="", digest=""),
            reference=None,
            window_start=0.0,
            window_end=1.0,
        )
        log.append([promotion])
    return log


def links(link: Link) -> list[Link]:
    return [link, *(inner for cause in link.causes for inner in links(cause))]


def test_a_chain_over_many_versions_lists_each_record_once() -> None:
    chain = links(trace(chained(versions=12, verdicts_each=4), "12"))
    listed = [link.record.record_id for link in chain if not link.repeated]
    assert len(listed) == len(set(listed)) == 12 * 5
    assert len(chain) < 2 * 12 * 5


def test_a_very_long_chain_is_cut_and_says_so() -> None:
    chain = links(trace(chained(versions=400, verdicts_each=1), "400"))
    assert len(chain) == MAX_DEPTH + 1
    assert [link.more for link in chain] == [False] * MAX_DEPTH + [True]


@pytest.mark.parametrize("target", ["²²²²²²", "٣", "", "no such"])
def test_a_target_that_is_no_number_is_not_found(target: str) -> None:
    with pytest.raises(NotFoundError):
        trace(chained(versions=1, verdicts_each=1), target)
