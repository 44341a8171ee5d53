"""The containers of ``docker-compose.yml``, as a project of their own beside any other."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from deploy.demo.messages import predict_body
from tests.compose.engine import CommandFailed, docker, show

PROJECT_NAME = "driftline-test"
HOST = "127.8.0.1"
"""Where `override.yml` publishes."""
_FILES = ("-f", "docker-compose.yml", "-f", "tests/compose/override.yml")
_ENVIRONMENT = {
    "DOCKER_BUILDKIT": "1",
    "DRIFTLINE_CONFIG": "/srv/driftline/deploy/config/demo.yaml",
}
_POLL_SECONDS = 2.0
_SHOW_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Container:
    """A container as the engine reports it."""

    service: str
    details: dict[str, Any]

    @property
    def identifier(self) -> str:
        """The engine's id."""
        return str(self.details["Id"])

    @property
    def restarts(self) -> int:
        """How often the engine has restarted it."""
        return int(self.details["RestartCount"])

    @property
    def started_at(self) -> str:
        """When it started last, ISO 8601."""
        return str(self.details["State"]["StartedAt"])

    @property
    def state(self) -> str:
        """Healthy, unhealthy, starting; without a health check running or exited."""
        state = self.details["State"]
        health = state.get("Health", {}).get("Status")
        return str(health if health and state["Running"] else state["Status"])

    def run(self, *command: str, user: str | None = None) -> str:
        """Run a command in it, by default as its own user."""
        options = () if user is None else ("--user", user)
        return docker("exec", *options, self.identifier, *command, seconds=60)


def compose(*arguments: str, seconds: float = 1800) -> str:
    """Run docker compose on the project."""
    return docker(
        *("compose", "-p", PROJECT_NAME, *_FILES, "--profile", "demo", *arguments),
        seconds=seconds,
        environment=_ENVIRONMENT,
    )


def containers() -> dict[str, Container]:
    """The project's containers by service."""
    identifiers = compose("ps", "--all", "--quiet").split()
    if not identifiers:
        return {}
    inspected = json.loads(docker("inspect", *identifiers))
    services = [entry["Config"]["Labels"]["com.docker.compose.service"] for entry in inspected]
    return {name: Container(name, entry) for name, entry in zip(services, inspected, strict=True)}


def network_namespace(container: Container) -> str:
    """The network namespace in which a container's process is."""
    return container.run("readlink", "/proc/self/ns/net").strip()


def wait_until(what: str, condition: Callable[[], str], *, seconds: float) -> float:
    """Poll until the condition returns no reason to wait; returns the seconds that it took.

    Raises
    ------
    AssertionError
        When the time is over; the message is the last reason.
    """
    begun = shown = time.monotonic()
    while True:
        try:
            reason = condition()
        except (CommandFailed, OSError) as error:  # a container that is just being restarted
            reason = str(error).splitlines()[-1]
        now = time.monotonic()
        if not reason:
            show(f"{what}: yes, after {now - begun:.0f} s")
            return now - begun
        assert now - begun < seconds, f"{what}: not within {seconds:.0f} s; {reason}"
        if now - shown >= _SHOW_SECONDS:
            show(f"{what}: {now - begun:.0f} s; {reason}")
            shown = now
        time.sleep(_POLL_SECONDS)


def not_healthy(names: Iterable[str]) -> str:
    """The services that are not healthy (running, without a health check), in words."""
    current = containers()
    states = {name: current[name].state if name in current else "missing" for name in names}
    bad = [f"{name} {state}" for name, state in states.items() if state not in _GOOD]
    return f"not healthy: {', '.join(sorted(bad))}" if bad else ""


_GOOD = ("healthy", "running")


def query(expression: str) -> float | None:
    """The first value of a query to Prometheus; None without one."""
    encoded = urllib.parse.urlencode({"query": expression})
    url = f"http://{HOST}:9090/api/v1/query?{encoded}"
    with urllib.request.urlopen(url, timeout=10) as response:
        result = json.load(response)["data"]["result"]
    return float(result[0]["value"][1]) if result else None


def judged_windows_end() -> float:
    """End of the latest judged window, seconds since 1970; 0 without one."""
    return query("max(driftline_window_end_seconds)") or 0.0


def predicts() -> str:
    """Why Envoy serves no prediction yet; empty if it does."""
    url = f"http://{HOST}:8500/v1/models/big_tipper:predict"
    request = urllib.request.Request(url, predict_body({}), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return "" if json.load(response)["predictions"] else "an empty answer"
    except urllib.error.HTTPError as error:
        until = judged_windows_end()
        return f"status {error.code}; windows are judged until {until:.0f}"
