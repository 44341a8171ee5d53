"""Rescaling on the real Flink: one worker, two, one again, from savepoints, while events come.

Three partitions, one of them silent all the time: it must not hold the windows open. While there
are two workers, two more partitions are added to the topic, and used.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from deploy.app.stream_jobs import StreamJob
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink, submit
from streaming.engines.kafka.log import KafkaLog
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import collect, job_of, small_model
from tests.streaming.engines.producer import Paced

pytestmark = pytest.mark.engine

CONTRACT = small_model("rescaled")
WINDOW = CONTRACT.window_seconds
PHASE = 7.0
"""Seconds of traffic at each parallelism, after the job runs."""


def test_one_two_one_workers_count_every_event_once(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    settings = job_of(cluster, tmp_path, CONTRACT)
    stream = StreamJob(flink, settings)
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
        job = stream.update(lambda: None, print, parallelism=parallelism)
        used.append(flink.parallelism(job))
    time.sleep(PHASE)
    paced.stop()
    stopped = time.time()
    counted = collect(log, CONTRACT.model, len(paced.sent), seconds=60)
    flink.cancel(job)
    assert used == [1, 2, 1]
    found = problems(paced.sent, counted.summaries, counted.letters)
    assert not found, "\n".join(found)
    assert {one.partition for one in paced.sent} == {0, 1, 3, 4}
    # the silent partition did not hold back the last windows
    last = max(summary.window_end for summary in counted.summaries)
    assert time.time() - stopped < 60
    assert last >= stopped - WINDOW


def add_partitions(bootstrap: str, count: int) -> None:
    """The topic has `count` partitions from now on."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    asked = admin.create_partitions([NewPartitions(CONTRACT.events_topic, count)])
    for answer in asked.values():
        answer.result(30)
