"""Keeps one process running: a thread that starts it, watches it and restarts it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import msgspec

from deploy.app.supervisor_files import take_request
from deploy.config.atomic_file import write_atomic
from deploy.local import probe
from deploy.local.process import Running, find, start
from deploy.local.process_spec import ProcessSpec, ProcessState, digest
from deploy.local.silence import PROBE_SECONDS, Silence, after_probe, after_restart

POLL_SECONDS = 0.1
STABLE_SECONDS = 30.0
MAX_RESTART_DELAY_SECONDS = 10.0
SILENT_STOP_SECONDS = 2.0
"""Time to end after SIGTERM for a process that does not answer; a stopped one never sees it."""


def restart_delay(failures: int) -> float:
    """Seconds before the next start after `failures` failed starts in a row.

    >>> [restart_delay(n) for n in (0, 1, 2, 3, 9)]
    [0.0, 0.5, 1.0, 2.0, 10.0]
    """
    return 0.0 if failures == 0 else min(MAX_RESTART_DELAY_SECONDS, 0.25 * 2.0**failures)


def state_file(home: Path, name: str) -> Path:
    """The file of a process's state."""
    return home / "run" / f"{name}.json"


def read_state(file: Path) -> ProcessState | None:
    """A process's state, None when there is no readable file."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=ProcessState)
    except (OSError, msgspec.MsgspecError):
        return None


class SupervisedProcess(threading.Thread):
    """Runs one process spec until it is stopped.

    Parameters
    ----------
    home:
        DRIFTLINE_HOME.
    spec:
        What to run.
    is_ready:
        Whether the process of a name is ready; used for the dependencies.
    answers:
        Whether the process of a name answers; while a dependency does not, this one is not blamed.
    say:
        Writes a line to the supervisor's log.
    """

    def __init__(
        self,
        home: Path,
        spec: ProcessSpec,
        is_ready: Callable[[str], bool],
        answers: Callable[[str], bool],
        say: Callable[[str], None],
    ) -> None:
        super().__init__(name=spec.name, daemon=True)
        self.spec = spec
        self.digest = digest(spec)
        self.ready = False
        self._home = home
        self._file = state_file(home, spec.name)
        self._is_ready = is_ready
        self._answers = answers
        self._say = say
        self._stop_requested = threading.Event()
        self._restarts = 0
        self._failures = 0
        self._last_exit = ""
        self._silence = Silence()
        self._silent_for = 0.0
        self._adopted = False

    @property
    def answers(self) -> bool:
        """Whether it is ready and answered the last probe."""
        return self.ready and self._silence.seconds == 0.0

    def request_stop(self) -> None:
        """Stop the process and then this thread; returns at once."""
        self._stop_requested.set()

    def run(self) -> None:
        """Adopt or start the process, watch it, restart it."""
        running = self._adopt()
        while not self._stop_requested.is_set():
            if running is None:
                running = self._begin()
            if running is not None:
                self._watch(running)
                if self._stop_requested.is_set():
                    break
                self._note_end(running)
                running = None
            if not self.spec.restart:
                return
            self._stop_requested.wait(restart_delay(self._failures))
        if running is not None:
            running.end(self.spec.stop_seconds)
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _adopt(self) -> Running | None:
        """The process that an earlier supervisor left, if it has the same spec."""
        state = read_state(self._file)
        if state is None or find(state.pid, state.created) is None:
            return None
        running = Running(state.pid, state.created, state.mark)
        if state.digest == self.digest:
            self._restarts = state.restarts
            self.ready = state.ready  # so that one that hangs meanwhile is noticed
            self._adopted = True
            self._say(f"{self.spec.name}: continues as pid {state.pid}")
            return running
        running.end(self.spec.stop_seconds)
        return None

    def _begin(self) -> Running | None:
        dependencies = self.spec.depends if self.spec.wait_for_dependencies else ()
        while not all(self._is_ready(name) for name in dependencies):
            if self._stop_requested.wait(POLL_SECONDS):
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
        """Return when the process has ended or this thread is to stop."""
        started = time.monotonic()
        while running.alive() and not self._stop_requested.is_set():
            uptime = time.monotonic() - started
            if not self.ready and probe.ready(self.spec.ready, uptime):
                self.ready = True
                self._silence = replace(self._silence, seconds=0.0, probed_at=None)
                self._write(running)
                self._say(f"{self.spec.name}: ready after {uptime:.1f} s")
            if uptime > STABLE_SECONDS and self.ready:
                self._failures = 0
            if self._is_silent(running, uptime) or self._is_to_restart(running):
                return
            self._stop_requested.wait(POLL_SECONDS)

    def _is_silent(self, running: Running, uptime: float) -> bool:
        """Probe a process now and then; end it when it has not answered for too long.

        One that is not ready has its time to start. At its first start nobody ends it: it may have
        much to prepare, and `up` names it.
        """
        now, before = time.monotonic(), self._silence
        started_again = self._restarts > 0 or self._adopted
        if not (self.ready or started_again) or now - (before.probed_at or 0.0) < PROBE_SECONDS:
            return False
        answered = self.ready and probe.still_answers(self.spec, uptime)
        excused = not answered and not all(self._answers(name) for name in self.spec.depends)
        self._silence = after_probe(before, answered=answered, excused=excused, now=now)
        if self.ready and self._silence.seconds and not before.seconds:
            self._say(f"{self.spec.name}: does not answer")
        if before.seconds and answered:
            self._say(f"{self.spec.name}: answers again after {before.seconds:.0f} s")
        limit = self.spec.silent_seconds
        if not self.ready:
            limit = max(limit, self.spec.start_seconds)
        if not self._silence.too_long(limit):
            return False
        self._silent_for = self._silence.seconds
        self._silence = after_restart(self._silence)
        self._say(f"{self.spec.name}: has not answered for {self._silent_for:.0f} s; is restarted")
        running.terminate(SILENT_STOP_SECONDS)
        return True

    def _is_to_restart(self, running: Running) -> bool:
        """End a process that another one wants to be started afresh."""
        if not take_request(self._home, self.spec.name):
            return False
        self._say(f"{self.spec.name}: a fresh process was requested; is restarted")
        running.terminate(self.spec.stop_seconds)
        return True

    def _note_end(self, running: Running) -> None:
        # A process that was ready restarts at once; one that never was waits longer each time.
        self._failures = 0 if self.ready and self._failures == 0 else self._failures + 1
        self.ready = False
        self._restarts += 1
        self._last_exit = running.collect()
        if self._silent_for:
            self._last_exit = f"restarted: it did not answer for {self._silent_for:.0f} s"
            self._silent_for = 0.0
        self._silence = replace(self._silence, seconds=0.0, probed_at=None)
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
            mark=running.mark,
            last_exit=self._last_exit,
        )
        try:
            write_atomic(self._file, msgspec.json.encode(state))
        except OSError as error:  # the process is still watched; `status` does not show it
            self._say(f"{self.spec.name}: its state cannot be written: {error}")
