"""The label service on the log in memory and on Kafka: one suite for both."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson
import pytest

from streaming.contracts import topics
from streaming.contracts.clock import Clock, SystemClock
from streaming.contracts.codec import decode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog, RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import DeadLetter, Promotion, QualityVerdict, Record
from streaming.contracts.topics import Topic, applications_topic
from streaming.engines.kafka.log import KafkaLog
from streaming.quality import QualityRules
from streaming.quality import service as service_module
from streaming.quality.service import LabelService
from tests.streaming.engines.conftest import Engines, broker
from tests.streaming.quality.quality_world import World, draw

__all__ = ["broker"]

WINDOW, ROWS = 10.0, 300
RULES = QualityRules(horizon_seconds=30.0, min_labels=200, grace_seconds=0.0, min_curve_windows=1)


@dataclass
class ShiftedClock:
    """The system clock plus an offset; the log itself stamps with the system clock."""

    base: Clock
    ahead: float = 0.0

    def now(self) -> float:
        return self.base.now() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds


@dataclass
class ModelTopics:
    """The topics of one model on a log, with traffic and label services."""

    log: RecordLog
    clock: ShiftedClock
    name: str = field(default_factory=lambda: f"m{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.contract = ModelContract(
            model=self.name, module="", events_topic=f"{self.name}.e",
            labels_topic=f"{self.name}.l", key="id", time="at", window_seconds=WINDOW,
            max_out_of_orderness_seconds=1.0,
        )  # fmt: skip
        self.predictions = f"{self.name}.p"
        inputs = (self.predictions, self.contract.labels_topic)
        self.log.ensure(
            [*topics.RECORD_TOPICS, *(applications_topic(name, partitions=2) for name in inputs)]
        )
        # Windows lie in the past, so that labels are mature when they arrive.
        self.start = float((self.clock.now() - 200.0) // WINDOW * WINDOW)
        self.rng = np.random.default_rng(4)

    def service(self) -> LabelService:
        service = LabelService(
            log=self.log, clock=self.clock, contract=self.contract, rules=RULES,
            predictions_topic=self.predictions, outcome_of=lambda fields: fields.get("y"),
            poll_seconds=0.5,
        )  # fmt: skip
        service.start()
        return service

    def promote(self) -> None:
        self.log.append([promotion(self.name, self.start - 1.0)])

    def window(self, number: int, *, bad: bool = False) -> None:
        scores, outcomes = draw(self.rng, ROWS)
        at = self.start + WINDOW * number
        rows = [(f"{number}-{n}", at + n * WINDOW / ROWS) for n in range(ROWS)]
        served = [
            (key.encode(), orjson.dumps({"id": key, "at": t, "version": 1, "prediction": p}))
            for (key, t), p in zip(rows, scores.tolist(), strict=True)
        ]
        labels = [
            (key.encode(), orjson.dumps({"id": key, "y": y}))
            for (key, _), y in zip(rows, outcomes.tolist(), strict=True)
        ]
        if bad:
            served[3] = (b"", b"{nope")
            labels[5] = (b"", b"{}")
        self.log.append_raw(self.contract.labels_topic, labels)  # labels may come first
        self.log.append_raw(self.predictions, served)

    def all(self, kind: type[Record]) -> list[Record]:
        records = []
        for span in self.log.spans(topics.TOPIC_OF[kind].name):
            for message in self.log.read(span):
                record = decode(message.value or b"")
                if record.model == self.name:
                    records.append(record)
        return list(records)


def promotion(model: str, at: float) -> Promotion:
    world = World()
    (template,) = [record for record in world.log if isinstance(record, Promotion)]
    return Promotion(
        record_id=f"{model}-{at}", model=model, at=at, version=1, replaced=0, change="initial",
        reason="", artifact=template.artifact, reference=None, window_start=0.0, window_end=0.0,
    )  # fmt: skip


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.engine)])
def model(request: pytest.FixtureRequest) -> Iterator[ModelTopics]:
    log: RecordLog
    if request.param == "memory":
        log = MemoryLog()
    else:
        engines: Engines = request.getfixturevalue("broker")
        log = KafkaLog(engines.bootstrap)
    yield ModelTopics(log, ShiftedClock(SystemClock()))
    log.close()


def step(service: LabelService, expected: int) -> list[QualityVerdict]:
    """Runs steps until `expected` verdicts were given and a step gives no more."""
    verdicts: list[QualityVerdict] = []
    for _ in range(60):
        new = service.step()
        verdicts += new
        if len(verdicts) >= expected and not new:
            break
    return verdicts


def test_past_messages_are_joined_and_judged_once_over_a_restart(model: ModelTopics) -> None:
    model.promote()
    for number in range(3):
        model.window(number, bad=number == 0)
    first = model.service()
    verdicts = step(first, 6)
    assert [(v.stage, v.labelled) for v in verdicts if v.stage == "realised"][1:] == [
        ("realised", ROWS),
        ("realised", ROWS),
    ]
    accounts = first.monitor.joiner.accounts
    assert (accounts.predictions_dead, accounts.labels_dead) == (1, 1)
    assert (accounts.predictions_read, accounts.labels_read) == (3 * ROWS, 3 * ROWS)
    assert accounts.unlabelled == accounts.early == 1

    model.window(3)  # arrives while no service runs
    restarted = model.service()
    verdicts = step(restarted, 2)
    assert {v.window_start for v in verdicts} == {model.start + 30.0}
    ids = [record.record_id for record in model.all(QualityVerdict)]
    assert len(ids) == len(set(ids)) == 8
    dead_letters = model.all(DeadLetter)
    assert len(dead_letters) == 2, "a restart repeats no dead letter"
    assert all(isinstance(record, DeadLetter) and record.payload for record in dead_letters)


def test_messages_that_arrive_while_it_runs_are_followed(model: ModelTopics) -> None:
    service = model.service()
    assert service.step() == ()
    model.promote()
    model.window(17)  # it ended 20 to 30 seconds ago
    verdicts: list[QualityVerdict] = []
    for _ in range(60):
        verdicts += service.step()
        if service.monitor.joiner.accounts.joined == ROWS:
            break
    if len(verdicts) < 2:  # on a slow machine its labels are mature by now
        model.clock.sleep(12.0)
        verdicts += step(service, 1)
    assert [v.stage for v in verdicts] == ["estimated", "realised"]
    assert step(service, 0) == []


def test_records_that_the_log_refused_are_published_later() -> None:
    clock = ShiftedClock(SystemClock())
    log = RefusingLog()
    model = ModelTopics(log, clock)
    model.promote()
    model.window(0, bad=True)
    log.refuses = True
    with pytest.raises(UnavailableError):
        model.service()
    log.refuses = False
    service = model.service()
    log.refuses = True
    model.window(17)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            service.step()
    log.refuses = False
    assert "estimated" in [v.stage for v in step(service, 1)]
    assert len(model.all(DeadLetter)) == 2


class RefusingLog(MemoryLog):
    """A log in memory that takes no records while `refuses` is set."""

    refuses = False

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        if self.refuses:
            raise UnavailableError("Kafka does not answer.")
        super().append(records, topic=topic)


def test_unreadable_records_do_not_stop_the_service(model: ModelTopics) -> None:
    model.promote()
    model.log.append_raw(topics.DRIFT_VERDICTS.name, [(b"x", b"not a record")])
    model.window(0)
    service = model.service()
    assert len(step(service, 2)) == 2
    assert service.unreadable >= 1


def test_large_messages_are_taken_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MAX_BYTES", 300_000)
    model = ModelTopics(MemoryLog(), ShiftedClock(SystemClock()))
    large = [(b"", b"x" * 100_000)] * 7
    model.log.append_raw(model.predictions, large)
    batches: list[int] = []
    monkeypatch.setattr(LabelService, "_take", lambda service, batch: batches.append(len(batch)))
    model.service()
    assert batches == [3, 3, 1]
