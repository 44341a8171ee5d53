"""Nothing outside this machine reaches a process of the embedded stack, nor another user its files.

Flink and Beam run what is sent to them, so an open port would let everybody in. It goes on with the
stack that a demonstration has left.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.local.embedded import embedded_stack
from deploy.local.stack import Stack
from tests.deploy.local.exposed import (
    listening,
    open_to_network,
    processes_of,
    readable_by_others,
)
from tests.e2e.conftest import Machine

pytestmark = pytest.mark.e2e

FNAPI_SERVERS = 6
"""Servers that a TaskManager opens for the Python workers of a job."""


@pytest.fixture
def deployment(kept: Machine, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setenv("DRIFTLINE_HOME", str(kept.home))
    return Deployment.load(kept.profile)


@pytest.fixture
def stack(kept: Machine, deployment: Deployment) -> Stack:
    """The whole stack with a running stream job."""
    stack = embedded_stack(deployment)
    kept.wait(
        lambda: len(listening(processes_of(stack, "flink-taskmanager"))) > FNAPI_SERVERS,
        seconds=120,
    )
    return stack


def exposed_files(deployment: Deployment) -> list[Path]:
    """What others may read, but for files of published models in folders that are closed to them.

    A model's files are for reading only, so that it stays what was judged.
    """
    models = deployment.home / "artifacts" / "models"
    return [
        path
        for path in readable_by_others(deployment.home)
        if path.is_dir() or models not in path.parents or path.stat().st_mode & 0o777 != 0o444
    ]


def test_every_process_listens_on_loopback_only(stack: Stack) -> None:
    sockets = listening(processes_of(stack))
    assert open_to_network(sockets) == []


def test_every_process_was_looked_at(stack: Stack, deployment: Deployment) -> None:
    ports = deployment.ports
    expected = {
        ports.kafka,
        ports.flink_rest,
        ports.flink_job_metrics,
        ports.flink_worker_metrics,
        ports.jobserver,
        ports.jobserver_artifacts,
        ports.jobserver_expansion,
        ports.workers,
        ports.envoy,
        ports.prometheus,
        ports.alertmanager,
        ports.stable_rest,
        ports.canary_grpc,
        ports.daemon_metrics,
    }
    assert expected <= {port for _, port, _ in listening(processes_of(stack))}


def test_files_are_private(deployment: Deployment) -> None:
    assert exposed_files(deployment) == []


def test_an_open_folder_is_closed_by_the_next_up(kept: Machine, deployment: Deployment) -> None:
    deployment.home.chmod(0o755)
    kept.run("up")
    assert exposed_files(deployment) == []
