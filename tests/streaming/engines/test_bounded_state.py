"""A job that reads on and on, and has nothing to remember, keeps its state as small as it was."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from streaming.contracts.topics import RECORD_TOPICS, applications_topic
from streaming.engines.flink.client import Flink, submit
from streaming.engines.kafka.log import KafkaLog
from tests.streaming.engines.collector import job_of, small_model

pytestmark = pytest.mark.engine

CONTRACT = small_model("bounded")
STEPS_SECONDS = 15.0
"""Each of the job's readers makes at least ten steps in it; each step kept 2 kB once."""


def test_steps_that_read_nothing_leave_nothing_in_the_state(cluster: Any, tmp_path: Path) -> None:
    log, flink = KafkaLog(cluster.bootstrap), Flink(cluster.rest)
    log.ensure([*RECORD_TOPICS, applications_topic(CONTRACT.events_topic, partitions=3)])
    job = submit(job_of(cluster, tmp_path, CONTRACT))
    before = state_bytes(flink, job, after=time.time())
    time.sleep(STEPS_SECONDS)
    later = state_bytes(flink, job, after=time.time())
    flink.cancel(job)
    assert before > 0
    assert abs(later - before) < 1_000


def state_bytes(flink: Flink, job: str, *, after: float) -> int:
    """Of the second checkpoint that was completed after this time."""
    deadline, seen = time.monotonic() + 60, set[float]()
    while time.monotonic() < deadline:
        status = flink.status(job)
        if status.last_checkpoint_at > after:
            seen.add(status.last_checkpoint_at)
        if len(seen) == 2:
            return status.state_bytes
        time.sleep(0.2)
    raise AssertionError("no checkpoint was completed")
