"""Passes records between the topics and the controllers: decide, send, then store the state.

The order is the daemon's promise. A step's records are acknowledged by Kafka before the state that
follows from them is stored, so after a kill -9 the same record is decided again. It gives records
with the same ids, which every reader drops.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from functools import partial
from typing import Any

import structlog

from deploy.daemon.controller import ModelController
from deploy.metrics.exporter import MetricsExporter
from streaming.contracts import topics
from streaming.contracts.codec import decode, encode
from streaming.contracts.errors import DecodeError, TemporaryError
from streaming.contracts.records import Record
from streaming.contracts.topics import message_key

log = structlog.get_logger()


class RecordDispatcher:
    """Runs the controllers' steps, one at a time for all models.

    Parameters
    ----------
    app:
        The Faust application; its `topic(...)` gives topics to send to.
    states:
        The changelogged table: a model's name in bytes, and its controller's snapshot.
    controllers:
        By model.
    exporter:
        Counts every record that is read or sent.
    """

    def __init__(
        self,
        app: Any,
        states: MutableMapping[bytes, bytes],
        controllers: Mapping[str, ModelController],
        exporter: MetricsExporter,
    ) -> None:
        self._app = app
        self._states = states
        self._controllers = controllers
        self._exporter = exporter
        self._lock = asyncio.Lock()
        self._outputs: dict[str, Any] = {}
        self._reported: dict[str, tuple[str, ...]] = {}

    async def consume(self, stream: Any) -> None:
        """Handle each record of the input topics, in order."""
        async for event in stream.events():
            await self._on_message(event.message.topic, event.value)

    async def _on_message(self, topic: str, value: bytes | None) -> None:
        if value is None:
            return
        try:
            record = decode(value)
        except DecodeError as error:
            self._exporter.refused(topic, error.reason)
            log.warning("record.refused", topic=topic, reason=error.reason, detail=str(error))
            return
        self._exporter.on_record(record, time.time())
        controller = self._controllers.get(record.model)
        if controller is not None:
            await self._step(record.model, partial(controller.on_record, record))

    async def tick(self) -> None:
        """Let every controller observe its engines, decide and reconcile."""
        started = time.monotonic()
        for name, controller in self._controllers.items():
            await self._step(name, controller.tick)
            self._exporter.schema.proposal(name, controller.proposal_waits)
        self._exporter.tick_took(time.monotonic() - started)

    async def _step(self, model: str, decide: Callable[..., Iterable[Record]]) -> None:
        """Restore the state, decide in a thread (ports block), send, then store the state."""
        async with self._lock:
            controller = self._controllers[model]
            controller.restore(self._states.get(model.encode()))
            try:
                records = tuple(await asyncio.to_thread(decide, now=time.time()))
            except TemporaryError as error:
                log.warning("step.postponed", model=model, reason=str(error))
                return
            self._report_problems(model, controller.problems)
            await self._send(records)
            snapshot = controller.snapshot()
            if snapshot != self._states.get(model.encode()):
                self._states[model.encode()] = snapshot

    def _report_problems(self, model: str, problems: tuple[str, ...]) -> None:
        """Log failed observations and actions, once for as long as they stay the same."""
        if problems != self._reported.get(model, ()):
            self._reported[model] = problems
            for problem in problems:
                log.warning("engine.problem", model=model, problem=problem)

    async def _send(self, records: Iterable[Record]) -> None:
        """Send records and wait until Kafka has acknowledged all of them."""
        pending: list[Awaitable[Any]] = []
        for record in records:
            name = topics.TOPIC_OF[type(record)].name
            if name not in self._outputs:
                self._outputs[name] = self._app.topic(name, key_type=bytes, value_type=bytes)
            pending.append(
                await self._outputs[name].send(key=message_key(record), value=encode(record))
            )
            self._exporter.on_record(record, time.time())
            log.info("record.sent", kind=type(record).__name__, id=record.record_id)
        for acknowledgement in pending:
            await acknowledgement
