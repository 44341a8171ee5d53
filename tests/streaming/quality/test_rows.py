"""Bytes of the applications: what counts as a prediction or a label, and what is refused."""

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


def good(**other: object) -> dict[str, object]:
    return {"id": "a", "at": 10.0, "version": 2, "prediction": 0.25} | other


def test_a_prediction_is_key_time_version_and_score() -> None:
    rows, refused = read_predictions(messages(good(), good(id=7, extra=[1])), CONTRACT, now=20.0)
    (bucket,) = score_buckets([0.25]).tolist()
    assert rows == [("a", 10.0, 2, bucket), ("7", 10.0, 2, bucket)]
    assert not refused


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", Reason.EMPTY),
        (b"{" + b" " * 70_000, Reason.OVERSIZE),
        (b"{nope", Reason.NOT_JSON),
        ([1], Reason.NOT_AN_OBJECT),
        (good(id=None), Reason.MISSING_FIELD),
        (good(id=True), Reason.MISSING_FIELD),
        (good(version=None), Reason.MISSING_FIELD),
        (good(prediction=None), Reason.MISSING_FIELD),
        (good(at="soon"), Reason.NO_TIME),
        (good(at=1e9), Reason.FUTURE_TIME),
        (good(version="2"), Reason.WRONG_TYPE),
        (good(prediction="0.5"), Reason.WRONG_TYPE),
        (good(prediction=1.5), Reason.OUT_OF_RANGE),
        (b'{"id":"a","at":1,"version":1,"prediction":NaN}', Reason.NOT_JSON),
    ],
)
def test_one_bad_prediction_is_refused_alone(value: object, reason: Reason) -> None:
    rows, refused = read_predictions(messages(good(), value, good(id="b")), CONTRACT, now=20.0)
    assert [row[0] for row in rows] == ["a", "b"]
    assert [(one.message.offset, one.reason) for one in refused] == [(1, reason.value)]
    assert refused[0].detail.endswith(".")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_row_or_a_refusal(value: bytes) -> None:
    rows, refused = read_predictions(messages(value), CONTRACT, now=20.0)
    assert len(rows) + len(refused) == 1


def test_labels_tell_their_outcome_by_the_models_own_rule() -> None:
    outcome = load_code("retrain.models.big_tipper").outcome
    assert outcome is not None
    found, refused = read_labels(
        messages(
            {"id": "a", "tips": 3.0, "fare": 10.0},
            {"id": "b", "tips": 1.0, "fare": 10.0},
            {"id": "c", "tips": 1.0},
            {"tips": 1.0, "fare": 2.0},
        ),
        CONTRACT,
        outcome,
    )
    assert found == [("a", True, 50.0), ("b", False, 50.0)]
    assert [one.reason for one in refused] == ["missing_field", "missing_field"]
