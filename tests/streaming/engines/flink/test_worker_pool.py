"""Beam's Python workers: how their pool starts, stops and restarts them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.portability.api import beam_fn_api_pb2

from streaming.engines.flink.worker_pool import ONE_THREAD, Worker, WorkerPool
from tests.waiting import wait_for

_MULTIPLY = (
    "import os, numpy, scipy.linalg; a = numpy.ones((500, 500)); a @ a; scipy.linalg.inv(a + "
    "numpy.eye(500)); print(len(os.listdir('/proc/self/task')))"
)
PAUSE = 0.05
NAME = "1-1"


def test_a_worker_multiplies_matrices_in_one_thread() -> None:
    completed = subprocess.run(
        [sys.executable, "-c", _MULTIPLY],
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout.strip() == "1"


@pytest.fixture
def control() -> Iterator[str]:
    """A control endpoint that accepts connections, as while a task waits for its worker."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def request_worker(pool: WorkerPool, control: str) -> str:
    """Request a worker; returns the error, empty when there is none."""
    request = beam_fn_api_pb2.StartWorkerRequest(worker_id=NAME)
    request.control_endpoint.url = control
    response = pool.StartWorker(request, None)
    return str(response.error)  # type: ignore[attr-defined]


class ShellWorkers:
    """A pool of workers that run a line of shell and write their process ids to a file."""

    def __init__(self, folder: Path, line: str) -> None:
        self._file = folder / "started"
        self._line = line
        self.pool = WorkerPool(self._command, pause=PAUSE)

    def _command(self, control: str, name: str) -> list[str]:
        return ["sh", "-c", f"echo $$ >> {self._file}; {self._line}"]

    @property
    def started(self) -> list[int]:
        """The process ids so far."""
        return [int(pid) for pid in self._file.read_text().split()] if self._file.exists() else []

    @property
    def alive(self) -> list[int]:
        """The processes that run or are not yet reaped."""
        return [pid for pid in self.started if Path(f"/proc/{pid}").exists()]

    def start(self, control: str) -> Worker:
        """Request a worker."""
        assert not request_worker(self.pool, control)
        return self.pool.workers(NAME)[-1]

    def stop(self) -> None:
        """Request the end of the latest worker."""
        self.pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=NAME), None)


def assert_no_restart(worker: Worker) -> None:
    """Wait for the end of the worker's supervision, after which nothing can restart it."""
    assert worker.wait_supervised(20.0)
    assert not worker.alive


def test_a_worker_that_fails_is_restarted_while_a_task_waits_for_it(
    tmp_path: Path, control: str
) -> None:
    workers = ShellWorkers(tmp_path, "exit 1")
    worker = workers.start(control)
    wait_for(lambda: len(workers.started) >= 3)
    workers.stop()
    assert_no_restart(worker)
    assert not workers.alive


def test_a_killed_worker_is_restarted(tmp_path: Path, control: str) -> None:
    workers = ShellWorkers(tmp_path, "exec sleep 60")
    workers.start(control)
    wait_for(lambda: len(workers.alive) == 1)
    os.kill(workers.started[0], 9)
    wait_for(lambda: len(workers.started) == 2)
    workers.pool.close()
    assert not workers.alive


def test_a_worker_is_not_restarted_when_its_control_endpoint_is_closed(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = f"127.0.0.1:{server.getsockname()[1]}"
    workers = ShellWorkers(tmp_path, "exit 1")
    assert_no_restart(workers.start(closed))
    assert len(workers.started) == 1


def test_a_worker_that_has_finished_its_work_is_not_restarted(tmp_path: Path, control: str) -> None:
    workers = ShellWorkers(tmp_path, "exit 0")
    assert_no_restart(workers.start(control))
    assert len(workers.started) == 1


def test_a_worker_that_was_stopped_is_not_restarted(tmp_path: Path, control: str) -> None:
    workers = ShellWorkers(tmp_path, "exec sleep 60")
    worker = workers.start(control)
    wait_for(lambda: len(workers.alive) == 1)
    workers.stop()
    assert not workers.alive
    workers.stop()  # a second request, as a TaskManager may send
    assert_no_restart(worker)
    assert len(workers.started) == 1


def test_two_workers_of_one_id_are_both_stopped(tmp_path: Path, control: str) -> None:
    workers = ShellWorkers(tmp_path, "exec sleep 60")
    workers.start(control)
    wait_for(lambda: len(workers.alive) == 1)  # so that the file has their order
    workers.start(control)
    wait_for(lambda: len(workers.alive) == 2)
    workers.stop()
    assert workers.alive == [workers.started[0]]
    workers.pool.close()
    assert not workers.alive


def test_a_worker_that_cannot_be_started_is_an_error(control: str) -> None:
    pool = WorkerPool(lambda control, name: ["/no/such/program", control, name], pause=PAUSE)
    assert "/no/such/program" in request_worker(pool, control)
