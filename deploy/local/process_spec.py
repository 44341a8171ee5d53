"""Process specs: plain data, because they are passed to the supervisor's process as JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Tcp(msgspec.Struct, frozen=True, kw_only=True, tag="tcp"):
    """Ready when something accepts connections on the port; a stopped process still does."""

    port: int


class Http(msgspec.Struct, frozen=True, kw_only=True, tag="http"):
    """Ready when a GET answers 200 and the text of the answer matches."""

    port: int
    path: str
    matches: str = ""
    """A regular expression that the text must contain; empty = any text."""
    any_status: bool = False
    """Whether an error is an answer too."""


class Kafka(msgspec.Struct, frozen=True, kw_only=True, tag="kafka"):
    """Ready when a broker answers a request for its versions."""

    port: int


class Grpc(msgspec.Struct, frozen=True, kw_only=True, tag="grpc"):
    """Ready when a gRPC server responds to a call with an empty message."""

    port: int
    method: str
    """``/package.Service/Method``; a call that changes nothing."""


class TaskManager(msgspec.Struct, frozen=True, kw_only=True, tag="taskmanager"):
    """Ready when the JobManager heard the TaskManager's heartbeat a short time ago."""

    port: int
    """The JobManager's REST API."""
    own_port: int
    """A port of the TaskManager itself that must accept connections."""
    resource_id: str
    seconds: float = 8.0
    """Longest time since the last heartbeat; below Flink's ``heartbeat.timeout``."""


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    """Ready when a process reports that its loop made a step a short time ago.

    It reads the metric ``driftline_progress_seconds{process="…"}``.
    """

    port: int
    process: str
    seconds: float
    """Longest time since the last step."""


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """Ready after an uptime."""

    seconds: float = 1.0


Probe = Tcp | Http | Kafka | Grpc | TaskManager | Progress | Alive


class SetupCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A command that runs once before the first start."""

    argv: tuple[str, ...]
    creates: str
    """A file that the command creates; when it exists the command is skipped."""


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    """Added to the supervisor's environment."""
    ready: Probe = Alive()
    """Tells when it has started."""
    answers: Probe | None = None
    """Tells from then on whether it still works; None = the same."""
    silent_seconds: float = 30.0
    """A process that does not answer for this long is restarted."""
    depends: tuple[str, ...] = ()
    """Names of the processes that it needs; they are started with it."""
    wait_for_dependencies: bool = True
    """Start only when the dependencies are ready; False when the process waits for them itself."""
    restart: bool = True
    """Restart it when it ends by itself."""
    address: str = ""
    """The address that `status` shows."""
    setup_command: SetupCommand | None = None
    stop_seconds: float = 10.0
    """Time to end after SIGTERM before it is killed."""
    start_seconds: float = 120.0
    """Time to become ready before `up` fails."""
    config_files: tuple[str, ...] = ()
    """Files that it reads at its start; the next `up` restarts it when one has changed."""


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """State of a process, in run/<name>.json."""

    name: str
    pid: int
    created: float
    """Creation time that the kernel reports; with the pid it identifies the process."""
    since: float
    """When it was last started, seconds since 1970."""
    restarts: int
    ready: bool
    digest: str
    """Digest of the spec it was started from."""
    mark: str = ""
    """Random value in its environment; by it the children it has left are recognised."""
    last_exit: str = ""
    """How the process before it ended; empty if there was none."""


def ordered(specs: Sequence[ProcessSpec]) -> tuple[ProcessSpec, ...]:
    """Dependencies first, otherwise in the given order.

    Raises
    ------
    ValueError
        When a dependency is unknown, or names depend on each other in a circle.

    >>> a = ProcessSpec(name="a", argv=("x",), depends=("b",))
    >>> [spec.name for spec in ordered([a, ProcessSpec(name="b", argv=("x",))])]
    ['b', 'a']
    """
    known = {spec.name: spec for spec in specs}
    if len(known) != len(specs):
        raise ValueError("Two processes have the same name; every name must be used once.")
    done: dict[str, ProcessSpec] = {}

    def visit(spec: ProcessSpec, path: tuple[str, ...]) -> None:
        if spec.name in done:
            return
        if spec.name in path:
            circle = " -> ".join((*path, spec.name))
            raise ValueError(f"Processes wait for each other: {circle}.")
        for name in spec.depends:
            if name not in known:
                raise ValueError(f"{spec.name} depends on {name}, which is not in the stack.")
            visit(known[name], (*path, spec.name))
        done[spec.name] = spec

    for spec in specs:
        visit(spec, ())
    return tuple(done.values())


def selected(specs: Sequence[ProcessSpec], only: Sequence[str] | None) -> tuple[ProcessSpec, ...]:
    """The named processes and what they depend on; all when nothing is named.

    Raises
    ------
    ValueError
        When a name is unknown.
    """
    everything = ordered(specs)
    if only is None:
        return everything
    known = {spec.name: spec for spec in everything}
    unknown = sorted(set(only) - set(known))
    if unknown:
        raise ValueError(f"No process {', '.join(unknown)}; there are {', '.join(known)}.")
    needed: set[str] = set()
    queue = list(only)
    while queue:
        name = queue.pop()
        if name not in needed:
            needed.add(name)
            queue.extend(known[name].depends)
    return tuple(spec for spec in everything if spec.name in needed)


def digest(spec: ProcessSpec) -> str:
    """Changes with the spec and with its configuration files."""
    content = hashlib.sha256(msgspec.json.encode(spec))
    for name in spec.config_files:
        file = Path(name)
        content.update(file.read_bytes() if file.exists() else b"")
    return content.hexdigest()[:16]
