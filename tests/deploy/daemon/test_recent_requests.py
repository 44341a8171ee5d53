"""Requests made of recent events: which events, how many, their slices and labels."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.daemon.recent_requests import PARTS, READ_PER_ROW, RecentEvents
from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.mapping import RecordMapping
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import OffsetRange
from streaming.contracts.topics import applications_topic
from tests.streaming.windowing import format_events, mapped_events

NOW = 1_000_000.0
CONTRACT = ModelContract(
    model="m",
    module="",
    events_topic="events",
    labels_topic="labels",
    key="id",
    time="at",
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="area", kind="integer"),
        FeatureSpec(name="payment", kind="text", categorical=True),
    ),
)


class CountingLog(MemoryLog):
    """Counts the messages that were read."""

    read_messages = 0

    def read(self, span: OffsetRange) -> Iterator[Message]:
        for message in super().read(span):
            self.read_messages += 1
            yield message


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def log(clock: ManualClock) -> CountingLog:
    filled = CountingLog(clock=clock)
    filled.ensure([applications_topic("events", partitions=3)])
    filled.ensure([applications_topic("labels", partitions=2)])
    return filled


def send(log: MemoryLog, topic: str, *records: dict[str, Any] | bytes) -> None:
    pairs: list[tuple[bytes | None, bytes]] = []
    for record in records:
        if isinstance(record, bytes):
            pairs.append((b"x", record))
        else:
            pairs.append((str(record["id"]).encode(), json.dumps(record).encode()))
    log.append_raw(topic, pairs)


def event(number: int, **fields: Any) -> dict[str, Any]:
    return {"id": f"e{number}", "at": NOW, "fare": float(number), "payment": "Cash", **fields}


def recent(log: MemoryLog, **changes: Any) -> RecentEvents:
    usual: dict[str, Any] = {"rows": 100, "seconds": 600.0, "slices": ("payment",)}
    return RecentEvents(log=log, contract=CONTRACT, **{**usual, **changes})


def test_an_event_becomes_a_row_with_missing_values_filled_in(log: MemoryLog) -> None:
    send(log, "events", event(1, extra="x", payment=None))
    read = recent(log).read(NOW)
    assert read.rows == ["e1"]
    assert read.instances == [{"fare": [1.0], "area": [-(2**63)], "payment": [""]}]
    assert read.slices == {"payment": [""]}
    assert read.labels is None


def test_unusable_events_are_left_out_and_the_first_of_a_key_counts(log: MemoryLog) -> None:
    send(log, "events", b"{", b"", b"[1]", {"id": "e9", "at": NOW}, event(2, fare="far"))
    send(log, "events", event(1), event(1, fare=7.0))
    read = recent(log).read(NOW)
    assert [row["fare"] for row in read.instances] == [[1.0]]


def test_rows_are_bounded_and_spread_over_the_period(log: CountingLog) -> None:
    send(log, "events", *[event(number) for number in range(6000)])
    read = recent(log).read(NOW)
    assert len(read.rows) == len(set(read.rows)) == 100
    assert log.read_messages <= READ_PER_ROW * 100 + 3 * PARTS
    numbers = sorted(int(row.removeprefix("e")) for row in read.rows)
    assert numbers[0] < 2000
    assert numbers[-1] > 4000
    assert recent(log).read(NOW).rows == read.rows  # the same log gives the same rows


def test_only_the_period_counts_and_a_resting_stream_gives_its_last_events(
    log: MemoryLog, clock: ManualClock
) -> None:
    send(log, "events", *[event(number) for number in range(50)])
    clock.advance(1000.0)
    later = NOW + 1000.0
    assert len(recent(log).read(later).rows) == 50
    send(log, "events", event(77))
    assert recent(log).read(later).rows == ["e77"]


def test_an_empty_or_missing_topic_gives_no_requests(log: MemoryLog) -> None:
    assert recent(log).read(NOW).rows == []
    assert recent(MemoryLog()).read(NOW).rows == []


def test_labels_are_joined_by_key_and_the_latest_counts(log: MemoryLog) -> None:
    send(log, "events", *[event(number) for number in range(4)])
    send(log, "labels", {"id": "e0", "tip": 5}, {"id": "e1", "tip": 0}, b"{", {"id": "e2"})
    send(log, "labels", {"id": "e1", "tip": 9}, {"id": "unknown", "tip": 9})

    def outcome(fields: Any) -> bool | None:
        return fields["tip"] > 1 if "tip" in fields else None

    read = recent(log, outcome=outcome).read(NOW)
    assert read.labels is not None
    labels = dict(zip(read.rows, read.labels.tolist(), strict=True))
    assert (labels["e0"], labels["e1"]) == (1.0, 1.0)
    assert math.isnan(labels["e2"])
    assert math.isnan(labels["e3"])


def test_events_from_before_a_shift_are_left_out(log: MemoryLog, clock: ManualClock) -> None:
    send(log, "events", *[event(number, at=NOW - 50.0) for number in range(300)])
    clock.advance(60.0)
    later = NOW + 60.0
    send(log, "events", event(400, at=NOW + 10.0), event(401, at=NOW + 55.0))
    send(log, "events", event(402, at=NOW + 5.0))  # an event from before the shift comes late
    read = recent(log, first=NOW + 10.0).read(later)
    assert sorted(read.rows) == ["e400", "e401"]


def test_slices_of_fields_that_the_model_lacks_are_left_out(log: MemoryLog) -> None:
    send(log, "events", event(1))
    assert recent(log, slices=("payment", "weather")).read(NOW).slices == {"payment": ["Cash"]}


def test_it_ends_early_when_nobody_needs_it(log: MemoryLog) -> None:
    send(log, "events", event(1))
    assert recent(log, given_up=lambda: True).read(NOW).rows == []


def test_mapped_events_and_labels_are_read_as_the_stream_reads_them(
    log: CountingLog, clock: ManualClock
) -> None:
    clock.sleep(mapped_events.NOW - NOW)
    contract = replace(
        format_events.avro_contract(),
        events_topic="events",
        labels_topic="labels",
        labels=RecordMapping(key_from="header", key="trip", time_format="none"),
    )
    values = [
        format_events.avro_value(format_events.avro_document(id=f"k{number}")) for number in "ab"
    ]
    log.append_raw("events", [(None, value) for value in values])
    log.append_raw("labels", [(None, b'{"y": 1}')], headers=[(("trip", b"kb"),)])
    requests = RecentEvents(
        log=log,
        contract=contract,
        rows=10,
        seconds=60.0,
        schemas=format_events.SCHEMAS,
        outcome=lambda fields: bool(fields["y"]),
    ).read(mapped_events.NOW)
    assert sorted(requests.rows) == ["ka", "kb"]
    assert requests.instances[0]["fare"] == [12.5]
    assert requests.instances[0]["hour"] == [17]
    assert requests.labels is not None
    labels = dict(zip(requests.rows, requests.labels.tolist(), strict=True))
    assert labels["kb"] == 1.0
    assert math.isnan(labels["ka"])
