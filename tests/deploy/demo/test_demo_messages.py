"""Events, labels and prediction requests, as their readers decode them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from deploy.demo import messages
from deploy.demo.trips import generate
from retrain.models.big_tipper.contract import FEATURES
from streaming.contracts.errors import DecodeError
from streaming.contracts.events import decode_event
from streaming.contracts.model import ModelContract

CONTRACT = ModelContract(
    model="big_tipper",
    module="",
    events_topic="taxi.trips",
    labels_topic="taxi.tips",
    key="trip_id",
    time="event_time",
    features=FEATURES,
)
ROWS = list(messages.rows(generate(np.random.default_rng(3), 400)))
KEY, TIME = ("trip_id", "a-1"), ("event_time", 1000.5)


def test_every_event_is_usable() -> None:
    """The contract accepts every event and knows every field."""
    for row in ROWS:
        event = decode_event(messages.event(row, key=KEY, time=TIME), CONTRACT, now=1001.0)
        assert (event.key, event.time, dict(event.unknown)) == ("a-1", 1000.5, {})
        assert event.values["fare"] == row["fare"]


@pytest.mark.parametrize(("how", "reason"), [("renamed", "missing_field"), ("text", "wrong_type")])
def test_every_broken_event_is_refused(how: messages.Breakage, reason: str) -> None:
    """With the reason that belongs to the fault."""
    for row in ROWS[:50]:
        data = messages.event(messages.broken(row, how), key=KEY, time=TIME)
        with pytest.raises(DecodeError) as refused:
            decode_event(data, CONTRACT, now=1001.0)
        assert refused.value.reason == reason


def test_a_request_names_every_feature() -> None:
    """Missing values are '', NaN and the smallest int64; nothing is left out."""
    gaps = {"integer": messages.MISSING_INTEGER, "text": ""}
    for row in ROWS:
        instance = json.loads(messages.predict_body(row))["instances"][0]
        assert set(instance) == {feature.name for feature in FEATURES}
        for feature in FEATURES:
            (value,) = instance[feature.name]
            if feature.name in row:
                assert value == row[feature.name]
            elif feature.kind == "number":
                assert math.isnan(value)
            else:
                assert value == gaps[feature.kind]


def test_a_label_has_the_key_of_its_event() -> None:
    """Tips under the event's key."""
    label = json.loads(messages.label(ROWS[0], 2.5, key=KEY, time=TIME))
    assert label["trip_id"] == "a-1"
    assert label["tips"] == 2.5


def test_a_respelled_column_is_noticed() -> None:
    """The row is accepted, and its unknown field is reported."""
    for row in ROWS[:50]:
        data = messages.event(messages.broken(row, "respelled"), key=KEY, time=TIME)
        event = decode_event(data, CONTRACT, now=1001.0)
        assert event.unknown == {"taxi_company": "text"}
        assert event.values["company"] is None
