"""Which events are usable, and the reason codes of the others."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Reason, decode_event
from streaming.contracts.model import FeatureSpec, ModelContract

CONTRACT = ModelContract(
    model="m",
    module="x",
    events_topic="e",
    labels_topic="l",
    key="id",
    time="at",
    largest_event_bytes=1000,
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="seconds", kind="integer"),
        FeatureSpec(name="company", kind="text", categorical=True),
        FeatureSpec(name="miles", kind="number", sentinels=(-999,)),
        FeatureSpec(name="city", kind="text", sentinels=("n/a", "-")),
    ),
)
NOW = 1_000_000.0


def event(**changes: object) -> bytes:
    fields = {"id": "a", "at": NOW, "fare": 1.5, "seconds": 60, "company": "x"} | changes
    return json.dumps(fields).encode()


def test_a_good_event_gives_its_values() -> None:
    decoded = decode_event(event(extra=1, seconds=None), CONTRACT, now=NOW)
    assert decoded.key == "a"
    assert decoded.time == NOW
    assert decoded.values["fare"] == 1.5
    assert decoded.values["seconds"] is None
    assert decoded.values["company"] == "x"
    assert decoded.unknown == {"extra": "integer"}


def test_a_number_may_be_an_integer_and_zero_is_not_missing() -> None:
    assert decode_event(event(fare=0), CONTRACT, now=NOW).values["fare"] == 0.0


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (None, Reason.EMPTY),
        (b"  ", Reason.EMPTY),
        (b"x" * 1001, Reason.OVERSIZE),
        (b"[1]", Reason.NOT_AN_OBJECT),
        (b'{"id": "a"', Reason.NOT_JSON),
        (b'{"id":"a"} {"id":"b"}', Reason.NOT_JSON),
        (b"[" * 900, Reason.NOT_JSON),
        (event(fare="12"), Reason.WRONG_TYPE),
        (event(fare=True), Reason.WRONG_TYPE),
        (event(seconds=1.5), Reason.WRONG_TYPE),
        (event(seconds=2**70), Reason.WRONG_TYPE),
        (event(company=3), Reason.WRONG_TYPE),
        (event(fare=None), Reason.MISSING_FIELD),
        (event(id=None), Reason.MISSING_FIELD),
        (event(at="noon"), Reason.NO_TIME),
        (event(at=float("nan")), Reason.NO_TIME),
        (event(at=NOW + 301), Reason.FUTURE_TIME),
        (event(at=NOW - CONTRACT.past_seconds - 1), Reason.PAST_TIME),
        (event(at=-1e300), Reason.PAST_TIME),
    ],
)
def test_a_bad_event_is_refused_with_its_reason(data: bytes | None, reason: Reason) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_event(data, CONTRACT, now=NOW)
    assert caught.value.reason == reason.value


MISSING_VALUES = [None, float("nan"), float("inf"), float("-inf"), "", "absent"]


def without(name: str, value: object) -> bytes:
    """An event whose field `name` stands for a missing value."""
    if value != "absent":
        return event(**{name: value})
    fields = json.loads(event())
    fields.pop(name, None)
    return json.dumps(fields).encode()


@pytest.mark.parametrize("value", MISSING_VALUES, ids=repr)
@pytest.mark.parametrize("name", ["seconds", "company", "miles"])
def test_every_way_to_lose_a_value_is_a_missing_value(name: str, value: object) -> None:
    decoded = decode_event(without(name, value), CONTRACT, now=NOW)
    assert decoded.values[name] is None


@pytest.mark.parametrize("value", MISSING_VALUES, ids=repr)
@pytest.mark.parametrize("name", ["fare", "id"])
def test_every_way_to_lose_a_required_value_is_a_missing_field(name: str, value: object) -> None:
    with pytest.raises(DecodeError, match=f"Field {name} is missing") as caught:
        decode_event(without(name, value), CONTRACT, now=NOW)
    assert (caught.value.reason, caught.value.field) == (Reason.MISSING_FIELD.value, name)


@pytest.mark.parametrize(
    ("name", "value"), [("seconds", -(2**63)), ("miles", -999.0), ("miles", -999), ("city", "n/a")]
)
def test_a_sentinel_is_a_missing_value(name: str, value: object) -> None:
    assert decode_event(event(**{name: value}), CONTRACT, now=NOW).values[name] is None


@pytest.mark.parametrize(
    ("name", "value", "kind"),
    [
        ("id", True, "boolean"),
        ("id", 2**63, "integer"),
        ("id", 2**64, "number"),
        ("id", 7.0, "number"),
        ("id", [1], "list"),
        ("fare", "12", "text"),
        ("seconds", 2.0, "number"),
        ("seconds", 2**64, "number"),
        ("company", {"a": 1}, "object"),
    ],
)
@pytest.mark.parametrize("end", ["}", ',"other":NaN}'])
@pytest.mark.parametrize("start", ["", "\ufeff"])
def test_another_type_is_refused_alike_whatever_else_the_record_holds(
    name: str, value: object, kind: str, start: str, end: str
) -> None:
    data = (start + event(**{name: value}).decode()[:-1] + end).encode()
    with pytest.raises(DecodeError, match=f"Field {name} holds") as caught:
        decode_event(data, CONTRACT, now=NOW)
    error = caught.value
    assert (error.reason, error.field, error.value_kind) == (Reason.WRONG_TYPE.value, name, kind)


@pytest.mark.parametrize(
    ("time", "kind"),
    [("noon", "text"), (None, ""), (True, "boolean"), ([1], "list"), (float("inf"), "")],
)
def test_an_event_without_a_time_names_the_field_and_what_it_holds(time: object, kind: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_event(event(at=time), CONTRACT, now=NOW)
    assert (caught.value.field, caught.value.value_kind) == ("at", kind)


def test_an_event_that_is_years_old_is_used() -> None:
    nine_years = 9 * 365 * 86_400.0
    assert decode_event(event(at=NOW - nine_years), CONTRACT, now=NOW).time == NOW - nine_years


@given(st.binary(max_size=300))
def test_any_bytes_give_an_event_or_a_known_reason(data: bytes) -> None:
    assert _reason(data) in {None, *Reason}


def _reason(data: bytes) -> str | None:
    try:
        decode_event(data, CONTRACT, now=NOW)
    except DecodeError as error:
        return error.reason
    return None
