"""`driftline up | down | status`: which stack, what runs, and the stream jobs that should."""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.app import topics
from deploy.app.deployment import Deployment
from deploy.app.submitted_jobs import SubmittedJobs
from deploy.cli.commands import stack as stack_command
from deploy.config.paths import PROJECT, install_paths
from deploy.config.port_map import PortMap
from deploy.local import embedded
from deploy.local.process_spec import ProcessSpec, Tcp
from deploy.local.stack import Stack, running_stacks
from tests.deploy.cli.doubles import http_server
from tests.deploy.cli.runner import DEMO, SHIPPED, UNUSED_PORTS, data, run
from tests.free_ports import free_port

SERVER = (
    "import socket, sys, time; s = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
    "s.listen(); time.sleep(600)"
)


def small_stack(home: Path, name: str = "server") -> Stack:
    port = free_port()
    spec = ProcessSpec(
        name=name, argv=(sys.executable, "-c", SERVER, str(port)), ready=Tcp(port=port)
    )
    return Stack(home, PortMap(), [spec])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def running(home: Path) -> Iterator[Stack]:
    """A process that runs in the folder of the demonstration's stack."""
    stack = small_stack(home / "demo-stack")
    stack.home.mkdir()
    stack.up()
    yield stack
    stack.down()


def at(home: Path, **more: str) -> dict[str, str]:
    return {"DRIFTLINE_HOME": str(home), **more}


def flink_job(state: str | None) -> Any:
    """A Flink on which the demonstration's stream job is in a state, or unknown."""

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if path == "/jobs/overview":
            job = {
                "jid": "j1",
                "name": "driftline-all",
                "state": state,
                "start-time": time.time() * 1000,
            }
            return 200, {"jobs": [job] if state else []}
        if path == "/jobs/j1":
            vertex: dict[str, Any] = {"status": state, "parallelism": 1}
            job = {"name": "driftline-all", "state": state, "start-time": time.time() * 1000}
            return 200, {**job, "vertices": [vertex]}
        return 404, {}

    return answer


def test_up_prints_one_line_for_each_process(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    argv = (sys.executable, "-c", SERVER, str(port))
    kafka = ProcessSpec(name="kafka", argv=argv, ready=Tcp(port=port))
    stack = Stack(home / "demo-stack", PortMap(), [kafka])
    monkeypatch.setattr(embedded, "engines_installed", lambda: True)
    monkeypatch.setattr(embedded, "embedded_stack", lambda deployment: stack)
    monkeypatch.setattr(topics, "ensure_topics", lambda deployment: None)
    monkeypatch.setattr(stack_command, "driftline_program", lambda: "bin/driftline")
    try:
        shown = run("up", env=at(home))
    finally:
        stack.down()
    assert shown.exit_code == 0, shown.stderr
    assert [line for line in shown.stderr.splitlines() if "kafka" in line] == ["kafka: ready"]
    assert "`bin/driftline status` shows it, `bin/driftline down` stops it" in shown.stderr


def test_down_names_the_stack_and_asks_first(running: Stack, home: Path) -> None:
    refused = run("down", env=at(home))
    assert refused.exit_code == 2
    assert "--yes" in refused.stderr
    assert "demo-stack" in refused.stderr
    assert running_stacks(home) == {home / "demo-stack": ("server",)}
    stopped = data(run("down", "--yes", "--json", env=at(home)))
    assert stopped["stopped"] == ["server"]
    assert stopped["folder"] == str(home / "demo-stack")
    assert running_stacks(home) == {}


def test_down_with_another_configuration_says_that_nothing_ran_and_what_does(
    running: Stack, home: Path
) -> None:
    shown = run("down", "--yes", config=SHIPPED, env=at(home))
    assert shown.exit_code == 0
    assert f"Nothing of the stack in {home} (Kafka on port" in shown.stderr
    assert f"Another stack is running in {home / 'demo-stack'} (1 process)" in shown.stderr
    assert "is down" not in shown.output
    assert running_stacks(home)


def test_status_shows_processes_and_stream_jobs_as_json(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "engines_installed", lambda: True)
    monkeypatch.setattr(embedded, "embedded_stack", lambda deployment: small_stack(deployment.home))
    with http_server(flink_job("RUNNING")) as flink:
        shown = run("status", "--json", env=at(home, DRIFTLINE__ENDPOINTS__FLINK=flink))
        table = run("status", env=at(home, DRIFTLINE__ENDPOINTS__FLINK=flink))
    assert shown.exit_code == table.exit_code == 8
    report = data(shown)
    (process,) = report["processes"]
    assert (process["name"], process["health"]) == ("server", "down")
    assert process["log"].endswith("server.log")
    assert [job["state"] for job in report["stream_jobs"]] == ["running"]
    assert "server" in table.stdout
    assert "The stack is not running. `driftline up` starts it." in table.stderr


@pytest.mark.parametrize(
    ("state", "expected", "code"),
    [("RUNNING", True, 0), (None, True, 8), (None, False, 0), ("CANCELED", True, 8)],
)
def test_a_stream_job_that_should_run_and_does_not_is_exit_8(
    running: Stack,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    state: str,
    expected: bool,
    code: int,
) -> None:
    monkeypatch.setattr(embedded, "engines_installed", lambda: True)
    monkeypatch.setattr(embedded, "embedded_stack", lambda deployment: running)
    jobs = SubmittedJobs(home / "demo-stack" / "run" / "stream-jobs.json")
    if expected:
        jobs.add("driftline-all")
    with http_server(flink_job(state)) as flink:
        shown = run("status", env=at(home, DRIFTLINE__ENDPOINTS__FLINK=flink))
    assert shown.exit_code == code, shown.stderr
    assert ("running" if state == "RUNNING" else "not running") in shown.stdout
    if code:
        assert "`driftline job submit big_tipper`" in shown.stderr


@pytest.mark.parametrize("content", ["", "{", "null"])
def test_a_file_of_jobs_that_cannot_be_read_is_exit_8_and_named(home: Path, content: str) -> None:
    file = home / "demo-stack" / "run" / "stream-jobs.json"
    file.parent.mkdir(parents=True)
    file.write_text(content)
    with http_server(flink_job(None)) as flink:
        env = at(home, DRIFTLINE__ENDPOINTS__FLINK=flink)
        shown = run("status", env=env)
        assert shown.exit_code == 8
        assert "stream-jobs.json" in shown.stderr
        refused = run("job", "submit", env=env)
    assert refused.exit_code != 0
    assert "stream-jobs.json" in refused.stderr
    assert file.read_text() == content


def test_an_absent_flink_leaves_the_job_unknown(
    running: Stack, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "engines_installed", lambda: True)
    monkeypatch.setattr(embedded, "embedded_stack", lambda deployment: running)
    assert data(run("status", "--json", env=at(home)))["stream_jobs"][0]["state"] == "unknown"


@pytest.fixture
def container(home: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Without engines, without a name for the user, and with a home that cannot be written."""
    monkeypatch.setattr(embedded, "engines_installed", lambda: False)
    monkeypatch.setattr(embedded, "can_be_installed", lambda: False)
    monkeypatch.delenv("USER", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    absent = home / "not-there" / "state"
    return {
        "DRIFTLINE_HOME": str(absent),
        "DRIFTLINE_OPT": str(home / "no-opt"),
        "DRIFTLINE__LOCAL__PORT_OFFSET": UNUSED_PORTS,
    }


def test_in_a_container_status_asks_the_endpoints(container: dict[str, str]) -> None:
    began = time.monotonic()
    shown = run("status", "--json", env=container)
    assert time.monotonic() - began < 10.0
    assert shown.exit_code == 8
    report = data(shown)
    assert {endpoint["name"] for endpoint in report["endpoints"]} >= {"kafka", "flink", "envoy"}
    assert {endpoint["health"] for endpoint in report["endpoints"]} == {"no answer"}
    assert "processes" not in report
    with http_server(flink_job("RUNNING")) as url:
        env = {**container, "DRIFTLINE__ENDPOINTS__ENVOY": url, "DRIFTLINE__ENDPOINTS__FLINK": url}
        endpoints = {
            entry["name"]: entry["health"]
            for entry in data(run("status", "--json", env=env))["endpoints"]
        }
    assert endpoints["envoy"] == "ready"
    assert endpoints["flink"] == "no answer"  # it does not answer /overview


def test_in_a_container_doctor_checks_the_endpoints_and_up_explains(
    container: dict[str, str],
) -> None:
    doctor = run("doctor", "--json", env=container)
    assert doctor.exit_code == 1
    checks = {check["name"]: check for check in data(doctor)}
    assert "endpoints.flink" in checks["flink"]["advice"]
    assert not checks["kafka"]["ok"]
    up = run("up", env=container)
    assert up.exit_code == 2
    assert "not installed here" in up.stderr


def test_in_a_container_down_stops_nothing(container: dict[str, str]) -> None:
    shown = run("down", "--yes", env=container)
    assert shown.exit_code == 0, shown.stderr
    assert "Nothing of the stack" in shown.stderr
    assert not Path(container["DRIFTLINE_HOME"]).exists()


def test_the_python_path_of_services_keeps_the_users_entries_first(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("PYTHONPATH", "models:/srv/more")
    entries = embedded.python_path({"PYTHONPATH": "models:/srv/more"}).split(":")
    assert entries == [str(home / "models"), "/srv/more", str(PROJECT)]
    assert embedded.python_path({}) == str(PROJECT)
    if not embedded.engines_installed():
        pytest.skip("Run make setup.")
    specs = embedded.process_specs(Deployment.load(DEMO), install_paths())
    daemon = next(spec for spec in specs if spec.name == "daemon")
    assert daemon.env["PYTHONPATH"].split(":") == entries


@pytest.mark.parametrize(
    "names", [("nope",), ("server", "nope"), ("",), ("Server",), ("server,other",)]
)
def test_up_refuses_an_unknown_name_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...]
) -> None:
    monkeypatch.setattr(embedded, "engines_installed", lambda: True)
    monkeypatch.setattr(embedded, "embedded_stack", lambda deployment: small_stack(deployment.home))
    shown = run("up", *(word for name in names for word in ("--only", name)), env=at(home))
    assert shown.exit_code == 2
    assert f"No process {names[-1]}; there are server." in shown.stderr
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("words", [("status",), ("up",)], ids=" ".join)
@pytest.mark.parametrize("content", [b"", b"{", b"null", b"{}", b"\xff\x00\x9c"], ids=repr)
def test_an_unusable_list_of_processes_is_one_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], content: bytes
) -> None:
    monkeypatch.setattr(embedded, "engines_installed", lambda: True)
    # `up` starts Kafka first
    monkeypatch.setattr(embedded, "embedded_stack", lambda at: small_stack(at.home, "kafka"))
    file = home / "demo-stack" / "run" / "desired.json"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    shown = run(*words, env=at(home))
    assert shown.exit_code == 2
    assert str(file) in shown.stderr
    assert "Remove it" in shown.stderr


@pytest.mark.parametrize(
    "words", [("status",), ("down", "--yes"), ("up",), ("logs", "kafka")], ids=" ".join
)
def test_a_state_folder_of_another_user_is_one_error(
    home: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    folder = str(home / "demo-stack")

    def refusing(function: Any) -> Any:
        """The function, which may not look into the folder."""

        def refuse(path: Any = ".", *arguments: Any, **more: Any) -> Any:
            if not isinstance(path, int) and str(path).startswith(folder):
                raise PermissionError(13, "Permission denied", str(path))
            return function(path, *arguments, **more)

        return refuse

    monkeypatch.setattr(embedded, "engines_installed", lambda: True)
    # `up` starts Kafka first
    monkeypatch.setattr(embedded, "embedded_stack", lambda at: small_stack(at.home, "kafka"))
    for name in ("scandir", "listdir", "stat", "mkdir"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    monkeypatch.setattr(io, "open", refusing(io.open))
    shown = run(*words, env=at(home))
    assert shown.exit_code == 2, shown.output
    assert f"The state folder {folder} cannot be" in shown.stderr
    assert "DRIFTLINE_HOME" in shown.stderr
