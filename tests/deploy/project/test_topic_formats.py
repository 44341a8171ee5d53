"""Projects of topics in every format: what was guessed reads every event as the stream job does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from deploy.app.mappings import events_mapping, labels_mapping
from deploy.config import loader
from deploy.project.settings_text import Topics, settings_text
from deploy.project.topic_guess import TopicGuess, guess_topic
from deploy.records.event_check import check_events, newest_events
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.events import read_fields
from streaming.contracts.log import MemoryLog
from tests.deploy.project import topics
from tests.schema_registry import Schemas


def guessed(log: MemoryLog, label: str, **more: Any) -> TopicGuess:
    return guess_topic(
        log, "trips", labels_topic="tips", label=label, schemas=topics.SCHEMAS, **more
    )


def check_accepted(log: MemoryLog, project: TopicGuess, folder: Path) -> dict[str, Any]:
    """Assert that the written settings read all events; returns the sections of the topics."""
    labels_key = project.labels_key.path if project.labels_key else ""
    names = Topics(
        events="trips", labels="tips", predictions="served", contract=project.contract,
        labels_key=labels_key, registry="http://127.0.0.1:9",
    )  # fmt: skip
    file = folder / "driftline.yaml"
    file.write_text(settings_text("m", "some_package", project.data.guess, names))
    (folder / "some_package").mkdir()
    settings = loader.load(file, environment={})
    model = settings.models["m"]
    assert events_mapping(model) == project.contract.events
    contract = replace(
        project.contract,
        key=model.events.key,
        time=model.events.time,
        events=events_mapping(model),
        labels=labels_mapping(model),
    )
    now = max(message.time for message in newest_events(log, "trips", 10_000)) + 60.0
    checked = check_events(
        newest_events(log, "trips", 10_000), contract, now=now, schemas=topics.SCHEMAS
    )
    assert (checked.accepted + checked.late, checked.refused) == (topics.ROWS, ())
    (message, *_) = newest_events(log, "tips", 1)
    fields = read_fields(message, contract, contract.labels, topics.SCHEMAS)
    assert fields[contract.key]
    assert fields[project.label.spec.name] is not None
    return {"events": model.events, "labels": model.labels, "fields": fields}


def rules(project: TopicGuess) -> dict[str, tuple[str, str]]:
    return {rule.name: (rule.path, rule.rule) for rule in project.contract.events.fields}


def test_nested_json_is_read_by_path_with_labels_at_other_paths(tmp_path: Path) -> None:
    log = topics.json_log()
    project = guessed(log, "paid.tip")
    assert rules(project) == {
        "trip_fare_amount": ("trip.fare.amount", "decimal"),
        "trip_miles": ("trip.miles", "value"),
        "trip_seats": ("trip.seats", "value"),
        "trip_tags": ("trip.tags", "categories"),
        "trip_stops": ("trip.stops", "length"),
        "shared": ("shared", "boolean"),
    }
    read = check_accepted(log, project, tmp_path)
    assert (read["events"].key, read["labels"].key) == (r"meta.trip\.id", "ref")
    assert (read["events"].time, read["events"].time_format) == ("trip.started", "rfc3339")
    assert read["fields"]["paid_tip"] in (0, 1)
    reasons = {guess.name: guess.reason for guess in project.data.guess.features}
    assert "at trip.fare.amount; by the rule decimal" in reasons["trip_fare_amount"]
    assert "lists of 4 categories" in reasons["trip_tags"]
    assert project.data.guess.key_reason == "labels of tips have the same values (at ref)"


@pytest.mark.parametrize("structured", [True, False])
def test_cloudevents_have_their_id_and_time_as_key_and_time(
    tmp_path: Path, structured: bool
) -> None:
    log = topics.cloudevents(structured=structured)
    project = guessed(log, "tip")
    read = check_accepted(log, project, tmp_path)
    assert (read["events"].format, read["events"].key) == ("cloudevents", "ce_id")
    assert (read["events"].time, read["events"].time_format) == ("ce_time", "rfc3339")
    assert read["labels"].key_from == "kafka-key"
    mode = "structured" if structured else "binary"
    assert project.data.notes[0] == f"Format: the records are CloudEvents ({mode} mode)."
    assert rules(project)["trip_fare_amount"] == ("trip.fare.amount", "decimal")


@pytest.mark.parametrize(
    ("encode", "named", "time_format"),
    [
        (topics.avro, "avro", "ms"),
        (topics.json_schema, "json-schema", "ms"),
        (topics.protobuf, "protobuf", "s"),
    ],
)
def test_records_with_a_registry_are_read_by_their_schema(
    tmp_path: Path, encode: Any, named: str, time_format: str
) -> None:
    log = topics.registered(encode)
    project = guessed(log, "tip")
    read = check_accepted(log, project, tmp_path)
    assert (read["events"].format, read["events"].time_format) == (named, time_format)
    assert read["events"].time == "at"
    assert project.label.guess.task == "regression"
    assert rules(project)["shared"] == ("shared", "boolean")
    list_path = "trip.stops" if named == "protobuf" else "trip.tags"
    assert (list_path, "categories") in rules(project).values()


def test_a_registry_that_is_not_named_or_does_not_answer_is_said() -> None:
    log = topics.registered(topics.avro)
    with pytest.raises(ConfigurationError, match=r"number 21.*--registry http"):
        guess_topic(log, "trips", labels_topic="tips", label="tip")
    with pytest.raises(UnavailableError):
        guess_topic(log, "trips", labels_topic="tips", label="tip", schemas=Schemas())


def test_events_without_key_and_time_have_those_of_kafka(tmp_path: Path) -> None:
    log = MemoryLog()
    for number, row in enumerate(topics.trips()):
        value = {"miles": row["trip"]["miles"], "card": row["shared"]}
        log.append_raw("trips", [(f"k{number}".encode(), json.dumps(value).encode())])
        tip = {"event": f"k{number}", "tip": row["trip"]["fare"]["amount"]}
        log.append_raw("tips", [(None, json.dumps(tip).encode())])
    project = guessed(log, "tip")
    read = check_accepted(log, project, tmp_path)
    assert (read["events"].key_from, read["events"].time_format) == ("kafka-key", "broker")
    assert (read["labels"].key, read["labels"].key_from) == ("event", "field")
    assert isinstance(read["fields"]["tip"], float)
    notes = " ".join(project.data.notes)
    assert "The key of an event is Kafka's key" in notes
    assert "The time of an event is the broker's" in notes


def test_events_that_would_be_dead_letters_are_counted() -> None:
    log = topics.json_log()
    old = topics.trips(1)[0] | {"meta": {"trip.id": "t1"}}
    old["trip"]["started"] = "1970-01-01T00:00:00Z"
    log.append_raw("trips", [(None, json.dumps(old | {"meta": {"trip.id": "old"}}).encode())])
    log.append_raw("tips", [(None, b'{"ref": "old", "paid": {"tip": true}}')])
    project = guessed(log, "paid.tip")
    assert project.trial.refused == {"past_time": 1}
    assert "1 of 301 events would be dead letters (1 past_time)" in project.data.notes[-1]


@pytest.mark.parametrize(
    ("value", "words"),
    [(lambda n: n % 2 + 1, "holds integer values"), (lambda n: [n % 2], "holds list values")],
)
def test_a_label_that_cannot_be_read_is_refused(value: Any, words: str) -> None:
    log, rows = MemoryLog(), topics.trips()
    log.append_raw("trips", [(None, json.dumps(row).encode()) for row in rows])
    tips = [{"ref": row["meta"]["trip.id"], "tip": value(at)} for at, row in enumerate(rows)]
    log.append_raw("tips", [(None, json.dumps(tip).encode()) for tip in tips])
    with pytest.raises(ConfigurationError, match=words):
        guessed(log, "tip")


def test_events_that_nothing_identifies_are_refused() -> None:
    log = MemoryLog()
    rows = [
        row | {"meta": {"trip.id": "same"}, "tip": at % 2} for at, row in enumerate(topics.trips())
    ]
    log.append_raw("trips", [(None, json.dumps(row).encode()) for row in rows])
    with pytest.raises(ConfigurationError, match="no field identifies events; they must get one"):
        guess_topic(log, "trips", label="tip")


def test_names_that_no_path_can_give_are_left_out() -> None:
    log = MemoryLog()
    odd = {"a\\": {"b": 1}, "n\0ul": 2, "c\\.d": 1.5, "\u202ex": 2.5, "": 1}
    rows = [row | odd | {"tip": at % 2} for at, row in enumerate(topics.trips())]
    for at, row in enumerate(rows):
        row["c\\.d"] = at / 7
    log.append_raw("trips", [(None, json.dumps(row).encode()) for row in rows])
    project = guess_topic(log, "trips", label="tip")
    assert not {"a_b", "n_ul"} & {header.name for header in project.data.headers}
    assert project.trial.column("c_d")[:3] == [0.0, 1 / 7, 2 / 7]
