"""Runs the controller of one model, beside those of the others.

Each part has its own lock and its own records, so a trigger that waits for Kafka postpones no tick
of the rollout. The engines are observed without a lock: a command acts on the latest observation at
once, however long Prometheus takes. What was observed before the command is then observed again.

A decision is carried out in this order: traffic that is taken from the canary; the stored state,
with the records; the records; other traffic; loads and references, which may take seconds.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog
from msgspec.structs import replace

from deploy.daemon.controller import PARTS, ModelController, Part, PartStep
from deploy.daemon.outbox import Outbox, RecordSender
from deploy.daemon.part_queue import Delivery, NotDurableError, PartQueue, RetryLimits
from deploy.daemon.state_store import StateStore
from deploy.metrics.exporter import MetricsExporter
from serving.ports import Action, LoadVersion, SetTrafficSplit
from serving.state import RolloutState
from streaming.contracts.clock import Clock
from streaming.contracts.errors import TemporaryError
from streaming.contracts.records import AnyRecord, Record

T = TypeVar("T")
log = structlog.get_logger()

_THREADS = 10
"""One for each thing that may block at the same time: parts, observation, loads and a reference."""
_OBSERVATIONS = 3
"""How often a tick observes anew because a record changed the rollout meanwhile."""


class ModelRunner:
    """The steps of one model."""

    def __init__(
        self,
        controller: ModelController,
        store: StateStore,
        sender: RecordSender,
        exporter: MetricsExporter,
        limits: RetryLimits,
        clock: Clock,
    ) -> None:
        self.model = controller.contract.model
        self._clock = clock
        self._controller = controller
        self._outbox = Outbox(controller, store, sender)
        self._exporter = exporter
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"model-{self.model}")
        self._locks: dict[Part, asyncio.Lock] = {part: asyncio.Lock() for part in PARTS}
        self._starting = asyncio.Lock()
        self._started = False
        self._ticks: dict[Part, asyncio.Task[None]] = {}
        self._slow: dict[str, asyncio.Task[None]] = {}
        self._reported: dict[str, tuple[str, ...]] = {}
        self._queues = {
            part: PartQueue(
                part,
                controller.contract,
                partial(self._step_record, part),
                partial(self._publish, part),
                limits,
            )
            for part in PARTS
        }

    # -------------------------------------------------------------- records

    @property
    def waiting(self) -> int:
        """Records that some part is not done with."""
        return max(queue.waiting for queue in self._queues.values())

    def put(self, delivery: Delivery) -> None:
        """Hand a record to every part."""
        for queue in self._queues.values():
            queue.put(delivery)

    async def drained(self) -> None:
        """Wait until every part is done with every record."""
        await asyncio.gather(*(queue.drained() for queue in self._queues.values()))

    async def _step_record(self, part: Part, record: AnyRecord) -> None:
        await self._start()
        async with self._locks[part]:
            now, controller = self._clock.now(), self._controller
            step = await self._run(partial(controller.decide_record, part, record, now=now))
            actions: tuple[Action, ...] = step.actions
            if part == "rollout":
                actions = (*actions, *await self._run(partial(controller.react, step, now=now)))
            await self._carry_out(step, actions)

    async def _publish(self, part: Part, records: tuple[Record, ...], reason: str) -> None:
        """Publish the dead letter of a record that the part cannot decide."""
        state = getattr(self._controller.state, part)
        await self._commit(PartStep(part=part, state=state, records=records))
        self._exporter.record_dead(self.model, reason)

    # ---------------------------------------------------------------- ticks

    def begin_tick(self) -> None:
        """Start a tick of each part whose last one has ended."""
        for part in PARTS:
            self._begin_tick(part)
        waiting = max(queue.waiting_seconds for queue in self._queues.values())
        self._exporter.record_waiting(self.model, waiting)

    def hurry(self) -> None:
        """Start a tick of the rollout while its candidate has clients."""
        if self._started and self._controller.canary_weight > 0:
            self._begin_tick("rollout")

    def _begin_tick(self, part: Part) -> None:
        task = self._ticks.get(part)
        if task is None or task.done():
            self._ticks[part] = asyncio.create_task(self._tick(part))

    async def tick_done(self) -> None:
        """Wait for the ticks that run, and for the loads that they started."""
        await asyncio.gather(*self._ticks.values())
        await asyncio.gather(*self._slow.values())

    async def _tick(self, part: Part) -> None:
        started = time.monotonic()
        try:
            await self._start()
            if part == "rollout":
                await self._tick_rollout()
            else:
                async with self._locks[part]:
                    decide = partial(self._controller.decide_tick, part, now=self._clock.now())
                    await self._carry_out(await self._run(decide), ())
        except TemporaryError as error:
            self._report(f"{part} postponed", (str(error),))
        except Exception as error:  # noqa: BLE001 - one model, one part, never stops another
            self._failed(part, part, error)
        else:
            self._report(f"{part} postponed", ())
            self._report(f"{part} failed", ())
            self._exporter.ticked(self.model, part, time.time())
            if part == "rollout":
                self._exporter.tick_took(time.monotonic() - started)
        self._export()

    async def _tick_rollout(self) -> None:
        controller = self._controller
        for _ in range(_OBSERVATIONS):
            before, now = controller.state.rollout, self._clock.now()
            observed = await self._run(partial(controller.observe, now=now))
            async with self._locks["rollout"]:
                if not _same_situation(before, controller.state.rollout):
                    continue  # a record changed the rollout: this was observed for another state
                controller.observed = observed
                decide = partial(controller.decide_tick, "rollout", now=now, observed=observed)
                step = await self._run(decide)
                await self._carry_out(step, step.actions)
            return

    # ---------------------------------------------------------- carrying out

    async def _start(self) -> None:
        """Before the first step: restore the state, send what was decided, read the log."""
        async with self._starting:
            if self._started and not self._outbox.outdated:
                return
            self._outbox.restore()
            await self._durable(self._outbox.flush())
            controller = self._controller
            history = await self._run(controller.history)
            for step in controller.catch_up(history, now=self._clock.now()):
                await self._commit(step)
            self._started = True

    async def _carry_out(self, step: PartStep, actions: tuple[Action, ...]) -> None:
        early = self._controller.protective(actions)
        problems = await self._perform(early)
        await self._commit(step)
        traffic = [
            action
            for action in actions
            if isinstance(action, SetTrafficSplit) and action not in early
        ]
        problems += await self._perform(tuple(traffic))
        self._report(step.part, (*step.problems, *problems))
        for action in actions:
            if not isinstance(action, SetTrafficSplit):
                self._begin(action)

    def _begin(self, action: Action) -> None:
        """Start a load, a reference or a comparison, unless one of the kind and server runs."""
        name = f"load-{action.role}" if isinstance(action, LoadVersion) else type(action).__name__
        task = self._slow.get(name)
        if task is None or task.done():
            self._slow[name] = asyncio.create_task(self._perform_slow(name, action))

    async def _perform_slow(self, name: str, action: Action) -> None:
        try:
            problems = await self._perform((action,))
        except Exception as error:  # noqa: BLE001 - the next tick asks for it again
            self._failed("rollout", name, error)
        else:
            self._report(name, problems)

    async def _perform(self, actions: tuple[Action, ...]) -> tuple[str, ...]:
        if not actions:
            return ()
        return await self._run(partial(self._controller.perform, actions))

    async def _commit(self, step: PartStep) -> None:
        await self._durable(self._outbox.commit(step))

    async def _durable(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            raise NotDurableError(f"A decision could not be stored or sent: {error!r}.") from error

    async def _run(self, function: Callable[[], T]) -> T:
        """Run what may block in a thread of this model."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    def _report(self, source: str, problems: Iterable[str]) -> None:
        """Log failed observations and actions, once for as long as they stay the same."""
        problems = tuple(problems)
        if problems != self._reported.get(source, ()):
            self._reported[source] = problems
            for problem in problems:
                log.warning("engine.problem", model=self.model, problem=problem)

    def _failed(self, part: Part, name: str, error: Exception) -> None:
        """Count a step that failed, and log it once for as long as it fails in the same way."""
        self._exporter.step_failed(self.model, part)
        text = f"{type(error).__name__}: {error}"
        if self._reported.get(f"{name} failed") != (text,):
            self._reported[f"{name} failed"] = (text,)
            trace = "".join(traceback.format_exception(error)[-3:])
            log.error("step.failed", model=self.model, part=name, error=text, trace=trace)

    def _export(self) -> None:
        controller, exporter, model = self._controller, self._exporter, self.model
        exporter.schema.proposal(model, controller.proposal_waits)
        exporter.live_version(model, controller.live_version)
        exporter.rollout(
            model, controller.phase, controller.canary_weight, controller.phase_ends_at
        )
        exporter.approval(model, *controller.open_approval)
        exporter.waits_for_memory(model, controller.waits_for_memory)
        exporter.experiments.state(model, *controller.experiment)
        since, deadline = controller.retrain_times
        exporter.retrain_running(model, deadline > 0.0, since=since, deadline=deadline)
        exporter.retrain_budget(model, controller.retrain_budget_left(time.time()))
        exporter.rollout_version(model, controller.candidate_version)


def _same_situation(before: RolloutState, now: RolloutState) -> bool:
    """Whether an observation for one state serves the other: only read records were noted."""
    return before is now or replace(before, seen=()) == replace(now, seen=())
