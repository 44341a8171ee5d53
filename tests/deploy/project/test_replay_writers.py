"""A replay writes each topic as the model's settings read it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.project.replay_writers import replay_writers
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.events import decode_event
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.registered import RegisteredSchema
from tests.schema_registry import Schemas

FEE = FeatureSpec(name="fee", kind="number")
CHURNED = FeatureSpec(name="churned", kind="integer")
PATHS = (FieldRule(name="fee", path="plan.fee"),)


def contract(events: dict[str, Any], **topics: Any) -> ModelContract:
    return ModelContract(
        model="churn", module="", events_topic="e", labels_topic="l", key="who.id", time="when",
        features=(FEE,), events=RecordMapping(fields=PATHS, **events), **topics,
    )  # fmt: skip


def test_paths_and_times_of_each_topic_are_its_own() -> None:
    of = contract(
        {"time_format": "rfc3339"},
        labels=RecordMapping(key="customer", time_format="none"),
        predictions=RecordMapping(key="customer", time="asked", time_format="ms"),
    )
    writers = replay_writers(of, [CHURNED], lambda subject, schema: 0)
    event = writers.events.write({"fee": 4.5}, "c1", 60.0)
    assert json.loads(event) == {
        "who": {"id": "c1"},
        "when": "1970-01-01T00:01:00+00:00",
        "plan": {"fee": 4.5},
    }
    read = decode_event(event, of, now=61.0)
    assert (read.key, read.time, dict(read.values)) == ("c1", 60.0, {"fee": 4.5})
    label = json.loads(writers.labels.write({"churned": 1}, "c1", 60.0))
    assert label == {"customer": "c1", "when": 60.0, "churned": 1}
    served = writers.predictions.write({"version": 2, "prediction": [0.5, 0.5]}, "c1", 60.0)
    assert json.loads(served) == {
        "customer": "c1", "asked": 60_000, "version": 2, "prediction": [0.5, 0.5],
    }  # fmt: skip


def test_avro_registers_a_schema_for_each_topic() -> None:
    avro = RecordMapping(key="customer", time_format="none", format="avro")
    subjects: dict[str, str] = {}

    def register(subject: str, schema: str) -> int:
        subjects[subject] = schema
        return len(subjects)

    of = contract({"format": "avro"}, labels=avro)
    writers = replay_writers(of, [CHURNED], register)
    assert list(subjects) == ["e-value", "l-value"]
    event = writers.events.write({"fee": 4.5}, "c1", 60.0)
    assert event[:5] == b"\0\0\0\0\1"
    assert writers.labels.write({"churned": 1}, "c1", 60.0)[:5] == b"\0\0\0\0\2"
    known = {1: RegisteredSchema(schema_id=1, schema_type="AVRO", text=subjects["e-value"])}
    assert decode_event(event, of, now=61.0, schemas=Schemas(known)).values["fee"] == 4.5


@pytest.mark.parametrize(
    ("topics", "reason"),
    [
        ({"predictions": RecordMapping(format="avro")}, "Predictions .* JSON only"),
        ({"labels": RecordMapping(format="protobuf", time_format="none")}, "format is protobuf"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_registered(
    topics: dict[str, RecordMapping], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        replay_writers(contract({}, **topics), [CHURNED], lambda subject, schema: 1 // 0)
