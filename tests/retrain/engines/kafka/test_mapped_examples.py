"""Avro events and nested labels: the replay has the rows and values that the stream counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from retrain.engines.kafka.examples import LogExampleBuilder
from streaming.contracts.clock import ManualClock
from streaming.contracts.errors import TemporaryError
from streaming.contracts.log import MemoryLog
from streaming.contracts.mapping import FieldRule, RecordMapping
from streaming.contracts.model import FeatureSpec
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
)
from tests.streaming.windowing.mapped_events import NOW

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
    decoded = Decoder(CONTRACT, min_arrow_records=0, schemas=SCHEMAS).decode(
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
