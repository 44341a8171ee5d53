"""Compressed Avro topics on a real broker, with a registry that goes down, lies and comes back."""

from __future__ import annotations

import dataclasses
import io
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fastavro
import pytest
from apache_beam.pvalue import TaggedOutput
from confluent_kafka import Producer
from msgspec.structs import replace

from streaming.contracts.codec import decode
from streaming.contracts.mapping import RecordMapping
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import RegistryAddress
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.drift import DriftRules
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.read_events import ReadEvents
from streaming.job.settings import JobSettings, ModelJob
from streaming.job.submit import submit
from streaming.windowing.accumulator import WindowCombiner
from streaming.windowing.completeness import decode_update
from tests.deploy.cli.runner import data, run
from tests.deploy.project import topics
from tests.schema_registry import RegistryState, schema_registry, wire
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import await_window, collect, job_settings, small_model
from tests.streaming.engines.producer import PacedProducer
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

SCHEMA = {
    "type": "record",
    "name": "Trip",
    "fields": [
        {"name": "id", "type": "string"},
        {"name": "at", "type": "double"},
        {"name": "fare", "type": "double"},
        {"name": "company", "type": ["null", "string"]},
    ],
}
_PARSED = fastavro.parse_schema(SCHEMA)
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
GOOD = 40
BOMB = b"\0\0\0\0\1" + bytes(8_000_000)
FAILURES = (
    (503, None),
    (404, b'{"error_code": 40403, "message": "Schema not found"}'),
    (200, b'{"schema": "\\"nothing\\"", "schemaType": "AVRO"}'),
    (200, b"<html>"),
)
"""Statuses and bodies of a registry that is down, and of one that lies."""
POISON = (b"\1abc", b"\0\0", wire(1, b"\x02"), wire(1, b"\x02a" + bytes(16) + b"\x08"), b"", BOMB)


class State:
    """A bag of Beam's state."""

    def __init__(self) -> None:
        self.data: bytes | None = None

    def read(self) -> bytes | None:
        return self.data

    def write(self, data: bytes) -> None:
        self.data = data


class StepReader:
    """The stream job's reading step for some models, and what came out of it."""

    def __init__(self, bootstrap: str, home: Path, url: str, *contracts: ModelContract) -> None:
        settings = JobSettings(
            models=tuple(ModelJob(contract=one, rules=DriftRules()) for one in contracts),
            group="formats",
            bootstrap=bootstrap,
            artifact_root=str(home),
            shards=1,
            idle_timeout_seconds=0.5,
            registry=RegistryAddress(url=url, timeout_seconds=2.0),
        )
        self.combiners = {one.model: WindowCombiner(one) for one in contracts}
        self.accepted = dict.fromkeys(self.combiners, 0)
        self.watermarks: dict[str, dict[int, int]] = {one.model: {} for one in contracts}
        self.reasons: dict[str, list[str]] = {one.model: [] for one in contracts}
        self._step, self._state = ReadEvents(settings), State()
        self._step.setup()

    def read(self) -> None:
        """One step."""
        for output in self._step.process((0, round(time.time() * 1000)), self._state):
            if isinstance(output, TaggedOutput):
                model, data = output.value
                self.reasons[model].append(getattr(decode(data), "reason", ""))
                continue
            model, data = output
            update = decode_update(data)
            assert update is not None
            self.watermarks[model].update(update.watermarks)
            for window in update.accumulators.values():
                self.accepted[model] += self.combiners[model].from_bytes(window).accepted

    def read_until(self, model: str, records: int) -> None:
        """Read until this many records of a model are accounted for."""

        def done() -> bool:
            self.read()
            return self.accepted[model] + len(self.reasons[model]) >= records

        wait_for(done, 30.0)

    def read_until_requests(self, registry: RegistryState, requests: int) -> None:
        """Read until the registry has had this many requests."""

        def done() -> bool:
            self.read()
            return registry.requests >= requests

        wait_for(done, 30.0)


@pytest.fixture(name="registry")
def _registry() -> Iterator[RegistryState]:
    with schema_registry() as state:
        state.add(1, json.dumps(SCHEMA))
        yield state


def avro(number: int, at: float | None = None) -> bytes:
    target = io.BytesIO()
    event = {
        "id": f"k{number}",
        "at": time.time() if at is None else at,
        "fare": 2.5,
        "company": "Blue",
    }
    fastavro.schemaless_writer(target, _PARSED, event)
    return wire(1, target.getvalue())


def produce(bootstrap: str, topic: str, codec: str, values: list[bytes]) -> None:
    settings = {"bootstrap.servers": bootstrap, "compression.type": codec, "linger.ms": 50}
    producer = Producer(settings | {"message.max.bytes": 20_000_000})
    for value in values:
        producer.produce(topic, value, partition=0, headers=[("trace", b"1")])
    assert producer.flush(20) == 0


def test_accounts_hold_while_the_registry_is_down_lies_and_comes_back(
    broker: Any, registry: RegistryState, tmp_path: Path
) -> None:
    name = f"formats{time.time_ns()}"
    plain = small_model(f"{name}-json", partitions=1)
    contract = replace(small_model(name, partitions=1), events=RecordMapping(format="avro"))
    log = KafkaLog(broker.bootstrap)
    log.ensure([applications_topic(one.events_topic, partitions=1) for one in (contract, plain)])
    for codec in CODECS:
        good = [avro(number) for number in range(GOOD)]
        poison = POISON if codec in ("gzip", "zstd") else POISON[:-1]
        produce(broker.bootstrap, contract.events_topic, codec, [*good, *poison])
    sent = len(CODECS) * (GOOD + len(POISON) - 1) + 2
    registry.status = 503
    reading = StepReader(broker.bootstrap, tmp_path, registry.url, contract, plain)
    for status, lie in FAILURES:
        registry.status, registry.body = status, lie
        produce(
            broker.bootstrap,
            plain.events_topic,
            "lz4",
            [b'{"id":"a","at":%.3f,"fare":1.5}' % time.time()] * 10,
        )
        before, requests = reading.accepted[plain.model], registry.requests
        reading.read_until(plain.model, before + 10)
        reading.read_until_requests(registry, requests + 1)
        assert (reading.accepted[name], reading.reasons[name]) == (0, [])
    registry.status, registry.body = 200, None
    reading.read_until(name, sent)
    (span,) = log.spans(contract.events_topic)
    assert span.stop == sent
    assert reading.accepted[name] == len(CODECS) * GOOD
    assert sorted(set(reading.reasons[name])) == [
        "empty",
        "oversize",
        "schema_mismatch",
        "truncated",
        "wrong_magic",
    ]
    assert reading.reasons[name].count("oversize") == 2
    log.close()


def test_what_comes_before_an_unknown_schema_is_read_and_the_rest_after_it_is_known(
    broker: Any, registry: RegistryState, tmp_path: Path
) -> None:
    name = f"unknown{time.time_ns()}"
    contract = replace(small_model(name, partitions=1), events=RecordMapping(format="avro"))
    log = KafkaLog(broker.bootstrap)
    log.ensure([applications_topic(contract.events_topic, partitions=1)])
    newer = wire(2, avro(1)[5:])
    produce(broker.bootstrap, contract.events_topic, "zstd", [avro(0), newer, avro(2)])
    reading = StepReader(broker.bootstrap, tmp_path, registry.url, contract)
    reading.read_until(name, 1)
    requests = registry.requests
    reading.read_until_requests(registry, requests + 2)
    assert reading.accepted[name] == 1
    # its watermark does not run ahead, so what waits will not be late
    assert max(reading.watermarks[name].values()) < time.time() * 1000
    registry.add(2, json.dumps(SCHEMA))
    reading.read_until(name, 3)
    assert (reading.accepted[name], reading.reasons[name]) == (3, [])
    log.close()


def test_avro_events_are_counted_exactly_once_by_the_job_on_flink(
    cluster: Any, registry: RegistryState, tmp_path: Path
) -> None:
    contract = replace(
        small_model(f"avro{time.time_ns()}", partitions=2), events=RecordMapping(format="avro")
    )
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(contract.events_topic, partitions=2)])
    settings = dataclasses.replace(
        job_settings(cluster, tmp_path, contract),
        registry=RegistryAddress(url=registry.url, timeout_seconds=2.0),
    )
    registry.status = 503
    job = submit(settings)
    producer = PacedProducer(
        cluster.bootstrap,
        contract.events_topic,
        contract.window_seconds,
        partitions=(0, 1),
        make=lambda at, rng: avro(rng.randrange(10), at),
    )
    producer.start()
    wait_for(lambda: registry.requests > 0, 60.0)
    registry.status = 200
    await_window(log, contract.model, after=time.time(), partition=1)
    producer.stop()
    output = collect(log, contract.model, len(producer.sent))
    flink.cancel(job)
    contradictions = problems(producer.sent, output.summaries, output.dead_letters)
    assert not contradictions, "\n".join(contradictions)


def test_a_topic_of_nested_avro_becomes_a_project_whose_check_accepts_every_event(
    broker: Any, registry: RegistryState, tmp_path: Path
) -> None:
    name = f"nested{time.time_ns()}"
    registry.add(topics.AVRO_ID, json.dumps(topics.TRIP))
    log, begin = KafkaLog(broker.bootstrap), time.time() - topics.ROWS
    log.ensure([applications_topic(f"{name}.{role}", partitions=2) for role in ("trips", "tips")])
    rows = [
        row | {"at": round((begin + number) * 1000)}
        for number, row in enumerate(topics.flat_trips())
    ]
    tips = [json.dumps({"ref": row["id"], "tip": row["shared"]}).encode() for row in rows]
    produce(broker.bootstrap, f"{name}.trips", "zstd", [topics.avro(row) for row in rows])
    produce(broker.bootstrap, f"{name}.tips", "gzip", tips)
    shown = run(
        *("init", name, "--from-topic", f"{name}.trips", "--labels-topic", f"{name}.tips"),
        *("--label", "tip", "--registry", registry.url, "--into", str(tmp_path / name)),
        log=KafkaLog(broker.bootstrap),
        env={"DRIFTLINE_HOME": str(tmp_path / "home")},
    )
    assert shown.exit_code == 0, shown.stderr
    assert "schema 21 of the registry, one of AVRO" in shown.stdout
    checked = run(
        *("events", "check", name, "--last", "1000", "--json"),
        config=tmp_path / name / "driftline.yaml",
        log=KafkaLog(broker.bootstrap),
    )
    assert checked.exit_code == 0, checked.stderr
    report = data(checked)
    assert (report["accepted"] + report["late"], report["refused"]) == (topics.ROWS, [])
    assert {"trip.miles", "trip.tags", "shared"} <= {
        field["path"] for field in report["fields"] if field["read_as"]
    }
    log.close()
