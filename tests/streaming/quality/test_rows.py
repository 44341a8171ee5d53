"""Decoding of the applications' messages: what is a prediction or a label, what is rejected."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.models.code import load_code
from streaming.contracts.events import Reason
from streaming.contracts.log import Message
from streaming.contracts.model import ModelContract
from streaming.quality.counts import score_buckets
from streaming.quality.rows import read_labels, read_predictions

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
        (prediction(id=True), Reason.MISSING_FIELD),
        (prediction(version=None), Reason.MISSING_FIELD),
        (prediction(prediction=None), Reason.MISSING_FIELD),
        (prediction(at="soon"), Reason.NO_TIME),
        (prediction(at=1e9), Reason.FUTURE_TIME),
        (prediction(version="2"), Reason.WRONG_TYPE),
        (prediction(prediction="0.5"), Reason.WRONG_TYPE),
        (prediction(prediction=1.5), Reason.OUT_OF_RANGE),
        (b'{"id":"a","at":1,"version":1,"prediction":NaN}', Reason.NOT_JSON),
    ],
)
def test_a_bad_prediction_is_rejected_alone(value: object, reason: Reason) -> None:
    rows, rejected = read_predictions(
        messages(prediction(), value, prediction(id="b")), CONTRACT, now=20.0
    )
    assert [row[0] for row in rows] == ["a", "b"]
    assert [(r.message.offset, r.reason) for r in rejected] == [(1, reason.value)]
    assert rejected[0].detail.endswith(".")


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
