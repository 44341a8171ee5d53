"""The state of a job does not grow with the number of its reading steps."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink, JobStatus
from streaming.engines.kafka.log import KafkaLog
from streaming.job.submit import submit
from tests.streaming.engines.collector import job_settings, small_model
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

CONTRACT = small_model("bounded")
CHECKPOINTS = 4
"""Checkpoints are two seconds apart, and each reader makes at least one step in between. With a
splittable DoFn as source each step added 2 kB to the state."""


def test_steps_that_read_nothing_add_nothing_to_the_state(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    job = submit(job_settings(cluster, tmp_path, CONTRACT))
    before = after_checkpoints(flink, job, 2)
    later = after_checkpoints(flink, job, CHECKPOINTS)
    flink.cancel(job)
    assert later.checkpoints >= before.checkpoints + CHECKPOINTS
    assert before.state_bytes > 0
    assert abs(later.state_bytes - before.state_bytes) < 1_000


def after_checkpoints(flink: Flink, job: str, count: int) -> JobStatus:
    """The job's status after this many more checkpoints were completed."""
    began, first = time.time(), flink.status(job).checkpoints
    latest: list[JobStatus] = []

    def completed() -> bool:
        latest.append(flink.status(job))
        return latest[-1].checkpoints >= first + count and latest[-1].last_checkpoint_at > began

    wait_for(completed, seconds=60)
    return latest[-1]
