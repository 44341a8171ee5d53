"""Every event is counted exactly once, even when processes are killed.

Events come at a constant rate over three partitions, one of which is silent; some are bad and some
late. The TaskManager and then the Python worker are killed by SIGKILL, and a promotion comes while
the job runs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from streaming.contracts.records import DriftVerdict, Record
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.promotions import first_promotion
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import (
    await_record,
    await_window,
    await_windows,
    collect,
    job_settings,
    small_model,
)
from tests.streaming.engines.producer import PacedProducer
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

CONTRACT = small_model("counted")
MODEL = CONTRACT.model


def test_every_event_is_counted_once(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    settings = job_settings(cluster, tmp_path, CONTRACT)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    job = submit(settings)
    assert submit(settings) == job
    producer = PacedProducer(
        cluster.bootstrap,
        CONTRACT.events_topic,
        CONTRACT.window_seconds,
        partitions=(0, 1),
        rate=400,
    )
    producer.start()
    promote_version_one(log, ArtifactStore(Path(settings.artifact_root)))
    kill_taskmanager(cluster)
    wait_for_checkpoint(flink, job)
    kill_workers(cluster)
    await_window(log, MODEL, after=time.time() + CONTRACT.window_seconds)
    producer.stop()
    output = collect(log, MODEL, len(producer.sent))
    assert {record.fate for record in producer.sent} == {"good", "dead", "late"}
    contradictions = problems(producer.sent, output.summaries, output.dead_letters)
    assert not contradictions, "\n".join(contradictions)
    assert output.verdicts.keys() == {summary.window_end for summary in output.summaries}
    last = max(record.window_end for record in producer.sent)
    assert output.verdicts[last].reference_id == "first"
    assert flink.status(job).restarts >= 2
    flink.cancel(job)
    assert flink.find(settings.name) is None


def promote_version_one(log: KafkaLog, store: ArtifactStore) -> None:
    """Make the first two windows the reference while the job runs, and wait for a verdict by it."""
    log.append([first_promotion(store, await_windows(log, MODEL, 2))])

    def by_it(record: Record) -> bool:
        return isinstance(record, DriftVerdict) and record.reference_id == "first"

    await_record(log, MODEL, by_it)


def kill_taskmanager(cluster: Any) -> None:
    cluster.kill("taskmanager")
    cluster.start("taskmanager")


def wait_for_checkpoint(flink: Flink, job: str) -> None:
    """Wait until the job has recovered: its workers have reported and a checkpoint completes."""
    since = time.time()
    wait_for(lambda: flink.status(job).last_checkpoint_at >= since, seconds=120)


def kill_workers(cluster: Any) -> None:
    """Kill the Python workers while they work."""
    workers = psutil.Process(cluster.processes["workers"].pid).children(recursive=True)
    assert workers
    for worker in workers:
        worker.kill()
