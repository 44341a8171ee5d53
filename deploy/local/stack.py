"""The embedded stack for its users: up, down, status.

The processes belong to a supervisor that outlives the caller; this side writes the list of the
desired processes and reads the state files that the supervisor writes.
"""

from __future__ import annotations

import contextlib
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

from deploy.app.supervisor_files import identity_file
from deploy.config.atomic_file import write_atomic
from deploy.config.paths import PROJECT, install_paths
from deploy.config.port_map import PortMap
from deploy.local import probe, supervisor
from deploy.local.configuration import Configuration, take_folder
from deploy.local.private_folder import make_private, private_files, state_folder_errors
from deploy.local.process import Running, find, log_file, tail
from deploy.local.process_spec import ProcessSpec, ProcessState, digest, selected
from deploy.local.supervised import read_state, state_file
from streaming.contracts.errors import ConfigurationError, UnavailableError

POLL_SECONDS = 0.2
GIVE_UP_RESTARTS = 3


class Health(StrEnum):
    """Health of a process."""

    READY = "ready"
    STARTING = "starting"
    WAITING = "waiting"
    """Waiting for its dependencies, or for its next start."""
    UNRESPONSIVE = "unresponsive"
    """It runs and was ready before, but does not answer now."""
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
        The stack's folder: run/, log/ and data/ lie in it.
    ports:
        The stack's ports, for display; the specs hold the numbers that are used.
    specs:
        Every process that the stack may have; none is needed for `down`.
    prepare:
        Called at the beginning of `up`, to render configuration files.
    configuration:
        The configuration file whose stack it is; None where nothing else may use the folder.
    """

    def __init__(
        self,
        home: Path,
        ports: PortMap,
        specs: Sequence[ProcessSpec],
        prepare: Sequence[Callable[[], object]] = (),
        configuration: Configuration | None = None,
    ) -> None:
        self.home = home
        self.ports = ports
        self._specs = {spec.name: spec for spec in selected(specs, None)}
        self._prepare = tuple(prepare)
        self._configuration = configuration

    def selected(self, only: Sequence[str] | None) -> tuple[ProcessSpec, ...]:
        """The named processes (all by default) and their dependencies.

        Raises
        ------
        ConfigurationError
            When a name is unknown.
        """
        try:
            return selected(tuple(self._specs.values()), only)
        except ValueError as error:
            raise ConfigurationError(str(error)) from error

    def up(
        self,
        only: Sequence[str] | None = None,
        on_progress: Callable[[ProcessStatus], None] | None = None,
    ) -> None:
        """Start the named processes (all by default) with their dependencies; wait until ready.

        A running process continues unless its spec has changed. Without names, those that the stack
        no longer has are stopped. `on_progress` is called whenever the health of a process changes.

        Raises
        ------
        ConfigurationError
            When a name is unknown, another program holds a port, the home is another user's, or
            the stack of another configuration file runs in it.
        UnavailableError
            When a process does not become ready; the message has its last log lines.
        """
        chosen = self.selected(only)
        with private_files(), state_folder_errors(self.home):
            make_private(self.home)
            self._refuse_folders(chosen)
            if self._configuration is not None:
                running = self.supervised() or bool(running_processes(self.home))
                take_folder(self.home, self._configuration, running=running)
            for step in self._prepare:
                step()
            self._refuse_taken_ports(chosen)
            others = self._already_supervised(chosen)
            if only is None:  # servers of models that are no longer served end
                others = [spec for spec in others if spec.name in self._specs]
            self._write_desired((*others, *chosen))
            self._start_supervisor()
        self._await(chosen, on_progress or (lambda status: None))

    def down(self, only: Sequence[str] | None = None) -> tuple[str, ...]:
        """Stop the named processes, or everything with the supervisor, and wait for their end.

        Returns the names of the processes that were running.

        Raises
        ------
        ConfigurationError
            When the home cannot be read or written.
        """
        with state_folder_errors(self.home):
            return self._down(only)

    def _down(self, only: Sequence[str] | None) -> tuple[str, ...]:
        running = running_processes(self.home)
        if only is not None:
            desired = [s for s in supervisor.read_desired(self.home) if s.name not in set(only)]
            self._write_desired(tuple(desired))
            self._wait_until(lambda: not any(self._find(name) for name in only), 60.0)
            return tuple(name for name in running if name in set(only))
        if running or self.supervised() or supervisor.desired_file(self.home).exists():
            self._write_desired(())
        identity = self._supervisor()
        if identity is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(identity.pid, signal.SIGTERM)
            self._wait_until(lambda: not self.supervised(), 120.0)
        for file in _state_files(self.home):
            state = read_state(file)
            if state is not None:
                Running(state.pid, state.created, state.mark).end(10.0)
                file.unlink(missing_ok=True)
        return running

    def status(self) -> tuple[ProcessStatus, ...]:
        """The present status of every process.

        Raises
        ------
        ConfigurationError
            When the home cannot be read, or the list of desired processes is unusable.
        """
        with state_folder_errors(self.home), ThreadPoolExecutor(8) as pool:
            return tuple(pool.map(self._status, self._specs.values()))

    def desired_status(self) -> tuple[ProcessStatus, ...]:
        """Like `status`, only of the processes that should run."""
        desired = {spec.name for spec in supervisor.read_desired(self.home)}
        return tuple(status for status in self.status() if status.name in desired)

    def supervised(self) -> bool:
        """Whether a supervisor runs for this home."""
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
            if not state.ready:
                return Health.STARTING
            answers = probe.still_answers(spec, time.time() - state.since)
            return Health.READY if answers else Health.UNRESPONSIVE
        desired = {entry.name for entry in supervisor.read_desired(self.home)}
        return Health.WAITING if spec.name in desired and self.supervised() else Health.DOWN

    def _already_supervised(self, chosen: Sequence[ProcessSpec]) -> list[ProcessSpec]:
        """The other processes that stay, also when their supervisor was killed."""
        names = {spec.name for spec in chosen}
        desired = [spec for spec in supervisor.read_desired(self.home) if spec.name not in names]
        return desired if self.supervised() else [s for s in desired if self._find(s.name)]

    def _state(self, name: str) -> ProcessState | None:
        return read_state(state_file(self.home, name))

    def _find(self, name: str) -> bool:
        state = self._state(name)
        return state is not None and find(state.pid, state.created) is not None

    def _refuse_folders(self, chosen: Sequence[ProcessSpec]) -> None:
        """Refuse a folder in the place of a file that the supervisor writes."""
        run_files = [state_file(self.home, spec.name) for spec in chosen]
        run_files.append(identity_file(self.home))
        for file in run_files:
            if file.is_dir():
                raise ConfigurationError(
                    f"{file} is a folder, but the stack writes a file there. Remove the folder, "
                    "then run `driftline up` again."
                )

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

    def _write_desired(self, specs: Sequence[ProcessSpec]) -> None:
        write_atomic(supervisor.desired_file(self.home), msgspec.json.encode(tuple(specs)))

    def _supervisor(self) -> supervisor.Identity | None:
        if not self.supervised():
            return None
        try:
            content = identity_file(self.home).read_bytes()
            identity = msgspec.json.decode(content, type=supervisor.Identity)
        except (OSError, msgspec.MsgspecError):
            return None
        return identity if find(identity.pid, identity.created) else None

    def _start_supervisor(self) -> None:
        if self.supervised():
            return
        log = log_file(self.home, "supervisor")
        log.parent.mkdir(parents=True, exist_ok=True)
        command = [str(install_paths().python), "-m", "deploy.local.supervisor", str(self.home)]
        env = {**os.environ, "PYTHONPATH": str(PROJECT)}
        env.pop("PYTHONDONTWRITEBYTECODE", None)
        with log.open("ab") as output:
            completed = subprocess.run(
                command,
                env=env,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                check=False,
            )
        if completed.returncode != 0:
            raise UnavailableError(f"The supervisor could not start; {log} ends with:\n{tail(log)}")
        self._wait_until(lambda: self._supervisor() is not None, 20.0)

    def _await(
        self, chosen: Sequence[ProcessSpec], on_progress: Callable[[ProcessStatus], None]
    ) -> None:
        reported: dict[str, tuple[Health, int]] = {}
        first_start: dict[str, float] = {}
        while True:
            states = [(spec, self._progress(spec)) for spec in chosen]
            for spec, status in states:
                news = (status.health, status.restarts)
                if reported.get(spec.name) != news:
                    reported[spec.name] = news
                    on_progress(status)
                if status.health is not Health.READY:
                    self._check_start(spec, status, first_start)
            if all(status.health is Health.READY for _, status in states):
                return
            if not self.supervised():
                raise UnavailableError("The supervisor has ended while the stack was starting.")
            time.sleep(POLL_SECONDS)

    def _progress(self, spec: ProcessSpec) -> ProcessStatus:
        """Like `_status`, but ready only when it was started from the current spec."""
        status = self._status(spec)
        state = self._state(spec.name)
        if status.health is Health.READY and state and state.digest != digest(spec):
            return replace(status, health=Health.WAITING)
        return status

    def _check_start(
        self, spec: ProcessSpec, status: ProcessStatus, first_start: dict[str, float]
    ) -> None:
        """Raise `UnavailableError` when the process will not become ready."""
        if status.health is Health.STARTING:
            first_start.setdefault(spec.name, time.monotonic())
        waited = time.monotonic() - first_start.get(spec.name, time.monotonic())
        keeps_ending = status.restarts >= GIVE_UP_RESTARTS and status.pid is None
        ended = not spec.restart and status.pid is None and bool(status.last_exit)
        if not (keeps_ending or ended or waited > spec.start_seconds):
            return
        cause = status.last_exit or f"does not answer after {waited:.0f} s"
        raise UnavailableError(
            f"{spec.name} did not become ready: {cause}. Its log {status.log} ends with:\n"
            f"{tail(status.log)}"
        )

    def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise UnavailableError(
                    f"The supervisor did not finish within {seconds:.0f} s; "
                    f"see {log_file(self.home, 'supervisor')}."
                )
            time.sleep(POLL_SECONDS)


def _state_files(home: Path) -> list[Path]:
    """The JSON files in run/, sorted; raises `OSError` when the folder cannot be read."""
    folder = home / "run"
    try:
        names = os.listdir(folder)  # `Path.glob` hides that it is not permitted
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [folder / name for name in sorted(names) if name.endswith(".json")]


def running_processes(home: Path) -> tuple[str, ...]:
    """Names of a home's processes that run, also without a supervisor.

    Raises
    ------
    ConfigurationError
        When the home cannot be read.
    """
    with state_folder_errors(home):
        states = [read_state(file) for file in _state_files(home)]
    return tuple(
        state.name for state in states if state and find(state.pid, state.created) is not None
    )


def running_stacks(base: Path) -> dict[Path, tuple[str, ...]]:
    """Every stack below DRIFTLINE_HOME that runs, with its processes.

    Folders that this user may not read are left out.
    """
    stacks = {}
    for folder in (base, *sorted(base.glob("*"))):
        with contextlib.suppress(ConfigurationError):
            stacks[folder] = running_processes(folder)
    return {folder: names for folder, names in stacks.items() if names}
