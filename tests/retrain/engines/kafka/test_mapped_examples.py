"""The replay has the rows and values that the stream counted, and prediction requests hold the same
values, for nested JSON, CloudEvents, Avro and Protobuf, with lists."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from retrain.engines.kafka.examples import LogExampleBuilder
from streaming.contracts.clock import ManualClock
from streaming.contracts.errors import TemporaryError
from streaming.contracts.events import decode_event
from streaming.contracts.log import MemoryLog
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import MISSING, FeatureSpec, ModelContract
from streaming.contracts.raw_record import Headers, KafkaRecord
from streaming.contracts.requests import instance
from streaming.contracts.topics import applications_topic
from streaming.windowing.decode import Decoder
from tests.retrain.builders import EVENTS, LABELS, request
from tests.retrain.engines.kafka.test_examples import all_rows
from tests.schema_registry import Schemas
from tests.streaming.windowing.format_events import (
    SCHEMAS,
    avro_contract,
    avro_document,
    avro_value,
    protobuf_contract,
    protobuf_message,
    protobuf_value,
)
from tests.streaming.windowing.mapped_events import (
    LISTS,
    NOW,
    contract_of,
    documents,
    encoded,
    event,
    with_lists,
)

TIPS = (FeatureSpec(name="tips", kind="number"),)
CONTRACT = replace(
    avro_contract(),
    events_topic=EVENTS,
    labels_topic=LABELS,
    labels=RecordMapping(
        key_from="kafka-key",
        time_format="none",
        fields=(FieldRule(name="tips", path="paid.tips", rule="decimal"),),
    ),
)


def filled_log() -> MemoryLog:
    log = MemoryLog(clock=ManualClock(NOW))
    log.ensure([applications_topic(EVENTS, partitions=2), applications_topic(LABELS, partitions=2)])
    events = [avro_value(avro_document(id=f"k{n}", seats=n)) for n in range(60)]
    log.append_raw(EVENTS, [(None, value) for value in [*events, events[0][:-2], b"{}"]])
    labels = [(b"k%d" % n, json.dumps({"paid": {"tips": f"{n}.5"}}).encode()) for n in range(50)]
    log.append_raw(LABELS, [*labels, (None, labels[0][1]), (b"k51", b'{"paid":{"tips":"?"}}')])
    return log


def builder(log: MemoryLog, schemas: Schemas) -> LogExampleBuilder:
    return LogExampleBuilder(log=log, label_columns=lambda _: TIPS, min_rows=1, schemas=schemas)


def test_the_replay_has_the_rows_of_the_stream(tmp_path: Path) -> None:
    log = filled_log()
    of_all = replace(request(events=log.spans(EVENTS), labels=log.spans(LABELS)), at=NOW)
    examples = builder(log, SCHEMAS).build(of_all, CONTRACT, tmp_path / "x")
    assert (examples.rows, examples.unlabelled, examples.unusable) == (50, 10, 4)
    rows = {row["seats"][0]: row for row in all_rows(examples.folder)}
    assert rows[7]["tips"] == [7.5]
    messages = [message for span in log.spans(EVENTS) for message in log.read(span)]
    decoded = Decoder(CONTRACT, min_column_records=0, schemas=SCHEMAS).decode(
        [message.value for message in messages], now=NOW, record_at=messages.__getitem__
    )
    assert len(decoded.times) == examples.rows + examples.unlabelled
    for values in decoded.batch.to_pylist():
        if values["seats"] in rows:
            row = rows[values["seats"]]
            assert row["fare"] == [values["fare"]]
            assert row["hour"] == [values["hour"]]
            assert row["company"] == [values["company"].encode()]


def test_a_replay_without_the_registry_is_tried_again_later(tmp_path: Path) -> None:
    log = filled_log()
    of_all = replace(request(events=log.spans(EVENTS), labels=log.spans(LABELS)), at=NOW)
    with pytest.raises(TemporaryError):
        builder(log, Schemas()).build(of_all, CONTRACT, tmp_path / "x")


# -------------------------------------------------- one record, read by everything that reads it

Row = dict[str, Any]


def replayed(records: Sequence[KafkaRecord], contract: ModelContract) -> dict[str, Row]:
    """The training rows of these records by their key, which the label repeats."""
    log = MemoryLog(clock=ManualClock(NOW))
    topics = (contract.events_topic, contract.labels_topic)
    log.ensure([applications_topic(topic, partitions=1) for topic in topics])
    messages = [(None, record.value or b"") for record in records]
    log.append_raw(contract.events_topic, messages, [record.headers for record in records])
    keys = {key for record in records if (key := key_of_row(record, contract)) is not None}
    labels = [json.dumps({"k": key, "tips": 1.0, "copy": key}).encode() for key in sorted(keys)]
    log.append_raw(contract.labels_topic, [(None, label) for label in labels])
    of_labels = RecordMapping(key="k", time_format="none")
    contract = replace(contract, labels=of_labels)
    columns = (*TIPS, FeatureSpec(name="copy", kind="text"))
    build = LogExampleBuilder(
        log=log, label_columns=lambda _: columns, min_rows=1, schemas=SCHEMAS
    ).build
    of_all = request(events=log.spans(topics[0]), labels=log.spans(topics[1]))
    with TemporaryDirectory() as folder:
        rows = all_rows(build(replace(of_all, at=NOW), contract, Path(folder)).folder)
    return {row["copy"][0].decode(): row for row in rows}


def key_of_row(record: KafkaRecord, contract: ModelContract) -> str | None:
    from streaming.contracts.errors import DecodeError

    try:
        return decode_event(record, contract, now=NOW, schemas=SCHEMAS).key
    except DecodeError:
        return None


def check_alike(values: Sequence[bytes], contract: ModelContract, headers: Headers = ()) -> None:
    """Assert that stream, replay and prediction request hold the same values of each record."""
    records = [KafkaRecord(value=value, headers=headers) for value in values]
    decoded = Decoder(contract, min_column_records=0, schemas=SCHEMAS).decode(
        values, now=NOW, record_at=records.__getitem__
    )
    rows: dict[str, Row] = {}
    requests: dict[str, Row] = {}
    for at, row in zip(decoded.index.tolist(), decoded.batch.to_pylist(), strict=True):
        usable = decode_event(records[at], contract, now=NOW, schemas=SCHEMAS)
        rows.setdefault(usable.key, row)
        requests.setdefault(usable.key, instance(contract.features, usable.values))
    trained = replayed(records, contract)
    assert trained.keys() == rows.keys()
    for key, row in rows.items():
        for spec in contract.features:
            value = row[spec.name]
            (requested,) = requests[key][spec.name]
            if value is None:
                assert spec.name not in trained[key]
                assert requested == MISSING[spec.kind] or np.isnan(requested)
                continue
            (trained_on,) = trained[key][spec.name]
            assert requested == value
            if spec.kind == "number":
                assert trained_on == np.float32(np.clip(value, -3.4028235e38, 3.4028235e38))
            else:
                assert trained_on == (value.encode() if spec.kind == "text" else value)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(documents(), LISTS), max_size=8))
def test_stream_replay_and_request_read_nested_json_and_cloudevents_alike(
    rows: list[tuple[Row, Any]],
) -> None:
    good = event()
    for number, (document, tags) in enumerate(rows):
        if isinstance(document.get("trip"), dict):
            document["trip"] = document["trip"] | {"tags": tags, "id": f"k{number}"}
    values = [encoded(good), *(encoded(document) for document, _ in rows)]
    flat = replace(with_lists(contract_of()), largest_event_bytes=20_000)
    check_alike(values, flat)
    events = replace(flat.events, format="cloudevents")
    attributes = {"specversion": "1.0", "id": "c", "source": "/s", "type": "t"}
    wrapped = [
        encoded(attributes | {"data": document}) for document in (good, *(one for one, _ in rows))
    ]
    structured = (("content-type", b"application/cloudevents+json"),)
    check_alike(wrapped, replace(flat, events=events), structured)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**40), max_size=5), max_size=6))
def test_stream_replay_and_request_read_lists_in_avro_and_protobuf_alike(
    lists: list[list[int]],
) -> None:
    stops = FieldRule(name="tags", path="trip.stops", rule="categories")
    spec = FeatureSpec(name="tags", kind="text", categorical=True, multivalent=True)

    def of(contract: ModelContract) -> ModelContract:
        mapping = replace(contract.events, fields=(*contract.events.fields, stops))
        return replace(contract, features=(*contract.features, spec), events=mapping)

    rows = [[], *lists]
    avro = [avro_value(avro_document(id=f"k{n}", stops=row)) for n, row in enumerate(rows)]
    check_alike(avro, of(avro_contract()))
    messages = []
    for number, row in enumerate(rows):
        message = protobuf_message(id=f"k{number}")
        del message.trip.stops[:]
        message.trip.stops.extend([stop % 2**31 for stop in row])
        messages.append(protobuf_value(message))
    check_alike(messages, of(protobuf_contract()))
