"""The stack of the alert drills: a demonstration, its faults, and what its receiver was told."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import httpx
import psutil
from ruamel.yaml import YAML

from deploy.app.deployment import Deployment
from deploy.app.serving_layout import fault_file
from deploy.app.supervisor_files import request_restart
from deploy.config.atomic_file import write_atomic
from deploy.local.process import find
from deploy.local.process_spec import ProcessState
from deploy.local.supervised import read_state, state_file
from deploy.notify.history import History, history_file
from tests.e2e.conftest import Machine
from tests.e2e.told_alerts import Told, told_in

MODEL = "big_tipper"
DEADLINE = 300.0
RETRAIN_DEADLINE = 900.0
"""Seconds from the request of a retrain to what its version leads to."""


def until(what: str, ready: Callable[[], bool], deadline: float = DEADLINE) -> float:
    """Wait for something; returns how many seconds it took.

    Raises
    ------
    TimeoutError
        When it does not come.
    """
    began = time.monotonic()
    while not ready():
        if time.monotonic() - began > deadline:
            raise TimeoutError(f"{what}: did not come within {deadline:.0f} s")
        time.sleep(0.5)
    return time.monotonic() - began


@dataclass
class DrillStack:
    """A stack that the drills may break; `machine` runs commands on it."""

    machine: Machine
    began: float = field(default_factory=time.time)

    @cached_property
    def deployment(self) -> Deployment:
        """Its settings, as the commands read them."""
        return Deployment.load(self.machine.profile)

    # ------------------------------------------------------------------ what was told

    def told(self, since: float = 0.0) -> list[Told]:
        """What the receiver was told since a time, oldest first."""
        file = history_file(self.deployment.home)
        if not file.exists():
            return []
        history = History(file)
        try:
            messages = history.messages(1000)[::-1]
        finally:
            history.close()
        return [told for message in messages if message[2] >= since for told in told_in(*message)]

    def active(self) -> set[str]:
        """Names of the alerts that Alertmanager has and does not hold back."""
        url = f"http://127.0.0.1:{self.deployment.ports.alertmanager}/api/v2/alerts"
        alerts = httpx.get(url, params={"inhibited": "false"}, timeout=10.0).json()
        return {alert["labels"]["alertname"] for alert in alerts}

    def fired(self, since: float) -> set[str]:
        """Names of the alerts that have fired since a time, also those that were held back."""
        seconds = max(1, round(time.time() - since))
        query = f'count by (alertname) (max_over_time(ALERTS{{alertstate="firing"}}[{seconds}s]))'
        url = f"{self.deployment.prometheus_url}/api/v1/query"
        answer = httpx.get(url, params={"query": query}, timeout=10.0).json()
        return {series["metric"]["alertname"] for series in answer["data"]["result"]}

    def metric(self, query: str) -> float | None:
        """The value of a query that gives one; None without a series."""
        url = f"{self.deployment.prometheus_url}/api/v1/query"
        result = httpx.get(url, params={"query": query}, timeout=10.0).json()["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    # --------------------------------------------------------------------- the faults

    @contextlib.contextmanager
    def stalled(self, name: str) -> Iterator[None]:
        """A process is stopped for as long; what the supervisor has replaced meanwhile is left."""
        process = self._process(name)
        assert process is not None, f"{name} does not run"
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)  # never to another one with its id

    def kill(self, name: str) -> None:
        """Kill a process; between two of its starts nothing."""
        process = self._process(name)
        if process is not None:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def unreadable_events(self, count: int) -> None:
        """Send events that nothing can read, among those of the demonstration."""
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": self.deployment.bootstrap})
        for number in range(count):
            producer.produce("taxi.trips", key=f"drill-{number}", value=b'{"trip_id": "cut o')
        producer.flush(30.0)

    @contextlib.contextmanager
    def slow_canary(self, milliseconds: int) -> Iterator[None]:
        """The canary's server answers late for as long."""
        file = fault_file(self.deployment, MODEL, "canary")
        write_atomic(file, json.dumps({"latency_ms": milliseconds}).encode())
        try:
            yield
        finally:
            write_atomic(file, b"{}")

    @contextlib.contextmanager
    def changed_rollout(self, **values: Any) -> Iterator[None]:
        """The rollout's settings are others for as long, and the daemon has read them."""
        before = self.machine.profile.read_text()
        yaml = YAML()
        settings = yaml.load(before)
        settings["models"][MODEL]["rollout"].update(values)
        with self.machine.profile.open("w") as stream:
            yaml.dump(settings, stream)
        self._restart_daemon()
        try:
            yield
        finally:
            self.machine.profile.write_text(before)
            self._restart_daemon()

    def _restart_daemon(self) -> None:
        before = self._process("daemon")
        request_restart(self.deployment.home, "daemon")

        def ready() -> bool:
            state = self._state("daemon")
            return (
                state is not None and state.ready and self._process("daemon") not in (None, before)
            )

        until("the daemon with the changed settings", ready)

    def _process(self, name: str) -> psutil.Process | None:
        """A process of the stack, by id and time of its start; None while it does not run."""
        state = self._state(name)
        return find(state.pid, state.created) if state is not None and state.pid > 0 else None

    def _state(self, name: str) -> ProcessState | None:
        return read_state(state_file(self.deployment.home, name))

    # ----------------------------------------------------------------- the model's loop

    def idle(self) -> bool:
        """Whether no rollout goes on."""
        return self.metric(f'driftline_rollout_phase{{model="{MODEL}",phase="idle"}}') == 1.0

    def retrain(self, reason: str) -> None:
        """Request a retrain as soon as one may start."""
        until("the end of the rollout before it", self.idle)
        command = ("retrain", MODEL, "--reason", reason)

        def accepted() -> bool:
            process = self.machine.start(*command)
            process.communicate(timeout=120)
            running = f'driftline_retrain_running{{model="{MODEL}"}}'
            return process.returncode == 0 or self.metric(running) == 1.0

        until("the retrain", accepted, 120.0)
