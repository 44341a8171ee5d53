"""The supervisor with small processes: restart, adoption, ending, and clear refusals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deploy.app.supervisor_files import request_restart, take_request
from deploy.config.port_map import HOST, PortMap
from deploy.local import supervisor
from deploy.local.process_spec import Alive, Http, ProcessSpec, Tcp
from deploy.local.stack import Health, ProcessStatus, Stack
from streaming.contracts.errors import ConfigurationError, UnavailableError
from tests.free_ports import free_port

SERVER = (
    "import os, socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
    "os.fork() or time.sleep(600); s.listen(); time.sleep(600)"
)


def server(name: str, port: int, *depends: str) -> ProcessSpec:
    argv = (sys.executable, "-c", SERVER, str(port))
    return ProcessSpec(
        name=name, argv=argv, ready=Tcp(port=port), depends=depends, stop_seconds=2.0
    )


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    stacks: list[Stack] = []

    def stack(*specs: ProcessSpec) -> Stack:
        stacks.append(Stack(tmp_path, PortMap(), specs))
        return stacks[-1]

    yield stack
    for started in stacks:
        started.down()


def by_name(stack: Stack) -> dict[str, ProcessStatus]:
    return {status.name: status for status in stack.status()}


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited too long"
        time.sleep(0.1)


def pid_of(stack: Stack, name: str) -> int:
    pid = by_name(stack)[name].pid
    assert pid is not None
    return pid


def test_up_shows_progress_and_down_leaves_nothing(make: Callable[..., Stack]) -> None:
    first, second = free_port(), free_port()
    stack = make(server("second", second, "first"), server("first", first))
    seen: list[tuple[str, Health]] = []
    stack.up(on_progress=lambda status: seen.append((status.name, status.health)))
    assert seen.index(("first", Health.READY)) < seen.index(("second", Health.READY))
    members = [p.pid for p in psutil.process_iter() if _group(p) == pid_of(stack, "first")]
    assert len(members) == 2
    stack.down()
    assert {status.health for status in stack.status()} == {Health.DOWN}
    assert not stack.supervised()
    assert not any(lives(pid) for pid in members)


def lives(pid: int) -> bool:
    """Whether it runs; one that only waits to be collected by its parent does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return 0


def test_killed_process_comes_back(make: Callable[..., Stack]) -> None:
    stack = make(server("one", free_port()))
    stack.up()
    before = pid_of(stack, "one")
    os.kill(before, signal.SIGKILL)
    until(lambda: by_name(stack)["one"].restarts == 1)
    until(lambda: by_name(stack)["one"].health is Health.READY)
    after = by_name(stack)["one"]
    assert after.pid != before
    assert after.last_exit == "killed by signal 9"


ANSWERING = (
    "import http.server as h, sys;"
    "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
)


def answering(name: str, port: int, silent_seconds: float, *depends: str) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=(sys.executable, "-c", ANSWERING, str(port)),
        ready=Http(port=port, path="/"),
        depends=depends,
        silent_seconds=silent_seconds,
    )


def test_a_process_is_started_afresh_when_that_is_requested(
    make: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make(server("one", free_port()), server("other", free_port()))
    stack.up()
    before, other = pid_of(stack, "one"), pid_of(stack, "other")
    request_restart(tmp_path, "one")
    until(lambda: by_name(stack)["one"].restarts == 1)
    until(lambda: by_name(stack)["one"].health is Health.READY)
    assert pid_of(stack, "one") != before
    assert pid_of(stack, "other") == other
    assert not lives(before)
    assert not take_request(tmp_path, "one")  # once


def test_a_stopped_process_is_noticed_and_then_restarted(
    make: Callable[..., Stack], tmp_path: Path
) -> None:
    stack = make(answering("one", free_port(), 4.0))
    stack.up()
    before = pid_of(stack, "one")
    os.kill(before, signal.SIGSTOP)
    assert by_name(stack)["one"].health is Health.UNRESPONSIVE
    until(lambda: by_name(stack)["one"].restarts == 1)
    assert by_name(stack)["one"].last_exit.startswith("restarted: it did not answer for ")
    until(lambda: by_name(stack)["one"].health is Health.READY)
    assert not lives(before)
    log = (tmp_path / "log" / "supervisor.log").read_text()
    assert "one: does not answer" in log
    assert "is restarted" in log


def test_a_process_is_not_restarted_for_what_it_depends_on(make: Callable[..., Stack]) -> None:
    """Both are stopped, and the first one has longer."""
    first = answering("first", free_port(), 600.0)
    stack = make(first, answering("second", free_port(), 3.0, "first"))
    stack.up()
    pids = [pid_of(stack, name) for name in ("first", "second")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(8.0)  # nothing happens is what is tested
    assert [status.restarts for status in stack.status()] == [0, 0]
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    until(lambda: all(status.health is Health.READY for status in stack.status()))
    assert [pid_of(stack, name) for name in ("first", "second")] == pids


def test_a_stopped_supervisor_holds_nothing_against_its_processes(
    make: Callable[..., Stack],
) -> None:
    """It was stopped together with the process, as a suspended machine is."""
    stack = make(answering("one", free_port(), 9.0))
    stack.up()
    identity, before = stack._supervisor(), pid_of(stack, "one")
    assert identity is not None
    time.sleep(4.0)  # the supervisor has probed it at least once
    os.kill(before, signal.SIGSTOP)
    os.kill(identity.pid, signal.SIGSTOP)
    time.sleep(12.0)  # longer than it may be silent
    os.kill(identity.pid, signal.SIGCONT)
    time.sleep(4.0)
    os.kill(before, signal.SIGCONT)
    until(lambda: by_name(stack)["one"].health is Health.READY)
    assert (pid_of(stack, "one"), by_name(stack)["one"].restarts) == (before, 0)


def test_processes_outlive_a_killed_supervisor_and_are_adopted(make: Callable[..., Stack]) -> None:
    stack = make(server("one", free_port()))
    stack.up()
    before = pid_of(stack, "one")
    identity = stack._supervisor()
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    until(lambda: not stack.supervised())
    assert by_name(stack)["one"].health is Health.READY
    stack.up()
    assert pid_of(stack, "one") == before
    stack.down()
    assert not lives(before)


def test_a_process_that_hangs_while_its_supervisor_is_replaced_is_restarted(
    make: Callable[..., Stack],
) -> None:
    stack = make(answering("one", free_port(), 3.0))
    stack.up()
    before, identity = pid_of(stack, "one"), stack._supervisor()
    assert identity is not None
    os.kill(before, signal.SIGSTOP)
    os.kill(identity.pid, signal.SIGKILL)
    until(lambda: not stack.supervised())
    stack.up()  # waits until all are ready
    assert pid_of(stack, "one") != before
    assert by_name(stack)["one"].restarts == 1
    assert not lives(before)


HANGS_ONCE = (
    "import http.server as h, os, sys, time; f = sys.argv[2]; n = os.path.exists(f) and "
    "int(open(f).read()) or 0; open(f, 'w').write(str(n + 1)); n in (1, 2) and time.sleep(600);"
    "h.HTTPServer(('127.0.0.1', int(sys.argv[1])), h.SimpleHTTPRequestHandler).serve_forever()"
)


def test_a_process_that_hangs_after_an_automatic_restart_is_restarted(
    make: Callable[..., Stack], tmp_path: Path
) -> None:
    """It is up at its first start, and hangs at the second and third before it is ready."""
    port, file = free_port(), tmp_path / "starts"
    spec = ProcessSpec(
        name="one",
        argv=(sys.executable, "-c", HANGS_ONCE, str(port), str(file)),
        ready=Http(port=port, path="/"),
        silent_seconds=1.0,
        start_seconds=4.0,
    )
    stack = make(spec)
    stack.up()
    os.kill(pid_of(stack, "one"), signal.SIGKILL)
    until(lambda: by_name(stack)["one"].restarts == 3, 60.0)
    until(lambda: by_name(stack)["one"].health is Health.READY)
    assert file.read_text() == "4"


def test_down_ends_what_a_killed_supervisor_left(make: Callable[..., Stack]) -> None:
    stack = make(server("one", free_port()))
    stack.up()
    left, identity = pid_of(stack, "one"), stack._supervisor()
    assert identity is not None
    os.kill(identity.pid, signal.SIGKILL)
    until(lambda: not stack.supervised())
    stack.down()
    assert not lives(left)


def test_stale_state_never_ends_another_process(make: Callable[..., Stack], tmp_path: Path) -> None:
    stack = make(server("one", free_port()))
    stack.up()
    file = tmp_path / "run" / "one.json"
    state = file.read_text()
    stack.down()
    file.write_text(state.replace(f'"pid":{_field(state, "pid")}', f'"pid":{os.getpid()}'))
    stack.down()  # would end this very test process if it trusted the pid
    assert not file.exists()


def _field(state: str, name: str) -> str:
    return state.split(f'"{name}":')[1].split(",", maxsplit=1)[0]


def test_changed_spec_restarts_only_that_process(make: Callable[..., Stack]) -> None:
    first, second, third = free_port(), free_port(), free_port()
    stack = make(server("one", first), server("two", second))
    stack.up()
    before = {name: status.pid for name, status in by_name(stack).items()}
    changed = make(server("one", first), server("two", third))
    changed.up()
    after = {name: status.pid for name, status in by_name(changed).items()}
    assert after["one"] == before["one"]
    assert after["two"] != before["two"]


def test_taken_port_is_refused_before_anything_starts(
    make: Callable[..., Stack], tmp_path: Path
) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port}, which one needs"):
            make(server("one", port)).up()
    assert not supervisor.desired_file(tmp_path).exists()


def test_process_that_cannot_start_is_explained_by_its_log(make: Callable[..., Stack]) -> None:
    argv = (sys.executable, "-c", "print('no such disk'); raise SystemExit(3)")
    broken = ProcessSpec(name="broken", argv=argv, ready=Tcp(port=free_port()))
    with pytest.raises(UnavailableError, match=r"(?s)broken did not .* status 3.*no such disk"):
        make(broken).up()


def test_unknown_program_is_explained(make: Callable[..., Stack]) -> None:
    missing = ProcessSpec(name="missing", argv=("/no/such/program",), restart=False)
    with pytest.raises(UnavailableError, match="could not start"):
        make(missing).up()


def test_environment_puts_ours_first(make: Callable[..., Stack], tmp_path: Path) -> None:
    code = "import os; print(os.environ['PATH'].split(':')[0], os.environ['DRIFTLINE_HOME'])"
    shown = ProcessSpec(
        name="shown", argv=("python", "-c", code), ready=Alive(seconds=0.0), restart=False
    )
    stack = make(shown)
    with contextlib.suppress(UnavailableError):  # it may have ended before it was seen
        stack.up()
    log = tmp_path / "log" / "shown.log"
    until(lambda: "bin" in log.read_text())
    assert f"{Path(sys.prefix) / 'bin'} {tmp_path}" in log.read_text()
