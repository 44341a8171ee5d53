"""The walk: the whole loop in one process, on a manual clock, without any engine.

Real traffic, decoding, summaries, judgement, trigger policy, worker, rollout and references; in
memory are only Kafka, the servers and TFX. What the stack does in minutes happens here in seconds,
the same way every time, also when the daemon dies at every step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from deploy import configuration, history
from deploy.demo import messages
from deploy.demo.shift import big_tip_chance, shift, turn
from deploy.demo.trips import Trips, generate, ordinary_chance
from deploy.loop import INPUTS, ModelLoop
from deploy.references import WindowReferences
from deploy.wiring import House
from retrain.labels import LabelLog
from retrain.memory import MemoryQueue, MemoryStore, Requests
from retrain.models.code import load_code
from retrain.ports import ExampleSet, OnProgress, TrainingJob, TrainingResult
from retrain.worker import Worker
from serving.engines.memory import MemoryWorld
from serving.ports import ALL_STABLE
from streaming import summary
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.identity import record_id
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    AnyRecord,
    Command,
    DriftVerdict,
    Metric,
    ModelVersion,
    OffsetRange,
    Promotion,
    QualityVerdict,
    Record,
    ReferenceSummary,
    RetrainRequest,
    WindowSummary,
)
from streaming.contracts.topics import applications_topic
from streaming.drift import DriftHistory, PreparedReference, judge_drift, prepare_reference
from streaming.engines.artifacts import ArtifactStore
from streaming.engines.decode import Decoder
from streaming.quality.service import LabelService

ROWS = 2000
PREDICTIONS = "taxi.predictions"
R = TypeVar("R", bound=Record)


class Examples:
    """Counts what a replay would read."""

    def build(self, request: RetrainRequest, contract: ModelContract, folder: Path) -> ExampleSet:
        folder.mkdir(parents=True)
        rows = sum(span.stop - span.start for span in request.events)
        return ExampleSet(folder=folder, rows=rows, rows_after_shift=rows, unlabelled=0, unusable=0)


class Trainer:
    """Gives a version that beats its champion."""

    steps = 1

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        built = job.work_dir / "model"
        built.mkdir()
        return TrainingResult(
            built=built,
            metrics=(Metric(name="auc", slice="", value=0.9, low=0.89, high=0.91, n=4000),),
            components=(),
            load_seconds=0.2,
            warm_predict_seconds=0.002,
            blessed=True,
            reason="AUC 0.900 is above the floor.",
        )


@dataclass
class Walk:
    """The parts around one log and one clock."""

    folder: Path
    dies: bool = False
    """The daemon forgets all but its table after every step, and meets every record twice."""
    clock: ManualClock = field(default_factory=lambda: ManualClock(1_000_000.0))

    label_delay: float = 0.0
    """Seconds from a window's events to their labels."""

    def __post_init__(self) -> None:
        house = House.load(Path(configuration.__file__).parent / "demo.yaml")
        self.contract = house.contract("big_tipper")
        self.rules = house.drift_rules("big_tipper")
        self.log = MemoryLog(clock=self.clock)
        self.quality_rules = house.quality_rules("big_tipper")
        data = [self.contract.events_topic, self.contract.labels_topic, PREDICTIONS]
        self.log.ensure(
            [
                *topics.RECORD_TOPICS,
                *(applications_topic(name, partitions=1) for name in data),
            ]
        )
        self.world = MemoryWorld(rate=200.0, started=self.clock.now())
        self.store = ArtifactStore(self.folder / "artifacts")
        self.world.references = WindowReferences(  # type: ignore[assignment]
            log=self.log, store=self.store
        )
        self.loop = ModelLoop(
            contract=self.contract,
            retrain_rules=house.retrain_rules("big_tipper"),
            rollout_rules=house.rollout_rules("big_tipper"),
            labels=LabelLog(self.log, self.contract.labels_topic),
            serving=self.world.ports,
        )
        self.requests = Requests()
        self.models = MemoryStore()
        self.worker = Worker(
            requests=MemoryQueue(self.requests),
            log=self.log,
            trainer=Trainer(),
            store=self.models,
            examples=Examples(),
            contracts={self.contract.model: self.contract},
            clock=self.clock,
            name="walker",
            scratch=self.folder / "scratch",
        )
        self.seed = itertools.count(1)
        self.past = DriftHistory()
        self.prepared: dict[str, PreparedReference] = {}
        self.late: list[tuple[float, list[tuple[bytes | None, bytes]]]] = []
        self.labels = self.label_service()
        self.read: dict[str, int] = {}
        self.snapshot: bytes | None = None

    # ------------------------------------------------------------ the parts

    def label_service(self) -> LabelService:
        outcome = load_code(self.contract.module).outcome
        assert outcome is not None
        made = LabelService(
            log=self.log,
            clock=self.clock,
            contract=self.contract,
            rules=self.quality_rules,
            predictions_topic=PREDICTIONS,
            outcome_of=outcome,
        )
        made.start()
        return made

    def window(self, *, shifted: bool = False, turned: bool = False) -> DriftVerdict:
        """One window of traffic: produced, labelled, summarised, judged; the daemon ticks on."""
        start = self.clock.now()
        rng = np.random.default_rng(next(self.seed))
        trips = generate(rng, ROWS)
        if shifted:
            trips = shift(trips, rng)
        if turned:
            trips = turn(trips, rng)
        self._produce(trips, start)
        for _ in range(round(self.contract.window_seconds)):
            self.second()
        summed = self._summarise(start)
        self.log.append([summed])
        verdict, self.past = judge_drift(
            summed, self._reference(), self._live_id(), self.past, self.rules, self.contract
        )
        self.log.append([verdict])
        self.second()
        if self.dies and next(self.seed) % 4 == 0:
            self.labels = self.label_service()
        return verdict

    def second(self) -> None:
        """One second for everybody."""
        self.clock.advance(1.0)
        self.world.flow(self.clock.now())
        for _, labels in [late for late in self.late if late[0] <= self.clock.now()]:
            self.log.append_raw(self.contract.labels_topic, labels)
        self.late = [late for late in self.late if late[0] > self.clock.now()]
        self.labels.step()
        self.daemon()
        for request in self.new(RetrainRequest, "worker"):
            self.requests.put(request)
        self.worker.run_once(0.0)
        self.world.servers.store = set(self.models.versions(self.contract.model))

    def daemon(self) -> None:
        """Take in what is new on the log, then tick."""
        for topic in INPUTS:
            for record in self.unread(topic.name, "daemon"):
                for _ in range(2 if self.dies else 1):
                    self.step(self.loop.on_record(record, now=self.clock.now()))
        self.step(self.loop.tick(now=self.clock.now()))

    def step(self, records: tuple[Record, ...]) -> None:
        self.log.append(records)
        self.snapshot = self.loop.snapshot()
        if self.dies:
            self.loop.restore(self.snapshot)

    # ------------------------------------------------------------- the data

    def _produce(self, trips: Trips, start: float) -> None:
        key, time = self.contract.key, self.contract.time
        rows = list(messages.rows(trips))
        tips = trips.tips
        name = f"{start:.0f}"
        events: list[tuple[bytes | None, bytes]] = []
        labels: list[tuple[bytes | None, bytes]] = []
        for number, (row, tip) in enumerate(zip(rows, tips.tolist(), strict=True)):
            ident = (key, f"{name}-{number}")
            at = (time, start + number * self.contract.window_seconds / ROWS)
            events.append((ident[1].encode(), messages.event(row, key=ident, time=at)))
            labels.append((ident[1].encode(), messages.label(row, tip, key=ident, time=at)))
        self.log.append_raw(self.contract.events_topic, events)
        self.late.append((start + self.label_delay, labels))
        if self.loop.state.trigger.live:
            self._predict(trips, name, start)

    def _predict(self, trips: Trips, name: str, start: float) -> None:
        """The live version answers each trip: the first knows the old tips, later ones the new."""
        key, time, columns = self.contract.key, self.contract.time, trips.columns
        version = self.loop.state.trigger.live
        miles, hour = trips.number("trip_miles"), trips.number("trip_start_hour")
        cards = np.asarray(columns["payment_type"]) == "Credit Card"
        new = version > 1
        scores = big_tip_chance(miles, hour, cards) if new else ordinary_chance(columns)
        served: list[tuple[bytes | None, bytes]] = []
        for number, score in enumerate(scores.tolist()):
            ident = f"{name}-{number}"
            at = start + number * self.contract.window_seconds / ROWS
            value = messages.prediction(version, score, key=(key, ident), time=(time, at))
            served.append((ident.encode(), value))
        self.log.append_raw(PREDICTIONS, served)

    def _summarise(self, start: float) -> WindowSummary:
        (span,) = self.log.spans(self.contract.events_topic)
        fresh = OffsetRange(topic=span.topic, partition=0, start=span.stop - ROWS, stop=span.stop)
        values = [message.value for message in self.log.read(fresh)]
        decoded = Decoder(self.contract).decode(values, now=self.clock.now())
        part = summary.add(summary.start(self.contract), decoded.batch)
        end = start + self.contract.window_seconds
        return WindowSummary(
            record_id=record_id("window-summary", self.contract.model, start, end),
            model=self.contract.model,
            at=end,
            window_start=start,
            window_end=end,
            accepted=decoded.batch.num_rows,
            dead_letters=len(decoded.dead),
            late=0,
            offsets_read=ROWS,
            offsets=(fresh,),
            features=summary.finish(part),
        )

    def _reference(self) -> PreparedReference | None:
        """Of the live version; prepared once, as the stream job does."""
        live = self.all(Promotion)
        if not live or live[-1].reference is None:
            return None
        if live[-1].record_id not in self.prepared:
            found = decode(self.store.get(live[-1].reference))
            assert isinstance(found, ReferenceSummary)
            self.prepared[live[-1].record_id] = prepare_reference(found, self.contract)
        return self.prepared[live[-1].record_id]

    def _live_id(self) -> str:
        live = self.all(Promotion)
        return live[-1].record_id if live else ""

    def all(self, kind: type[R]) -> list[R]:
        return history.records(self.log, kind)

    def new(self, kind: type[R], reader: str) -> list[R]:
        found = self.unread(topics.TOPIC_OF[kind].name, reader)
        return [record for record in found if isinstance(record, kind)]

    def unread(self, topic: str, reader: str) -> Iterator[AnyRecord]:
        (span,) = self.log.spans(topic)
        start = self.read.get(f"{reader}/{topic}", 0)
        self.read[f"{reader}/{topic}"] = span.stop
        for message in self.log.read(
            OffsetRange(topic=topic, partition=0, start=start, stop=span.stop)
        ):
            assert message.value is not None
            yield decode(message.value)


def to_version_one(walk: Walk) -> None:
    """Ordinary traffic until the first version is live."""
    for _ in range(30):
        walk.window()
        if walk.all(Promotion) and walk.loop.state.rollout.rollout is None:
            return
    raise AssertionError("Version 1 never went live.")


@pytest.fixture(params=[False, True], ids=["lives", "dies-at-every-step"])
def walk(request: pytest.FixtureRequest, tmp_path: Path) -> Walk:
    return Walk(tmp_path, dies=request.param)


def test_a_shift_leads_to_one_retrain_a_promotion_and_a_new_reference(walk: Walk) -> None:
    to_version_one(walk)
    quiet = [walk.window() for _ in range(6)]
    assert {verdict.outcome for verdict in quiet} == {"stable"}

    for _ in range(60):
        walk.window(shifted=True)
        if len(walk.all(Promotion)) > 1:
            break
    first, second = walk.all(Promotion)
    assert (first.change, first.version) == ("initial", 1)
    assert (second.change, second.version, second.replaced) == ("promoted", 2, 1)
    requests = walk.all(RetrainRequest)
    assert [request.cause for request in requests] == ["initial", "drift"]

    after = [walk.window(shifted=True) for _ in range(6)]
    assert {verdict.outcome for verdict in after} == {"stable"}
    assert {verdict.reference_version for verdict in after} == {2}
    assert len(walk.all(RetrainRequest)) == 2
    weights = [split.canary for split in walk.world.splitter.history]
    assert weights[:1] != [100]
    assert walk.world.splitter.split == ALL_STABLE
    assert walk.world.servers.loaded["stable"] == 2

    chain = history.trace(walk.log, "2", walk.contract.model)
    kinds = [type(chain.record)]
    while chain.causes:
        chain = chain.causes[0]
        kinds.append(type(chain.record))
    assert kinds[0] is Promotion
    assert DriftVerdict in kinds


def test_tips_that_change_their_meaning_lead_to_one_retrain(walk: Walk) -> None:
    walk.label_delay = 8.0
    to_version_one(walk)
    for _ in range(20):
        walk.window()
        if realised(walk, 1, "stable"):
            break
    assert realised(walk, 1, "stable")
    assert not realised(walk, 1, "degraded")

    began = walk.clock.now()
    for _ in range(60):
        walk.window(turned=True)
        if len(walk.all(Promotion)) > 1:
            break
    assert {one.outcome for one in walk.all(DriftVerdict) if one.at > began} == {"stable"}
    assert [request.cause for request in walk.all(RetrainRequest)] == ["initial", "concept"]
    first = realised(walk, 1, "degraded")[0]
    assert first.cause == "concept"
    assert first.shift_start >= began
    assert [one.version for one in walk.all(Promotion)] == [1, 2]

    for _ in range(16):
        walk.window(turned=True)
    assert len(realised(walk, 2, "stable")) >= 3
    assert not realised(walk, 2, "degraded")
    assert len(walk.all(RetrainRequest)) == 2
    ids = [message.value for span in walk.log.spans("quality-verdicts") for message in
           walk.log.read(span)]  # fmt: skip
    assert len(ids) == len(walk.all(QualityVerdict)), "each verdict was given once"

    chain = history.trace(walk.log, "2", walk.contract.model)
    kinds = [type(chain.record)]
    while chain.causes:
        chain = chain.causes[0]
        kinds.append(type(chain.record))
    assert QualityVerdict in kinds


def realised(walk: Walk, version: int, outcome: str) -> list[QualityVerdict]:
    return [
        one
        for one in walk.all(QualityVerdict)
        if one.stage == "realised" and one.version == version and one.outcome == outcome
    ]


def test_a_bad_canary_is_rolled_back_and_the_reference_stays(walk: Walk) -> None:
    walk.world = replace_world(walk, errors={2: 0.3})
    to_version_one(walk)
    ask(walk, "first")
    for _ in range(60):
        walk.window()
        if len(walk.all(ModelVersion)) > 1 and walk.loop.state.rollout.rollout is None:
            break
    assert [promotion.version for promotion in walk.all(Promotion)] in ([1], [1, 1])
    assert walk.world.splitter.split == ALL_STABLE
    assert walk.world.servers.loaded["stable"] == 1
    assert 2 in walk.loop.state.rollout.tried


def test_two_requests_by_hand_at_once_run_once(walk: Walk) -> None:
    to_version_one(walk)
    ask(walk, "first")
    ask(walk, "second")
    for _ in range(3):
        walk.window()
    assert [request.cause for request in walk.all(RetrainRequest)] == ["initial", "manual"]


def ask(walk: Walk, name: str) -> None:
    walk.log.append(
        [
            Command(
                record_id=record_id("command", walk.contract.model, name),
                model=walk.contract.model,
                at=walk.clock.now(),
                action="retrain",
                reason=name,
                who="tester",
            )
        ]
    )


def replace_world(walk: Walk, *, errors: dict[int, float]) -> MemoryWorld:
    """The same world in which some versions fail."""
    world = replace(walk.world, errors=errors)
    walk.loop.serving = world.ports
    return world
