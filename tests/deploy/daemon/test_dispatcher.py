"""The daemon's promise: a step's records are acknowledged before its state is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.daemon.controller import ModelController
from deploy.daemon.dispatcher import RecordDispatcher
from deploy.metrics.exporter import MetricsExporter
from streaming.contracts.codec import decode, encode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.records import CommandReply, Record

Event = tuple[str, str]


@dataclass
class EventLog:
    """What happened, in order."""

    events: list[Event] = field(default_factory=list)

    def note(self, what: str, name: str) -> None:
        self.events.append((what, name))

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

    def topic(self, name: str, **options: object) -> FakeTopic:
        return FakeTopic(self, name)


@dataclass
class FakeTopic:
    app: FakeApp
    name: str

    async def send(self, *, key: bytes | None, value: bytes) -> Any:
        record_id = decode(value).record_id
        self.app.history.note("sent", record_id)

        async def acknowledge() -> None:
            await asyncio.sleep(0)
            if self.app.fails:
                raise UnavailableError("Kafka did not take it.")
            self.app.history.note("acknowledged", record_id)

        return asyncio.ensure_future(acknowledge())


class FakeTable(MutableMapping[bytes, bytes]):
    """A table that notes what is stored."""

    def __init__(self, history: EventLog, stored: dict[bytes, bytes] | None = None) -> None:
        self.history = history
        self.stored = stored if stored is not None else {}

    def __getitem__(self, key: bytes) -> bytes:
        return self.stored[key]

    def __setitem__(self, key: bytes, value: bytes) -> None:
        self.history.note("stored", value.decode())
        self.stored[key] = value

    def __delitem__(self, key: bytes) -> None:
        del self.stored[key]

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.stored)

    def __len__(self) -> int:
        return len(self.stored)


def reply(record_id: str, model: str = "m") -> CommandReply:
    return CommandReply(
        record_id=record_id, model=model, at=1.0, command_id="c", accepted=True, reason=""
    )


class CountingController:
    """Counts steps; each gives two records whose ids follow from the count."""

    def __init__(self) -> None:
        self.steps = 0
        self.problems: tuple[str, ...] = ()
        self.proposal_waits = False
        self.error: Exception | None = None

    def restore(self, snapshot: bytes | None) -> None:
        self.steps = int(snapshot or b"0")

    def snapshot(self) -> bytes:
        return str(self.steps).encode()

    def on_record(self, record: Record, *, now: float) -> tuple[Record, ...]:
        return self._step()

    def tick(self, *, now: float) -> tuple[Record, ...]:
        return self._step()

    def _step(self) -> tuple[Record, ...]:
        if self.error is not None:
            raise self.error
        self.steps += 1
        return reply(f"{self.steps}-a"), reply(f"{self.steps}-b")


@dataclass
class Message:
    topic: str = "commands"


@dataclass
class StreamEvent:
    value: bytes | None
    message: Message = field(default_factory=Message)


class FakeStream:
    def __init__(self, *values: bytes | None) -> None:
        self.values = values

    async def events(self) -> AsyncIterator[StreamEvent]:
        for value in self.values:
            yield StreamEvent(value)


@dataclass
class Setup:
    """A dispatcher over doubles."""

    fails: bool = False
    stored: dict[bytes, bytes] = field(default_factory=dict)
    history: EventLog = field(default_factory=EventLog)
    controller: CountingController = field(default_factory=CountingController)
    exporter: MetricsExporter = field(default_factory=MetricsExporter)

    def __post_init__(self) -> None:
        controllers: dict[str, ModelController] = {"m": self.controller}  # type: ignore[dict-item]
        self.dispatcher = RecordDispatcher(
            FakeApp(self.history, fails=self.fails),
            FakeTable(self.history, self.stored),
            controllers,
            self.exporter,
        )

    def consume(self, *values: bytes | None) -> None:
        asyncio.run(self.dispatcher.consume(FakeStream(*values)))

    def tick(self) -> None:
        asyncio.run(self.dispatcher.tick())


@pytest.mark.parametrize("step", ["record", "tick"])
def test_every_record_is_acknowledged_before_the_state_is_stored(step: str) -> None:
    setup = Setup()
    if step == "record":
        setup.consume(encode(reply("in")))
    else:
        setup.tick()
    history = setup.history
    assert [event for event in history.events if event[0] != "acknowledged"] == [
        ("sent", "1-a"),
        ("sent", "1-b"),
        ("stored", "1"),
    ]
    for record_id in ("1-a", "1-b"):
        assert history.index("acknowledged", record_id) < history.index("stored")


def test_a_failed_send_leaves_the_state_and_the_step_is_made_again() -> None:
    failing = Setup(fails=True)
    with pytest.raises(UnavailableError):
        failing.consume(encode(reply("in")))
    assert failing.stored == {}
    again = Setup(stored=failing.stored)
    again.consume(encode(reply("in")))
    sent = [name for what, name in again.history.events if what == "sent"]
    assert sent == ["1-a", "1-b"]  # the same ids as before
    assert again.stored == {b"m": b"1"}


def test_a_step_continues_from_the_stored_state() -> None:
    setup = Setup(stored={b"m": b"6"})
    setup.consume(encode(reply("in")))
    assert setup.stored == {b"m": b"7"}


def test_a_postponed_step_sends_and_stores_nothing() -> None:
    setup = Setup()
    setup.controller.error = UnavailableError("Flink does not answer.")
    setup.tick()
    assert setup.history.events == []


def test_an_unreadable_record_is_counted_and_the_next_one_handled() -> None:
    setup = Setup()
    setup.consume(b"{", None, encode(reply("other", model="another")), encode(reply("in")))
    value = setup.exporter.registry.get_sample_value
    refused = {"topic": "commands", "reason": "unreadable"}
    assert value("driftline_records_refused_total", refused) == 1.0
    assert setup.stored == {b"m": b"1"}


def test_an_unchanged_state_is_not_stored_again() -> None:
    setup = Setup(stored={b"m": b"1"})
    setup.controller.on_record = lambda record, *, now: ()  # type: ignore[method-assign]
    setup.consume(encode(reply("in")))
    assert setup.history.events == []


def test_a_problem_is_logged_once_for_as_long_as_it_lasts() -> None:
    from structlog.testing import capture_logs

    setup = Setup()
    with capture_logs() as logs:
        for problems in (("no Envoy",), ("no Envoy",), (), ("no Envoy",)):
            setup.controller.problems = problems
            setup.tick()
    assert [entry["problem"] for entry in logs if entry["event"] == "engine.problem"] == [
        "no Envoy",
        "no Envoy",
    ]
