"""Rescaling on the real Flink: one worker, two, one again, from savepoints, while events come.

Three partitions, one of them silent all the time: it must not hold the windows open. While there
are two workers, two more partitions are added to the topic, and used.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from streaming.contracts.codec import decode
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import DeadLetter, Record, WindowSummary
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.drift import DriftRules
from streaming.engines.flink import Flink, submit
from streaming.engines.job import JobSettings, ModelJob
from streaming.engines.kafka_log import KafkaLog
from tests.streaming.engines.checker import problems
from tests.streaming.engines.paced import Paced

pytestmark = pytest.mark.engine

WINDOW = 4.0
CONTRACT = ModelContract(
    model="rescaled",
    module="",
    events_topic="rescaled.trips",
    labels_topic="rescaled.tips",
    key="id",
    time="at",
    partitions=3,
    window_seconds=WINDOW,
    disorder_seconds=1.0,
    features=(
        FeatureSpec(name="fare", kind="number", required=True),
        FeatureSpec(name="company", kind="text", categorical=True),
    ),
)
TOPICS = ("window-statistics", "dead-letters", "late-events")
PHASE = 7.0
"""Seconds of traffic at each parallelism, after the job runs."""


def test_one_two_one_workers_count_every_event_once(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    settings = JobSettings(
        models=(ModelJob(contract=CONTRACT, rules=DriftRules()),),
        bootstrap=cluster.bootstrap,
        artifact_root=str(tmp_path / "artifacts"),
        job_endpoint=cluster.job_endpoint,
        worker_endpoint=cluster.worker_endpoint,
        flink_rest=cluster.rest,
        checkpoint_seconds=2.0,
        checkpoint_folder=str(cluster.home / "checkpoints"),
        idle_seconds=2.0,
    )
    paced = Paced(cluster.bootstrap, CONTRACT.events_topic, WINDOW, partitions=(0, 1))
    job = submit(settings)
    paced.start()
    used = [flink.parallelism(job)]
    for parallelism in (2, 1):
        time.sleep(PHASE)
        if parallelism == 1:
            add_partitions(cluster.bootstrap, 5)
            paced.partitions = (0, 1, 3, 4)
            time.sleep(PHASE)
        point = flink.savepoint(job)
        flink.cancel(job)
        job = submit(replace(settings, parallelism=parallelism, restore=point))
        used.append(flink.parallelism(job))
    time.sleep(PHASE)
    paced.stop()
    stopped = time.time()
    summaries, letters = collect(log, len(paced.sent))
    flink.cancel(job)
    assert used == [1, 2, 1]
    found = problems(paced.sent, summaries, letters)
    assert not found, "\n".join(found)
    assert {one.partition for one in paced.sent} == {0, 1, 3, 4}
    # the silent partition did not hold back the last windows
    last = max(summary.window_end for summary in summaries)
    assert time.time() - stopped < 60
    assert last >= stopped - WINDOW


def add_partitions(bootstrap: str, count: int) -> None:
    """The topic has `count` partitions from now on."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    asked = admin.create_partitions([NewPartitions(CONTRACT.events_topic, count)])
    for answer in asked.values():
        answer.result(30)


def follow(log: KafkaLog, seconds: float) -> Iterator[Record]:
    """Records of this model until the time is over."""
    deadline = time.monotonic() + seconds
    for message in log.follow(list(TOPICS), from_start=True):
        if time.monotonic() > deadline:
            return
        if message is not None and message.value is not None:
            record = decode(message.value)
            if record.model == CONTRACT.model:
                yield record


def collect(log: KafkaLog, total: int) -> tuple[list[WindowSummary], list[DeadLetter]]:
    """All summaries and letters, until as many offsets as were sent are accounted for."""
    summaries: dict[str, WindowSummary] = {}
    letters: dict[tuple[int, int], DeadLetter] = {}
    everything: list[WindowSummary] = []
    for record in follow(log, 60):
        if isinstance(record, WindowSummary):
            everything.append(record)
            summaries[record.record_id] = record
        elif isinstance(record, DeadLetter):
            letters[record.partition, record.offset] = record
        read = sum(one.offsets_read for one in summaries.values())
        aside = sum(one.dead_letters + one.late for one in summaries.values())
        if read >= total and aside <= len(letters):
            break
    return everything, list(letters.values())
