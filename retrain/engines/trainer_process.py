"""A trainer in a process of its own, which is ended when a run exceeds its deadline.

A node of a pipeline may hang: in user code, in a library's lock, on a file system. A thread cannot
be ended, but a process can. So the trainer lives in a child that imports TensorFlow once and serves
one job after another; the worker waits for its messages no longer than the request's deadline. A
child that hangs is killed with everything that it started, the next job starts a new one, and the
worker lives on. The child ends with its worker.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Protocol

import structlog

from retrain.messages import clear_failure, safe_message
from retrain.ports import OnProgress, Progress, Trainer, TrainingFailed, TrainingJob, TrainingResult
from streaming.contracts.errors import TemporaryError, UnavailableError

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 1.0
"""How often the worker looks whether the deadline has passed."""


class WarmTrainer(Trainer, Protocol):
    """A trainer that can be prepared before its first job."""

    def warm(self) -> None:
        """Import what the first job needs."""


@dataclass(frozen=True, slots=True)
class _Ready:
    steps: int


@dataclass(frozen=True, slots=True)
class _Failed:
    message: str
    component: str
    advice: str


@dataclass(frozen=True, slots=True)
class _Retry:
    message: str
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class _Broken:
    message: str


_Message = _Ready | Progress | TrainingResult | _Failed | _Retry | _Broken


class TrainingBroken(Exception):
    """The run ended with an error that another attempt may not meet."""


class TrainerProcess:
    """Implements `retrain.ports.Trainer`.

    Parameters
    ----------
    make:
        Makes the trainer in the child; it is pickled.
    now:
        The time that deadlines are held against, seconds since 1970.
    """

    def __init__(self, make: Callable[[], WarmTrainer], *, now: Callable[[], float] = time.time):
        self._make = make
        self._now = now
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._steps = 0

    @property
    def steps(self) -> int:
        """Number of components; the child must have been started once."""
        if not self._steps:
            self.warm()
        return self._steps

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while there is none."""
        return self._child.pid if self._child is not None else None

    def warm(self) -> None:
        """Start the child and wait until it has imported everything.

        Raises
        ------
        TrainingBroken
            When the trainer cannot be made.
        """
        if self._child is not None and self._child.is_alive():
            return
        self.close()
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(theirs, self._make), name="trainer")
        self._child.start()
        theirs.close()
        message = self._receive()
        if isinstance(message, _Ready):
            self._steps = message.steps
            return
        self.close()
        raise TrainingBroken(message.message if isinstance(message, _Broken) else str(message))

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        """Run the job in the child; see `retrain.ports.Trainer`.

        Raises
        ------
        TrainingFailed
            Also when the request's deadline passes; the child is ended then.
        UnavailableError
            When the child dies.
        TrainingBroken
            When the run ends with any other error.
        """
        self.warm()
        assert self._pipe is not None
        self._pipe.send(job)
        component, since = "", self._now()
        while True:
            if not self._pipe.poll(_LOOK_SECONDS):
                if self._now() > job.request.deadline:
                    self.close()
                    raise _hangs(component, self._now() - since)
                continue
            match self._receive():
                case Progress() as progress:
                    if progress.state == "started":
                        component, since = progress.component, self._now()
                    on_progress(progress)
                case TrainingResult() as result:
                    return result
                case _Failed(message, failed, advice):
                    raise TrainingFailed(message, component=failed, advice=advice)
                case _Retry(message, delay):
                    raise TemporaryError(message, delay_seconds=delay)
                case _Broken(message):
                    raise TrainingBroken(message)

    def close(self) -> None:
        """End the child and everything that it has started."""
        child, self._child = self._child, None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if child is None or child.pid is None:
            return
        if child.is_alive():
            _kill_group(child.pid)
        child.join()

    def _receive(self) -> _Message:
        assert self._pipe is not None
        assert self._child is not None
        try:
            message: _Message = self._pipe.recv()
        except (EOFError, OSError):
            self._child.join(10.0)
            code = self._child.exitcode
            self.close()
            raise UnavailableError(
                f"The trainer's process ended with {_exit(code)}; the kernel's log says whether "
                "memory ran out."
            ) from None
        return message


def _hangs(component: str, seconds: float) -> TrainingFailed:
    return TrainingFailed(
        f"{component or 'The run'} had no result after {seconds:.0f} s when the request's deadline "
        "passed; its process was ended.",
        component=component or "Trainer",
        advice="Look in the worker's log for what it waited for. If it only needs longer, raise "
        "retrain.deadline.",
    )


def _exit(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _kill_group(pid: int) -> None:
    """Kill the child's process group: the child and what it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:  # it has not made its group yet, or is gone
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return


def _serve(pipe: Connection, make: Callable[[], WarmTrainer]) -> None:
    """The child: one job after another until the worker closes the pipe."""
    parent = os.getppid()
    os.setpgid(0, 0)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)  # the worker died in between
    # Those who stop the worker stop it alone: it lets a running job finish.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        trainer = make()
        trainer.warm()
        pipe.send(_Ready(trainer.steps))
    except Exception as error:
        log.exception("trainer.not_made")
        pipe.send(_Broken(_told(error)))
        return
    while True:
        try:
            job: TrainingJob = pipe.recv()
        except EOFError:
            return
        pipe.send(_run(trainer, job, pipe))


def _run(trainer: Trainer, job: TrainingJob, pipe: Connection) -> _Message:
    component = "Trainer"

    def report(progress: Progress) -> None:
        nonlocal component
        component = progress.component
        pipe.send(progress)

    try:
        return trainer.train(job, report)
    except Exception as error:
        if isinstance(error, TemporaryError):
            return _Retry(safe_message(error), error.delay_seconds)
        failure = clear_failure(error, component)
        if failure is not None:
            return _Failed(safe_message(failure), failure.component, failure.advice)
        log.exception("trainer.run_broke", component=component)
        return _Broken(_told(error))


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {safe_message(error)}"
