"""The job on the real Kafka and Flink takes an accepted schema, and keeps it through a kill."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from streaming.contracts.codec import decode
from streaming.contracts.records import SchemaVerdict, SchemaVersion
from streaming.contracts.topics import RECORD_TOPICS, SCHEMA_VERDICTS, applications_topic
from streaming.engines.flink.client import Flink, submit
from streaming.engines.kafka.log import KafkaLog
from streaming.engines.tfdv import schema_text
from streaming.schema import from_file, propose
from tests.streaming.engines.collector import job_of, small_model
from tests.streaming.engines.producer import Paced

pytestmark = pytest.mark.engine

SCHEMA = (
    'default_environment: "SERVING" default_environment: "TRAINING"\n'
    'feature { name: "fare" type: FLOAT }\n'
    'feature { name: "company" type: BYTES domain: "companies" }\n'
    'string_domain { name: "companies" value: "a" }\n'
)


def waited(log: KafkaLog, model: str, wanted: Callable[[SchemaVerdict], bool]) -> SchemaVerdict:
    """The first verdict that is as wanted."""
    deadline = time.monotonic() + 120
    for message in log.follow([SCHEMA_VERDICTS.name], from_start=True):
        assert time.monotonic() < deadline, "no such verdict within two minutes"
        if message is not None and message.value is not None:
            record = decode(message.value)
            if isinstance(record, SchemaVerdict) and record.model == model and wanted(record):
                return record
    raise AssertionError


def version(text: str, number: int, model: str) -> SchemaVersion:
    made = from_file(text, model=model, current=None, now=time.time())
    return replace(made, version=number)


def test_an_accepted_schema_holds_from_the_next_window_on(cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_text(SCHEMA)
    model = replace(small_model("schemed", partitions=1), schema_path=str(path))
    name, log = model.model, KafkaLog(cluster.bootstrap)
    log.ensure([*RECORD_TOPICS, applications_topic(model.events_topic, partitions=1)])
    job = submit(job_of(cluster, tmp_path, model))
    sender = Paced(cluster.bootstrap, model.events_topic, model.window_seconds, partitions=(0,))
    sender.start()
    try:
        first = waited(log, name, lambda one: one.outcome == "suspected")
        assert first.schema_version == 0
        (change,) = propose(first)
        assert (change.act, set(change.values)) == ("extend_domain", {"b", "c"})

        second = version(schema_text.changed(SCHEMA, [change]), 2, name)
        log.append([version(SCHEMA, 1, name), second])
        after = waited(log, name, lambda one: one.schema_version == 2)
        assert after.schema_digest == second.digest
        assert after.window_start > first.window_start
        assert not [one for one in after.findings if one.kind == "unseen_value"]

        cluster.kill("taskmanager")
        killed = time.time()
        cluster.start("taskmanager")
        later = waited(log, name, lambda one: one.window_start > killed)
        assert (later.schema_version, later.schema_digest) == (2, second.digest)
    finally:
        sender.stop()
        Flink(cluster.rest).cancel(job)
