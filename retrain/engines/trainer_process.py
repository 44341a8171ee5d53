"""A trainer in a process of its own, which is ended at a deadline or when it is cancelled.

A step may hang: in user code, in a library's lock, on a file system, on a log that does not answer.
A thread cannot be ended, but a process can. So the trainer, and the builder of the examples, live
in a child that imports TensorFlow once and serves one task after another; the worker waits for its
messages no longer than the request's deadline. A child that hangs is killed with everything that it
started, the next task starts a new one, and the worker lives on. The child ends with its worker.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

import structlog

from retrain.messages import clear_failure, safe_message
from retrain.ports import (
    ExampleBuilder,
    ExampleSet,
    OnProgress,
    ProcessDied,
    Progress,
    RetrainCancelled,
    Trainer,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
)
from streaming.contracts.errors import TemporaryError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest

log = structlog.get_logger()

_PR_SET_PDEATHSIG = 1
_LOOK_SECONDS = 1.0
"""How often the worker looks whether the deadline has passed or the request was cancelled."""

_EXAMPLES = "Examples"

MakeExamples = Callable[[], AbstractContextManager[ExampleBuilder]]
"""Opens what the examples are read from, for one request."""


class WarmTrainer(Trainer, Protocol):
    """A trainer that can be prepared before its first job."""

    def warm(self) -> None:
        """Import what the first job needs."""


@dataclass(frozen=True, slots=True)
class _Build:
    request: RetrainRequest
    contract: ModelContract
    folder: Path
    schema: Path | None


@dataclass(frozen=True, slots=True)
class _CountSteps:
    request: RetrainRequest


@dataclass(frozen=True, slots=True)
class _Ready:
    pass


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


_Task = TrainingJob | _Build | _CountSteps
_Result = TrainingResult | ExampleSet | int
_End = _Ready | _Result | _Failed | _Retry | _Broken
_Message = Progress | _End


class TrainingBroken(Exception):
    """The run ended with an error that another attempt may not meet."""


def _never(request: RetrainRequest) -> bool:
    return False


class TrainerProcess:
    """Implements `retrain.ports.Trainer`, and `ExampleBuilder` where it is given one.

    Parameters
    ----------
    make:
        Makes the trainer in the child; it is pickled.
    examples:
        Opens the builder of examples in the child; it is pickled. Reading them is then under the
        deadline too: a log that hangs is ended like a training that hangs.
    cancelled:
        Whether a person has cancelled a request; asked every second while it is served.
    now:
        The time that deadlines are held against, seconds since 1970.
    """

    def __init__(
        self,
        make: Callable[[], WarmTrainer],
        *,
        examples: MakeExamples | None = None,
        cancelled: Callable[[RetrainRequest], bool] = _never,
        now: Callable[[], float] = time.time,
    ):
        self._make = make
        self._examples = examples
        self._cancelled = cancelled
        self._now = now
        self._child: BaseProcess | None = None
        self._pipe: Connection | None = None

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
        arguments = (theirs, self._make, self._examples)
        self._child = context.Process(target=_serve, args=arguments, name="trainer")
        self._child.start()
        theirs.close()
        message = self._receive()
        if isinstance(message, _Ready):
            return
        self.close()
        raise TrainingBroken(message.message if isinstance(message, _Broken) else str(message))

    def steps_of(self, request: RetrainRequest) -> int:
        """See `retrain.ports.Trainer.steps_of`."""
        steps = self._result(_CountSteps(request), request, "Trainer")
        assert isinstance(steps, int)
        return steps

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        """Run the job in the child; see `retrain.ports.Trainer`.

        Raises
        ------
        TrainingFailed
            Also when the request's deadline passes; the child is ended then.
        RetrainCancelled
            When the request is cancelled; the child is ended then.
        ProcessDied
            When the child dies.
        TrainingBroken
            When the run ends with any other error.
        """
        result = self._result(job, job.request, "Trainer", on_progress)
        assert isinstance(result, TrainingResult)
        return result

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        """Write the examples in the child; see `ExampleBuilder.build`.

        Raises
        ------
        TrainingFailed, RetrainCancelled, ProcessDied, TrainingBroken
            As for `train`.
        """
        built = self._result(_Build(request, contract, folder, schema), request, _EXAMPLES)
        assert isinstance(built, ExampleSet)
        return built

    def _result(
        self,
        task: _Task,
        request: RetrainRequest,
        component: str,
        on_progress: OnProgress = lambda progress: None,
    ) -> _Result:
        """What the child returns for a task; raises what it ended with."""
        self.warm()
        match self._end(task, request, component, on_progress):
            case _Failed(message, failed, advice):
                raise TrainingFailed(message, component=failed, advice=advice)
            case _Retry(message, delay):
                raise TemporaryError(message, delay_seconds=delay)
            case _Broken(message):
                raise TrainingBroken(message)
            case _Ready():
                raise TrainingBroken("The trainer's process answered out of turn.")
            case result:
                return result

    def _end(
        self, task: _Task, request: RetrainRequest, component: str, on_progress: OnProgress
    ) -> _End:
        """The child's last message on a task. After any error here the child is ended, because what
        it still sends would be taken for the next task's."""
        assert self._pipe is not None
        since = self._now()
        try:
            self._pipe.send(task)
            while True:
                if not self._pipe.poll(_LOOK_SECONDS):
                    if self._now() > request.deadline:
                        raise _hangs(component, self._now() - since)
                    if self._cancelled(request):
                        raise RetrainCancelled(request.record_id)
                    continue
                message = self._receive()
                if not isinstance(message, Progress):
                    return message
                if message.state == "started":
                    component, since = message.component, self._now()
                on_progress(message)
        except BaseException:
            self.close()
            raise

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
            raise ProcessDied(
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


def _serve(
    pipe: Connection, make: Callable[[], WarmTrainer], examples: MakeExamples | None
) -> None:
    """The child: one task after another until the worker closes the pipe."""
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
        pipe.send(_Ready())
    except Exception as error:
        log.exception("trainer.not_made")
        pipe.send(_Broken(_told(error)))
        return
    while True:
        try:
            task: _Task = pipe.recv()
        except EOFError:
            return
        pipe.send(_run(trainer, examples, task, pipe))


def _run(trainer: Trainer, examples: MakeExamples | None, task: _Task, pipe: Connection) -> _End:
    component = _EXAMPLES if isinstance(task, _Build) else "Trainer"

    def report(progress: Progress) -> None:
        nonlocal component
        component = progress.component
        pipe.send(progress)

    try:
        match task:
            case _CountSteps(request):
                return trainer.steps_of(request)
            case _Build(request, contract, folder, schema):
                assert examples is not None
                with examples() as builder:
                    return builder.build(request, contract, folder, schema)
            case job:
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
