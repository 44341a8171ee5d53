"""The daemon's promises: decided, stored, sent; nothing lost; no model waits for another."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace

from deploy.daemon.controller import Part, PartStep
from deploy.daemon.dispatcher import RecordDispatcher
from deploy.daemon.part_queue import RetryLimits
from deploy.metrics.exporter import MetricsExporter
from retrain.state import Running
from serving.phase import Phase
from serving.ports import Observation
from serving.transitions import enter_phase, start_rollout
from streaming.contracts.codec import encode
from streaming.contracts.errors import ConfigurationError, TemporaryError, UnavailableError
from streaming.contracts.records import Command, CommandReply, DeadLetter
from tests.deploy.cli.builders import promotion
from tests.deploy.daemon.doubles import (
    CountingController,
    EventLog,
    FakeApp,
    FakeStore,
    FakeStream,
    counting_controller,
    reply,
    stored_count,
)
from tests.serving.rollout_simulation import version


@dataclass
class Setup:
    """A dispatcher over doubles."""

    fails: bool = False
    stored: dict[bytes, bytes] = field(default_factory=dict)
    history: EventLog = field(default_factory=EventLog)
    controller: CountingController = field(default_factory=counting_controller)
    others: tuple[CountingController, ...] = ()
    exporter: MetricsExporter = field(default_factory=MetricsExporter)
    limits: RetryLimits = field(default_factory=RetryLimits)

    def __post_init__(self) -> None:
        self.app = FakeApp(self.history, fails=self.fails)
        self.store = FakeStore(self.history, self.stored)
        self.dispatcher = RecordDispatcher(
            self.app,
            self.store,
            {each.contract.model: each for each in (self.controller, *self.others)},
            self.exporter,
            self.limits,
        )

    def consume(self, *values: bytes | None) -> FakeStream:
        stream = FakeStream(*values)
        asyncio.run(self.dispatcher.consume(stream))
        return stream

    def tick(self) -> None:
        asyncio.run(self.dispatcher.tick())

    def value(self, name: str, **labels: str) -> float | None:
        return self.exporter.registry.get_sample_value(name, labels)


@pytest.mark.parametrize("step", ["record", "tick"])
def test_a_decision_is_stored_with_its_records_before_they_are_sent(step: str) -> None:
    setup = Setup()
    if step == "record":
        setup.consume(encode(reply("in")))
    else:
        setup.tick()
    assert setup.history.events[0] == ("stored", "m")
    assert setup.history.names("sent") == setup.history.names("acknowledged") == ["1-a", "1-b"]
    assert setup.store.count() == 1
    assert [record.record_id for record in setup.store.state().outbox] == ["1-a", "1-b"]


def test_after_a_crash_between_storing_and_sending_the_same_bytes_are_sent() -> None:
    before = Setup(fails=True)

    async def one_tick() -> None:
        await before.dispatcher.tick()

    asyncio.run(one_tick())
    assert before.store.count() == 1
    after = Setup(stored=dict(before.stored))
    after.tick()
    assert after.app.sent[:2] == before.app.sent[:2]
    assert after.history.names("sent") == ["1-a", "1-b", "2-a", "2-b"]
    assert after.store.count() == 2


def test_records_that_could_not_be_sent_go_first_with_the_next_decision() -> None:
    setup = Setup(fails=True)
    setup.tick()
    setup.app.fails = False
    setup.tick()
    assert setup.history.names("acknowledged") == ["1-a", "1-b", "2-a", "2-b"]


def test_a_decision_that_could_not_be_stored_is_not_sent_and_decided_again() -> None:
    setup = Setup()
    setup.store.fails = True
    setup.tick()
    assert setup.app.sent == []
    setup.store.fails = False
    setup.tick()
    assert setup.history.names("sent") == ["1-a", "1-b"]


def test_a_record_is_never_given_up_because_kafka_takes_nothing() -> None:
    setup = Setup(limits=RetryLimits(temporary_seconds=0.0, failure_seconds=0.0))
    setup.store.fails = True

    async def run() -> None:
        stream = FakeStream(encode(reply("in")))
        consuming = asyncio.create_task(setup.dispatcher.consume(stream))
        while setup.controller.handled.count("in") < 2:
            await asyncio.sleep(0.01)
        assert stream.acknowledged == []
        setup.store.fails = False
        await asyncio.wait_for(consuming, timeout=30)
        assert stream.acknowledged == [0]

    asyncio.run(run())
    assert not [record for record in setup.app.records if isinstance(record, DeadLetter)]
    assert setup.store.count() == 1


def test_a_step_continues_from_the_stored_state() -> None:
    setup = Setup(stored={b"m": stored_count(6)})
    setup.consume(encode(reply("in")))
    assert setup.store.count() == 7


def test_a_state_that_another_process_has_stored_is_taken_over() -> None:
    setup = Setup()
    setup.tick()
    setup.stored[b"m"] = stored_count(40)
    setup.tick()
    assert setup.store.count() == 41


def test_a_postponed_step_sends_and_stores_nothing() -> None:
    setup = Setup()
    setup.controller.error = UnavailableError("Flink does not answer.")
    setup.tick()
    assert setup.app.sent == []
    assert setup.stored == {}


@pytest.mark.parametrize(
    "error", [UnavailableError("Kafka is away.", delay_seconds=0.0), KeyError("a bug")]
)
def test_a_record_that_meets_an_error_is_tried_again_before_the_next_one(
    error: Exception,
) -> None:
    setup = Setup()
    setup.controller.error, setup.controller.failures_left = error, 1
    stream = setup.consume(encode(reply("first")), encode(reply("second")))
    assert setup.controller.handled == ["first", "second"]
    assert stream.acknowledged == [0, 1]
    assert setup.store.count() == 2


@pytest.mark.parametrize("part", ["rollout", "trigger", "schema"])
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (UnavailableError("Kafka is away.", delay_seconds=0.0), "unavailable"),
        (KeyError("a bug"), "failed"),
        (ConfigurationError("a wrong setting"), "failed"),
    ],
)
def test_a_record_that_has_had_its_time_is_a_dead_letter_with_the_reason(
    part: Part, error: Exception, reason: str
) -> None:
    setup = Setup(limits=RetryLimits(temporary_seconds=0.0, failure_seconds=0.0))
    setup.controller.error, setup.controller.failing = error, (part,)
    setup.controller.failures_left = 1
    command = Command(
        record_id="do-it", model="m", at=5.0, action="retrain", reason="because", who="ann"
    )
    stream = setup.consume(encode(command), encode(reply("second")))
    (letter,) = [record for record in setup.app.records if isinstance(record, DeadLetter)]
    assert (letter.topic, letter.offset, letter.reason) == ("commands", 0, reason)
    assert str(error.args[0]) in letter.detail
    assert letter.payload == encode(command)
    (answer,) = [
        record
        for record in setup.app.records
        if isinstance(record, CommandReply) and record.command_id == "do-it"
    ]
    assert not answer.accepted
    assert str(error.args[0]) in answer.reason
    assert stream.acknowledged == [0, 1]
    assert "second" in setup.controller.handled
    assert setup.value("driftline_records_dead_total", model="m", reason=reason) == 1.0


@pytest.mark.parametrize("error", [UnavailableError("Kafka is away."), KeyError("a bug")])
def test_trouble_of_the_trigger_postpones_no_tick_of_the_rollout(error: Exception) -> None:
    setup = Setup()
    setup.controller.error, setup.controller.failing = error, ("trigger",)

    async def run() -> None:
        stream = FakeStream(encode(reply("record")))
        consuming = asyncio.create_task(setup.dispatcher.consume(stream))
        for _ in range(60):
            await setup.dispatcher.tick()
        assert not consuming.done()
        assert stream.acknowledged == []
        assert setup.value("driftline_record_waiting_seconds", model="m")
        consuming.cancel()
        setup.controller.error = None
        await asyncio.gather(consuming, return_exceptions=True)

    asyncio.run(run())
    assert setup.controller.ticks == 60
    assert setup.controller.handled == ["record"]


@pytest.mark.parametrize(("weight", "ticks"), [(0, 1), (10, 2)])
def test_a_rollout_whose_candidate_has_clients_ticks_in_between(weight: int, ticks: int) -> None:
    class Exposed(CountingController):
        @property
        def canary_weight(self) -> int:
            return weight

    setup = Setup(controller=counting_controller(kind=Exposed))

    async def run() -> None:
        await setup.dispatcher.hurry()  # nothing has started yet
        await setup.dispatcher.tick()
        await setup.dispatcher.hurry()
        await setup.dispatcher.ticks_done()

    asyncio.run(run())
    assert setup.controller.ticks == ticks


def test_a_trigger_that_hangs_postpones_neither_ticks_nor_records_of_the_rollout() -> None:
    hanging, go = threading.Event(), threading.Event()

    class Hanging(CountingController):
        def decide_tick(
            self, part: Part, *, now: float, observed: Observation | None = None
        ) -> PartStep:
            if part == "trigger":
                hanging.set()
                go.wait(60.0)
            return super().decide_tick(part, now=now, observed=observed)

    setup = Setup(controller=counting_controller(kind=Hanging))

    async def run() -> None:
        while setup.controller.ticks < 20:
            await setup.dispatcher.begin_tick()
            await asyncio.sleep(0.001)
        stream = FakeStream(encode(reply("record")))
        consuming = asyncio.create_task(setup.dispatcher.consume(stream))
        while not setup.controller.handled:
            await asyncio.sleep(0.001)
        assert hanging.is_set()
        assert not consuming.done()  # the trigger has not decided it
        go.set()
        await asyncio.wait_for(consuming, timeout=30)
        await setup.dispatcher.tick()

    asyncio.run(run())
    assert setup.controller.handled == ["record"]


@pytest.mark.parametrize("part", ["rollout", "trigger", "schema"])
@pytest.mark.parametrize(
    "error",
    [KeyError("a bug"), ZeroDivisionError(), UnavailableError("away"), OSError(5)],
)
def test_an_error_in_one_model_stops_no_other(part: Part, error: Exception) -> None:
    setup = Setup(others=(counting_controller("other"),))
    setup.controller.error, setup.controller.failing = error, (part,)

    async def run() -> None:
        stream = FakeStream(encode(reply("mine")), encode(reply("theirs", model="other")))
        consuming = asyncio.create_task(setup.dispatcher.consume(stream))
        for _ in range(5):
            await setup.dispatcher.tick()
        while stream.acknowledged != [1]:
            await asyncio.sleep(0.001)
        assert not consuming.done()
        consuming.cancel()
        setup.controller.error = None
        await asyncio.gather(consuming, return_exceptions=True)

    asyncio.run(run())
    other = setup.others[0]
    assert (other.handled, other.ticks) == (["theirs"], 5)
    failed = setup.value("driftline_steps_failed_total", model="m", part=part)
    assert failed == (None if isinstance(error, TemporaryError) else 5.0)
    assert setup.value("driftline_model_tick_time_seconds", model="other", part=part)
    assert setup.value("driftline_model_tick_time_seconds", model="m", part=part) is None


def test_ticks_go_on_while_a_record_is_tried_again() -> None:
    setup = Setup()
    setup.controller.error = UnavailableError("Kafka does not answer.", delay_seconds=0.01)

    async def run() -> None:
        consuming = asyncio.create_task(
            setup.dispatcher.consume(FakeStream(encode(reply("record"))))
        )
        await asyncio.sleep(0.05)
        assert not consuming.done()
        await setup.dispatcher.tick()  # postponed too, but not held up
        setup.controller.error = None
        await setup.dispatcher.tick()
        await asyncio.wait_for(consuming, timeout=10)

    asyncio.run(run())
    assert setup.store.count() == 2


def test_the_live_version_is_told_after_a_restart_too() -> None:
    setup = Setup()
    setup.tick()
    assert setup.value("driftline_live_version", model="m") is None
    state = setup.controller.state.rollout
    setup.controller.adopt(PartStep(part="rollout", state=replace(state, live=promotion(7))))
    setup.tick()
    assert setup.value("driftline_live_version", model="m") == 7.0


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.IDLE])
@pytest.mark.parametrize("running", [True, False])
def test_what_waits_is_told_after_a_restart_without_a_record(phase: Phase, running: bool) -> None:
    setup = Setup()
    state = setup.controller.state
    started = start_rollout(replace(state.rollout, live=promotion(1)), version(2), 0.0)
    assert started.rollout is not None
    entered = enter_phase(started.rollout, phase, "", 1.0, step=2)
    setup.controller.state = replace(
        state,
        rollout=replace(started, rollout=entered),
        trigger=replace(
            state.trigger,
            running=Running(request_id="r", cause="drift", since=0.0, deadline=9.0)
            if running
            else None,
        ),
    )
    setup.stored[b"m"] = setup.controller.snapshot()
    setup.tick()
    exported = {
        known: setup.value("driftline_rollout_phase", model="m", phase=known) for known in Phase
    }
    assert exported == {known: float(known is phase) for known in Phase}
    waiting = setup.value("driftline_approval_waiting", model="m")
    assert waiting == float(phase is Phase.AWAITING_APPROVAL)
    weight = setup.value("driftline_canary_weight_ratio", model="m")
    assert weight == setup.controller.canary_weight / 100
    assert setup.value("driftline_retrain_running", model="m") == float(running)


def test_an_unreadable_record_is_counted_and_the_next_one_handled() -> None:
    setup = Setup()
    stream = setup.consume(b"{", None, encode(reply("other", model="another")), encode(reply("in")))
    refused = {"topic": "commands", "reason": "unreadable"}
    assert setup.value("driftline_records_refused_total", **refused) == 1.0
    assert stream.acknowledged == [0, 1, 2, 3]
    assert setup.store.count() == 1


def test_a_problem_is_logged_once_for_as_long_as_it_lasts() -> None:
    from structlog.testing import capture_logs

    setup = Setup()
    with capture_logs() as logs:
        for error in (UnavailableError("no Envoy"), UnavailableError("no Envoy"), None):
            setup.controller.error = error
            setup.tick()
        setup.controller.error = UnavailableError("no Envoy")
        setup.tick()
    assert [entry["problem"] for entry in logs if entry["event"] == "engine.problem"] == [
        "no Envoy",
        "no Envoy",
    ]
