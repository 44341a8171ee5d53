"""What the supervisor needs to know of a process; plain data, because it crosses to its process."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec


class Tcp(msgspec.Struct, frozen=True, kw_only=True, tag="tcp"):
    """Ready when something accepts connections on the port."""

    port: int


class Http(msgspec.Struct, frozen=True, kw_only=True, tag="http"):
    """Ready when a GET answers 200 and its text matches."""

    port: int
    path: str
    matches: str = ""
    """A regular expression that must be found in the answer; empty = any answer."""
    own: int | None = None
    """A port of the process itself that must accept connections too, where another one answers."""


class Alive(msgspec.Struct, frozen=True, kw_only=True, tag="alive"):
    """Ready when it has lived for a while."""

    seconds: float = 1.0


Probe = Tcp | Http | Alive


class Once(msgspec.Struct, frozen=True, kw_only=True):
    """A command that must have run before the first start."""

    argv: tuple[str, ...]
    creates: str
    """A file; when it is there the command is skipped."""


class ProcessSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised process."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = {}
    """Added to the supervisor's environment."""
    ready: Probe = Alive()
    depends: tuple[str, ...] = ()
    """Names of processes that this one needs; they are started with it."""
    waits: bool = True
    """Start only when they are ready; False where it waits for them by itself."""
    restart: bool = True
    """Start again when it ends by itself."""
    address: str = ""
    """What a person types to reach it, for `status`."""
    once: Once | None = None
    stop_seconds: float = 10.0
    """Time to end by itself before it is killed."""
    start_seconds: float = 120.0
    """Time to become ready before `up` gives up."""
    configs: tuple[str, ...] = ()
    """Files that it reads once: a changed one means a restart at the next `up`."""


class ProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """What the supervisor writes to run/<name>.json."""

    name: str
    pid: int
    created: float
    """Creation time that the kernel reports; with the pid it names one process for ever."""
    since: float
    """When it was last started, seconds since 1970."""
    restarts: int
    ready: bool
    digest: str
    """Of the spec it was started from."""
    last_exit: str = ""
    """How its predecessor ended, empty if it has none."""


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
            raise ValueError(f"Processes wait for each other: {' -> '.join((*path, spec.name))}.")
        for name in spec.depends:
            if name not in known:
                raise ValueError(f"{spec.name} depends on {name}, which is no process here.")
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
    wanted: set[str] = set()
    queue = list(only)
    while queue:
        name = queue.pop()
        if name not in wanted:
            wanted.add(name)
            queue.extend(known[name].depends)
    return tuple(spec for spec in everything if spec.name in wanted)


def digest(spec: ProcessSpec) -> str:
    """Changes with the spec and with the files it reads once."""
    whole = hashlib.sha256(msgspec.json.encode(spec))
    for name in spec.configs:
        file = Path(name)
        whole.update(file.read_bytes() if file.exists() else b"")
    return whole.hexdigest()[:16]


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    fresh.write_bytes(content.encode() if isinstance(content, str) else content)
    os.replace(fresh, path)
