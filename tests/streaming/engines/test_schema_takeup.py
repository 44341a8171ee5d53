"""A job on the real Kafka and Flink uses an accepted schema version, and keeps it after a kill."""

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
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.engines.tfdv import schema_text
from streaming.job.submit import submit
from streaming.schema import propose, version_from_file
from tests.streaming.engines.collector import job_settings, small_model
from tests.streaming.engines.producer import PacedProducer

pytestmark = pytest.mark.engine

SCHEMA = (
    'default_environment: "SERVING" default_environment: "TRAINING"\n'
    'feature { name: "fare" type: FLOAT }\n'
    'feature { name: "company" type: BYTES domain: "companies" }\n'
    'string_domain { name: "companies" value: "a" }\n'
)


def await_verdict(
    log: KafkaLog, model: str, matches: Callable[[SchemaVerdict], bool]
) -> SchemaVerdict:
    """The model's first schema verdict that matches; waits until it is written."""
    deadline = time.monotonic() + 120
    for message in log.follow([SCHEMA_VERDICTS.name], from_start=True):
        assert time.monotonic() < deadline, "no such verdict within two minutes"
        if message is not None and message.value is not None:
            record = decode(message.value)
            if isinstance(record, SchemaVerdict) and record.model == model and matches(record):
                return record
    raise AssertionError


def version(text: str, number: int, model: str) -> SchemaVersion:
    first = version_from_file(text, model=model, current=None, now=time.time())
    return replace(first, version=number)


def test_an_accepted_schema_is_active_from_the_next_window_on(cluster: Any, tmp_path: Path) -> None:
    path = tmp_path / "schema.pbtxt"
    path.write_text(SCHEMA)
    model = replace(small_model("schemed", partitions=1), schema_path=str(path))
    name, log = model.model, KafkaLog(cluster.bootstrap)
    log.ensure([*RECORD_TOPICS, applications_topic(model.events_topic, partitions=1)])
    job = submit(job_settings(cluster, tmp_path, model))
    producer = PacedProducer(
        cluster.bootstrap, model.events_topic, model.window_seconds, partitions=(0,)
    )
    producer.start()
    try:
        first = await_verdict(log, name, lambda verdict: verdict.outcome == "suspected")
        assert first.schema_version == 0
        (change,) = propose(first)
        assert (change.act, set(change.values)) == ("extend_domain", {"b", "c"})

        second = version(schema_text.apply_changes(SCHEMA, [change]), 2, name)
        log.append([version(SCHEMA, 1, name), second])
        after = await_verdict(log, name, lambda verdict: verdict.schema_version == 2)
        assert after.schema_digest == second.digest
        assert after.window_start > first.window_start
        assert not [finding for finding in after.findings if finding.kind == "unseen_value"]

        cluster.kill("taskmanager")
        killed = time.time()
        cluster.start("taskmanager")
        later = await_verdict(log, name, lambda verdict: verdict.window_start > killed)
        assert (later.schema_version, later.schema_digest) == (2, second.digest)
    finally:
        producer.stop()
        Flink(cluster.rest).cancel(job)
