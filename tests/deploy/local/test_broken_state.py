"""A state folder with unusable content is an error that names the file; nothing crashes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from deploy.config.port_map import PortMap
from deploy.local import supervisor
from deploy.local.private_folder import state_folder_errors
from deploy.local.process_spec import Alive, ProcessSpec
from deploy.local.stack import Health, Stack, running_processes, running_stacks
from deploy.local.supervisor import Supervisor, desired_file, read_desired
from streaming.contracts.errors import ConfigurationError

SLEEPS = ProcessSpec(
    name="sleeps",
    argv=(sys.executable, "-c", "import time; time.sleep(600)"),
    ready=Alive(seconds=0.0),
    stop_seconds=2.0,
)
CONTENTS = {
    "empty": b"",
    "cut off": b"{",
    "null": b"null",
    "object": b"{}",
    "number": b"7",
    "list of objects": b'[{"name": 1}]',
    "list of nulls": b"[null]",
    "other encoding": b"\xff\xfe[\x00]\x00",
    "random bytes": bytes(range(128, 256)),
    "deeply nested": b"[" * 100_000,
}
unusable = pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    (tmp_path / "run").mkdir()
    return Stack(tmp_path, PortMap(), [SLEEPS])


COMMANDS: dict[str, Callable[[Stack], object]] = {
    "status": lambda stack: stack.status(),
    "up": lambda stack: stack.up(),
    "down of one": lambda stack: stack.down(["sleeps"]),
}
every_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


@unusable
@every_command
def test_an_unusable_list_of_processes_is_named(
    stack: Stack, command: Callable[[Stack], object], content: bytes
) -> None:
    file = desired_file(stack.home)
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        command(stack)
    assert str(file) in str(caught.value)
    assert "`driftline up`" in str(caught.value)
    assert not stack.supervised()
    stack.down()  # replaces it
    assert read_desired(stack.home) == ()
    assert {process.health for process in stack.status()} == {Health.DOWN}


@every_command
def test_a_folder_in_the_place_of_the_list_is_named(
    stack: Stack, command: Callable[[Stack], object]
) -> None:
    desired_file(stack.home).mkdir()
    with pytest.raises(ConfigurationError, match=str(desired_file(stack.home))):
        command(stack)


@pytest.mark.parametrize("name", ["sleeps.json", "supervisor.json"])
def test_up_refuses_a_folder_in_the_place_of_a_state_file(stack: Stack, name: str) -> None:
    (stack.home / "run" / name).mkdir()
    with pytest.raises(ConfigurationError, match=f"{name} is a folder"):
        stack.up()
    assert not stack.supervised()
    assert stack.down() == ()


@every_command
def test_a_file_in_the_place_of_the_run_folder_is_named(
    tmp_path: Path, command: Callable[[Stack], object]
) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(ConfigurationError, match=f"{tmp_path}.*run"):
        command(Stack(tmp_path, PortMap(), [SLEEPS]))
    assert Stack(tmp_path, PortMap(), ()).down() == ()


def test_a_file_in_the_place_of_the_state_folder_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.touch()
    stack = Stack(home, PortMap(), [SLEEPS])
    with pytest.raises(ConfigurationError, match=str(home)):
        stack.up()
    with pytest.raises(ConfigurationError, match=str(home)):
        stack.status()


@pytest.mark.parametrize("error", [PermissionError, OSError, NotADirectoryError])
@every_command
def test_a_state_folder_that_cannot_be_read_is_named(
    stack: Stack,
    command: Callable[[Stack], object],
    error: type[OSError],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(home: Path) -> Path:
        raise error(13, "Permission denied", str(home / "run"))

    monkeypatch.setattr(supervisor, "lock_file", refuse)
    monkeypatch.setattr(supervisor, "desired_file", refuse)
    with pytest.raises(ConfigurationError) as caught:
        command(stack)
    assert f"The state folder {stack.home} cannot be used" in str(caught.value)
    assert "DRIFTLINE_HOME" in str(caught.value)


def test_other_stacks_that_cannot_be_read_are_left_out(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> list[str]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("os.listdir", refuse)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        running_processes(stack.home)
    assert running_stacks(stack.home) == {}


def test_a_timeout_is_not_an_error_of_the_state_folder(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), state_folder_errors(tmp_path):
        raise TimeoutError("too slow")


@pytest.fixture
def supervising(tmp_path: Path) -> Iterator[Supervisor]:
    running = Supervisor(tmp_path)
    desired_file(tmp_path).parent.mkdir()
    desired_file(tmp_path).write_bytes(msgspec.json.encode((SLEEPS,)))
    running.reconcile()
    yield running
    running.end()


@unusable
def test_the_supervisor_keeps_its_processes_while_the_list_is_unusable(
    supervising: Supervisor, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    desired_file(tmp_path).write_bytes(content)
    for _ in range(3):
        supervising.reconcile()
    assert [thread.is_alive() for thread in supervising._supervised.values()] == [True]
    assert capsys.readouterr().out.count("continue as they are") == 1
    desired_file(tmp_path).write_text(json.dumps([]))
    supervising.reconcile()
    assert supervising._supervised == {}
