"""What the demonstration and its traffic process tell each other, through three small files.

A configuration (once), a control file (the runner writes, the traffic obeys) and a status file
with a log of seconds (the traffic writes, the runner reads). Each file is replaced whole, so a
reader never sees half of one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

Phase = Literal["ordinary", "shifted", "turned", "broken", "stop"]

T = TypeVar("T", bound=msgspec.Struct)


class TrafficConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the traffic process needs."""

    bootstrap: str
    events_topic: str
    labels_topic: str
    predictions_topic: str = ""
    """Where the clients write what they were answered; empty = nowhere."""
    key: str
    """Field of the entity id, in events and labels."""
    time: str
    """Field of the event time, seconds since 1970."""
    model: str
    envoy: str
    """``http://host:port`` of the splitter."""
    folder: str
    """Where the control, status and seconds files lie."""
    run: str
    """Beginning of every key, so that two runs never share one."""
    seed: int = 1
    data: str = ""
    """A CSV file to replay; empty = made-up trips."""
    events_per_second: float = 400.0
    predictions_per_second: float = 150.0
    history_rows: int = 24_000
    """Events sent at once at the start, stamped over the past `history_seconds`."""
    history_seconds: float = 60.0
    label_delay_seconds: float = 1.5
    """A label follows its event after half to one and a half times this."""
    broken_share: float = 0.3
    """Share of the events that the careless producer sends while the phase is `broken`; two
    thirds of them are unusable."""
    users: int = 5000
    metrics_port: int = 0
    """Where Prometheus finds the counters; 0 = nowhere."""
    longest_seconds: float = 3600.0
    """The process ends by itself after this long, whatever becomes of the runner."""


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the traffic should do now."""

    phase: Phase = "ordinary"
    predict: bool = False
    new_column: bool = False
    """Send a column that nobody has announced, in every event."""


class ArmCount(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Answers of one arm, as the clients saw them."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    """Answers after more than 200 ms."""
    seconds: float = 0.0
    """Sum of the answer times."""
    first_slow_at: float = 0.0
    """When the first slow answer's request was sent; 0 = there was none."""
    last_at: float = 0.0
    """When the last of these requests was sent."""


class Second(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One second of client traffic, by the arm that answered ("" = nobody did)."""

    at: int
    arms: dict[str, ArmCount]

    @property
    def requests(self) -> int:
        """Requests sent in this second."""
        return sum(arm.requests for arm in self.arms.values())

    @property
    def errors(self) -> int:
        """Requests of this second that gave the client no good answer."""
        return sum(arm.errors for arm in self.arms.values())


class TrafficStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the traffic stands; all counts since its start."""

    at: float
    phase: Phase
    phase_since: dict[str, float]
    """When each phase began, in event time: the first event of it is not older."""
    sent: int
    """Events that the broker acknowledged: exactly the growth of the topic."""
    failed: int
    """Events that the broker did not take."""
    broken: int
    """Of `sent`, how many were made unusable on purpose."""
    labels: int
    predictions: int = 0
    """Answers that were written down."""
    history_done: bool
    finished: bool
    """True in the last status: everything is acknowledged."""
    requests: int = 0
    errors: int = 0
    first_error: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


def control_file(folder: Path) -> Path:
    """Where the control file lies."""
    return folder / "traffic-control.json"


def status_file(folder: Path) -> Path:
    """Where the status file lies."""
    return folder / "traffic-status.json"


def seconds_file(folder: Path) -> Path:
    """Where the log of seconds lies: one JSON line each."""
    return folder / "traffic-seconds.jsonl"


def write(path: Path, value: msgspec.Struct) -> None:
    """Replace the file's content in one step."""
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(value))
    os.replace(temporary, path)


def read(path: Path, kind: type[T]) -> T | None:
    """What the file holds; None when it is not there (yet)."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
