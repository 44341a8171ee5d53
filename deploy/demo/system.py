"""What the demonstration asks of the stack it runs on.

`deploy.app.deployment` implements it for the embedded stack; the tests do it in memory. The demonstration
uses nothing that a user could not: the log, the splitter's address, and the fault file of the
embedded model server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from deploy.demo.control import Phase, Second, TrafficConfig, TrafficStatus
from streaming.contracts.log import RecordLog
from streaming.contracts.model import ModelContract


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where things answer; an empty one is not there."""

    bootstrap: str
    """Kafka, ``host:port``."""
    envoy: str
    """``http://host:port`` of the splitter."""
    prometheus: str = ""
    flink: str = ""
    console: str = ""
    predictions_topic: str = ""
    """Where the clients write what they were answered; empty = nowhere."""
    metrics_port: int = 0
    """Port for the traffic's own counters; 0 = none."""


class DemoSystem(Protocol):
    """A whole stack, from nothing to running and back."""

    @property
    def contract(self) -> ModelContract:
        """The model that is shown."""

    @property
    def log(self) -> RecordLog:
        """The record log; usable once `up` has returned."""

    @property
    def addresses(self) -> Addresses:
        """Where things answer."""

    def up(self, say: Callable[[str], None]) -> None:
        """Start every process and create every topic, with an empty log and no model live.

        Returns when all of them are ready; the stream job is not submitted yet. `say` is told
        what is being waited for.
        """

    def submit_job(self) -> str:
        """Start the stream job from the topic's beginning; returns its id."""

    def slow_down(self, role: str, latency_ms: int) -> None:
        """Let the model server of `role` answer so much later, at once; 0 heals it."""

    def log_file(self, process: str) -> Path:
        """Where the process writes: ``daemon``, ``worker``, ``flink-taskmanager``, …"""

    def down(self) -> None:
        """Stop every process."""


class TrafficControl(Protocol):
    """The traffic process as the runner sees it."""

    def start(self, config: TrafficConfig, phase: Phase = "ordinary") -> None:
        """Start it; an earlier one has ended."""

    def switch(self, phase: Phase) -> None:
        """Change the world; ``stop`` ends the process."""

    def predict(self) -> None:
        """Let the clients ask from now on."""

    def add_column(self) -> None:
        """Let every event carry a column that nobody has announced, from now on."""

    def status(self) -> TrafficStatus | None:
        """The newest status; None when there is none yet.

        Raises
        ------
        PermanentError
            When the process has died.
        """

    def seconds(self) -> list[Second]:
        """All finished seconds of client traffic, oldest first."""
