"""Files through which the runner and the traffic process communicate.

The runner writes a configuration (once) and a control file. The traffic process writes a status
file and appends to a file of seconds. Files are replaced as a whole, so a reader never sees a
partial one.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from streaming.contracts.model import ModelContract
from streaming.contracts.registered import RegistryAddress

TrafficPhase = Literal["ordinary", "shifted", "concept_shift", "broken", "stop"]

T = TypeVar("T", bound=msgspec.Struct)


class TrafficConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Configuration of the traffic process."""

    bootstrap: str
    events_topic: str
    labels_topic: str
    predictions_topic: str = ""
    """Topic of the served predictions; empty = they are not written."""
    key: str
    """Field of the entity id, in labels and predictions, and in events that are flat JSON."""
    time: str
    """Field of the event time, seconds since 1970, in the same records."""
    written_as: ModelContract | None = None
    """Contract whose mapping says how events are written; None = flat JSON."""
    registry: RegistryAddress | None = None
    """The schema registry, for events in Avro."""
    model: str
    envoy: str
    """``http://host:port`` of Envoy, which serves predictions."""
    folder: str
    """Folder of the control, status and seconds files."""
    run: str
    """Prefix of every key, so that two runs never share a key."""
    seed: int = 1
    data: str = ""
    """CSV file to replay; empty = generated trips."""
    events_per_second: float = 400.0
    predictions_per_second: float = 150.0
    history_rows: int = 24_000
    """Events sent at the start, with event times spread over the past `history_seconds`."""
    history_seconds: float = 60.0
    label_delay_seconds: float = 1.5
    """Mean delay of a label after its event; actual delays are 0.5 to 1.5 times this."""
    broken_share: float = 0.3
    """Share of the events that are broken in phase `broken`; two thirds of them are unusable."""
    users: int = 5000
    metrics_port: int = 0
    """Port at which Prometheus reads the counters; 0 = none."""
    max_seconds: float = 3600.0
    """The process ends after this time even without the runner."""
    kept: bool = False
    """Whether it goes on when the runner's process has ended."""


class Control(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Desired state of the traffic."""

    phase: TrafficPhase = "ordinary"
    predict: bool = False
    new_column: bool = False
    """Add an unannounced column to every event."""


class ArmCount(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Responses of one arm, as the clients received them."""

    requests: int = 0
    errors: int = 0
    slow: int = 0
    """Responses after more than 200 ms."""
    seconds: float = 0.0
    """Sum of the response times."""
    first_slow_at: float = 0.0
    """Time at which the first request with a slow response was sent; 0 = none."""
    last_at: float = 0.0
    """Time at which the last request was sent."""


class Second(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One second of client traffic, by the arm that answered ("" = no arm did)."""

    at: int
    arms: dict[str, ArmCount]

    @property
    def requests(self) -> int:
        """Requests sent in this second."""
        return sum(arm.requests for arm in self.arms.values())

    @property
    def errors(self) -> int:
        """Requests of this second without a good response."""
        return sum(arm.errors for arm in self.arms.values())


class TrafficStatus(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Status of the traffic; all counts are since its start."""

    at: float
    phase: TrafficPhase
    phase_since: dict[str, float]
    """Event time at which each phase began; its first event is not older."""
    sent: int
    """Events that the broker acknowledged; exactly the growth of the topic."""
    failed: int
    """Events that the broker did not accept."""
    broken: int
    """Events of `sent` that were made unusable on purpose."""
    labels: int
    predictions: int = 0
    """Served predictions that were written to their topic."""
    history_done: bool
    finished: bool
    """True in the last status: everything is acknowledged."""
    requests: int = 0
    errors: int = 0
    first_error: str = ""
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0


def end_kept_traffic(folder: Path) -> None:
    """Let the traffic that a demonstration has left in its folder end; nothing where none is."""
    if control_file(folder).exists():
        write(control_file(folder), Control(phase="stop"))


def control_file(folder: Path) -> Path:
    """Path of the control file."""
    return folder / "traffic-control.json"


def status_file(folder: Path) -> Path:
    """Path of the status file."""
    return folder / "traffic-status.json"


def seconds_file(folder: Path) -> Path:
    """Path of the file of seconds, one JSON line for each."""
    return folder / "traffic-seconds.jsonl"


def write(path: Path, value: msgspec.Struct) -> None:
    """Replace the file in one step."""
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(msgspec.json.encode(value))
    os.replace(temporary, path)


def read(path: Path, kind: type[T]) -> T | None:
    """Content of the file; None while it does not exist."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
