"""Beam's Python workers, as their pool starts them, ends them and starts them again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from apache_beam.portability.api import beam_fn_api_pb2

from streaming.engines.flink.worker_pool import ONE_THREAD, Pool
from tests.waiting import wait_for

_MULTIPLY = (
    "import os, numpy, scipy.linalg; a = numpy.ones((500, 500)); a @ a; scipy.linalg.inv(a + "
    "numpy.eye(500)); print(len(os.listdir('/proc/self/task')))"
)
PAUSE = 0.05


def test_a_worker_multiplies_in_one_thread() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _MULTIPLY],
        env=os.environ | ONE_THREAD,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1"


@pytest.fixture
def control() -> Iterator[str]:
    """Where workers report to, while a task waits for them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def ask(pool: Pool, control: str, name: str) -> str:
    """Ask for a worker; the error, empty when there is none."""
    request = beam_fn_api_pb2.StartWorkerRequest(worker_id=name)
    request.control_endpoint.url = control
    answer = pool.StartWorker(request, None)
    return str(answer.error)  # type: ignore[attr-defined]


class Scripts:
    """Workers that are a line of shell each and write their process ids to a file."""

    def __init__(self, folder: Path, line: str) -> None:
        self._file = folder / "started"
        self._line = line
        self.pool = Pool(self._command, pause=PAUSE)

    def _command(self, control: str, name: str) -> list[str]:
        return ["sh", "-c", f"echo $$ >> {self._file}; {self._line}"]

    @property
    def started(self) -> list[int]:
        """The process ids so far."""
        return [int(one) for one in self._file.read_text().split()] if self._file.exists() else []

    @property
    def alive(self) -> list[int]:
        """Those that run or wait to be taken note of."""
        return [one for one in self.started if Path(f"/proc/{one}").exists()]

    def start(self, control: str, name: str = "1-1") -> str:
        """Ask for a worker; the error, empty when there is none."""
        return ask(self.pool, control, name)

    def stop(self, name: str = "1-1") -> None:
        """Take a worker back."""
        self.pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id=name), None)


def test_a_worker_that_fails_is_started_again_while_it_is_waited_for(
    tmp_path: Path, control: str
) -> None:
    scripts = Scripts(tmp_path, "exit 1")
    assert not scripts.start(control)
    wait_for(lambda: len(scripts.started) >= 3)
    scripts.stop()
    wait_for(lambda: not scripts.alive)
    count = len(scripts.started)
    time.sleep(20 * PAUSE)
    assert len(scripts.started) == count


def test_a_killed_worker_is_started_again(tmp_path: Path, control: str) -> None:
    scripts = Scripts(tmp_path, "exec sleep 60")
    scripts.start(control)
    wait_for(lambda: len(scripts.alive) == 1)
    os.kill(scripts.started[0], 9)
    wait_for(lambda: len(scripts.started) == 2)
    scripts.pool.close()
    assert not scripts.alive


def test_nobody_starts_a_worker_again_that_nobody_waits_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"127.0.0.1:{server.getsockname()[1]}"
    scripts = Scripts(tmp_path, "exit 1")
    scripts.start(gone)
    time.sleep(20 * PAUSE)
    assert len(scripts.started) == 1


def test_a_worker_that_has_ended_its_work_is_not_started_again(
    tmp_path: Path, control: str
) -> None:
    scripts = Scripts(tmp_path, "exit 0")
    scripts.start(control)
    time.sleep(20 * PAUSE)
    assert len(scripts.started) == 1


def test_a_worker_that_is_taken_back_ends_for_good(tmp_path: Path, control: str) -> None:
    scripts = Scripts(tmp_path, "exec sleep 60")
    scripts.start(control)
    wait_for(lambda: len(scripts.alive) == 1)
    scripts.stop()
    assert not scripts.alive
    scripts.stop()  # again, as a TaskManager may
    time.sleep(20 * PAUSE)
    assert len(scripts.started) == 1


def test_two_of_one_id_are_both_ended(tmp_path: Path, control: str) -> None:
    scripts = Scripts(tmp_path, "exec sleep 60")
    scripts.start(control)
    scripts.start(control)
    wait_for(lambda: len(scripts.alive) == 2)
    scripts.stop()
    assert scripts.alive == [scripts.started[0]]
    scripts.pool.close()
    assert not scripts.alive


def test_a_worker_that_cannot_be_started_is_an_error(control: str) -> None:
    pool = Pool(lambda control, name: ["/no/such/program", control, name], pause=PAUSE)
    assert "/no/such/program" in ask(pool, control, "1-1")
