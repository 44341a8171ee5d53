"""What would become of the newest events, field by field, with the next step."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from deploy.records.event_check import check_events, newest_events
from deploy.records.event_report import EventCheck
from streaming.contracts.log import MemoryLog
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.topics import applications_topic
from tests.schema_registry import wire
from tests.streaming.windowing.format_events import (
    SCHEMAS,
    avro_contract,
    avro_document,
    avro_value,
)

CONTRACT = ModelContract(
    model="m", module="", events_topic="trips", labels_topic="l", key="id", time="at",
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="company", kind="text"),
    ),
)  # fmt: skip


def report(
    *values: Any, contract: ModelContract = CONTRACT, last: int = 100, partitions: int = 1
) -> EventCheck:
    log = MemoryLog()
    log.ensure([applications_topic("trips", partitions=partitions)])
    pairs = [v if isinstance(v, bytes) else orjson.dumps(v) for v in values]
    log.append_raw("trips", [(b"%d" % number, value) for number, value in enumerate(pairs)])
    messages = newest_events(log, "trips", last)
    return check_events(messages, contract, now=time.time(), schemas=SCHEMAS)


def good(**changes: Any) -> dict[str, Any]:
    return {"id": "a", "at": time.time() - 5, "fare": 2.5, "company": "Blue"} | changes


def test_good_events_are_all_accepted() -> None:
    check = report(good(), good(company=None), good(tip=1), partitions=2)
    assert (check.read, check.accepted, check.late, check.refused) == (3, 3, 0, ())
    fields = {field.path: field for field in check.fields}
    assert fields["company"].present == pytest.approx(2 / 3)
    assert fields["company"].examples == ("'Blue'",)
    assert (fields["id"].read_as, fields["at"].read_as) == (("key",), ("time",))
    assert (fields["fare"].read_as, fields["fare"].kinds) == (("fare",), {"number": 3})
    assert fields["tip"].read_as == ()
    assert check.example is not None
    assert check.example["fare"] == 2.5
    assert "driftline job submit m" in check.next_steps[0]


def test_only_the_newest_are_read() -> None:
    check = report(*(good(id=f"k{number}") for number in range(50)), last=7, partitions=3)
    assert check.read <= 7
    assert check.accepted == check.read


def test_dead_letters_are_counted_by_reason_with_the_first_of_each() -> None:
    check = report(good(fare="x"), b"{", good(fare=None), good())
    assert [(each.reason, each.field, each.count) for each in check.refused] == [
        ("wrong_type", "fare", 1),
        ("not_json", "", 1),
        ("missing_field", "fare", 1),
    ]
    assert check.refused[1].position == "trips/0@1"
    assert check.accepted == 1


@pytest.mark.parametrize(
    ("at", "step"),
    [
        ("2026-01-01T00:00:00Z", "models.m.events.time_format: rfc3339"),
        (1e3, "models.m.events.time_format: ms"),
        (1e6, "models.m.events.time_format: us"),
        (1e9, "models.m.events.time_format: ns"),
        (None, "time_format: broker"),
    ],
)
def test_a_time_in_another_format_is_recognised(at: Any, step: str) -> None:
    if isinstance(at, float):  # units of a second
        at = round(time.time() * at)
    check = report(good(at=at), good(at=at))
    assert check.accepted == 0
    assert step in " ".join(check.next_steps)


def test_dead_letters_of_one_reason_are_told_apart_by_their_field() -> None:
    check = report(good(fare="x"), good(fare="x"), good(company=[1]), good(id={"a": 1}))
    assert [(each.reason, each.field, each.count) for each in check.refused] == [
        ("wrong_type", "fare", 2),
        ("wrong_type", "company", 1),
        ("wrong_type", "id", 1),
    ]
    assert "holds an object" in check.refused[2].detail


def test_a_time_that_is_read_by_its_format_is_not_advised_again() -> None:
    contract = replace(CONTRACT, events=RecordMapping(time_format="rfc3339"))
    now = datetime.now(UTC).isoformat()
    some = report(good(at=now), good(at=7), contract=contract)
    assert some.accepted == 1
    assert "time_format" not in " ".join(some.next_steps)
    (step,) = report(good(at="2026-01-01T00:00:00"), contract=contract).next_steps
    assert "needs a date, a time and an offset" in step


@pytest.mark.parametrize(
    ("value", "rule"), [("12.50", "decimal"), (True, "boolean"), ([1], "length")]
)
def test_a_rule_is_advised_for_values_of_another_kind(value: Any, rule: str) -> None:
    check = report(good(fare=value), good(fare=value))
    assert f"models.m.events.fields: {{fare: {{path: fare, rule: {rule}}}}}" in check.next_steps[0]
    mapping = RecordMapping(fields=(FieldRule(name="fare", path="fare", rule=rule),))  # type: ignore[arg-type]
    assert report(good(fare=value), contract=replace(CONTRACT, events=mapping)).accepted == 1
    assert f"rule: {rule}" not in " ".join(report(good(fare=value), *[good()] * 5).next_steps)


def test_a_feature_inside_an_object_is_located() -> None:
    check = report({"id": "a", "at": time.time(), "trip": {"fare": 2.5, "company": "B"}})
    assert [field.path for field in check.fields if field.present] == [
        "id",
        "at",
        "trip.fare",
        "trip.company",
    ]
    steps = " ".join(check.next_steps)
    assert "models.m.events.fields: {fare: trip.fare}" in steps
    mapping = RecordMapping(
        fields=(
            FieldRule(name="fare", path="trip.fare"),
            FieldRule(name="company", path="trip.company"),
        )
    )
    mapped = report(
        {"id": "a", "at": time.time(), "trip": {"fare": 2.5, "company": "B"}},
        contract=replace(CONTRACT, events=mapping),
    )
    assert mapped.accepted == 1


def test_binary_events_hint_at_a_registry_and_json_ones_at_json() -> None:
    binary = report(avro_value(avro_document()))
    assert "registry.url" in binary.next_steps[0]
    check = report(good(), contract=replace(CONTRACT, events=RecordMapping(format="avro")))
    assert "format: json" in check.next_steps[0]


def test_events_whose_schema_is_unknown_wait_and_the_others_are_read() -> None:
    contract = replace(avro_contract(), events_topic="trips")
    now = round(time.time() * 1000)
    value = avro_value(avro_document(at=now))
    check = report(value, value, wire(99, b"x"), value, contract=contract)
    assert (check.accepted, check.waiting) == (2, 2)
    assert "Schema 99" in check.waiting_for
    assert "refused_schemas" in check.next_steps[0]


def test_an_empty_topic_says_so() -> None:
    assert "has no events" in report().next_steps[0]
