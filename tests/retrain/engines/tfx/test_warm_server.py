"""Kept model servers, with the fake server of the serving check."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain.engines.tfx.server_check import PROBE, ServingCheck, check_serving
from retrain.engines.tfx.warm_server import MAX_SERVERS, SERVERS, WarmServer, WarmServers
from retrain.ports import ServerCommand
from streaming.contracts.errors import GateFailedError
from tests.retrain.engines.tfx.test_server_check import FEATURES, fake_server

SLEEPER = ServerCommand(arguments=(sys.executable, "-c", "import time; time.sleep(600)"))


@pytest.fixture(autouse=True)
def no_server_is_left() -> Iterator[None]:
    yield
    SERVERS.close()


def check(
    folder: Path, number: int, *, expected: float = 0.125, version: int = 1, fare: float = 12.5
) -> ServingCheck:
    servable = folder / f"servable-{number}"
    (servable / PROBE).parent.mkdir(parents=True)
    probe = {"instances": [{"fare": fare}], "probabilities": [expected]}
    (servable / PROBE).write_text(json.dumps(probe))
    return check_serving(
        servable,
        model="taxi",
        version=version,
        features=FEATURES,
        server=fake_server(),
        log_file=folder / "server.log",
        keep=True,
    )


def kept() -> WarmServer:
    return SERVERS.get(fake_server(), "taxi")


def test_a_second_check_has_the_same_server_and_a_new_number(tmp_path: Path) -> None:
    check(tmp_path, 1, version=7)
    first = kept()
    measured = check(tmp_path, 2, version=7)
    assert kept() is first
    assert first.next_version(1) == 9
    assert list(first.base.iterdir()) == []
    assert measured.p99_predict_seconds >= measured.warm_predict_seconds > 0.0
    assert (tmp_path / "server.log").exists()


def test_a_server_that_has_ended_is_started_anew(tmp_path: Path) -> None:
    check(tmp_path, 1)
    first = kept()
    first.process.kill()
    first.process.wait()
    check(tmp_path, 2)
    assert kept() is not first
    assert not first.base.exists()


def test_other_predictions_are_refused_and_a_failing_server_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(GateFailedError, match="differ from the trainer's"):
        check(tmp_path, 1, expected=0.125 + 2e-5)
    first = kept()
    with pytest.raises(GateFailedError, match="a fare is negative"):
        check(tmp_path, 2, fare=-1.0)
    assert not first.alive


def test_rounding_is_no_difference(tmp_path: Path) -> None:
    assert check(tmp_path, 1, expected=0.125 + 5e-6).largest_difference < 1e-5


def test_few_servers_are_kept() -> None:
    servers = WarmServers()
    started = [servers.get(SLEEPER, f"model-{number}") for number in range(MAX_SERVERS + 1)]
    assert [server.alive for server in started] == [False] + [True] * MAX_SERVERS
    servers.close()
    assert not any(server.alive for server in started)


def test_a_server_ends_with_its_process() -> None:
    code = (
        "import sys, time; from retrain.ports import ServerCommand\n"
        "from retrain.engines.tfx.warm_server import SERVERS\n"
        "command = ServerCommand(arguments=(sys.executable, '-c',"
        " 'import time; print(1, flush=True); time.sleep(600)'))\n"
        "server = SERVERS.get(command, 'taxi')\n"
        "while not server.log_file.read_text(): time.sleep(0.02)\n"
        "print(server.process.pid, flush=True); time.sleep(600)\n"
    )
    root = Path(__file__).resolve().parents[4]
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root
    ) as parent:
        assert parent.stdout is not None
        server = int(parent.stdout.readline())
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10.0
    while _runs(server) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _runs(server)


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"
