"""Doubles of the daemon's surroundings: Kafka's topics, the state table, a counting controller."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
from msgspec.structs import replace

from deploy.daemon.controller import ControllerState, ModelController, Part, PartStep
from retrain.policy import RetrainRules
from serving.engines.memory import InMemoryServing
from serving.ports import Action, Observation, ServingPorts
from serving.rules import RolloutRules
from streaming.contracts.codec import decode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import AnyRecord, CommandReply, OffsetRange, Record

Event = tuple[str, str]


@dataclass
class EventLog:
    """What happened, in order."""

    events: list[Event] = field(default_factory=list)

    def note(self, what: str, name: str) -> None:
        self.events.append((what, name))

    def names(self, what: str) -> list[str]:
        return [name for event, name in self.events if event == what]

    def index(self, what: str, name: str = "") -> int:
        return next(
            number
            for number, event in enumerate(self.events)
            if event[0] == what and name in ("", event[1])
        )


class FakeApp:
    """Topics whose messages are acknowledged one turn of the event loop later."""

    def __init__(self, history: EventLog, *, fails: bool = False) -> None:
        self.history = history
        self.fails = fails
        self.sent: list[tuple[str, bytes]] = []
        """Topic and value of each message, acknowledged or not."""

    def topic(self, name: str, **options: object) -> FakeTopic:
        return FakeTopic(self, name)

    @property
    def records(self) -> list[AnyRecord]:
        return [decode(value) for _, value in self.sent]


@dataclass
class FakeTopic:
    app: FakeApp
    name: str

    async def send(self, *, key: bytes | None, value: bytes) -> Any:
        record_id = decode(value).record_id
        self.app.sent.append((self.name, value))
        self.app.history.note("sent", record_id)

        async def acknowledge() -> None:
            await asyncio.sleep(0)
            if self.app.fails:
                raise UnavailableError("Kafka did not take it.")
            self.app.history.note("acknowledged", record_id)

        return asyncio.ensure_future(acknowledge())


class FakeStore:
    """Snapshots that note when they are stored."""

    def __init__(self, history: EventLog, stored: dict[bytes, bytes] | None = None) -> None:
        self.history = history
        self.stored = stored if stored is not None else {}
        self.fails = False

    def get(self, key: bytes) -> bytes | None:
        return self.stored.get(key)

    async def put(self, key: bytes, value: bytes) -> None:
        await asyncio.sleep(0)
        if self.fails:
            raise UnavailableError("Kafka did not take the change.")
        self.history.note("stored", key.decode())
        self.stored[key] = value

    def state(self, model: str = "m") -> ControllerState:
        return msgspec.json.decode(self.stored[model.encode()], type=ControllerState)

    def count(self, model: str = "m") -> int:
        """Steps of a `CountingController` that are stored."""
        return round(self.state(model).rollout.ticked_at)


def reply(record_id: str, model: str = "m") -> CommandReply:
    return CommandReply(
        record_id=record_id, model=model, at=1.0, command_id="c", accepted=True, reason=""
    )


class NoLabels:
    """Counts no labels."""

    def count_since(self, time: float) -> int:
        return 0

    def spans(self, since: float | None = None) -> tuple[OffsetRange, ...]:
        return ()


def contract(model: str = "m") -> ModelContract:
    return ModelContract(
        model=model, module="", events_topic="e", labels_topic="l", key="id", time="at"
    )


@dataclass(slots=True, kw_only=True)
class CountingController(ModelController):
    """Counts the rollout's steps; each gives two records whose ids follow from the count."""

    error: BaseException | None = None
    failing: tuple[Part, ...] = ("rollout",)
    """The parts that raise `error`."""
    failures_left: int = -1
    """Steps that raise `error`; -1 for all."""
    handled: list[str] = field(default_factory=list)
    """Ids of the records that the rollout decided."""
    ticks: int = 0
    actions: tuple[Action, ...] = ()
    """What each tick of the rollout asks for."""

    def decide_record(self, part: Part, record: AnyRecord, *, now: float) -> PartStep:
        step = self._step(part)
        if part == "rollout":
            self.handled.append(record.record_id)
        return step

    def decide_tick(
        self, part: Part, *, now: float, observed: Observation | None = None
    ) -> PartStep:
        step = self._step(part)
        if part != "rollout":
            return step
        self.ticks += 1
        return dataclasses.replace(step, actions=self.actions)

    def observe(self, *, now: float) -> Observation:
        return Observation(at=now)

    def _step(self, part: Part) -> PartStep:
        if self.error is not None and part in self.failing and self.failures_left != 0:
            self.failures_left -= 1
            raise self.error
        state = getattr(self.state, part)
        if part != "rollout":
            return PartStep(part=part, state=state)
        count = round(state.ticked_at) + 1
        records: tuple[Record, ...] = (
            reply(f"{count}-a", self.contract.model),
            reply(f"{count}-b", self.contract.model),
        )
        return PartStep(part=part, state=replace(state, ticked_at=float(count)), records=records)


def counting_controller(
    model: str = "m",
    *,
    serving: ServingPorts | None = None,
    kind: type[CountingController] = CountingController,
) -> CountingController:
    return kind(
        contract=contract(model),
        retrain_rules=RetrainRules(),
        rollout_rules=RolloutRules(),
        labels=NoLabels(),
        serving=serving or InMemoryServing().ports,
    )


def stored_count(count: int, model: str = "m") -> bytes:
    """The snapshot of a controller that has made `count` steps."""
    controller = counting_controller(model)
    state = replace(controller.state.rollout, ticked_at=float(count))
    return controller.snapshot(PartStep(part="rollout", state=state))


class StreamEvent:
    """A message of a stream; `acks` counts its acknowledgements."""

    def __init__(self, value: bytes | None, offset: int) -> None:
        self.value = value
        self.message = SimpleNamespace(topic="commands", partition=0, offset=offset)
        self.acks = 0
        self.on_ack: Callable[[], object] = lambda: None

    def ack(self) -> bool:
        self.acks += 1
        self.on_ack()
        return True


class FakeStream:
    def __init__(self, *values: bytes | None) -> None:
        self.given = [StreamEvent(value, offset) for offset, value in enumerate(values)]

    @property
    def acknowledged(self) -> list[int]:
        return [event.message.offset for event in self.given if event.acks]

    def noack(self) -> FakeStream:
        return self

    async def events(self) -> AsyncIterator[StreamEvent]:
        for event in self.given:
            yield event
