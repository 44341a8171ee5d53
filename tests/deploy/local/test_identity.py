"""Only processes that carry the stack's own mark are stopped, whatever a state file contains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.config.port_map import PortMap
from deploy.local.process import MARK, Running, find, start
from deploy.local.process_spec import ProcessSpec
from deploy.local.stack import Stack

LEAVES_A_CHILD = (
    "import subprocess, sys;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
    "print(child.pid, flush=True)"
)
IMPOSSIBLE_PIDS = (99999999999, 10**30, 2**31, 2**22 + 1, 1, 0, -1, -99999999999)


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20.0
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.05)


def write_state(home: Path, pid: int, *, created: float = 1000.0, **more: object) -> Path:
    file = home / "run" / "kafka.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {"name": "kafka", "pid": pid, "created": created, "since": created, "restarts": 0}
    file.write_text(json.dumps(state | {"ready": True, "digest": "x"} | more))
    return file


def down(home: Path) -> tuple[str, ...]:
    return Stack(home, PortMap(), specs=()).down()


@pytest.fixture(params=[{}, {MARK: "of another stack"}], ids=["unmarked", "other mark"])
def foreign(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Group and member of a foreign process group whose leader has ended."""
    leader = subprocess.Popen(
        [sys.executable, "-c", LEAVES_A_CHILD],
        env=os.environ | request.param,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    member = int(leader.communicate()[0])
    yield leader.pid, member
    psutil.Process(member).kill()


@pytest.mark.parametrize("mark", ["", "of this stack"])
def test_a_foreign_group_with_the_number_of_a_stale_state_continues(
    foreign: tuple[int, int], mark: str, tmp_path: Path
) -> None:
    group, member = foreign
    file = write_state(tmp_path, group, mark=mark)
    assert down(tmp_path) == ()
    assert lives(member)
    assert not file.exists()


def test_a_foreign_live_leader_with_another_creation_time_continues(tmp_path: Path) -> None:
    leader = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    )
    try:
        file = write_state(tmp_path, leader.pid, mark="of this stack")
        assert down(tmp_path) == ()
        assert leader.poll() is None
        assert not file.exists()
    finally:
        leader.kill()
        leader.wait()


@pytest.mark.parametrize("pid", IMPOSSIBLE_PIDS)
def test_a_pid_that_no_process_can_have_only_removes_the_file(pid: int, tmp_path: Path) -> None:
    file = write_state(tmp_path, pid, mark="of this stack")
    assert find(pid, 1000.0) is None
    assert down(tmp_path) == ()
    assert not file.exists()


@pytest.mark.parametrize("pid", IMPOSSIBLE_PIDS)
def test_a_supervisor_with_an_impossible_pid_does_not_run(pid: int, tmp_path: Path) -> None:
    file = tmp_path / "run" / "supervisor.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"pid": pid, "created": 1000.0}))
    assert down(tmp_path) == ()


def test_children_that_an_own_process_left_are_ended(tmp_path: Path) -> None:
    running = start(tmp_path, ProcessSpec(name="own", argv=(sys.executable, "-c", LEAVES_A_CHILD)))
    assert running.child is not None
    assert len(running.mark) == 32
    running.child.wait()
    log = tmp_path / "log" / "own.log"
    member = int(log.read_text().splitlines()[-1])
    assert lives(member)
    Running(running.pid, running.created, "another mark").end(1.0)
    assert lives(member)
    Running(running.pid, running.created, running.mark).end(1.0)
    until(lambda: not lives(member))
