"""Decoding of the applications' messages: what is a prediction or a label, what is rejected."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from retrain.models.code import load_code
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import Reason, decode_event
from streaming.contracts.log import Message
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.quality.counts import score_buckets
from streaming.quality.rows import OutcomeOf, read_labels, read_predictions

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)


def messages(*values: object) -> list[Message]:
    encoded = [v if isinstance(v, bytes) else json.dumps(v).encode() for v in values]
    return [
        Message(topic="t", partition=0, offset=n, key=None, value=value, time=50.0)
        for n, value in enumerate(encoded)
    ]


def prediction(**changes: object) -> dict[str, object]:
    return {"id": "a", "at": 10.0, "version": 2, "prediction": 0.25} | changes


def test_a_prediction_is_key_time_version_and_score() -> None:
    rows, rejected = read_predictions(
        messages(prediction(), prediction(id=7, extra=[1])), CONTRACT, now=20.0
    )
    (bucket,) = score_buckets([0.25]).tolist()
    assert rows == [("a", 10.0, 2, bucket), ("7", 10.0, 2, bucket)]
    assert not rejected


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"{" + b" " * 70_000, Reason.OVERSIZE),
        (b"{nope", Reason.NOT_JSON),
        ([1], Reason.NOT_AN_OBJECT),
        (prediction(id=None), Reason.MISSING_FIELD),
        (prediction(id=True), Reason.WRONG_TYPE),
        (prediction(id=2**63), Reason.WRONG_TYPE),
        (prediction(id=7.0), Reason.WRONG_TYPE),
        (prediction(version=2.0), Reason.WRONG_TYPE),
        (prediction(version=2**64), Reason.WRONG_TYPE),
        (prediction(version=True), Reason.WRONG_TYPE),
        (prediction(version=0), Reason.OUT_OF_RANGE),
        (prediction(version=""), Reason.MISSING_FIELD),
        (prediction(prediction=True), Reason.WRONG_TYPE),
        (prediction(version=None), Reason.MISSING_FIELD),
        (prediction(prediction=None), Reason.MISSING_FIELD),
        (prediction(at="soon"), Reason.NO_TIME),
        (prediction(at=1e9), Reason.FUTURE_TIME),
        (prediction(version="2"), Reason.WRONG_TYPE),
        (prediction(prediction="0.5"), Reason.WRONG_TYPE),
        (prediction(prediction=1.5), Reason.OUT_OF_RANGE),
        (b'{"id":"a","at":1,"version":1,"prediction":NaN}', Reason.MISSING_FIELD),
    ],
)
def test_a_bad_prediction_is_rejected_alone(value: object, reason: Reason) -> None:
    rows, rejected = read_predictions(
        messages(prediction(), value, prediction(id="b")), CONTRACT, now=20.0
    )
    assert [row[0] for row in rows] == ["a", "b"]
    assert [(r.message.offset, r.reason) for r in rejected] == [(1, reason.value)]
    assert rejected[0].detail.endswith(".")


GOOD_PREDICTION = b'{"id":"c","at":10.0,"version":2,"prediction":0.25}'
GOOD_LABEL = b'{"id":"c","tips":3.0,"fare":10.0}'
TIPS = (FeatureSpec(name="tips", kind="number"),)
ODD_RECORDS = [
    lambda good: good,
    lambda good: b"\xef\xbb\xbf" + good,
    lambda good: good[:-1] + b',"other":NaN}',
    lambda good: good[:-1] + b',"other":-Infinity}',
    lambda good: good[:-1] + b',"other":1e999}',
    lambda good: good[:-1] + b',"other":18446744073709551616}',
    lambda good: good[:-1] + b',"other":"\\ud800"}',
    lambda good: good[:-1] + b',"other":"\xff"}',
    lambda good: good.replace(b'"c"', b"7"),
    lambda good: good.replace(b'"c"', b"7.0"),
    lambda good: good.replace(b'"c"', b"9223372036854775808"),
    lambda good: good.replace(b'"c"', b"18446744073709551616"),
    lambda good: good.replace(b'"c"', b"18446744073709551616")[:-1] + b',"other":NaN}',
    lambda good: good.replace(b'"c"', b'""'),
    lambda good: good.replace(b'"c"', b"NaN"),
    lambda good: good.replace(b'"c"', b"null"),
    lambda good: good.replace(b'"c"', b"[1]"),
    lambda good: b"  " + good + b"\n",
    lambda good: good + good,
    lambda good: b"",
]


@pytest.mark.parametrize("odd", ODD_RECORDS)
def test_events_labels_and_predictions_are_accepted_or_refused_alike(
    odd: Callable[[bytes], bytes],
) -> None:
    outcome = load_code("retrain.models.big_tipper").outcome
    assert outcome is not None
    event_contract = replace(CONTRACT, features=TIPS)
    results = []
    try:
        results.append(decode_event(odd(GOOD_PREDICTION), event_contract, now=20.0).key)
    except DecodeError as error:
        results.append(f"{error.reason} {error.field}")
    rows, rejected = read_predictions(messages(odd(GOOD_PREDICTION)), CONTRACT, now=20.0)
    results += [row[0] for row in rows] + [f"{r.reason} {r.field}" for r in rejected]
    labels, rejected = read_labels(messages(odd(GOOD_LABEL)), CONTRACT, outcome, TIPS)
    results += [label[0] for label in labels] + [f"{r.reason} {r.field}" for r in rejected]
    assert len(results) == 3
    assert len(set(results)) == 1, results


@pytest.mark.parametrize("columns", [(), TIPS])
@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("tips", b"null", Reason.MISSING_FIELD),
        ("tips", b"NaN", Reason.MISSING_FIELD),
        ("tips", b"Infinity", Reason.MISSING_FIELD),
        ("tips", b'""', Reason.MISSING_FIELD),
        ("tips", b'"3"', Reason.WRONG_TYPE),
        ("tips", b"true", Reason.WRONG_TYPE),
        ("fare", b"null", Reason.MISSING_FIELD),
        ("fare", b"NaN", Reason.MISSING_FIELD),
        ("fare", b'"3"', Reason.WRONG_TYPE),
    ],
)
def test_a_bad_label_is_refused_with_the_name_of_its_field(
    columns: tuple[FeatureSpec, ...], field: str, value: bytes, reason: Reason
) -> None:
    outcome = load_code("retrain.models.big_tipper").outcome
    assert outcome is not None
    data = GOOD_LABEL.replace({"tips": b"3.0", "fare": b"10.0"}[field], value)
    rows, rejected = read_labels(messages(data), CONTRACT, outcome, columns)
    assert rows == []
    assert [(r.reason, r.field) for r in rejected] == [(reason.value, field)]
    assert f"Field {field} " in rejected[0].detail


@given(st.binary(max_size=60))
def test_any_bytes_give_a_row_or_a_rejection(value: bytes) -> None:
    rows, rejected = read_predictions(messages(value), CONTRACT, now=20.0)
    assert len(rows) + len(rejected) == 1


def test_the_outcome_of_a_label_is_read_by_the_models_own_function() -> None:
    outcome = load_code("retrain.models.big_tipper").outcome
    assert outcome is not None
    rows, rejected = read_labels(
        messages(
            {"id": "a", "tips": 3.0, "fare": 10.0},
            {"id": "b", "tips": 1.0, "fare": 10.0},
            {"id": "c", "tips": 1.0},
            {"tips": 1.0, "fare": 2.0},
        ),
        CONTRACT,
        outcome,
    )
    assert rows == [("a", True, 50.0), ("b", False, 50.0)]
    assert [r.reason for r in rejected] == ["missing_field", "missing_field"]


CARELESS: dict[str, OutcomeOf] = {
    "a missing name": lambda fields: bool(fields["tips"] > 2),
    "a comparison": lambda fields: bool(fields.get("tips") > 2),  # type: ignore[operator]
    "a division": lambda fields: bool(fields["tips"] / fields["fare"] > 0.2),
    "a conversion": lambda fields: int(fields["tips"]) > 2,
    "the value itself": lambda fields: fields["tips"],
    "a list": lambda fields: [fields["tips"]],  # type: ignore[dict-item, return-value]
}


@pytest.mark.parametrize("outcome_of", CARELESS.values(), ids=CARELESS)
@pytest.mark.parametrize(
    ("tips", "reason"),
    [
        (None, "missing_field"),
        (b"null", "missing_field"),
        (b"NaN", "missing_field"),
        (b'"many"', "wrong_type"),
        (b"[3]", "wrong_type"),
        (b'{"a":3}', "wrong_type"),
    ],
)
def test_a_careless_outcome_function_never_stops_the_reader(
    outcome_of: OutcomeOf, tips: bytes | None, reason: str
) -> None:
    field = b"" if tips is None else b',"tips":' + tips
    data = b'{"id":"c","fare":0' + field + b"}"
    rows, rejected = read_labels(messages(data), CONTRACT, outcome_of)
    assert rows == []
    assert [(r.reason, r.field) for r in rejected] == [(reason, "tips")]
    assert rejected[0].detail.startswith("Field tips ")


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(True, True), (False, False), (1, True), (0, False), (1.0, True), (2, None), (-1, None),
     (0.5, None), (2**63, None), ("1", None), ("", None)],
)  # fmt: skip
def test_an_outcome_is_a_boolean_or_one_or_zero(value: object, outcome: bool | None) -> None:
    rows, rejected = read_labels(messages({"id": "a", "y": value}), CONTRACT, lambda f: f.get("y"))
    assert [row[1] for row in rows] == ([] if outcome is None else [outcome])
    assert all(isinstance(row[1], bool) for row in rows)
    assert [r.field for r in rejected] == (["y"] if outcome is None else [])


def test_a_division_by_zero_names_the_field_and_the_error() -> None:
    data = {"id": "a", "tips": 3, "fare": 0}
    rows, rejected = read_labels(messages(data), CONTRACT, CARELESS["a division"])
    assert (rows, rejected[0].field) == ([], "tips")
    assert "ZeroDivisionError" in rejected[0].detail


def test_a_label_stamped_ahead_of_the_clock_has_arrived_now() -> None:
    good = messages({"id": "a", "y": True})
    ahead = [dataclasses.replace(message, time=9e15) for message in good]
    rows, _ = read_labels(ahead, CONTRACT, lambda fields: fields.get("y"), now=60.0)
    assert rows == [("a", True, 60.0)]
