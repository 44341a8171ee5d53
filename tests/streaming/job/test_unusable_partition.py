"""A partition that brings only unusable records holds no window open; what it brings is told."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from streaming.drift import DriftHistory, DriftRules, judge_drift
from streaming.drift.messages import unusable_window
from streaming.schema import Schema, SchemaHistory, judge_schema, schema_thresholds
from streaming.schema.columns import Column
from tests.streaming.job.stream_in_memory import (
    APPENDED,
    CREATED,
    START,
    TWO_PARTITIONS,
    WINDOW,
    StreamInMemory,
    event,
    sends,
)

IDLE = 5.0
RATE = 20
"""Records per second and partition."""


def record(time: bytes, fare: bytes = b"1.5") -> Callable[[float], bytes]:
    """Makes records with this text as time, whenever they are sent."""
    return lambda _: b'{"id":"a","at":%s,"fare":%s}' % (time, fare)


DEAD: dict[str, Callable[[float], bytes | None]] = {
    "wrong-type": lambda at: b'{"id":"a","at":%.3f,"fare":"1.5"}' % at,
    "required-field-missing": lambda at: b'{"id":"a","at":%.3f}' % at,
    "no-time": lambda _: b'{"id":"a","fare":1.5}',
    "null-as-time": record(b"null"),
    "text-as-time": record(b'"2023-11-14T22:13:20Z"'),
    "milliseconds": lambda at: b'{"id":"a","at":%.0f,"fare":1.5}' % (at * 1000),
    "clock-at-1970": record(b"0"),
    "seconds-since-it-was-switched-on": lambda at: event(at - START),
    "clock-at-2000": lambda at: event(946_684_800.0 + at - START),
    "not-json": lambda _: b"{",
    "tombstones": lambda _: None,
}
STUCK: dict[str, Callable[[float], bytes | None]] = {
    "clock-stands-at-yesterday": lambda _: event(START - 86_400.0),
    "clock-stands-two-hours-ago": lambda _: event(START - 7_200.0),
    "clock-falls-back-by-a-day": lambda at: event(at - 86_400.0),
}
UNUSABLE = DEAD | STUCK
healthy = sends(RATE, event)


@pytest.fixture(params=[APPENDED, CREATED], ids=["broker-time", "producer-time"])
def stream(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StreamInMemory:
    return StreamInMemory(TWO_PARTITIONS, monkeypatch, now=START, timestamps=request.param)


@pytest.mark.parametrize("kind", UNUSABLE)
def test_windows_close_beside_it_and_it_is_taken_up_again(
    stream: StreamInMemory, kind: str
) -> None:
    stream.run(60, healthy, healthy)
    stream.run(60, healthy, sends(RATE, UNUSABLE[kind]))
    assert stream.now - stream.summaries[-1].window_end <= 2 * WINDOW + IDLE
    late_before = stream.totals()["late"]
    stream.run(60, healthy, healthy)
    assert stream.now - stream.summaries[-1].window_end <= 2 * WINDOW
    last = stream.summaries[-2]
    assert (last.accepted, last.late, last.dead_letters) == (2 * RATE * WINDOW, 0, 0)
    assert {span.partition for span in last.offsets} == {0, 1}
    stream.run(3 * WINDOW)
    totals = stream.totals()
    assert totals["late"] == late_before or kind in STUCK
    assert sum(totals.values()) == stream.written
    assert stream.dead_letters == totals["dead"] + totals["late"]


@pytest.mark.parametrize("kind", [*DEAD, "clock-stands-at-yesterday"])
def test_windows_close_where_it_has_never_brought_anything_else(
    stream: StreamInMemory, kind: str
) -> None:
    stream.run(90, healthy, sends(RATE, UNUSABLE[kind]))
    assert stream.now - stream.summaries[-1].window_end <= 2 * WINDOW + IDLE
    accepted = sum(s.accepted for s in stream.summaries if s.window_start >= START)
    assert accepted >= RATE * 60
    stream.run(3 * WINDOW)
    assert sum(stream.totals().values()) == stream.written


@pytest.mark.parametrize("kind", DEAD)
def test_its_records_are_told_by_arrival_when_nothing_else_comes(
    stream: StreamInMemory, kind: str
) -> None:
    broken = sends(RATE, DEAD[kind])
    stream.run(60, healthy, healthy)
    stream.run(60, broken, broken)
    empty = [s for s in stream.summaries if not s.accepted and s.window_start >= START + 65]
    assert len(empty) >= 3
    for earlier, later in pairwise(empty):
        assert later.window_start == earlier.window_end
    for window in empty:
        assert window.dead_letters == window.offsets_read == 2 * RATE * WINDOW
        verdict, _ = judge_drift(window, None, "", DriftHistory(), DriftRules(), TWO_PARTITIONS)
        assert verdict.outcome == "inconclusive"
        assert "400 of 400 records" in unusable_window(window, DriftRules())


@pytest.mark.parametrize(
    ("kind", "finding"),
    [
        ("wrong-type", ("type_change", "fare")),
        ("required-field-missing", ("missing_column", "fare")),
        ("no-time", ("missing_column", "at")),
        ("null-as-time", ("missing_column", "at")),
        ("text-as-time", ("type_change", "at")),
    ],
)
def test_the_schema_verdict_on_them_is_broken_and_names_the_field(
    stream: StreamInMemory, kind: str, finding: tuple[str, str]
) -> None:
    broken = sends(RATE, DEAD[kind])
    stream.run(60, broken, broken)
    window = stream.summaries[-1]
    assert window.accepted == 0
    schema = Schema(columns=(Column(name="fare"),), digest="d")
    thresholds = schema_thresholds(DriftRules(), columns=1, window_seconds=WINDOW)
    verdict, _ = judge_schema(window, schema, SchemaHistory(), thresholds)
    assert verdict.outcome == "broken"
    assert [(f.kind, f.feature) for f in verdict.findings] == [finding]


def test_a_backlog_of_unusable_records_is_read_before_its_partition_counts_as_idle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is usable behind them is not late, however long they take to read."""
    stream = StreamInMemory(
        TWO_PARTITIONS, monkeypatch, now=START, fetch_records=200, max_step=-1.0
    )
    for partition in (0, 1):
        for _ in range(4_000):
            stream.send(partition, b"{")
        for at in range(2_000):
            stream.send(partition, event(START + at / 50))
    stream.now += 3_600.0
    stream.run(60)
    stream.run(3 * WINDOW)
    assert stream.totals() == {"accepted": 4_000, "dead": 8_000, "late": 0}
