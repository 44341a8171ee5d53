"""The embedded stack as its users see it: up, down, status.

The processes belong to a supervisor that outlives the caller; this side writes the list of what is
wanted and reads the files that the supervisor writes.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import msgspec

from deploy.config.paths import PROJECT, install_paths
from deploy.config.port_map import PortMap
from deploy.local import probe, supervisor
from deploy.local.process import Running, find, log_file, tail
from deploy.local.process_spec import ProcessSpec, ProcessState, digest, selected, write_atomic
from deploy.local.supervised import read_state, state_file
from streaming.contracts.errors import ConfigurationError, UnavailableError

POLL_SECONDS = 0.2
GIVE_UP_RESTARTS = 3


class Health(StrEnum):
    """How a process is."""

    READY = "ready"
    STARTING = "starting"
    WAITING = "waiting"
    """For its dependencies, or for its next start."""
    SILENT = "silent"
    """Runs, was ready before, does not answer now."""
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessStatus:
    """One line of `driftline status`."""

    name: str
    health: Health
    address: str
    pid: int | None
    since: float | None
    """When it was last started, seconds since 1970."""
    restarts: int
    last_exit: str
    log: Path


class Stack:
    """The embedded stack of one home.

    Parameters
    ----------
    home:
        DRIFTLINE_HOME: run/, log/ and data/ lie there.
    ports:
        Where the processes listen; only shown, the specs hold the numbers.
    specs:
        Every process that the stack may have.
    prepare:
        Called at the beginning of `up`; render configuration files here.
    """

    def __init__(
        self,
        home: Path,
        ports: PortMap,
        specs: Sequence[ProcessSpec],
        prepare: Sequence[Callable[[], object]] = (),
    ) -> None:
        self.home = home
        self.ports = ports
        self._specs = {spec.name: spec for spec in selected(specs, None)}
        self._prepare = tuple(prepare)

    def up(
        self,
        only: Sequence[str] | None = None,
        on_progress: Callable[[ProcessStatus], None] | None = None,
    ) -> None:
        """Start what is named (and what it depends on) and wait until all of it is ready.

        What runs already goes on, unless its spec has changed. `on_progress` is called whenever
        the health of a process changes.

        Raises
        ------
        ConfigurationError
            When a name is unknown or another program holds a port.
        UnavailableError
            When a process does not become ready; the message has its last log lines.
        """
        try:
            chosen = selected(tuple(self._specs.values()), only)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error
        for step in self._prepare:
            step()
        self._refuse_taken_ports(chosen)
        self._want((*self._others(chosen), *chosen))
        self._start_supervisor()
        self._await(chosen, on_progress or (lambda status: None))

    def down(self, only: Sequence[str] | None = None) -> None:
        """Stop what is named, or everything with the supervisor; returns when it has ended."""
        if only is not None:
            left = [s for s in supervisor.read_wanted(self.home) if s.name not in set(only)]
            self._want(tuple(left))
            self._until(lambda: not any(self._find(name) for name in only), 60.0)
            return
        self._want(())
        chief = self._supervisor()
        if chief is not None:
            os.kill(chief.pid, signal.SIGTERM)
            self._until(lambda: not self.supervised(), 120.0)
        for file in (self.home / "run").glob("*.json"):
            state = read_state(file)
            if state is not None:
                Running(state.pid, state.created).end(10.0)
                file.unlink(missing_ok=True)

    def status(self) -> tuple[ProcessStatus, ...]:
        """How every process is, asked just now."""
        with ThreadPoolExecutor(8) as pool:
            return tuple(pool.map(self._status, self._specs.values()))

    def supervised(self) -> bool:
        """Whether a supervisor keeps this home."""
        file = supervisor.lock_file(self.home)
        if not file.exists():
            return False
        with file.open("r") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def _status(self, spec: ProcessSpec) -> ProcessStatus:
        state = self._state(spec.name)
        running = state is not None and find(state.pid, state.created) is not None
        return ProcessStatus(
            name=spec.name,
            health=self._health(spec, state, running),
            address=spec.address,
            pid=state.pid if state and running else None,
            since=state.since if state and running else None,
            restarts=state.restarts if state else 0,
            last_exit=state.last_exit if state else "",
            log=log_file(self.home, spec.name),
        )

    def _health(self, spec: ProcessSpec, state: ProcessState | None, running: bool) -> Health:
        if state is not None and running:
            lived = time.time() - state.since
            if probe.ready(spec.ready, lived):
                return Health.READY if state.ready else Health.STARTING
            return Health.SILENT if state.ready else Health.STARTING
        wanted = {wanted.name for wanted in supervisor.read_wanted(self.home)}
        return Health.WAITING if spec.name in wanted and self.supervised() else Health.DOWN

    def _others(self, chosen: Sequence[ProcessSpec]) -> list[ProcessSpec]:
        """What is kept running besides, also when its supervisor was killed."""
        fresh = {spec.name for spec in chosen}
        others = [s for s in supervisor.read_wanted(self.home) if s.name not in fresh]
        return others if self.supervised() else [s for s in others if self._find(s.name)]

    def _state(self, name: str) -> ProcessState | None:
        return read_state(state_file(self.home, name))

    def _find(self, name: str) -> bool:
        state = self._state(name)
        return state is not None and find(state.pid, state.created) is not None

    def _refuse_taken_ports(self, chosen: Sequence[ProcessSpec]) -> None:
        for spec in chosen:
            port = probe.port(spec.ready)
            if port is None or self._find(spec.name):
                continue
            if probe.listening(port):
                raise ConfigurationError(
                    f"Port {port}, which {spec.name} needs, is used by another program. Stop that "
                    "program, or move the whole stack with local.port_offset in driftline.yaml."
                )

    def _want(self, specs: Sequence[ProcessSpec]) -> None:
        write_atomic(supervisor.wanted_file(self.home), msgspec.json.encode(tuple(specs)))

    def _supervisor(self) -> supervisor.Identity | None:
        if not self.supervised():
            return None
        try:
            content = supervisor.identity_file(self.home).read_bytes()
            chief = msgspec.json.decode(content, type=supervisor.Identity)
        except (OSError, msgspec.MsgspecError):
            return None
        return chief if find(chief.pid, chief.created) else None

    def _start_supervisor(self) -> None:
        if self.supervised():
            return
        log = log_file(self.home, "supervisor")
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(install_paths().python), "-m", "deploy.local.supervisor", str(self.home)]
        env = {**os.environ, "PYTHONPATH": str(PROJECT)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        with log.open("ab") as output:
            done = subprocess.run(
                command,
                env=env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                check=False,
            )
        if done.returncode != 0:
            raise UnavailableError(f"The supervisor could not start; {log} ends with:\n{tail(log)}")
        self._until(lambda: self._supervisor() is not None, 20.0)

    def _await(
        self, chosen: Sequence[ProcessSpec], on_progress: Callable[[ProcessStatus], None]
    ) -> None:
        told: dict[str, tuple[Health, int]] = {}
        begun: dict[str, float] = {}
        while True:
            states = [(spec, self._progress(spec)) for spec in chosen]
            for spec, status in states:
                seen = (status.health, status.restarts)
                if told.get(spec.name) != seen:
                    told[spec.name] = seen
                    on_progress(status)
                if status.health is not Health.READY:
                    self._give_up_on(spec, status, begun)
            if all(status.health is Health.READY for _, status in states):
                return
            if not self.supervised():
                raise UnavailableError("The supervisor has ended while the stack was starting.")
            time.sleep(POLL_SECONDS)

    def _progress(self, spec: ProcessSpec) -> ProcessStatus:
        """Like `_status`, but ready only when it runs from the spec as it is now."""
        status = self._status(spec)
        state = self._state(spec.name)
        if status.health is Health.READY and state and state.digest != digest(spec):
            return replace(status, health=Health.WAITING)
        return status

    def _give_up_on(
        self, spec: ProcessSpec, status: ProcessStatus, begun: dict[str, float]
    ) -> None:
        if status.health is Health.STARTING:
            begun.setdefault(spec.name, time.monotonic())
        waited = time.monotonic() - begun.get(spec.name, time.monotonic())
        ended_again = status.restarts >= GIVE_UP_RESTARTS and status.pid is None
        gone = not spec.restart and status.pid is None and bool(status.last_exit)
        if not (ended_again or gone or waited > spec.start_seconds):
            return
        how = status.last_exit or f"does not answer after {waited:.0f} s"
        raise UnavailableError(
            f"{spec.name} did not become ready: {how}. Its log {status.log} ends with:\n"
            f"{tail(status.log)}"
        )

    def _until(self, condition: Callable[[], bool], seconds: float) -> None:
        limit = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > limit:
                raise UnavailableError(
                    f"The supervisor did not do its work within {seconds:.0f} s; "
                    f"see {log_file(self.home, 'supervisor')}."
                )
            time.sleep(POLL_SECONDS)
