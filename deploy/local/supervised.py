"""Keeps one process running: a thread that waits, starts, watches and starts again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from deploy.local import probe
from deploy.local.process import Running, find, start
from deploy.local.process_spec import ProcessSpec, ProcessState, digest, write_atomic

POLL_SECONDS = 0.1
CALM_SECONDS = 30.0
LONGEST_PAUSE_SECONDS = 10.0


def pause(failures: int) -> float:
    """Seconds before the next start after so many quick ends in a row.

    >>> [pause(n) for n in (0, 1, 2, 3, 9)]
    [0.0, 0.5, 1.0, 2.0, 10.0]
    """
    return 0.0 if failures == 0 else min(LONGEST_PAUSE_SECONDS, 0.25 * 2.0**failures)


def state_file(home: Path, name: str) -> Path:
    """Where a process's state is written."""
    return home / "run" / f"{name}.json"


def read_state(file: Path) -> ProcessState | None:
    """A process's state, None when there is none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=ProcessState)
    except (OSError, msgspec.MsgspecError):
        return None


class Keeper(threading.Thread):
    """Runs one spec until it is told to stop.

    Parameters
    ----------
    home:
        DRIFTLINE_HOME.
    spec:
        What to run.
    is_ready:
        Whether the process of a name is ready; asked for the dependencies.
    say:
        Takes lines for the supervisor's log.
    """

    def __init__(
        self,
        home: Path,
        spec: ProcessSpec,
        is_ready: Callable[[str], bool],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name=spec.name, daemon=True)
        self.spec = spec
        self.digest = digest(spec)
        self.ready = False
        self._home = home
        self._file = state_file(home, spec.name)
        self._is_ready = is_ready
        self._say = say
        self._stop_asked = threading.Event()
        self._restarts = 0
        self._failures = 0
        self._last_exit = ""

    def ask_to_stop(self) -> None:
        """End the process and then this thread; returns at once."""
        self._stop_asked.set()

    def run(self) -> None:
        """Adopt or start, watch, start again."""
        running = self._adopt()
        while not self._stop_asked.is_set():
            if running is None:
                running = self._begin()
            if running is not None:
                self._watch(running)
                if self._stop_asked.is_set():
                    break
                self._note_end(running)
                running = None
            if not self.spec.restart:
                return
            self._stop_asked.wait(pause(self._failures))
        if running is not None:
            running.end(self.spec.stop_seconds)
        self._file.unlink(missing_ok=True)

    def _adopt(self) -> Running | None:
        """The process that an earlier supervisor left, if it is the one we would start."""
        state = read_state(self._file)
        if state is None or find(state.pid, state.created) is None:
            return None
        left = Running(state.pid, state.created)
        if state.digest == self.digest:
            self._restarts = state.restarts
            self._say(f"{self.spec.name}: goes on as pid {state.pid}")
            return left
        left.end(self.spec.stop_seconds)
        return None

    def _begin(self) -> Running | None:
        awaited = self.spec.depends if self.spec.waits else ()
        while not all(self._is_ready(name) for name in awaited):
            if self._stop_asked.wait(POLL_SECONDS):
                return None
        try:
            running = start(self._home, self.spec)
        except OSError as error:
            self._failures += 1
            self._last_exit = f"could not start: {error}"
            self._say(f"{self.spec.name}: {self._last_exit}")
            self._write(Running(0, 0.0))
            return None
        self._say(f"{self.spec.name}: started as pid {running.pid}")
        self._write(running)
        return running

    def _watch(self, running: Running) -> None:
        """Return when it has ended or we are to stop."""
        begun = time.monotonic()
        while running.alive() and not self._stop_asked.is_set():
            lived = time.monotonic() - begun
            if not self.ready and probe.ready(self.spec.ready, lived):
                self.ready = True
                self._write(running)
                self._say(f"{self.spec.name}: ready after {lived:.1f} s")
            if lived > CALM_SECONDS and self.ready:
                self._failures = 0
            self._stop_asked.wait(POLL_SECONDS)

    def _note_end(self, running: Running) -> None:
        # a process that was ready is started again at once, one that never was waits longer
        self._failures = 0 if self.ready and self._failures == 0 else self._failures + 1
        self.ready = False
        self._restarts += 1
        self._last_exit = running.collect()
        self._say(f"{self.spec.name}: {self._last_exit}")
        self._write(running)

    def _write(self, running: Running) -> None:
        state = ProcessState(
            name=self.spec.name,
            pid=running.pid,
            created=running.created,
            since=running.created,
            restarts=self._restarts,
            ready=self.ready,
            digest=self.digest,
            last_exit=self._last_exit,
        )
        write_atomic(self._file, msgspec.json.encode(state))
