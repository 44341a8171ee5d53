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
    assert decoded.values == {"fare": 1.5, "seconds": None, "company": "x"}
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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_non_finite_number_is_named_and_has_no_value(value: float) -> None:
    decoded = decode_event(event(fare=value), CONTRACT, now=NOW)
    assert decoded.non_finite == ("fare",)
    assert decoded.values["fare"] is None


@given(st.binary(max_size=300))
def test_any_bytes_give_an_event_or_a_known_reason(data: bytes) -> None:
    assert _reason(data) in {None, *Reason}


def _reason(data: bytes) -> str | None:
    try:
        decode_event(data, CONTRACT, now=NOW)
    except DecodeError as error:
        return error.reason
    return None
