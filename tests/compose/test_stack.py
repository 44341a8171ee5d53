"""``docker-compose.yml`` on a real engine: from an empty volume to a version 1 that is live.

The tests use one stack and run in their order. Where no engine answers they are skipped, with the
reason. KEEP_COMPOSE=1 leaves the stack up and uses one that is up.
"""

from __future__ import annotations

import os
import re
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.compose import stack, stand_ins
from tests.compose.engine import CommandFailed, docker, show, why_not
from tests.compose.stack import Container, containers, network_namespace, not_healthy, wait_until
from tests.source_files import PROJECT

pytestmark = pytest.mark.compose

IMAGE = "driftline:0.1.0"
USERS = {
    **dict.fromkeys(("kafka",), 1000),
    **dict.fromkeys(("flink-jobmanager", "flink-taskmanager"), 9999),
    **dict.fromkeys(("prometheus", "alertmanager"), 65534),
    "grafana": 472,
    "net": 0,
}
"""Users of the processes; the others are 10001."""
ENDED = {"prepare"}
"""It does its work and ends."""
INNER = {"8096", "8097", "9093", "9101", "9102", "9103", "9104", "9106", "9901"}
"""Ports of the worker pool, Kafka's controller, Envoy's administration and our own metrics: only
on loopback. Flink and Beam's job server listen on all addresses of the namespace."""
BEGIN_SECONDS = 900.0
REPAIR_SECONDS = 600.0
KEEP = bool(os.environ.get("KEEP_COMPOSE"))
LOGS = PROJECT / ".driftline" / "test" / "compose"


@pytest.fixture(scope="module")
def images() -> list[str]:
    """Provide every image; returns the names of the stand-ins."""
    if reason := why_not():
        show(f"skipped: {reason}")
        pytest.skip(reason)
    if KEEP and containers():
        return []
    try:
        names = stand_ins.provide_all()
    except RuntimeError as error:
        show(f"skipped: {error}")
        pytest.skip(str(error))
    show(f"{IMAGE}: building (minutes, unless only the code has changed)")
    begun = time.monotonic()
    stack.compose("build", "prepare")
    show(f"{IMAGE}: built in {time.monotonic() - begun:.0f} s")
    identifier = docker("image", "inspect", "--format", "{{.Id}}", IMAGE).strip()
    if not stand_ins.provide(stand_ins.MODEL_SERVER, identifier):
        names.append(stand_ins.MODEL_SERVER.tag)
    return names


@pytest.fixture(scope="module")
def services(images: list[str], request: pytest.FixtureRequest) -> Iterator[set[str]]:
    """A stack from empty volumes; returns the services that keep running."""
    if not (KEEP and containers()):
        show(f"stand-ins instead of official images: {', '.join(images) or 'none'}")
        stack.compose("down", "--volumes", "--remove-orphans")
    failed = request.session.testsfailed
    try:
        stack.compose("up", "--detach", "--no-build")
        yield containers().keys() - ENDED
    finally:
        if request.session.testsfailed > failed:
            keep_logs()
        if not KEEP:
            stack.compose("down", "--volumes", "--remove-orphans")


def keep_logs() -> None:
    """Write every container's log and health checks to files."""
    LOGS.mkdir(parents=True, exist_ok=True)
    for name, container in containers().items():
        checks = container.details["State"].get("Health", {}).get("Log") or []
        text = stack.compose("logs", "--no-color", name)
        Path(LOGS / f"{name}.log").write_text(f"{text}\n{checks}\n")
    show(f"logs: {LOGS}")


def test_the_image_has_no_compiler_and_is_not_root(images: list[str]) -> None:
    programs = "gcc g++ cc c++ cpp make ld as uv"
    script = f"id -u; for name in {programs}; do command -v $name; done; true"
    printed = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", IMAGE, "-c", script)
    assert printed.split() == ["10001"]


def test_every_container_becomes_healthy(services: set[str]) -> None:
    wait_until("all healthy", lambda: not_healthy(services), seconds=BEGIN_SECONDS)
    assert containers()["prepare"].details["State"]["ExitCode"] == 0


def test_roots_are_read_only_rights_dropped_and_memory_limited(services: set[str]) -> None:
    for name, container in containers().items():
        host = container.details["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["CapAdd"] is None or name == "prepare", name
        assert any("no-new-privileges" in option for option in host["SecurityOpt"]), name
        assert 0 < host["Memory"] <= 4 << 30, name
        assert 0 < host["PidsLimit"] <= 2048, name
        if name in services:
            assert_in_force(container)


def assert_in_force(container: Container) -> None:
    """What the engine was told is what the process has."""
    name = container.service
    with pytest.raises(CommandFailed, match="Read-only file system"):
        container.run("sh", "-c", "echo x >/probe", user="0")
    status = container.run("sh", "-c", "cat /proc/1/status")
    capabilities = re.findall(r"^Cap(?:Eff|Prm|Bnd):\s+(\w+)$", status, re.MULTILINE)
    assert {int(value, 16) for value in capabilities} == {0}, name
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), name
    assert container.run("id", "-u").strip() == str(USERS.get(name, 10001)), name
    listed = docker("top", container.identifier, "-eo", "pid,uid").split()[3::2]
    assert set(listed) == {str(USERS.get(name, 10001))}, name


def test_only_loopback_is_published_and_inner_ports_are_loopback_only(services: set[str]) -> None:
    net = containers()["net"]
    bindings = net.details["NetworkSettings"]["Ports"].values()
    assert {binding["HostIp"] for bound in bindings for binding in bound} == {stack.HOST}
    listening = net.run("netstat", "-ltn")
    addresses = re.findall(r"^tcp\s+\d+\s+\d+\s+(\S+):(\d+)\s", listening, re.MULTILINE)
    loopback = {port for host, port in addresses if host == "127.0.0.1"}
    assert loopback >= INNER
    everywhere = {port for host, port in addresses if not host.startswith("127.")}
    assert everywhere >= {"8500", "9092"}
    assert not everywhere & INNER


def test_the_console_answers_this_machine_and_no_other_container(services: set[str]) -> None:
    name = "127.0.0.1:8580"  # the console's own one; the test publishes it elsewhere
    request = urllib.request.Request(f"http://{stack.HOST}:8580/", headers={"Host": name})
    with urllib.request.urlopen(request, timeout=30) as response:
        assert "Driftline" in response.read().decode()
    details = containers()["net"].details
    ((network, settings),) = details["NetworkSettings"]["Networks"].items()
    options = ("--rm", "--network", network, details["Config"]["Image"])
    command = ("wget", "-q", "-O", "-", "--header", f"Host: {name}")
    with pytest.raises(CommandFailed, match="403"):
        docker("run", *options, *command, f"http://{settings['IPAddress']}:8580/")


def test_windows_are_judged_and_a_first_version_is_live(services: set[str]) -> None:
    def no_window() -> str:
        return "" if stack.judged_windows_end() > 0 else "no window is judged yet"

    wait_until("a judged window", no_window, seconds=BEGIN_SECONDS)
    wait_until("version 1 live behind Envoy", stack.predicts, seconds=BEGIN_SECONDS)


def wait_for_a_new_window() -> None:
    """Wait until a window is judged that ends well after now, with events of then."""
    now = time.time() + 30.0  # a TaskManager goes on for 10 s without its JobManager

    def no_new_window() -> str:
        end = stack.judged_windows_end()
        return "" if end > now else f"it ends {now - end:.0f} s too early"

    wait_until("a new window is judged", no_new_window, seconds=REPAIR_SECONDS)


def test_the_death_of_net_is_noticed_and_the_others_follow(services: set[str]) -> None:
    before = containers()
    net = before["net"]
    namespace = network_namespace(net)
    # From inside: what the engine is told to kill it does not restart.
    with suppress(CommandFailed):  # the container ends under it
        net.run("sh", "-c", "kill -9 $(pidof sleep)")

    def not_followed() -> str:
        current = containers()
        now = network_namespace(current["net"])
        if now == namespace:
            return "net has not started again"
        behind = [name for name in services if network_namespace(current[name]) != now]
        return f"in the old namespace: {', '.join(sorted(behind))}" if behind else ""

    wait_until("all in net's new namespace", not_followed, seconds=REPAIR_SECONDS)
    wait_until("all healthy", lambda: not_healthy(services), seconds=REPAIR_SECONDS)
    assert all(containers()[name].started_at > before[name].started_at for name in services)
    wait_for_a_new_window()
    wait_until("version 1 live behind Envoy", stack.predicts, seconds=REPAIR_SECONDS)


@pytest.mark.parametrize("name", ["kafka", "envoy", "model-control", "daemon"])
def test_a_stopped_process_is_noticed_and_its_container_restarted(
    services: set[str], name: str
) -> None:
    before = containers()[name]
    before.run("sh", "-c", "kill -STOP -1")

    def not_noticed() -> str:
        current = containers()[name]
        noticed = current.state == "unhealthy" or current.started_at > before.started_at
        return "" if noticed else f"{name} is {current.state}"

    def not_restarted() -> str:
        current = containers()[name]
        return "" if current.started_at > before.started_at else f"{name} is {current.state}"

    wait_until(f"{name}: unhealthy", not_noticed, seconds=REPAIR_SECONDS)
    wait_until(f"{name}: restarted", not_restarted, seconds=REPAIR_SECONDS)
    wait_until(f"{name}: healthy", lambda: not_healthy([name]), seconds=REPAIR_SECONDS)


def test_the_stream_goes_on_after_the_job_manager_has_died(services: set[str]) -> None:
    before = containers()["flink-jobmanager"]
    with suppress(CommandFailed):  # the container ends under it
        before.run("bash", "-c", "kill -9 -1")

    def not_restarted() -> str:
        current = containers()["flink-jobmanager"]
        return "" if current.started_at > before.started_at else "flink-jobmanager still runs"

    wait_until("flink-jobmanager: restarted", not_restarted, seconds=REPAIR_SECONDS)
    wait_for_a_new_window()
    wait_until("all healthy", lambda: not_healthy(services), seconds=REPAIR_SECONDS)
