"""What was sent is what was counted, whatever is killed on the way.

Paced events over three partitions, one of them silent; bad and late records among them; the
TaskManager and then the Python worker die by SIGKILL, a promotion comes while the job runs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from streaming.contracts.records import WindowSummary
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.flink.client import Flink, submit
from streaming.engines.kafka.log import KafkaLog
from tests.promotions import first_promotion
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import collect, follow, job_of, small_model
from tests.streaming.engines.producer import Paced

pytestmark = pytest.mark.engine

CONTRACT = small_model("counted")


def promote(log: KafkaLog, store: ArtifactStore) -> None:
    """The first windows become the reference, while the job runs."""
    seen: list[WindowSummary] = []
    for record in follow(log, CONTRACT.model, 30):
        if isinstance(record, WindowSummary):
            seen.append(record)
        if len(seen) == 2:
            break
    log.append([first_promotion(store, seen)])


def test_every_event_is_counted_once(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    settings = job_of(cluster, tmp_path, CONTRACT)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    job = submit(settings)
    assert submit(settings) == job
    paced = Paced(
        cluster.bootstrap,
        CONTRACT.events_topic,
        CONTRACT.window_seconds,
        partitions=(0, 1),
        rate=400,
    )
    paced.start()
    time.sleep(12)
    promote(log, ArtifactStore(Path(settings.artifact_root)))
    time.sleep(3)
    kill_taskmanager(cluster)
    wait_for_checkpoint(flink, job)
    kill_workers(cluster)
    time.sleep(9)
    paced.stop()
    counted = collect(log, CONTRACT.model, len(paced.sent))
    found = problems(paced.sent, counted.summaries, counted.letters)
    assert not found, "\n".join(found)
    assert counted.verdicts.keys() == {one.window_end for one in counted.summaries}
    last = max(one.window_end for one in paced.sent)
    assert counted.verdicts[last].reference_id == "first"
    assert flink.status(job).restarts >= 2
    flink.cancel(job)
    assert flink.find(settings.name) is None


def kill_taskmanager(cluster: Any) -> None:
    cluster.kill("taskmanager")
    cluster.start("taskmanager")


def wait_for_checkpoint(flink: Flink, job: str) -> None:
    """Until the job has recovered: it works again, its workers have reported."""
    since, deadline = time.time(), time.monotonic() + 120
    while flink.status(job).last_checkpoint_at < since:
        assert time.monotonic() < deadline, "the job did not recover"
        time.sleep(0.5)


def kill_workers(cluster: Any) -> None:
    """Kill the Python workers while they work."""
    workers = psutil.Process(cluster.processes["workers"].pid).children(recursive=True)
    assert workers
    for worker in workers:
        worker.kill()
