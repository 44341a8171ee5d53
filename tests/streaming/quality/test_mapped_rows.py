"""Predictions and labels are read by their mappings, and wait for schemas that are not there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from streaming.contracts import topics
from streaming.contracts.clock import SystemClock
from streaming.contracts.errors import TemporaryError
from streaming.contracts.log import MemoryLog, Message
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec
from streaming.contracts.registered import RegisteredSchema
from streaming.quality.rows import read_labels, read_predictions
from tests.schema_registry import Schemas, wire
from tests.streaming.quality.test_service import ModelTopics, ShiftedClock, step
from tests.streaming.windowing.mapped_events import NOW, contract_of

MAPPING = RecordMapping(
    format="cloudevents",
    key="ce_subject",
    time="ce_time",
    time_format="rfc3339",
    fields=(
        FieldRule(name="version", path="model.version", rule="decimal"),
        FieldRule(name="prediction", path="scores.yes"),
        FieldRule(name="tips", path="paid.tips"),
    ),
)
CONTRACT = replace(contract_of(), predictions=MAPPING, labels=MAPPING)


def message(data: Any, **attributes: str) -> Message:
    named = {"id": "1", "source": "/s", "specversion": "1.0", "type": "t", "subject": "k1"}
    named |= {"time": "2025-12-31T23:59:50Z"} | attributes
    headers = tuple((f"ce_{name}", value.encode()) for name, value in named.items() if value)
    return Message(
        topic="p", partition=0, offset=0, key=None, value=json.dumps(data).encode(), time=NOW,
        headers=headers,
    )  # fmt: skip


def test_a_prediction_is_read_by_path() -> None:
    served = {"model": {"version": 3}, "scores": {"yes": 0.25}}
    bad = {"model": {"version": "x"}, "scores": {"yes": 0.25}}
    contract = replace(
        CONTRACT,
        features=(*CONTRACT.features, FeatureSpec(name="version", kind="integer")),
    )
    rows, rejected = read_predictions(
        [message(served), message(bad), message(served, subject="")], contract, now=NOW
    )
    assert [row[:3] for row in rows] == [("k1", NOW - 10.0, 3)]
    assert [(each.reason, each.field) for each in rejected] == [
        ("wrong_type", "version"),
        ("missing_field", "trip.id"),
    ]


def test_a_label_is_read_by_path() -> None:
    columns = (FeatureSpec(name="tips", kind="number"),)
    rows, rejected = read_labels(
        [message({"paid": {"tips": 2.5}}), message({"paid": 7})],
        CONTRACT,
        lambda fields: fields["tips"] > 2,
        columns,
    )
    assert [row[:2] for row in rows] == [("k1", True)]
    assert [each.field for each in rejected] == ["tips"]


def test_messages_whose_schema_is_not_there_are_held_and_none_is_lost() -> None:
    log, schemas = MemoryLog(), Schemas()
    model = ModelTopics(log, ShiftedClock(SystemClock()))
    model.contract = replace(
        model.contract, labels=RecordMapping(format="json-schema", time_format="none")
    )
    service = model.service()
    service.schemas = schemas
    model.promote()
    labels = [(b"%d" % n, wire(5, b'{"id":"%d","y":1}' % n)) for n in range(20)]
    log.append_raw(model.contract.labels_topic, labels)
    for _ in range(2):
        with pytest.raises(TemporaryError):
            step(service, 2)
    assert service.monitor.joiner.accounts.labels_read == 0
    schemas.known[5] = RegisteredSchema(schema_id=5, schema_type="JSON", text="{}")
    step(service, 2)
    accounts = service.monitor.joiner.accounts
    assert (accounts.labels_read, accounts.labels_dead) == (20, 0)
    assert [span.start for span in log.spans(topics.DEAD_LETTERS.name)] == [0]
