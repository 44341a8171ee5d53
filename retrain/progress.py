"""Progress records of one attempt: the worker's own steps and those of the trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import structlog

from retrain.messages import masked
from retrain.ports import Progress
from streaming.contracts.clock import Clock
from streaming.contracts.errors import TemporaryError
from streaming.contracts.ids import record_id
from streaming.contracts.records import RetrainProgress, RetrainRequest

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class AttemptProgress:
    """Publishes the progress of one attempt at one request."""

    request: RetrainRequest
    """The request being served."""
    attempt: int
    """Number of the attempt, from 1."""
    steps: int
    """Number of steps: those of the trainer, the examples before and the publication after."""
    worker: str
    """Name of the worker."""
    publish: Callable[[RetrainProgress], None]
    """Publishes a record. The record must be durable on return: attempts are counted by it."""
    clock: Clock
    """Clock of the records and the durations."""
    component: str = "Examples"
    """Component that is running, or ran last."""
    _step: int = 1
    _since: float = 0.0

    def started(self, component: str, step: int) -> None:
        """Report that one of the worker's own steps has started."""
        self._step = step
        self._since = self.clock.now()
        self._publish(component, "started")

    def done(self, detail: str) -> None:
        """Report that the running step has succeeded."""
        self._publish(self.component, "done", self.clock.now() - self._since, detail)

    def waiting(self, detail: str) -> None:
        """Report that the running step waits for an engine; the attempt is not used up by it."""
        self._publish(self.component, "waiting", self.clock.now() - self._since, detail)

    def failed(self, detail: str) -> None:
        """Report that the attempt has failed in the running step."""
        self._publish(self.component, "failed", self.clock.now() - self._since, detail)

    def relay(self, progress: Progress) -> None:
        """Pass on a report of the trainer, whose steps come after the worker's first one.

        A report that cannot be published now is dropped: it must not end a training that succeeds.
        """
        self._step = progress.step + 1
        if progress.state == "started":
            self._since = self.clock.now()
        detail = masked(progress.detail) if progress.state == "failed" else progress.detail
        self.steps = max(self.steps, progress.steps + 2)
        try:
            self._publish(progress.component, progress.state, progress.seconds, detail)
        except TemporaryError as error:
            log.warning("progress.dropped", component=progress.component, reason=str(error))

    def _publish(
        self,
        component: str,
        state: Literal["started", "waiting", "done", "failed"],
        seconds: float = 0.0,
        detail: str = "",
    ) -> None:
        self.component = component
        request = self.request
        key = (request.record_id, self.attempt, component, state)
        self.publish(
            RetrainProgress(
                record_id=record_id("retrain-progress", request.model, *key),
                model=request.model,
                at=self.clock.now(),
                caused_by=(request.record_id,),
                request_id=request.record_id,
                attempt=self.attempt,
                worker=self.worker,
                component=component,
                state=state,
                step=self._step,
                steps=self.steps,
                seconds=seconds,
                detail=detail,
            )
        )
