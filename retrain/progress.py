"""Where an attempt is, as records: the worker's own steps around those of the trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from retrain.ports import Progress
from streaming.contracts.clock import Clock
from streaming.contracts.ids import record_id
from streaming.contracts.records import RetrainProgress, RetrainRequest


@dataclass(slots=True, kw_only=True)
class Watch:
    """The progress of one attempt at one request."""

    request: RetrainRequest
    attempt: int
    steps: int
    """Those of the trainer, and the worker's own: examples first, publication last."""
    worker: str
    tell: Callable[[RetrainProgress], None]
    """Publishes a record; durable when it returns, because attempts are counted by it."""
    clock: Clock
    component: str = "Examples"
    """The component that is running, or ran last."""
    _step: int = 1
    _since: float = 0.0

    def started(self, component: str, step: int) -> None:
        """A step of the worker itself begins."""
        self._step = step
        self._since = self.clock.now()
        self._publish(component, "started")

    def done(self, detail: str) -> None:
        """The running step ended well."""
        self._publish(self.component, "done", self.clock.now() - self._since, detail)

    def fail(self, detail: str) -> None:
        """The attempt ended in the running step."""
        self._publish(self.component, "failed", self.clock.now() - self._since, detail)

    def relay(self, progress: Progress) -> None:
        """A report of the trainer; it comes after the worker's first step."""
        self._step = progress.step + 1
        if progress.state == "started":
            self._since = self.clock.now()
        self._publish(progress.component, progress.state, progress.seconds, progress.detail)

    def _publish(
        self,
        component: str,
        state: Literal["started", "done", "failed"],
        seconds: float = 0.0,
        detail: str = "",
    ) -> None:
        self.component = component
        request = self.request
        key = (request.record_id, self.attempt, component, state)
        self.tell(
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
