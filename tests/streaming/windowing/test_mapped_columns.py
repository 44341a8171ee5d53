"""Mapped events: the columns hold exactly what the row rule accepts, for every mapping."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from streaming.contracts.mapping import FieldRule
from streaming.contracts.raw_record import KafkaRecord
from tests.streaming.windowing.mapped_events import (
    LISTS,
    NOW,
    ODD,
    by_columns,
    by_documents,
    by_rule,
    check_equal,
    contract_of,
    documents,
    encoded,
    event,
    plain,
    with_lists,
)

EPOCH = {
    "s": 1_767_225_000,
    "ms": 1_767_225_000_250,
    "us": 1_767_225_000_250_000,
    "ns": 1_767_225_000_250_000_000,
}


def test_a_nested_event_is_read_by_its_paths() -> None:
    decoded = by_columns(plain([event()]), contract_of())
    assert decoded.batch.to_pylist() == [
        {
            "fare": 12.5,
            "seats": 2,
            "company": "Blue",
            "shared": 1,
            "shared_word": "true",
            "tip": 1.25,
            "stops": 2,
            "hour": 17,
            "weekday": 3.0,
        }
    ]
    assert decoded.times.tolist() == [NOW - 1800.0]
    check_equal(plain([event()]), contract_of())


@settings(max_examples=150, deadline=None)
@given(st.lists(documents(), min_size=1, max_size=20))
def test_columns_and_row_rule_agree_on_nested_json(rows: list[dict[str, Any]]) -> None:
    check_equal(plain(rows), contract_of())
    check_equal(plain(rows), by_documents(contract_of()))


@settings(max_examples=60, deadline=None)
@given(st.lists(ODD, max_size=12), st.sampled_from(["s", "ms", "us", "ns", "rfc3339"]))
def test_columns_and_row_rule_agree_on_times(times: list[Any], time_format: str) -> None:
    rows = [event(at=time) for time in [EPOCH.get(time_format), *times]]
    check_equal(
        plain(rows), contract_of(time_format=time_format, fields=contract_of().events.fields[:6])
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(ODD, max_size=12))
def test_columns_and_row_rule_agree_on_keys(keys: list[Any]) -> None:
    trip = event()["trip"]
    for first in (["a", 7], [7, "a"], [7], []):
        rows = [event(trip=trip | {"id": key}) for key in [*first, *keys]]
        check_equal(plain(rows), contract_of())
        check_equal(plain(rows), by_documents(contract_of()))


@pytest.mark.parametrize("time_format", list(EPOCH))
def test_epoch_times_of_every_unit_are_read(time_format: str) -> None:
    fields = contract_of().events.fields[:6]
    contract = contract_of(time_format=time_format, fields=fields)
    events, _ = by_rule(plain([event(at=EPOCH[time_format])]), contract)
    assert int(events[0].time) == 1_767_225_000


def test_the_key_may_be_kafkas_and_the_time_the_brokers() -> None:
    fields = contract_of().events.fields
    contract = contract_of(key_from="kafka-key", time_format="broker", fields=fields)
    records = [
        KafkaRecord(value=encoded(event()), key=key, time=time)
        for key, time in ((b"k1", NOW - 7.5), (None, NOW), (b"\xff", NOW), (b"", NOW), (b"9", 1.0))
    ]
    events, refused = by_rule(records, contract)
    assert [(one.key, one.time) for one in events.values()] == [("k1", NOW - 7.5)]
    assert [reason for reason, *_ in refused.values()] == [
        "missing_field",
        "wrong_type",
        "missing_field",
        "past_time",
    ]
    check_equal(records, contract)


def test_the_key_may_be_a_header() -> None:
    contract = contract_of(key_from="header", key="trip-id")
    headers = ((("trip-id", b"old"), ("trip-id", b"h1")), (("other", b"x"),), (("trip-id", None),))
    records = [KafkaRecord(value=encoded(event()), headers=pairs) for pairs in headers]
    events, refused = by_rule(records, contract)
    assert [one.key for one in events.values()] == ["h1"]
    assert [field for _, field, _ in refused.values()] == ["trip.id", "trip.id"]
    check_equal(records, contract)


def test_an_error_names_the_feature_its_path_and_what_is_there() -> None:
    trip = event()["trip"]
    rows = [event(trip=5), event(trip=trip | {"tip": "1,25"}), event(at="yesterday")]
    _, refused = by_rule(plain(rows), contract_of())
    assert refused[0] == ("wrong_type", "fare", "Field fare: trip holds 5, not an object.")
    assert refused[1] == (
        "wrong_type",
        "tip",
        "Field tip (trip.tip) holds '1,25', not a number written as text.",
    )
    assert refused[2][0] == "wrong_type"  # the hour is read from the same field


def test_a_new_field_of_the_outermost_object_is_noticed() -> None:
    rows = [event() for _ in range(50)] + [event(surge=1.5)]
    decoded = by_columns(plain(rows), contract_of())
    assert decoded.unknown == {"surge": "number"}
    events, _ = by_rule(plain(rows), contract_of())
    assert events[50].unknown == {"surge": "number"}


def test_a_dot_in_a_name_is_kept_by_a_backslash() -> None:
    fields = (FieldRule(name="fare", path=r"trip\.fare"),)
    contract = contract_of(fields=fields, key="id", time_format="s", time="at")
    row = {"id": "a", "at": NOW, "trip.fare": 3.0}
    events, _ = by_rule(plain([row]), contract)
    assert events[0].values["fare"] == 3.0


def test_records_that_cut_or_repeat_objects_do_not_shift_others() -> None:
    good = encoded(event())
    odd = [
        good[:-1],
        good + good,
        b'{"trip":{"id":"x"},"trip":{"id":"y"}}',
        good.replace(b'"seats": 2', b'"seats": 2, "seats": 3'),
        b'{"trip":' + b"[" * 600 + b"]" * 600 + b"}",
        good.replace(b"12.5", b"NaN"),
        b'{"trip":null,"at":"2026-01-01T00:00:00Z"}',
        b'{"trip":[],"at":7}',
        b"{",
        b"",
    ]
    values = [value for bad in odd for value in [good] * 20 + [bad]]
    records = [KafkaRecord(value=value, time=NOW) for value in values]
    for contract in (contract_of(), by_documents(contract_of())):
        check_equal(records, contract)


@settings(max_examples=100, deadline=None)
@given(st.lists(LISTS, min_size=1, max_size=12))
def test_columns_and_row_rule_agree_on_lists_of_categories(lists: list[Any]) -> None:
    trip = event()["trip"]
    rows = [event(), *(event(trip=trip | {"tags": tags}) for tags in lists)]
    contract = replace(with_lists(contract_of()), largest_event_bytes=20_000)
    check_equal(plain(rows), contract)
