"""A Python worker that dies before it has reported to Flink holds up nothing.

Flink's task waits for the worker that it asked for as long as it takes, so whoever starts workers
has to see that one comes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink, submit
from streaming.engines.kafka.log import KafkaLog
from tests.background import Background
from tests.streaming.engines.collector import job_of, small_model

pytestmark = pytest.mark.engine

CONTRACT = small_model("early-death")


@dataclass
class Ambush(Background):
    """Kills the first worker that the pool of this process id starts."""

    pool: int
    killed: int = 0

    def work(self) -> None:
        """Wait for one, and kill it before it can have imported anything."""
        while not self.stopped and not self.killed:
            for worker in psutil.Process(self.pool).children(recursive=True):
                worker.kill()
                self.killed += 1
            time.sleep(0.01)


def test_a_worker_killed_while_it_starts_is_started_again(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    ambush = Ambush(cluster.processes["workers"].pid)
    ambush.start()
    job = submit(job_of(cluster, tmp_path, CONTRACT), seconds=90)
    ambush.stop()
    assert ambush.killed == 1
    assert flink.status(job).restarts == 0
    assert "ended with -9 unasked" in (cluster.home / "workers.log").read_text()
    flink.cancel(job)
