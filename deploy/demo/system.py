"""Ports of the demonstration: the stack it runs on, and the traffic process.

`deploy.demo.embedded` implements `DemoSystem` on the embedded stack, the tests implement it in
memory. The demonstration uses only what users can use too: the record log, the address of the
traffic router, and the fault file of the embedded model server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.demo.control import Second, TrafficConfig, TrafficPhase, TrafficStatus
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.registered import RegistryAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Addresses of the stack; an empty one does not exist."""

    bootstrap: str
    """Kafka, ``host:port``."""
    envoy: str
    """Envoy, which serves predictions: ``http://host:port``."""
    prometheus: str = ""
    flink: str = ""
    predictions_topic: str = ""
    """Topic of the served predictions; empty = they are not written."""
    registry: RegistryAddress | None = None
    """The schema registry of the settings."""
    metrics_port: int = 0
    """Port of the traffic process's own counters; 0 = none."""


class DemoSystem(Protocol):
    """A whole stack that can be started and stopped."""

    @property
    def contract(self) -> ModelContract:
        """The model of the demonstration."""

    @property
    def log(self) -> RecordLog:
        """The record log; usable once `up` has returned."""

    @property
    def addresses(self) -> Addresses:
        """Addresses of the stack."""

    def up(self, on_progress: Callable[[str], None]) -> None:
        """Start every process and create every topic, with an empty log and no live model.

        Returns when all processes are ready; the stream job is not submitted yet. `on_progress`
        receives what is being waited for.
        """

    def submit_job(self) -> str:
        """Start the stream job from the beginning of the topic and return its id."""

    def delay_server(self, role: str, latency_ms: int) -> None:
        """Delay the responses of the model server of `role`, at once; 0 ends the delay."""

    def open_console(self) -> str:
        """Start the console and return its address, ``http://host:port``."""

    def log_file(self, process: str) -> Path:
        """Log file of a process: ``daemon``, ``worker``, ``flink-taskmanager``, …"""

    def down(self) -> None:
        """Stop every process."""


class TrafficControl(Protocol):
    """The traffic process as the runner uses it."""

    def start(self, config: TrafficConfig, phase: TrafficPhase = "ordinary") -> None:
        """Start the process; an earlier one must have ended."""

    def switch(self, phase: TrafficPhase) -> None:
        """Change the phase; ``stop`` ends the process."""

    def predict(self) -> None:
        """Let the clients send prediction requests from now on."""

    def add_column(self) -> None:
        """Add an unannounced column to every event from now on."""

    def status(self) -> TrafficStatus | None:
        """The newest status; None when there is none yet.

        Raises
        ------
        PermanentError
            When the process has died.
        """

    def seconds(self) -> list[Second]:
        """All complete seconds of client traffic, oldest first."""
