"""One job of several models on the real Flink.

Each model has its own windows, rate and counts, and another model joins the group from a savepoint
while the others' events come.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from deploy.app.stream_jobs import StreamJob
from streaming.contracts.model import ModelContract
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import (
    await_window,
    await_windows,
    collect,
    job_settings,
    small_model,
)
from tests.streaming.engines.producer import PacedProducer

pytestmark = pytest.mark.engine

SHORT = small_model("short", partitions=1, window=2.0)
LONG = small_model("long", partitions=2, window=5.0)
SILENT = small_model("silent", partitions=2)
JOINED = small_model("joined", partitions=1)
WINDOWS = 3
"""Windows of each model that are counted at least."""


def started_producer(cluster: Any, model: ModelContract, rate: float) -> PacedProducer:
    producer = PacedProducer(
        cluster.bootstrap,
        model.events_topic,
        model.window_seconds,
        partitions=tuple(range(model.partitions)),
        rate=rate,
    )
    producer.start()
    return producer


def test_models_of_one_job_do_not_affect_each_other(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    models = (SHORT, LONG, SILENT, JOINED)
    log.ensure(
        [
            *RECORD_TOPICS,
            *(applications_topic(m.events_topic, partitions=m.partitions) for m in models),
        ]
    )
    job = submit(job_settings(cluster, tmp_path, SHORT, LONG, SILENT, group="several"))
    producers = {
        SHORT.model: started_producer(cluster, SHORT, 200),
        LONG.model: started_producer(cluster, LONG, 100),
    }
    for model in producers:
        await_windows(log, model, WINDOWS - 1)
    more = job_settings(cluster, tmp_path, *models, group="several")
    job = StreamJob(flink, more).update(lambda: None, print)
    producers[JOINED.model] = started_producer(cluster, JOINED, 100)
    updated = time.time()
    for model in producers:
        await_windows(log, model, WINDOWS)
        await_window(log, model, after=updated)
    for producer in producers.values():
        producer.stop()
    for model, producer in producers.items():
        output = collect(log, model, len(producer.sent), seconds=60)
        contradictions = problems(producer.sent, output.summaries, output.dead_letters)
        assert not contradictions, model + ": " + "\n".join(contradictions)
        assert len(output.summaries) >= WINDOWS
        assert output.verdicts.keys() == {summary.window_end for summary in output.summaries}
    flink.cancel(job)
