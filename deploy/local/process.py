"""Starts, recognises and ends one process and everything it started itself.

A process is identified by its pid and the creation time that the kernel reports: a pid alone may
have been reused. Each process leads a session of its own, so its children end with it. When it has
ended, its children are recognised by a random mark in their environment, which they inherit: the
number of its process group may belong to another program by then.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.config.paths import install_paths
from deploy.local.process_spec import ProcessSpec
from deploy.setup import java

LOG_BYTES = 32 << 20
MARK = "DRIFTLINE_PROCESS"
"""Environment variable with the mark of a process."""
_POLL_SECONDS = 0.05
_MAX_SWEEPS = 20


@dataclass(frozen=True, slots=True)
class Running:
    """A process of the stack; `child` is None when an earlier supervisor started it."""

    pid: int
    created: float
    mark: str = ""
    """Value of `MARK` in its environment; empty when it is not known."""
    child: subprocess.Popen[bytes] | None = field(default=None, compare=False)

    def alive(self) -> bool:
        """Whether it still runs; leaves its exit status to `collect`."""
        if self.child is not None:
            flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
            return os.waitid(os.P_PID, self.pid, flags) is None
        return find(self.pid, self.created) is not None

    def end(self, grace_seconds: float) -> None:
        """Terminate its process group, kill it after `grace_seconds`, and collect it."""
        self.terminate(grace_seconds)
        self.collect()

    def terminate(self, grace_seconds: float) -> None:
        """Terminate its process group; kill it after `grace_seconds`."""
        if self.alive():
            _signal_group(self.pid, signal.SIGTERM)
            self._wait(grace_seconds)
        if self.alive() or self.child is not None:
            # Also its leftovers: the pid is not reused before the exit status is collected.
            _signal_group(self.pid, signal.SIGKILL)
            self._wait(5.0)

    def collect(self) -> str:
        """Kill its leftovers, collect its exit status and describe its end."""
        if self.child is None:
            _kill_marked(self.pid, self.mark)
            return "ended"
        _signal_group(self.pid, signal.SIGKILL)
        code = self.child.wait()
        return f"ended with status {code}" if code >= 0 else f"killed by signal {-code}"

    def _wait(self, seconds: float) -> None:
        limit = time.monotonic() + seconds
        while self.alive() and time.monotonic() < limit:
            time.sleep(_POLL_SECONDS)


def _signal_group(pid: int, number: signal.Signals) -> None:
    if pid <= 1:  # 0 stands for a failed start; it would signal our own group
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def find(pid: int, created: float) -> psutil.Process | None:
    """The live process with this identity, None when it has ended or is a zombie."""
    if pid <= 1:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) < 0.05
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (psutil.Error, OverflowError, ValueError):  # also a pid that no process can have
        return None


def _kill_marked(group: int, mark: str) -> None:
    """Kill the members of a process group that carry this mark, and no other process.

    A mark is random and new at each start, so it also tells another boot's processes apart.
    """
    for _ in range(_MAX_SWEEPS if mark else 0):
        members = [process for process in psutil.process_iter() if _marked(process, group, mark)]
        if not members:
            return
        for process in members:
            with contextlib.suppress(psutil.Error):
                process.kill()  # checks the creation time, so a reused pid is not killed
        psutil.wait_procs(members, timeout=1.0)


def _marked(process: psutil.Process, group: int, mark: str) -> bool:
    try:
        return (
            os.getpgid(process.pid) == group
            and process.status() != psutil.STATUS_ZOMBIE
            and process.environ().get(MARK) == mark
        )
    except (psutil.Error, OSError):
        return False


def environment(home: Path, spec: ProcessSpec, base: Mapping[str, str]) -> dict[str, str]:
    """Environment of a stack process: the locked environment and its Java come first."""
    paths = install_paths()
    kept = {name: value for name, value in base.items() if name != "PYTHONDONTWRITEBYTECODE"}
    java_home = java.home(paths)
    path = [str(paths.venv_bin), str(java_home / "bin"), kept.get("PATH", os.defpath)]
    return {
        **kept,
        "PATH": os.pathsep.join(path),
        "JAVA_HOME": str(java_home),
        "DRIFTLINE_HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        **spec.env,
    }


def log_file(home: Path, name: str) -> Path:
    """The file that a process's output goes to."""
    return home / "log" / f"{name}.log"


def tail(file: Path, lines: int = 12) -> str:
    """The last lines of a log, empty if there is none."""
    if not file.exists():
        return ""
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - 16384))
        text = stream.read().decode(errors="replace")
    return "\n".join(text.rstrip().splitlines()[-lines:])


def start(home: Path, spec: ProcessSpec) -> Running:
    """Start a process; its output is appended to its log.

    Raises
    ------
    OSError
        When the program does not exist or cannot be run.
    """
    log = log_file(home, spec.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_BYTES:
        os.replace(log, log.with_suffix(".log.1"))
    mark = uuid.uuid4().hex
    env = {**environment(home, spec, os.environ), MARK: mark}
    with log.open("ab") as output:
        started = time.strftime("%F %T UTC", time.gmtime())
        output.write(f"--- {started} starting {spec.name}\n".encode())
        output.flush()
        if spec.setup_command is not None and not Path(spec.setup_command.creates).exists():
            subprocess.run(
                spec.setup_command.argv,
                env=env,
                stdout=output,
                stderr=output,
                cwd=home,
                check=False,
            )
        child = subprocess.Popen(
            spec.argv,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=home,
            start_new_session=True,
        )
    try:
        created = psutil.Process(child.pid).create_time()
    except psutil.NoSuchProcess:
        created = time.time()
    return Running(child.pid, created, mark, child)
