"""One job of several models on the real Flink: each keeps its own windows, pace and counts, and
another model joins the group from a savepoint while the others' events come."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from deploy.app.stream_jobs import StreamJob
from streaming.contracts.model import ModelContract
from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink, submit
from streaming.engines.kafka.log import KafkaLog
from tests.streaming.engines.checker import problems
from tests.streaming.engines.collector import collect, job_of, small_model
from tests.streaming.engines.producer import Paced

pytestmark = pytest.mark.engine

SHORT = small_model("short", partitions=1, window=2.0)
LONG = small_model("long", partitions=2, window=5.0)
SILENT = small_model("silent", partitions=2)
JOINED = small_model("joined", partitions=1)


def paced(cluster: Any, model: ModelContract, rate: float) -> Paced:
    return Paced(
        cluster.bootstrap,
        model.events_topic,
        model.window_seconds,
        partitions=tuple(range(model.partitions)),
        rate=rate,
    )


def test_models_of_one_job_do_not_disturb_each_other(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    models = (SHORT, LONG, SILENT, JOINED)
    log.ensure(
        [
            *RECORD_TOPICS,
            *(applications_topic(m.events_topic, partitions=m.partitions) for m in models),
        ]
    )
    settings = job_of(cluster, tmp_path, SHORT, LONG, SILENT, group="several")
    job = submit(settings)
    senders = {one.model: paced(cluster, one, rate) for one, rate in ((SHORT, 200), (LONG, 100))}
    for sender in senders.values():
        sender.start()
    time.sleep(12)
    more = job_of(cluster, tmp_path, *models, group="several")
    job = StreamJob(flink, more).update(lambda: None, print)
    senders[JOINED.model] = paced(cluster, JOINED, 100)
    senders[JOINED.model].start()
    time.sleep(14)
    for sender in senders.values():
        sender.stop()
    for model, sender in senders.items():
        counted = collect(log, model, len(sender.sent), seconds=60)
        found = problems(sender.sent, counted.summaries, counted.letters)
        assert not found, model + ": " + "\n".join(found)
        assert len(counted.summaries) >= 3
        assert counted.verdicts.keys() == {one.window_end for one in counted.summaries}
    flink.cancel(job)
