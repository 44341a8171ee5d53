"""The walk: the whole loop in one process, on a manual clock, without any engine.

Real traffic, decoding, summaries, judgement, trigger policy, worker, rollout and references; in
memory are only Kafka, the servers and TFX. What the stack does in minutes happens here in seconds,
the same way every time, also when the daemon dies at every step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
from msgspec.structs import replace as replace_struct

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.daemon.assembly import checked_text
from deploy.daemon.controller import INPUTS, ModelLoop
from deploy.daemon.reference_publisher import WindowReferences
from deploy.demo import messages
from deploy.demo.shift import big_tip_chance, shift, turn
from deploy.demo.trips import Trips, generate, ordinary_chance
from deploy.records import reader as history
from retrain.engines.memory import MemoryQueue, MemoryStore, Requests
from retrain.labels import LabelLog
from retrain.models.code import load_code
from retrain.ports import ExampleSet, OnProgress, TrainingJob, TrainingResult
from retrain.worker import Worker
from serving.engines.memory import MemoryWorld
from streaming import summary
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.ids import record_id
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    Action,
    AnyRecord,
    Command,
    DriftVerdict,
    Metric,
    OffsetRange,
    Promotion,
    Record,
    ReferenceSummary,
    RetrainRequest,
    SchemaAnomaly,
    SchemaVersion,
    WindowSummary,
)
from streaming.contracts.topics import applications_topic
from streaming.drift import DriftHistory, PreparedReference, judge_drift, prepare_reference
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.tfdv import schema_text as schema_file
from streaming.job.schema_step import SchemaKept
from streaming.quality.service import LabelService
from streaming.schema import judge_schema, limits
from streaming.windowing.decode import Decoder

ROWS = 2000
PREDICTIONS = "taxi.predictions"
NOTHING: Mapping[str, object] = MappingProxyType({})
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

    def __init__(self) -> None:
        self.schemas: list[str] = []
        """Text of the schema that each job was held against."""

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        self.schemas.append(job.schema.read_text() if job.schema else "")
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
        deployment = Deployment.load(Path(loader.__file__).parent / "demo.yaml")
        self.contract = deployment.contract("big_tipper")
        self.rules = deployment.drift_rules("big_tipper")
        self.log = MemoryLog(clock=self.clock)
        self.quality_rules = deployment.quality_rules("big_tipper")
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
            retrain_rules=deployment.retrain_rules("big_tipper"),
            rollout_rules=deployment.rollout_rules("big_tipper"),
            labels=LabelLog(self.log, self.contract.labels_topic),
            serving=self.world.ports,
            schema_text=lambda: checked_text(self.contract.schema_path),
            edit_schema=schema_file.changed,
        )
        self.requests, self.trainer = Requests(), Trainer()
        self.models = MemoryStore()
        self.worker = Worker(
            requests=MemoryQueue(self.requests),
            log=self.log,
            trainer=self.trainer,
            store=self.models,
            examples=Examples(),
            contracts={self.contract.model: self.contract},
            clock=self.clock,
            name="walker",
            scratch=self.folder / "scratch",
        )
        self.seed = itertools.count(1)
        self.past = DriftHistory()
        self.kept = SchemaKept()
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

    def window(
        self, *, shifted: bool = False, turned: bool = False, extra: Mapping[str, object] = NOTHING
    ) -> DriftVerdict:
        """One window of traffic: produced, labelled, summarised, judged; the daemon ticks on.

        `extra` are fields that every event has besides.
        """
        start = self.clock.now()
        rng = np.random.default_rng(next(self.seed))
        trips = generate(rng, ROWS)
        if shifted:
            trips = shift(trips, rng)
        if turned:
            trips = turn(trips, rng)
        self._produce(trips, start, extra)
        for _ in range(round(self.contract.window_seconds)):
            self.second()
        summed = self._summarise(start)
        self.log.append([summed])
        verdict, self.past = judge_drift(
            summed, self._reference(), self._live_id(), self.past, self.rules, self.contract
        )
        self.log.append([verdict])
        self._judge_schema(summed, verdict)
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

    def _produce(self, trips: Trips, start: float, extra: Mapping[str, object]) -> None:
        key, time = self.contract.key, self.contract.time
        rows = list(messages.rows(trips))
        tips = trips.tips
        name = f"{start:.0f}"
        events: list[tuple[bytes | None, bytes]] = []
        labels: list[tuple[bytes | None, bytes]] = []
        for number, (row, tip) in enumerate(zip(rows, tips.tolist(), strict=True)):
            ident = (key, f"{name}-{number}")
            at = (time, start + number * self.contract.window_seconds / ROWS)
            events.append((ident[1].encode(), messages.event({**row, **extra}, key=ident, time=at)))
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
            anomalies=tuple(
                SchemaAnomaly(feature=name, code="SCHEMA_NEW_COLUMN", detail="New.", found=kind)
                for name, kind in decoded.unknown.items()
            ),
        )

    def _judge_schema(self, window: WindowSummary, drift: DriftVerdict) -> None:
        """Against the version in force, as the stream job does; TFDV is left out."""
        for version in self.new(SchemaVersion, "stream job"):
            self.kept = self.kept.after(version)
        assert self.kept.version is not None
        schema = schema_file.of_version(self.kept.version)
        allowed = limits(
            self.rules,
            columns=len(schema.columns),
            window_seconds=self.contract.window_seconds,
        )
        verdict, past = judge_schema(window, schema, self.kept.history, allowed, drift)
        self.kept = replace_struct(self.kept, history=past)
        self.log.append([verdict])

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


def ask(walk: Walk, name: str) -> None:
    """Ask for a retrain by hand."""
    command(walk, "retrain", name)


def command(walk: Walk, action: Action, reason: str, subject: str = "") -> None:
    """A person's command on the log."""
    walk.log.append(
        [
            Command(
                record_id=record_id("command", walk.contract.model, action, reason),
                model=walk.contract.model,
                at=walk.clock.now(),
                action=action,
                reason=reason,
                who="tester",
                subject=subject,
            )
        ]
    )
