"""Rescaling on the real Flink: one worker, two, one again, from savepoints, while events come.

One of three partitions is silent all the time and must not hold the windows open. While there are
two workers, two partitions are added to the topic and used.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewPartitions

from deploy.app.stream_jobs import StreamJob
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import await_window, collect, job_settings, small_model
from tests.streaming.engines.producer import PacedProducer

pytestmark = pytest.mark.engine

CONTRACT = small_model("rescaled")
MODEL, WINDOW = CONTRACT.model, CONTRACT.window_seconds


def test_events_are_counted_once_with_one_two_and_one_workers(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    settings = job_settings(cluster, tmp_path, CONTRACT)
    stream = StreamJob(flink, settings)
    producer = PacedProducer(cluster.bootstrap, CONTRACT.events_topic, WINDOW, partitions=(0, 1))
    job = submit(settings)
    producer.start()
    used = [flink.parallelism(job)]
    for parallelism in (2, 1):
        await_window(log, MODEL, after=time.time())
        if parallelism == 1:
            add_partitions(cluster.bootstrap, 5)
            producer.partitions = (0, 1, 3, 4)
            for partition in (3, 4):
                await_window(log, MODEL, after=time.time(), partition=partition)
        job = stream.update(lambda: None, print, parallelism=parallelism)
        used.append(flink.parallelism(job))
    await_window(log, MODEL, after=time.time())
    producer.stop()
    stopped = time.time()
    output = collect(log, MODEL, len(producer.sent), seconds=60)
    flink.cancel(job)
    assert used == [1, 2, 1]
    contradictions = problems(producer.sent, output.summaries, output.dead_letters)
    assert not contradictions, "\n".join(contradictions)
    assert {record.partition for record in producer.sent} == {0, 1, 3, 4}
    # the silent partition did not hold the last windows open
    last = max(summary.window_end for summary in output.summaries)
    assert time.time() - stopped < 60
    assert last >= stopped - WINDOW


def add_partitions(bootstrap: str, count: int) -> None:
    """Increase the topic's partitions to `count`."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    futures = admin.create_partitions([NewPartitions(CONTRACT.events_topic, count)])
    for future in futures.values():
        future.result(30)
