"""The containers' health check tells a process that answers from one that only has a socket."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.source_files import PROJECT

SCRIPT = PROJECT / "deploy" / "docker" / "health.sh"
HTTP = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
PROGRESS = b"driftline_progress_seconds"
Check = Callable[..., subprocess.CompletedProcess[str]]
Serve = Callable[[bytes], int]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Runs the health check as in a container that has just started."""
    environment = {**os.environ, "HEALTH_MEMORY": str(tmp_path / "memory"), "HEALTH_SECONDS": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", str(SCRIPT), *arguments]
        return subprocess.run(
            command, env=environment, check=False, capture_output=True, text=True, timeout=30
        )

    return run


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that answer every request with the same bytes; returns the port."""
    listeners: list[socket.socket] = []

    def start(answer: bytes) -> int:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        threading.Thread(target=_answer, args=(listener, answer), daemon=True).start()
        return int(listener.getsockname()[1])

    yield start
    for listener in listeners:
        listener.close()


def _answer(listener: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(OSError):  # the check may have left already
            connection.recv(4096)
            connection.sendall(answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(4096):  # the rest of the request, else the answer is lost
                pass


PROBES = {
    "http": (HTTP, ("/ready",)),
    "taskmanager": (HTTP + b'{"taskmanagers":1,"slots-total":4}', ()),
    "kafka": (b"\0\0\0\x0a" + b"\0\0\0\1" + b"\0\0" + b"\0\0\0\0", ()),
    "grpc": (b"\0\0\x12\4\0\0\0\0\0" + bytes(18), ()),
    "progress": (HTTP + b'%s{process="a"} 9e+99\n' % PROGRESS, ("a", "60")),
}


@pytest.mark.parametrize("probe", PROBES)
def test_an_answer_is_healthy(check: Check, serve: Serve, probe: str) -> None:
    answer, details = PROBES[probe]
    checked = check("8", probe, str(serve(answer)), *details)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("probe", PROBES)
def test_a_stopped_process_is_unhealthy_though_it_takes_connections(
    check: Check, probe: str
) -> None:
    program = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0))\n"
        "print(s.getsockname()[1], flush=True)\n"
        "while True: s.accept()[0].sendall(b'x' * 100)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        process.send_signal(signal.SIGSTOP)
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
        checked = check("8", probe, str(port), *PROBES[probe][1])
        process.kill()
    assert checked.returncode == 1
    assert f"no answer to the probe {probe}" in checked.stdout


@pytest.mark.parametrize("probe", PROBES)
def test_nobody_at_the_port_is_unhealthy(check: Check, probe: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    assert check("8", probe, port, *PROBES[probe][1]).returncode == 1


@pytest.mark.parametrize(
    ("probe", "answer"),
    [
        ("http", b"HTTP/1.1 503 Service Unavailable\r\n\r\n"),
        ("http", b"HTTP/1.1 404 Not Found\r\n\r\n200"),
        ("http", b""),
        ("taskmanager", HTTP + b'{"taskmanagers":0,"slots-total":0}'),
        ("kafka", b"\0\0"),
        ("grpc", b"HTTP/1.1"),
        ("progress", HTTP + b'%s{process="b"} 9e+99\n' % PROGRESS),
        ("progress", HTTP + b'%s{process="a"} 1.7e+09\n' % PROGRESS),
        ("progress", HTTP),
    ],
)
def test_a_wrong_answer_is_unhealthy(check: Check, serve: Serve, probe: str, answer: bytes) -> None:
    port = str(serve(answer))
    assert check("8", probe, port, *PROBES[probe][1]).returncode == 1


@pytest.mark.parametrize(("age", "status"), [(0, 0), (50, 0), (70, 1), (3600, 1)])
def test_a_step_too_long_ago_is_unhealthy(
    check: Check, serve: Serve, age: float, status: int
) -> None:
    metric = f'{PROGRESS.decode()}{{process="a"}} {time.time() - age}\n'
    port = str(serve(HTTP + metric.encode()))
    assert check("8", "progress", port, "a", "60").returncode == status


def test_failures_are_counted_only_after_the_first_answer(
    check: Check, serve: Serve, tmp_path: Path
) -> None:
    port = str(serve(b""))
    check("8", "http", port, "/")
    assert not (tmp_path / "memory").exists()
    check("8", "http", str(serve(HTTP)), "/")
    for _ in range(2):
        check("8", "http", port, "/")
    assert (tmp_path / "memory").read_text() == "2\n"
    check("8", "http", str(serve(HTTP)), "/")
    assert (tmp_path / "memory").read_text() == "0\n"


def test_outside_a_container_nothing_is_ended(check: Check, serve: Serve) -> None:
    check("1", "http", str(serve(HTTP)), "/")
    with subprocess.Popen(["sleep", "60"]) as bystander:
        assert check("1", "http", str(serve(b"")), "/").returncode == 1
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize(
    ("init", "inside"),
    [
        ("docker-init", True),
        ("tini", True),
        ("tini-static", True),
        ("podman-init", True),
        ("catatonit", True),
        ("systemd", False),
        ("bash", False),
        ("", False),
        (None, False),
    ],
)
def test_processes_are_ended_only_below_the_init_of_a_container(
    tmp_path: Path, shell: str, init: str | None, inside: bool
) -> None:
    (function,) = re.findall(
        r"^in_the_pod\(\) \{.*?^\}", SCRIPT.read_text(), re.MULTILINE | re.DOTALL
    )
    network, name = tmp_path / "network", tmp_path / "comm"
    name.write_text(f"{init}\n" if init is not None else "tini\n")
    if init is not None:
        network.touch()
    program = function.replace("/pod/network", str(network)).replace("/proc/1/comm", str(name))
    ended = subprocess.run([shell, "-c", f"{program}\nin_the_pod"], check=False)
    assert (ended.returncode == 0) is inside


def test_processes_are_ended_in_a_form_that_every_shell_of_the_images_takes() -> None:
    """Dash and BusyBox refuse ``kill -TERM -- -1``, and bash's POSIX mode needs no ``--``."""
    forms = re.findall(r"^ *kill (.+?)(?: 2>|$)", SCRIPT.read_text(), re.MULTILINE)
    assert forms == ["-TERM -1", "-KILL -1"]
