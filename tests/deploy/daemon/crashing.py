"""The daemon over a log, a state table and engines that survive it, killed at a numbered step.

Every change of the outside is a step: storing the state, sending a record, moving traffic, loading
a version, publishing a reference, and what Kafka remembers of the place in the topics. A crash
comes before or after a step has taken effect. Then nothing of the process is left; the next one
starts from the stored state and reads again what was not committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from deploy.daemon.controller import INPUTS, ModelController
from deploy.daemon.dispatcher import RecordDispatcher
from deploy.daemon.log_history import read_history
from deploy.metrics.exporter import MetricsExporter
from deploy.records.approvals import approvals
from retrain.policy import RetrainRules
from serving.engines.memory import InMemoryServing
from serving.ports import Role, ServingPorts, TrafficSplit
from serving.rules import RolloutRules
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    Action,
    AnyRecord,
    Artifact,
    CanaryVerdict,
    Command,
    CommandReply,
    ModelVersion,
    OffsetRange,
    Promotion,
)
from tests.deploy.daemon.approval_invariants import misused_approvals, yes
from tests.deploy.daemon.doubles import NoLabels, StreamEvent, contract
from tests.serving.random_trial import TRIAL_RULES
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import version

Loss = Literal["nothing", "table", "places", "both"]
"""What is lost with the process: the state, the place in the topics, or both."""


class Crash(BaseException):
    """The process is killed; no handler of errors sees it."""


@dataclass
class Kill:
    """When to crash: before or after step number `at`; never for -1."""

    at: int = -1
    after: bool = False
    steps: int = 0
    names: list[str] = field(default_factory=list)

    def before_step(self, name: str) -> None:
        self.steps += 1
        self.names.append(name)
        if self.steps == self.at and not self.after:
            raise Crash(name)

    def after_step(self, name: str) -> None:
        if self.steps == self.at and self.after:
            raise Crash(name)


class Process:
    """What one process may still do: nothing once it was killed."""

    def __init__(self, kill: Kill) -> None:
        self.kill = kill
        self.dead = False

    def step(self, name: str, effect: Callable[[], Any]) -> Any:
        if self.dead:
            raise Crash(name)
        try:
            self.kill.before_step(name)
            result = effect()
            self.kill.after_step(name)
        except Crash:
            self.dead = True
            raise
        return result


@dataclass
class World:
    """Everything outside the process."""

    rules: RolloutRules = TRIAL_RULES
    kill: Kill = field(default_factory=Kill)
    loss: Loss = "nothing"
    reverse: bool = False
    """Whether a restart reads the topics in the opposite order."""
    at_restart: tuple[Action, ...] = ()
    """Commands that people give right after a crash."""
    clock: ManualClock = field(default_factory=lambda: ManualClock(1_000_000.0))
    crashes: int = 0

    def __post_init__(self) -> None:
        self.log = MemoryLog(clock=self.clock)
        self.log.ensure(topics.RECORD_TOPICS)
        self.serving = InMemoryServing(rate=300.0, started=self.clock.now())
        self.serving.servers.store |= {1, 2, 3}
        self.stored: dict[bytes, bytes] = {}
        self.committed: dict[str, int] = {}
        self.commands = 0
        self.max_canary: dict[int, int] = {}
        """By version, the largest share that it had as canary."""

    # ----------------------------------------------------------- the people

    def publish(self, number: int) -> None:
        """A retrain publishes a version."""
        record = version(number)
        self.log.append([record])

    def give(self, action: Action, *, age: float = 0.0) -> None:
        """A person gives a command, or gave it some seconds ago."""
        self.commands += 1
        self.log.append(
            [
                Command(
                    record_id=f"command-{self.commands}",
                    model="m",
                    at=self.clock.now() - age,
                    action=action,
                    reason="because",
                    who="ann",
                )
            ]
        )

    def approve(self, *people: str) -> None:
        """Each of the people says yes to the open request that the log shows, until it counts."""
        for entry in approvals(self.log, "m", 5):
            if entry.outcome is not None:
                continue
            request = entry.request
            for who in people:
                if who not in entry.approved_by:
                    self.commands += 1
                    self.log.append([yes(request, who, self.commands, self.clock.now())])

    # ------------------------------------------------------------- the time

    async def run(self, seconds: int, script: Callable[[int, World], None]) -> None:
        """Let the daemon run, with crashes and restarts."""
        daemon = Daemon(self)
        for second in range(seconds):
            self.clock.advance(1.0)
            self.serving.advance_traffic(self.clock.now() - 0.3)
            script(second, self)
            try:
                await daemon.second()
            except Crash:
                await daemon.buried()
                daemon = self._restarted()
            canary = self.serving.servers.loaded.get("canary", 0)
            share = self.serving.router.split.canary
            self.max_canary[canary] = max(share, self.max_canary.get(canary, 0))

    def _restarted(self) -> Daemon:
        self.crashes += 1
        if self.loss in ("table", "both"):
            self.stored.clear()
        if self.loss in ("places", "both"):
            self.committed.clear()
        for action in self.at_restart:
            self.give(action)
        return Daemon(self)

    # ---------------------------------------------------------- what remains

    def records(self) -> list[AnyRecord]:
        """All records of all topics, each as often as it was sent."""
        return [
            decode(message.value or b"")
            for topic in topics.RECORD_TOPICS
            for span in self.log.spans(topic.name)
            for message in self.log.read(span)
        ]

    def newest_promotion(self) -> Promotion:
        promotions = [record for record in self.records() if isinstance(record, Promotion)]
        return max(promotions, key=lambda promotion: promotion.at)


class Daemon:
    """One process."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.process = Process(world.kill)
        self.acknowledged: dict[str, set[int]] = {}
        self.read_until = dict(world.committed)
        controller = ModelController(
            contract=contract(),
            retrain_rules=RetrainRules(initial=False),
            rollout_rules=world.rules,
            labels=NoLabels(),
            serving=guarded(world.serving, self.process),
            history=lambda: read_history(world.log, "m"),
        )
        self.dispatcher = RecordDispatcher(
            Topics(world, self.process),
            Table(world, self.process),
            {"m": controller},
            MetricsExporter(),
            clock=world.clock,
        )

    async def second(self) -> None:
        """Read what is new, tick, and let Kafka remember the place."""
        await self.dispatcher.consume(Unread(self))
        await self.dispatcher.tick()
        for topic, offsets in self.acknowledged.items():
            start = self.world.committed.get(topic, 0)
            while start in offsets:
                start += 1
            if start != self.world.committed.get(topic, 0):
                place = (topic, start)
                self.process.step(f"commit {topic}", partial(self.world.committed.update, [place]))

    async def buried(self) -> None:
        """Wait for what the process still had in hand; none of it takes effect."""
        self.process.dead = True
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class Unread:
    """The stream of the messages that this process has not read."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon

    def noack(self) -> Unread:
        return self

    async def events(self) -> Any:
        daemon, world = self.daemon, self.daemon.world
        inputs = tuple(reversed(INPUTS)) if world.reverse else INPUTS
        for topic in inputs:
            (span,) = world.log.spans(topic.name)
            start = daemon.read_until.get(topic.name, 0)
            daemon.read_until[topic.name] = span.stop
            unread = OffsetRange(topic=topic.name, partition=0, start=start, stop=span.stop)
            for message in world.log.read(unread):
                event = StreamEvent(message.value, message.offset)
                event.message.topic = topic.name
                acknowledged = daemon.acknowledged.setdefault(topic.name, set())
                event.on_ack = partial(acknowledged.add, message.offset)
                yield event


@dataclass
class Table:
    """The state table."""

    world: World
    process: Process

    def get(self, key: bytes) -> bytes | None:
        return self.world.stored.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        self.process.step("store", lambda: self.world.stored.update({key: value}))


@dataclass
class Topics:
    """Kafka's topics, to send to."""

    world: World
    process: Process
    name: str = ""

    def topic(self, name: str, **options: object) -> Topics:
        return Topics(self.world, self.process, name)

    async def send(self, *, key: bytes | None, value: bytes) -> Awaitable[None]:
        self.process.step(
            f"send {self.name}", lambda: self.world.log.append_raw(self.name, [(key, value)])
        )
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        acknowledged.set_result(None)
        return acknowledged


def guarded(serving: InMemoryServing, process: Process) -> ServingPorts:
    """The ports of a process: each change is a step."""

    class Router:
        def apply(self, split: TrafficSplit) -> None:
            process.step(f"split {split.canary}", lambda: serving.router.apply(split))

        def current_split(self) -> TrafficSplit:
            return serving.router.current_split()

        healthy_servers = staticmethod(serving.router.healthy_servers)

    class Servers:
        status = staticmethod(serving.servers.status)

        def load(self, role: Role, version: int) -> None:
            process.step(f"load {role}", lambda: serving.servers.load(role, version))

        def unload(self, role: Role) -> None:
            process.step(f"unload {role}", lambda: serving.servers.unload(role))

        def replace(self, role: Role) -> None:
            process.step(f"replace {role}", lambda: serving.servers.replace(role))

    class References:
        published = staticmethod(serving.references.published)

        def publish(self, version: ModelVersion) -> Artifact | None:
            artifact: Artifact | None = process.step(
                "reference", lambda: serving.references.publish(version)
            )
            return artifact

    return ServingPorts(
        router=Router(),
        servers=Servers(),
        metrics=serving.metrics,
        references=References(),
        answers=serving.answers,
    )


def broken_invariants(world: World, failed: Sequence[int] = ()) -> list[str]:
    """What does not hold in the end, in sentences."""
    problems: list[str] = []
    records = world.records()
    texts: dict[str, bytes] = {}
    for topic in topics.RECORD_TOPICS:
        for span in world.log.spans(topic.name):
            for message in world.log.read(span):
                value = message.value or b""
                first = texts.setdefault(decode(value).record_id, value)
                if first != value:
                    problems.append(f"One id, two texts: {first!r} {value!r}")
    for result in computed_again(records):
        if result.outcome != "equal":
            problems.append(f"Not what is computed again: {result.kind}, {result.reason}")
    live = world.newest_promotion()
    loaded = world.serving.servers.loaded.get("stable")
    if loaded != live.version:
        problems.append(f"The log says version {live.version}, the server has {loaded}.")
    split = world.serving.router.split
    if (split.stable, split.canary) != (100, 0):
        problems.append(f"The traffic does not rest on stable: {split}.")
    promoted = {record.version for record in records if isinstance(record, Promotion)}
    if live.version in failed and 1 in promoted:  # else nothing was there to compare it with
        problems.append(f"Version {live.version} failed and is live.")
    for record in records:
        if isinstance(record, Promotion) and record.change == "promoted":
            problems += _without_evidence(record, records)
    problems += misused_approvals(records, world.rules)
    initial = {r.record_id for r in records if isinstance(r, Promotion) and r.change == "initial"}
    if len(initial) != 1:
        problems.append(f"{len(initial)} first versions.")
    answered = {record.command_id for record in records if isinstance(record, CommandReply)}
    problems += [
        f"No reply to {record.record_id} ({record.action})."
        for record in records
        if isinstance(record, Command) and record.record_id not in answered
    ]
    return problems


def _without_evidence(promotion: Promotion, records: Sequence[AnyRecord]) -> list[str]:
    passed = any(
        isinstance(record, CanaryVerdict)
        and record.version == promotion.version
        and record.outcome == "pass"
        and record.step == len(TRIAL_RULES.weights) - 1
        for record in records
    )
    return [] if passed else [f"Version {promotion.version} was promoted without evidence."]
