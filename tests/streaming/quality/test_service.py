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
from streaming.quality.service import LabelService
from tests.streaming.engines.conftest import Engines, broker
from tests.streaming.quality.quality_world import World, draw

__all__ = ["broker"]

WINDOW, ROWS = 10.0, 300
RULES = QualityRules(
    horizon_seconds=30.0, min_labels=200, patience_seconds=0.0, min_curve_windows=1
)


@dataclass
class Skewed:
    """The machine's clock plus what the test adds: the log stamps with the real one."""

    base: Clock
    ahead: float = 0.0

    def now(self) -> float:
        return self.base.now() + self.ahead

    def sleep(self, seconds: float) -> None:
        self.ahead += seconds


@dataclass
class Site:
    """One model's topics on a log, and services over them."""

    log: RecordLog
    clock: Skewed
    name: str = field(default_factory=lambda: f"m{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.contract = ModelContract(
            model=self.name, module="", events_topic=f"{self.name}.e",
            labels_topic=f"{self.name}.l", key="id", time="at", window_seconds=WINDOW,
            max_out_of_orderness_seconds=1.0,
        )  # fmt: skip
        self.predictions = f"{self.name}.p"
        own = (self.predictions, self.contract.labels_topic)
        self.log.ensure(
            [*topics.RECORD_TOPICS, *(applications_topic(name, partitions=2) for name in own)]
        )
        # Windows lie in the past, so that labels are mature when they arrive.
        self.start = float((self.clock.now() - 200.0) // WINDOW * WINDOW)
        self.rng = np.random.default_rng(4)

    def service(self) -> LabelService:
        made = LabelService(
            log=self.log, clock=self.clock, contract=self.contract, rules=RULES,
            predictions_topic=self.predictions, outcome_of=lambda fields: fields.get("y"),
            poll_seconds=0.5,
        )  # fmt: skip
        made.start()
        return made

    def promote(self) -> None:
        self.log.append([promotion(self.name, self.start - 1.0)])

    def window(self, number: int, *, bad: bool = False) -> None:
        scores, truth = draw(self.rng, ROWS)
        at = self.start + WINDOW * number
        rows = [(f"{number}-{n}", at + n * WINDOW / ROWS) for n in range(ROWS)]
        served = [
            (key.encode(), orjson.dumps({"id": key, "at": t, "version": 1, "prediction": p}))
            for (key, t), p in zip(rows, scores.tolist(), strict=True)
        ]
        labels = [
            (key.encode(), orjson.dumps({"id": key, "y": y}))
            for (key, _), y in zip(rows, truth.tolist(), strict=True)
        ]
        if bad:
            served[3] = (b"", b"{nope")
            labels[5] = (b"", b"{}")
        self.log.append_raw(self.contract.labels_topic, labels)  # labels may come first
        self.log.append_raw(self.predictions, served)

    def all(self, kind: type[Record]) -> list[Record]:
        found = []
        for span in self.log.spans(topics.TOPIC_OF[kind].name):
            for message in self.log.read(span):
                record = decode(message.value or b"")
                if record.model == self.name:
                    found.append(record)
        return list(found)


def promotion(model: str, at: float) -> Promotion:
    world = World()
    (made,) = [record for record in world.log if isinstance(record, Promotion)]
    return Promotion(
        record_id=f"{model}-{at}", model=model, at=at, version=1, replaced=0, change="initial",
        reason="", artifact=made.artifact, reference=None, window_start=0.0, window_end=0.0,
    )  # fmt: skip


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.engine)])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    log: RecordLog
    if request.param == "memory":
        log = MemoryLog()
    else:
        engines: Engines = request.getfixturevalue("broker")
        log = KafkaLog(engines.bootstrap)
    yield Site(log, Skewed(SystemClock()))
    log.close()


def step(service: LabelService, expected: int) -> list[QualityVerdict]:
    """Steps until so many verdicts have come, or no more come."""
    found: list[QualityVerdict] = []
    for _ in range(60):
        new = service.step()
        found += new
        if len(found) >= expected and not new:
            break
    return found


def test_what_lies_on_the_log_is_joined_judged_and_said_once(site: Site) -> None:
    site.promote()
    for number in range(3):
        site.window(number, bad=number == 0)
    first = site.service()
    given = step(first, 6)
    assert [(v.stage, v.labelled) for v in given if v.stage == "realised"][1:] == [
        ("realised", ROWS),
        ("realised", ROWS),
    ]
    accounts = first.book.joiner.accounts
    assert (accounts.predictions_dead, accounts.labels_dead) == (1, 1)
    assert (accounts.predictions_read, accounts.labels_read) == (3 * ROWS, 3 * ROWS)
    assert accounts.unlabelled == accounts.early == 1

    site.window(3)  # comes while nobody listens
    again = site.service()
    more = step(again, 2)
    assert {v.window_start for v in more} == {site.start + 30.0}
    ids = [record.record_id for record in site.all(QualityVerdict)]
    assert len(ids) == len(set(ids)) == 8
    letters = site.all(DeadLetter)
    assert len(letters) == 2, "a restart repeats no dead letter"
    assert all(isinstance(one, DeadLetter) and one.payload for one in letters)


def test_what_comes_while_it_runs_is_followed(site: Site) -> None:
    service = site.service()
    assert service.step() == ()
    site.promote()
    site.window(17)  # over for 20 to 30 seconds
    given: list[QualityVerdict] = []
    for _ in range(60):
        given += service.step()
        if service.book.joiner.accounts.joined == ROWS:
            break
    if len(given) < 2:  # on a slow machine its labels are mature by now
        site.clock.sleep(12.0)
        given += step(service, 1)
    assert [v.stage for v in given] == ["estimated", "realised"]
    assert step(service, 0) == []


def test_what_the_log_did_not_take_is_published_later() -> None:
    clock = Skewed(SystemClock())
    log = Refusing()
    site = Site(log, clock)
    site.promote()
    site.window(0, bad=True)
    log.refuses = True
    with pytest.raises(UnavailableError):
        site.service()
    log.refuses = False
    service = site.service()
    log.refuses = True
    site.window(17)
    for _ in range(2):
        with pytest.raises(UnavailableError):
            service.step()
    log.refuses = False
    assert "estimated" in [v.stage for v in step(service, 1)]
    assert len(site.all(DeadLetter)) == 2


class Refusing(MemoryLog):
    """A log in memory that takes no records now and then."""

    refuses = False

    def append(self, records: Sequence[Record], *, topic: Topic | None = None) -> None:
        if self.refuses:
            raise UnavailableError("Kafka does not answer.")
        super().append(records, topic=topic)


def test_records_that_cannot_be_read_do_not_stop_it(site: Site) -> None:
    site.promote()
    site.log.append_raw(topics.DRIFT_VERDICTS.name, [(b"x", b"not a record")])
    site.window(0)
    service = site.service()
    assert len(step(service, 2)) == 2
    assert service.unreadable >= 1
