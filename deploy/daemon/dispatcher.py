"""Passes the records of the topics to the models, and lets every model tick.

The models run side by side: none of them waits for another. A record is acknowledged once every
part of its model's controller is done with it, so what a crash interrupts is read again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

import structlog

from deploy.daemon.controller import ModelController
from deploy.daemon.model_runner import ModelRunner
from deploy.daemon.outbox import RecordSender
from deploy.daemon.part_queue import Delivery, RetryLimits
from deploy.daemon.state_store import StateStore
from deploy.metrics.exporter import MetricsExporter
from streaming.contracts.clock import Clock, SystemClock
from streaming.contracts.codec import decode
from streaming.contracts.errors import DecodeError

log = structlog.get_logger()

MAX_WAITING = 10_000
"""Records of one model that may wait; no more is read until there are fewer. An alert calls long
before."""
_POLL_SECONDS = 0.1


class RecordDispatcher:
    """Runs the controllers of all models.

    Parameters
    ----------
    app:
        The Faust application; its `topic(...)` gives topics to send to.
    states:
        A snapshot for each model's name in bytes.
    controllers:
        By model.
    exporter:
        Counts every record that is read or sent.
    limits:
        When a record becomes a dead letter.
    clock:
        The time that decisions are made at.
    """

    def __init__(
        self,
        app: Any,
        states: StateStore,
        controllers: Mapping[str, ModelController],
        exporter: MetricsExporter,
        limits: RetryLimits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._exporter = exporter
        sender = RecordSender(app, exporter)
        self._runners = {
            name: ModelRunner(
                controller,
                states,
                sender,
                exporter,
                limits or RetryLimits(),
                clock or SystemClock(),
            )
            for name, controller in controllers.items()
        }

    async def consume(self, stream: Any) -> None:
        """Hand each record of the input topics to its model; returns when the stream ends."""
        async for event in stream.noack().events():
            runner = self._deliver(event)
            while runner is not None and runner.waiting >= MAX_WAITING:
                await asyncio.sleep(_POLL_SECONDS)
        await asyncio.gather(*(runner.drained() for runner in self._runners.values()))

    def _deliver(self, event: Any) -> ModelRunner | None:
        """The runner that took the record; None if nobody needs it."""
        message, value = event.message, event.value
        try:
            record = decode(value) if value is not None else None
        except DecodeError as error:
            self._exporter.refused(message.topic, error.reason)
            log.warning(
                "record.refused", topic=message.topic, reason=error.reason, detail=str(error)
            )
            record = None
        if record is not None:
            self._exporter.on_record(record, time.time())
        runner = self._runners.get(record.model) if record is not None else None
        if record is None or runner is None:
            event.ack()
            return None
        source = (message.topic, message.partition, message.offset)
        runner.put(Delivery(record=record, source=source, value=value, acknowledge=event.ack))
        return runner

    async def hurry(self) -> None:
        """Start a tick of the rollouts whose candidate has clients."""
        for runner in self._runners.values():
            runner.hurry()

    async def begin_tick(self) -> None:
        """Start a tick of every model that has ended its last one; waits for none of them."""
        for runner in self._runners.values():
            runner.begin_tick()
        self._exporter.progress("daemon", time.time())

    async def tick(self) -> None:
        """Let every model tick, side by side, and wait for all of them."""
        await self.begin_tick()
        await self.ticks_done()

    async def ticks_done(self) -> None:
        """Wait for the ticks that run."""
        await asyncio.gather(*(runner.tick_done() for runner in self._runners.values()))
