"""A partition that brings only unusable records, beside one that brings events, on real engines."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.streaming.engines.checker import Sent, problems
from tests.streaming.engines.collector import await_window, collect, job_settings, small_model
from tests.streaming.engines.producer import PacedProducer, event

pytestmark = pytest.mark.engine

CONTRACT = small_model("unusable", partitions=2)
MODEL, WINDOW = CONTRACT.model, CONTRACT.window_seconds


def without_time(at: float, rng: random.Random) -> bytes:
    return event(at, rng).replace(b'"at"', b'"when"')


def test_windows_close_and_the_partition_is_taken_up_again(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=2)])
    job = submit(job_settings(cluster, tmp_path, CONTRACT))
    topic = CONTRACT.events_topic
    usable = PacedProducer(cluster.bootstrap, topic, WINDOW, partitions=(0,), rate=200)
    broken = PacedProducer(
        cluster.bootstrap, topic, WINDOW, partitions=(1,), rate=200, make=without_time
    )
    usable.start()
    broken.start()
    await_window(log, MODEL, after=time.time() + WINDOW, partition=0)
    broken.stop()
    sent = [
        Sent(partition=record.partition, offset=record.offset, fate="dead")
        for record in broken.sent
    ]
    recovered = PacedProducer(cluster.bootstrap, topic, WINDOW, partitions=(1,), rate=200)
    recovered.start()
    await_window(log, MODEL, after=time.time() + WINDOW, partition=1)
    for producer in (recovered, usable):
        producer.stop()
        sent += producer.sent
    output = collect(log, MODEL, len(sent))
    flink.cancel(job)
    contradictions = problems(sent, output.summaries, output.dead_letters)
    assert not contradictions, "\n".join(contradictions)
