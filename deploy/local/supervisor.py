"""`python -m deploy.local.supervisor HOME`: keeps the processes of run/desired.json running.

Level-triggered: each step compares the desired processes with the running ones and reconciles the
difference, so an interrupted `up` or a changed spec needs no special path. It detaches from the
terminal that started it; SIGTERM ends it and all its processes. When it is killed its processes
continue, and the next supervisor adopts them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import msgspec
import psutil

from deploy.app.supervisor_files import identity_file
from deploy.config.atomic_file import write_atomic
from deploy.local.private_folder import UMASK
from deploy.local.process_spec import ProcessSpec, digest
from deploy.local.supervised import SupervisedProcess
from streaming.contracts.errors import ConfigurationError, DriftlineError

RECONCILE_SECONDS = 0.2


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which process is the supervisor."""

    pid: int
    created: float


def desired_file(home: Path) -> Path:
    """The file that lists the specs to keep running."""
    return home / "run" / "desired.json"


def lock_file(home: Path) -> Path:
    """The file that a live supervisor holds locked."""
    return home / "run" / "supervisor.lock"


def read_desired(home: Path) -> tuple[ProcessSpec, ...]:
    """The specs to keep running; empty when there is no list.

    Raises
    ------
    ConfigurationError
        When the file is not a list of process specs, or is not a file.
    """
    file = desired_file(home)
    try:
        return msgspec.json.decode(file.read_bytes(), type=tuple[ProcessSpec, ...])
    except FileNotFoundError:
        return ()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, IsADirectoryError) as error:
        raise ConfigurationError(
            f"{file} is not a list of processes ({error}). Remove it; then `driftline up` writes "
            "it again and starts what is missing."
        ) from error


def is_wanted(home: Path, process: str) -> bool:
    """Whether a home's stack was started with this process, and not taken down since.

    A process that was killed, or restarts, is wanted all the time.
    """
    with contextlib.suppress(ConfigurationError):
        return any(spec.name == process for spec in read_desired(home))
    return True  # nothing is known, so nothing is concluded


class Supervisor:
    """Starts and stops processes until the desired ones run."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._supervised: dict[str, SupervisedProcess] = {}
        self._last_change = 0
        self._last_error = ""

    def reconcile(self) -> None:
        """Read the desired processes if they have changed; start and stop accordingly.

        While they cannot be read, the processes continue as they are.
        """
        try:
            self._reconcile()
        except (DriftlineError, OSError) as error:
            if str(error) != self._last_error:
                say(f"supervisor: the processes continue as they are: {error}")
            self._last_error = str(error)
        else:
            self._last_error = ""

    def _reconcile(self) -> None:
        file = desired_file(self._home)
        changed = file.stat().st_mtime_ns if file.exists() else 0
        if changed == self._last_change:
            return
        desired = {spec.name: spec for spec in read_desired(self._home)}
        self._last_change = changed
        self._end(
            [
                process
                for name, process in self._supervised.items()
                if name not in desired or digest(desired[name]) != process.digest
            ]
        )
        for name, spec in desired.items():
            if name not in self._supervised or not self._supervised[name].is_alive():
                self._supervised[name] = SupervisedProcess(
                    self._home, spec, self._is_ready, self._answers, say
                )
                self._supervised[name].start()

    def end(self) -> None:
        """Stop everything; a process that others depend on stops after them."""
        self._end(list(self._supervised.values()))

    def _end(self, leaving: list[SupervisedProcess]) -> None:
        names = {process.spec.name for process in leaving}
        while names:
            needed = {
                name
                for process in leaving
                if process.spec.name in names
                for name in process.spec.depends
            }
            independent = [process for process in leaving if process.spec.name in names - needed]
            for process in independent:
                process.request_stop()
            for process in independent:
                process.join()
                names.discard(process.spec.name)
                self._supervised.pop(process.spec.name, None)

    def _is_ready(self, name: str) -> bool:
        process = self._supervised.get(name)
        return process is not None and process.ready

    def _answers(self, name: str) -> bool:
        process = self._supervised.get(name)
        return process is not None and process.answers


def say(line: str) -> None:
    """Write a line to the supervisor's log."""
    sys.stdout.write(f"{time.strftime('%F %T UTC', time.gmtime())} {line}\n")
    sys.stdout.flush()


def main() -> int:
    """Detach, take the lock, supervise until SIGTERM."""
    home = Path(sys.argv[1]).resolve()
    os.umask(UMASK)  # the processes inherit it
    (home / "run").mkdir(parents=True, exist_ok=True)
    if os.fork() > 0:
        return 0
    lock = lock_file(home).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return 0  # another supervisor was faster; it reads the same file
    return _supervise(home)


def _supervise(home: Path) -> int:
    stop_requested = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stop_requested.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    identity = Identity(pid=os.getpid(), created=psutil.Process().create_time())
    write_atomic(identity_file(home), msgspec.json.encode(identity))
    supervisor = Supervisor(home)
    while not stop_requested.is_set():
        supervisor.reconcile()
        stop_requested.wait(RECONCILE_SECONDS)
    supervisor.end()
    identity_file(home).unlink(missing_ok=True)
    say("supervisor: ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
