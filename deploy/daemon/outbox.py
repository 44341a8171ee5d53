"""Stores a decision, then sends its records; a crash in between loses and changes nothing.

The stored state carries the records of the latest decision. After a crash they are sent again as
they were decided, byte for byte, so the log never holds one id with two texts, and never knows less
than what the servers were told. Readers drop what they have seen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import Any

import structlog

from deploy.daemon.controller import ModelController, PartStep
from deploy.daemon.state_store import StateStore
from deploy.metrics.exporter import MetricsExporter
from streaming.contracts import topics
from streaming.contracts.codec import LARGEST_RECORD_BYTES, encode
from streaming.contracts.records import Record
from streaming.contracts.topics import message_key

log = structlog.get_logger()


class RecordSender:
    """Sends records to their topics and waits until Kafka has acknowledged all of them."""

    def __init__(self, app: Any, exporter: MetricsExporter) -> None:
        self._app = app
        self._exporter = exporter
        self._outputs: dict[str, Any] = {}

    async def send(self, records: Iterable[Record]) -> None:
        """Send the records in order; durable when it returns."""
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


class Outbox:
    """Makes the decisions of one model's parts durable, one at a time."""

    def __init__(
        self, controller: ModelController, store: StateStore, sender: RecordSender
    ) -> None:
        self._controller = controller
        self._store = store
        self._sender = sender
        self._key = controller.contract.model.encode()
        self._lock = asyncio.Lock()
        self._unsent: tuple[Record, ...] = ()
        self._stored: bytes | None = None

    @property
    def outdated(self) -> bool:
        """Whether the stored state is another than this process wrote or restored."""
        return self._store.get(self._key) != self._stored

    def restore(self) -> None:
        """Continue from the stored state; `flush` sends its records."""
        self._stored = self._store.get(self._key)
        self._controller.restore(self._stored)
        self._unsent = self._controller.state.outbox

    async def flush(self) -> None:
        """Send what was stored and not sent."""
        async with self._lock:
            await self._send_unsent()

    async def commit(self, step: PartStep) -> None:
        """Store what a step decided, adopt it, and send its records with those not sent yet.

        After a failed store nothing has happened, and the step may be decided again. After a failed
        send the step is decided; the next commit sends its records.
        """
        async with self._lock:
            unsent = (*self._unsent, *step.records)
            if not unsent and step.state == getattr(self._controller.state, step.part):
                return
            snapshot = self._controller.snapshot(step, unsent)
            if len(snapshot) > LARGEST_RECORD_BYTES:
                # too long with its records: they go first, with ids that a repetition repeats
                await self._sender.send(unsent)
                unsent, snapshot = (), self._controller.snapshot(step)
            if snapshot != self._stored:
                await self._store.put(self._key, snapshot)
                self._stored = snapshot
            self._controller.adopt(step)
            self._unsent = unsent
            await self._send_unsent()

    async def _send_unsent(self) -> None:
        if self._unsent:
            await self._sender.send(self._unsent)
            self._unsent = ()
