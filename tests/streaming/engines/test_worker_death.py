"""A Python worker that dies before it has reported to Flink does not block the job.

Flink's task waits without a timeout for the worker that it requested, so the pool must restart it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.background import Background
from tests.streaming.engines.collector import job_settings, small_model

pytestmark = pytest.mark.engine

CONTRACT = small_model("early-death")


@dataclass
class KillFirstWorker(Background):
    """Kills the first worker that the pool with this process id starts from now on."""

    pool: int
    killed: int = 0

    def __post_init__(self) -> None:
        self.older = set(self.workers())  # of a job that is just being cancelled

    def workers(self) -> list[psutil.Process]:
        """The pool's workers now."""
        return psutil.Process(self.pool).children(recursive=True)

    def work(self) -> None:
        """Wait for a worker, and kill it before it has imported anything."""
        while not self.stopped and not self.killed:
            for worker in [worker for worker in self.workers() if worker not in self.older][:1]:
                worker.kill()
                self.killed += 1
            time.sleep(0.01)


def test_a_worker_that_is_killed_while_it_starts_is_restarted(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    killer = KillFirstWorker(cluster.processes["workers"].pid)
    killer.start()
    job = submit(job_settings(cluster, tmp_path, CONTRACT), seconds=90)
    killer.stop()
    assert killer.killed == 1
    assert flink.status(job).restarts == 0
    log_text = (cluster.home / "workers.log").read_text()
    assert "worker.restarting" in log_text
    assert "unexpected_exit_code=-9" in log_text
    flink.cancel(job)
