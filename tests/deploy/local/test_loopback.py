"""Nothing outside this machine reaches a process of the embedded stack, nor another user its files.

Flink and Beam run what is sent to them, so an open port would let everybody in.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import psutil
import pytest

from deploy.app.deployment import Deployment
from deploy.app.stream_jobs import stream_job
from deploy.app.topics import ensure_topics
from deploy.local.embedded import embedded_stack
from deploy.local.private_folder import private_files
from deploy.local.stack import Stack
from tests.deploy.cli.runner import DEMO
from tests.engine_ports import port_offset

pytestmark = pytest.mark.engine

OFFSET = port_offset(700)
FNAPI_SERVERS = 6
"""Servers that a TaskManager opens for the Python workers of a job."""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRIFTLINE_HOME", str(tmp_path_factory.mktemp("state")))
        patch.setenv("DRIFTLINE__LOCAL__PORT_OFFSET", str(OFFSET))
        yield Deployment.load(DEMO)


@pytest.fixture(scope="module")
def stack(deployment: Deployment) -> Iterator[Stack]:
    """The whole stack with a running stream job."""
    stack = embedded_stack(deployment)
    try:
        stack.up(["kafka"])
        ensure_topics(deployment)
        stack.up()
        before = len(listening(processes_of(stack, "flink-taskmanager")))
        model = next(iter(deployment.settings.models))
        stream_job(deployment, model).submit(lambda: None, lambda text: None)
        limit = time.monotonic() + 120.0
        while len(listening(processes_of(stack, "flink-taskmanager"))) < before + FNAPI_SERVERS:
            assert time.monotonic() < limit, "the job did not open its servers"
            time.sleep(0.2)
        yield stack
    finally:
        stack.down()


def processes_of(stack: Stack, *names: str) -> list[psutil.Process]:
    """The named processes (all without a name) and everything that they have started.

    Each leads a session of its own, which also holds what has lost its parent.
    """
    leaders = {
        status.pid
        for status in stack.status()
        if status.pid is not None and (not names or status.name in names)
    }
    members = {process for process in psutil.process_iter() if _session(process.pid) in leaders}
    for leader in leaders:
        members.update(psutil.Process(leader).children(recursive=True))
    return sorted(members, key=lambda process: process.pid)


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def listening(processes: Iterable[psutil.Process]) -> set[tuple[str, int, str]]:
    """Address, port and program of each TCP or UDP socket that strangers could send to."""
    sockets = set()
    for process in processes:
        try:
            program = process.name()
            connections = process.net_connections("inet")
        except psutil.NoSuchProcess:
            continue
        for connection in connections:
            if connection.status == psutil.CONN_LISTEN or (
                connection.status == psutil.CONN_NONE and not connection.raddr
            ):
                sockets.add((connection.laddr.ip, connection.laddr.port, program))
    return sockets


def open_to_network(sockets: Iterable[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """Those that are not bound to a loopback address."""
    return sorted(socket for socket in sockets if not _is_loopback(socket[0]))


def _is_loopback(address: str) -> bool:
    ip = ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    return (mapped or ip).is_loopback


def readable_by_others(folder: Path) -> list[Path]:
    """Files and folders that group or others may read, write or enter."""
    return [path for path in (folder, *folder.rglob("*")) if path.lstat().st_mode & 0o077]


@pytest.mark.parametrize("address", ["0.0.0.0", "::"])
def test_a_socket_on_every_address_is_seen(address: str) -> None:
    code = (
        "import socket, sys; family = socket.AF_INET6 if ':' in sys.argv[1] else socket.AF_INET;"
        "server = socket.create_server((sys.argv[1], 0), family=family);"
        "print(server.getsockname()[1], flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        exposed = open_to_network(listening([psutil.Process(child.pid)]))
        child.send_signal(signal.SIGTERM)
    assert [(socket[0], socket[1]) for socket in exposed] == [(address, port)]


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


def test_files_are_private(stack: Stack, deployment: Deployment) -> None:
    assert readable_by_others(deployment.home) == []


def test_an_open_folder_is_closed_by_the_next_up(stack: Stack, deployment: Deployment) -> None:
    deployment.home.chmod(0o755)
    with private_files():
        stack.up()
    assert readable_by_others(deployment.home) == []
