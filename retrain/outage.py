"""Waits while an engine cannot be reached before a training, without using up an attempt."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from retrain.messages import safe_message
from retrain.ports import RetrainCancelled, TrainingFailed
from retrain.progress import AttemptProgress
from streaming.contracts.clock import Clock
from streaming.contracts.errors import TemporaryError
from streaming.contracts.records import RetrainRequest

log = structlog.get_logger()

MAX_WAIT_SECONDS = 60.0
"""Longest pause between two looks whether the engine can be reached again."""


class Stopping(Exception):
    """The worker is to stop while an attempt waits; another worker gets the request."""


@dataclass(slots=True, kw_only=True)
class OutageWait:
    """The pauses of one attempt, each twice as long as the one before."""

    request: RetrainRequest
    progress: AttemptProgress
    clock: Clock
    stopping: Callable[[], bool]
    """Whether the worker is to stop."""
    cancelled: Callable[[], bool]
    """Whether a person has cancelled the request."""
    pauses: int = 0
    """Number of pauses so far."""

    def pause(self, error: TemporaryError) -> None:
        """Wait before the engine is asked again.

        Raises
        ------
        TrainingFailed
            When the request's deadline has come.
        RetrainCancelled
            When the request was cancelled.
        Stopping
            When the worker is to stop.
        """
        reason = safe_message(error)
        if self.pauses == 0:
            self.progress.waiting(reason)
        log.warning("worker.waiting", request=self.request.record_id, reason=reason)
        left = self.request.deadline - self.clock.now()
        if left <= 0.0:
            raise TrainingFailed(
                f"{reason} This lasted until the request's deadline.",
                component=self.progress.component,
                advice="Start what cannot be reached (`driftline status`). The trigger sends a new "
                "request if its cause lasts.",
            ) from error
        seconds = max(error.delay_seconds, 1.0) * 2.0 ** min(self.pauses, 6)
        self.pauses += 1
        for _ in range(math.ceil(min(seconds, MAX_WAIT_SECONDS, left))):
            if self.stopping():
                raise Stopping
            self.clock.sleep(1.0)
        if self.cancelled():
            raise RetrainCancelled(self.request.record_id)
