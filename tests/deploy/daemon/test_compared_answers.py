"""What the daemon compares: the servers of control and canary, and the model's own events."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from deploy.app.deployment import Deployment
from deploy.app.serving_engines import answers_of_versions
from deploy.daemon import assembly
from deploy.daemon.background_answers import BackgroundAnswers
from serving.paired import RecentRequests
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Cause
from tests.deploy.cli.runner import DEMO
from tests.serving.rollout_simulation import version


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


@pytest.fixture
def deployment(log: MemoryLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    monkeypatch.setenv("DRIFTLINE__LOCAL__PORT_OFFSET", "300")
    return Deployment.load(DEMO, log_factory=lambda bootstrap: log)


def send_trips(log: MemoryLog, at: float, count: int, first: int = 0) -> None:
    trips, tips = [], []
    for number in range(first, first + count):
        key = f"trip-{number}"
        fields = {"trip_id": key, "event_time": at, "fare": 10.0, "trip_miles": 2.0}
        fields |= {"trip_seconds": 600, "payment_type": "Cash" if number % 2 else "Credit Card"}
        trips.append((key.encode(), json.dumps(fields).encode()))
        label = {"trip_id": key, "event_time": at, "fare": 10.0, "tips": 3.0 * (number % 2)}
        tips.append((key.encode(), json.dumps(label).encode()))
    log.append_raw("taxi.trips", trips)
    log.append_raw("taxi.tips", tips)


def recent(deployment: Deployment, cause: Cause, window_start: float) -> RecentRequests:
    candidate = replace(version(2), model="big_tipper", cause=cause, window_start=window_start)
    return assembly._recent_requests(deployment, candidate, lambda: False)


def test_requests_are_the_models_events_with_its_slices_and_labels(
    deployment: Deployment, log: MemoryLog
) -> None:
    send_trips(log, time.time(), 40)
    read = recent(deployment, "manual", 0.0)
    assert len(read.rows) == 40
    names = {spec.name for spec in deployment.contract("big_tipper").features}
    assert set(read.instances[0]) == names
    assert set(read.slices) == {"payment_type"}
    assert read.labels is not None
    assert np.array_equal(
        read.labels, [float(text == "Cash") for text in read.slices["payment_type"]]
    )


@pytest.mark.parametrize(("cause", "rows"), [("drift", 5), ("concept", 5), ("schedule", 25)])
def test_a_version_that_a_shift_caused_is_compared_on_what_came_after_it(
    deployment: Deployment, log: MemoryLog, cause: Cause, rows: int
) -> None:
    now = time.time()
    send_trips(log, now - 20.0, 20)
    send_trips(log, now, 5, first=100)
    assert len(recent(deployment, cause, now - 10.0).rows) == rows


def test_the_servers_of_control_and_canary_are_asked_with_the_models_rules(
    deployment: Deployment,
) -> None:
    engine = answers_of_versions(
        deployment, "big_tipper", lambda given_up: RecentRequests(rows=[], instances=[])
    )
    ports = deployment.ports
    assert engine.champion_url == f"http://127.0.0.1:{ports.model('control')[1]}"
    assert engine.canary_url == f"http://127.0.0.1:{ports.model('canary')[1]}"
    assert engine.rules == deployment.rollout_rules("big_tipper").shadow


def test_the_daemon_compares_in_the_background(deployment: Deployment) -> None:
    controller = assembly.model_controller(deployment, "big_tipper")
    assert isinstance(controller.serving.answers, BackgroundAnswers)
    servers_away = controller.serving.answers.run(
        replace(version(2), model="big_tipper"), 1, lambda: False
    )
    assert servers_away.outcome == "insufficient"  # no events, so no server is asked
