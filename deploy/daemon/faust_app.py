"""The control loop as a Faust worker; the only file that imports Faust.

Thin on purpose: it moves bytes. Records come in from the topics in order, `deploy.daemon.controller` decides,
what it gives back is sent, and only then the new state goes to the changelogged table: after a
kill -9 the same record is decided again and gives the same ids, which the readers drop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from deploy.daemon.controller import INPUTS, ModelLoop
from deploy.metrics.exporter import Instruments
from streaming.contracts import topics
from streaming.contracts.codec import LARGEST_RECORD_BYTES, decode, encode
from streaming.contracts.errors import DecodeError, TemporaryError
from streaming.contracts.records import Record
from streaming.contracts.topics import Topic, message_key

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

TICK_SECONDS = 1.0
APP = "driftline-daemon"
STATE_TOPIC = Topic(name=f"{APP}-state-changelog", record=None, key="model", cleanup="compact")
"""Faust's changelog of the state table, declared like every other topic."""

log = structlog.get_logger()


def run(deployment: Deployment) -> None:
    """Run until told to stop (SIGTERM, SIGINT)."""
    import faust

    deployment.ensure_topics()
    models = deployment.settings.models
    exported = {name: model.drift.exported_features for name, model in models.items()}
    instruments = Instruments(max_features=exported)
    instruments.serve(deployment.ports.daemon_metrics)
    loops = {name: deployment.model_loop(name) for name in models}
    app = build(deployment.settings.kafka.bootstrap, deployment.home / "daemon", loops, instruments)
    worker = faust.Worker(app, loglevel="WARN", quiet=True, blocking_timeout=30.0)
    log.info("daemon.started", models=sorted(loops))
    worker.execute_from_commandline()


def build(
    bootstrap: str, datadir: Any, loops: dict[str, ModelLoop], instruments: Instruments
) -> Any:
    """The Faust application over the models' loops."""
    import faust

    datadir.mkdir(parents=True, exist_ok=True)
    app = faust.App(
        APP,
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=str(datadir),
        topic_partitions=1,
        topic_replication_factor=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        broker_session_timeout=10.0,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        broker_max_poll_records=200,
        producer_max_request_size=LARGEST_RECORD_BYTES,
        table_standby_replicas=0,
        web_enabled=False,
    )
    states = app.Table(
        "state",
        key_type=bytes,
        value_type=bytes,
        partitions=1,
        use_partitioner=True,
    )
    # One partition: Faust would otherwise ask the partitioner before it knows the topic.
    states.partition_for_key = lambda key: 0
    channel = Channel(app, states, loops, instruments)
    source = app.topic(
        *(topic.name for topic in INPUTS), key_type=bytes, value_type=bytes, partitions=1
    )
    app.agent(source, name="records")(channel.consume)
    app.timer(TICK_SECONDS, on_leader=False, name="tick")(channel.tick)
    return app


class Channel:
    """Between Faust's streams and the loops: one thing at a time for all models."""

    def __init__(
        self, app: Any, states: Any, loops: dict[str, ModelLoop], instruments: Instruments
    ) -> None:
        self._app = app
        self._states = states
        self._loops = loops
        self._instruments = instruments
        self._turn = asyncio.Lock()
        self._outputs: dict[str, Any] = {}
        self._said: dict[str, tuple[str, ...]] = {}

    async def consume(self, stream: Any) -> None:
        """Each record of the input topics, in order."""
        async for event in stream.events():
            await self._on_message(event.message.topic, event.value)

    async def _on_message(self, topic: str, value: bytes | None) -> None:
        if value is None:
            return
        try:
            record = decode(value)
        except DecodeError as error:
            self._instruments.refused(topic, error.reason)
            log.warning("record.refused", topic=topic, reason=error.reason, detail=str(error))
            return
        self._instruments.on_record(record, time.time())
        loop = self._loops.get(record.model)
        if loop is not None:
            await self._step(record.model, partial(loop.on_record, record))

    async def tick(self) -> None:
        """Look at the engines, decide, repair."""
        began = time.monotonic()
        for name, loop in self._loops.items():
            await self._step(name, loop.tick)
            self._instruments.schema.proposal(name, loop.proposal_waits)
        self._instruments.tick_took(time.monotonic() - began)

    async def _step(self, name: str, decide: Callable[..., Iterable[Record]]) -> None:
        """Restore, decide in a thread (ports block), send, then remember."""
        async with self._turn:
            loop = self._loops[name]
            loop.restore(self._states.get(name.encode()))
            try:
                records = tuple(await asyncio.to_thread(decide, now=time.time()))
            except TemporaryError as error:
                log.warning("step.postponed", model=name, reason=str(error))
                return
            self._complain(name, loop.problems)
            await self._send(records)
            snapshot = loop.snapshot()
            if snapshot != self._states.get(name.encode()):
                self._states[name.encode()] = snapshot

    def _complain(self, name: str, problems: tuple[str, ...]) -> None:
        """Log what could not be seen or done, once for as long as it lasts."""
        if problems != self._said.get(name, ()):
            self._said[name] = problems
            for problem in problems:
                log.warning("engine.trouble", model=name, problem=problem)

    async def _send(self, records: Iterable[Record]) -> None:
        sent: list[Awaitable[Any]] = []
        for record in records:
            name = topics.TOPIC_OF[type(record)].name
            if name not in self._outputs:
                self._outputs[name] = self._app.topic(name, key_type=bytes, value_type=bytes)
            sent.append(
                await self._outputs[name].send(key=message_key(record), value=encode(record))
            )
            self._instruments.on_record(record, time.time())
            log.info("record.sent", kind=type(record).__name__, id=record.record_id)
        for acknowledged in sent:
            await acknowledged
