"""References are built beside the daemon's steps: only their own promotion waits for them."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from deploy.daemon.background_references import RETRY_SECONDS, BackgroundReferences
from deploy.daemon.dispatcher import RecordDispatcher
from deploy.metrics.exporter import MetricsExporter
from serving import handlers
from serving.engines.memory import InMemoryServing
from serving.ports import PublishReference, ServingPorts
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import encode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.records import Artifact, ModelVersion, Promotion, Record
from tests.deploy.daemon.doubles import (
    EventLog,
    FakeApp,
    FakeStore,
    FakeStream,
    counting_controller,
    reply,
)
from tests.deploy.daemon.test_reference_publisher import version as version_of_days
from tests.waiting import wait_for


def version(number: int) -> ModelVersion:
    return replace(version_of_days(0, 1), record_id=f"v{number}", model="m", version=number)


def artifact(number: int) -> Artifact:
    return Artifact(uri=f"file:///references/m/{number}", digest=f"d{number}")


@dataclass
class SlowBuild:
    """A build that lasts until it is let go, or until it is superseded."""

    started: list[int] = field(default_factory=list)
    ended: list[int] = field(default_factory=list)
    superseded: list[int] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None
    hangs: bool = False
    """Whether it reads nothing."""

    def __call__(self, wanted: ModelVersion, superseded: Callable[[], bool]) -> Artifact | None:
        self.started.append(wanted.version)
        while not self.go.wait(0.005):
            if not self.hangs and superseded():
                self.superseded.append(wanted.version)
                raise UnavailableError("superseded")
        if self.error is not None:
            raise self.error
        self.ended.append(wanted.version)
        return artifact(wanted.version)


@dataclass
class World:
    build: SlowBuild = field(default_factory=SlowBuild)
    clock: ManualClock = field(default_factory=lambda: ManualClock(0.0))

    def __post_init__(self) -> None:
        self.references = BackgroundReferences(build=self.build, clock=self.clock)

    def finish(self, number: int) -> None:
        self.build.go.set()
        wait_for(lambda: self.references.published(version(number)) is not None)


def test_publishing_returns_at_once_and_builds_once() -> None:
    world = World()
    for _ in range(5):
        assert world.references.publish(version(1)) is None
        assert world.references.published(version(1)) is None
    world.finish(1)
    published = world.references.published(version(1))
    assert published is not None
    assert (published.version, published.artifact) == (1, artifact(1))
    assert world.references.publish(version(1)) == artifact(1)
    assert world.build.started == [1]


def test_a_second_version_ends_the_first_build_and_never_gets_its_result() -> None:
    world = World()
    world.references.publish(version(1))
    wait_for(lambda: world.build.started == [1])
    world.references.publish(version(2))
    wait_for(lambda: world.build.superseded == [1])
    assert world.references.published(version(2)) is None
    world.finish(2)
    published = world.references.published(version(2))
    assert published is not None
    assert published.artifact == artifact(2)
    assert world.references.published(version(1)) is None


@pytest.mark.parametrize(
    "error", [UnavailableError("The log is down."), OSError("disk full"), KeyError("a bug")]
)
def test_a_build_that_fails_is_reported_and_made_again(error: Exception) -> None:
    world = World(build=SlowBuild(error=error))
    world.build.go.set()
    world.references.publish(version(1))
    wait_for(world.references._current.done.is_set)  # type: ignore[union-attr]
    with pytest.raises(UnavailableError, match=f"version 1 could not be built: .*{error.args[0]}"):
        world.references.publish(version(1))
    world.build.error = None
    world.clock.advance(RETRY_SECONDS)
    assert world.references.publish(version(1)) is None
    world.finish(1)
    assert world.build.started == [1, 1]


def test_a_build_that_hangs_is_given_up_and_started_again() -> None:
    world = World(build=SlowBuild(hangs=True))
    world.references.publish(version(1))
    seconds = RolloutRules().reference_seconds
    world.clock.advance(seconds - 1.0)
    assert world.references.publish(version(1)) is None
    world.clock.advance(1.0)
    with pytest.raises(UnavailableError, match=f"has read nothing for {seconds:.0f} s"):
        world.references.publish(version(1))
    wait_for(lambda: world.build.started == [1, 1])
    world.finish(1)


@pytest.mark.parametrize("seconds", [290, 301, 400, 599, 601, 5_000])
def test_a_build_that_goes_on_is_finished_however_long_it_takes(seconds: int) -> None:
    world = World()
    world.references.publish(version(1))
    build = world.references._current
    assert build is not None
    for _ in range(10):
        world.clock.advance(seconds / 10)
        wait_for(lambda: build.moved == world.clock.now())
        assert world.references.publish(version(1)) is None
    world.finish(1)
    assert world.build.started == [1]
    assert world.build.superseded == []


def test_a_new_process_builds_what_the_old_one_did_not_finish() -> None:
    """The state asks for the reference as long as it is not observed, whoever started it."""
    rules = RolloutRules(approval="never")
    world, serving = World(), InMemoryServing()
    serving.servers.store.add(1)

    def ticks(references: BackgroundReferences, state: RolloutState, now: float) -> RolloutState:
        ports = replace_references(serving, references)
        for second in range(5):
            observed = handlers.observe(ports, state, now=now + second)
            step = handlers.tick(state, observed, rules=rules, now=now + second)
            handlers.perform(step.actions, ports)
            state, records[:] = step.state, [*records, *step.records]
        return state

    records: list[Record] = []
    first = version(1)
    started = handlers.handle(RolloutState(model="m"), first, rules=rules, now=0.0).state
    before_the_crash = ticks(world.references, started, 1.0)
    assert not [record for record in records if isinstance(record, Promotion)]
    world.references.close()
    after = World()
    after.build.go.set()
    restored = ticks(after.references, before_the_crash, 10.0)
    wait_for(lambda: after.references.published(first) is not None)
    ticks(after.references, restored, 20.0)
    (promotion,) = [record for record in records if isinstance(record, Promotion)]
    assert promotion.reference == artifact(1)


def replace_references(serving: InMemoryServing, references: BackgroundReferences) -> ServingPorts:
    return dataclasses.replace(serving.ports, references=references)


def test_ticks_and_commands_of_every_model_are_served_while_a_reference_is_built() -> None:
    world, history = World(), EventLog()
    serving = InMemoryServing()
    promoting = counting_controller("m", serving=replace_references(serving, world.references))
    other = counting_controller("other")
    store = FakeStore(history)
    dispatcher = RecordDispatcher(
        FakeApp(history), store, {"m": promoting, "other": other}, MetricsExporter()
    )
    promoting.actions = (PublishReference(version=version(1)),)

    async def several_ticks_and_a_command() -> None:
        for _ in range(3):
            await asyncio.wait_for(dispatcher.tick(), timeout=20)
        stream = FakeStream(encode(reply("a", model="other")), encode(reply("b", model="m")))
        await asyncio.wait_for(dispatcher.consume(stream), timeout=20)

    asyncio.run(several_ticks_and_a_command())
    wait_for(lambda: world.build.started == [1])
    assert world.build.ended == []  # it still runs, and all of this happened meanwhile
    assert (store.count("m"), store.count("other")) == (4, 4)
    world.finish(1)
