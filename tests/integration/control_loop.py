"""The whole control loop in one process, on a manual clock, without any engine.

Traffic, decoding, summaries, verdicts, retrain policy, worker, rollout and references are real;
Kafka, the servers and TFX are replaced by doubles in memory. What the stack does in minutes happens
here in seconds and the same way every time, also when the daemon restarts at every step.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

import numpy as np
import orjson

from deploy.app.deployment import Deployment
from deploy.config import loader
from deploy.daemon.assembly import checked_text
from deploy.daemon.controller import INPUTS, ModelController
from deploy.daemon.reference_publisher import WindowReferencePublisher
from deploy.demo import messages
from deploy.demo.shift import big_tip_chance, concept_shift, shift
from deploy.demo.trips import Trips, generate, ordinary_chance
from deploy.records import reader
from retrain.engines.memory import InMemoryModelStore, InMemoryRequestQueue, InMemoryRequests
from retrain.labels import LogLabelCounter
from retrain.models.code import load_code
from retrain.ports import ExampleSet, OnProgress, TrainingJob, TrainingResult
from retrain.worker import Worker
from serving.engines.memory import InMemoryServing
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
    RetrainRequest,
    SchemaVersion,
)
from streaming.contracts.topics import applications_topic
from streaming.engines.artifact_store import ArtifactStore
from streaming.engines.tfdv import schema_text as schema_file
from streaming.job.model_step import ClosedWindow, ModelState, ModelStep
from streaming.job.settings import ModelJob, window_rules
from streaming.quality.service import LabelService
from streaming.windowing.accumulator import WindowAccumulator, WindowCombiner
from streaming.windowing.assignment import Assignment
from streaming.windowing.decode import Decoder

ROWS = 2000
PREDICTIONS = "taxi.predictions"
NO_FIELDS: Mapping[str, object] = MappingProxyType({})
R = TypeVar("R", bound=Record)


class Examples:
    """Builds no examples; counts the rows that a replay would read."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        folder.mkdir(parents=True)
        rows = sum(span.stop - span.start for span in request.events)
        return ExampleSet(folder=folder, rows=rows, rows_after_shift=rows, unlabelled=0, unusable=0)


class Trainer:
    """Always gives a version that beats its champion."""

    def steps_of(self, request: RetrainRequest) -> int:
        return 1

    def __init__(self) -> None:
        self.schemas: list[str] = []
        """Text of the schema of each job."""

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        self.schemas.append(job.schema.read_text() if job.schema else "")
        servable = job.work_dir / "model"
        servable.mkdir()
        return TrainingResult(
            servable=servable,
            metrics=(Metric(name="auc", slice="", value=0.9, low=0.89, high=0.91, n=4000),),
            components=(),
            load_seconds=0.2,
            warm_predict_seconds=0.002,
            blessed=True,
            reason="AUC 0.900 is above the floor.",
        )


@dataclass
class ControlLoop:
    """The parts of the system around one log and one clock."""

    folder: Path
    restarts: bool = False
    """The daemon loses all but its stored state after every step, and reads every record twice."""
    clock: ManualClock = field(default_factory=lambda: ManualClock(1_000_000.0))
    label_delay: float = 0.0
    """Seconds from a window's events to their labels."""

    def __post_init__(self) -> None:
        deployment = Deployment.load(Path(loader.__file__).parent / "demo.yaml")
        self.contract = deployment.contract("big_tipper")
        self.log = MemoryLog(clock=self.clock)
        self.quality_rules = deployment.quality_rules("big_tipper")
        inputs = [self.contract.events_topic, self.contract.labels_topic, PREDICTIONS]
        self.log.ensure(
            [
                *topics.RECORD_TOPICS,
                *(applications_topic(name, partitions=1) for name in inputs),
            ]
        )
        self.serving = InMemoryServing(rate=200.0, started=self.clock.now())
        self.store = ArtifactStore(self.folder / "artifacts")
        self.serving.references = WindowReferencePublisher(  # type: ignore[assignment]
            log=self.log, store=self.store
        )
        self.controller = ModelController(
            contract=self.contract,
            retrain_rules=deployment.retrain_rules("big_tipper"),
            rollout_rules=deployment.rollout_rules("big_tipper"),
            labels=LogLabelCounter(self.log, self.contract.labels_topic),
            serving=self.serving.ports,
            schema_text=lambda: checked_text(self.contract.schema_path),
            edit_schema=schema_file.apply_changes,
        )
        self.requests, self.trainer = InMemoryRequests(), Trainer()
        self.models = InMemoryModelStore()
        self.worker = Worker(
            requests=InMemoryRequestQueue(self.requests),
            log=self.log,
            trainer=self.trainer,
            store=self.models,
            examples=Examples(),
            contracts={self.contract.model: self.contract},
            clock=self.clock,
            name="worker",
            scratch=self.folder / "scratch",
        )
        self.seed = itertools.count(1)
        job = ModelJob(
            contract=self.contract, rules=deployment.drift_rules("big_tipper"), code="test"
        )
        self.combiner = WindowCombiner(self.contract)
        self.model_step = ModelStep(job, self.store)
        self.log.append([window_rules(job).record(code=job.code, at=self.clock.now())])
        self.state = ModelState()
        self.delayed_labels: list[tuple[float, list[tuple[bytes | None, bytes]]]] = []
        self.labels = self.label_service()
        self.next_offsets: dict[str, int] = {}
        self.snapshot: bytes | None = None

    # ------------------------------------------------------------ the parts

    def label_service(self) -> LabelService:
        outcome = load_code(self.contract.module).outcome
        assert outcome is not None
        service = LabelService(
            log=self.log,
            clock=self.clock,
            contract=self.contract,
            rules=self.quality_rules,
            predictions_topic=PREDICTIONS,
            outcome_of=outcome,
        )
        service.start()
        return service

    def window(
        self,
        *,
        shifted: bool = False,
        concept_shifted: bool = False,
        extra: Mapping[str, object] = NO_FIELDS,
    ) -> DriftVerdict:
        """Produce, label, summarise and judge one window of traffic, with the daemon running.

        `extra` are additional fields of every event.
        """
        start = self.clock.now()
        rng = np.random.default_rng(next(self.seed))
        trips = generate(rng, ROWS)
        if shifted:
            trips = shift(trips, rng)
        if concept_shifted:
            trips = concept_shift(trips, rng)
        self._produce(trips, start, extra)
        for _ in range(round(self.contract.window_seconds)):
            self.second()
        closed = self._close_window(start)
        self.log.append(closed.records)
        self.second()
        if self.restarts and next(self.seed) % 12 == 0:  # it reads everything again
            self.labels = self.label_service()
        return closed.drift

    def second(self) -> None:
        """Advance every part by one second."""
        self.clock.advance(1.0)
        self.serving.advance_traffic(self.clock.now())
        for _, labels in [entry for entry in self.delayed_labels if entry[0] <= self.clock.now()]:
            self.log.append_raw(self.contract.labels_topic, labels)
        self.delayed_labels = [
            entry for entry in self.delayed_labels if entry[0] > self.clock.now()
        ]
        self.labels.step()
        self.daemon()
        for request in self.new(RetrainRequest, "worker"):
            self.requests.put(request)
        self.worker.run_once(0.0)
        self.serving.servers.store = set(self.models.versions(self.contract.model))

    def daemon(self) -> None:
        """Read the new records, then tick."""
        for topic in INPUTS:
            for record in self.unread(topic.name, "daemon"):
                for _ in range(2 if self.restarts else 1):
                    self.step(self.controller.on_record(record, now=self.clock.now()))
        self.step(self.controller.tick(now=self.clock.now()))

    def step(self, records: tuple[Record, ...]) -> None:
        self.log.append(records)
        self.snapshot = self.controller.snapshot()
        if self.restarts:
            self.controller.restore(self.snapshot)

    # ------------------------------------------------------------- the data

    def _produce(self, trips: Trips, start: float, extra: Mapping[str, object]) -> None:
        key, time = self.contract.key, self.contract.time
        rows = list(messages.rows(trips))
        tips = trips.tips
        name = f"{start:.0f}"
        events: list[tuple[bytes | None, bytes]] = []
        labels: list[tuple[bytes | None, bytes]] = []
        for number, (row, tip) in enumerate(zip(rows, tips.tolist(), strict=True)):
            trip = (key, f"{name}-{number}")
            at = (time, start + number * self.contract.window_seconds / ROWS)
            message_key = trip[1].encode()
            events.append((message_key, messages.event({**row, **extra}, key=trip, time=at)))
            labels.append((message_key, messages.label(row, tip, key=trip, time=at)))
        self.log.append_raw(self.contract.events_topic, events)
        self.delayed_labels.append((start + self.label_delay, labels))
        if self.controller.state.trigger.live:
            self._predict(trips, name, start)

    def _predict(self, trips: Trips, name: str, start: float) -> None:
        """The live version's predictions; version 1 knows the old tips, later ones the new."""
        key, time, columns = self.contract.key, self.contract.time, trips.columns
        version = self.controller.state.trigger.live
        miles, hour = trips.number("trip_miles"), trips.number("trip_start_hour")
        cards = np.asarray(columns["payment_type"]) == "Credit Card"
        retrained = version > 1
        scores = big_tip_chance(miles, hour, cards) if retrained else ordinary_chance(columns)
        served: list[tuple[bytes | None, bytes]] = []
        for number, score in enumerate(scores.tolist()):
            trip_id = f"{name}-{number}"
            at = start + number * self.contract.window_seconds / ROWS
            response = orjson.dumps({"predictions": [{"probabilities": [score]}]})
            value = messages.prediction(version, response, key=(key, trip_id), time=(time, at))
            served.append((trip_id.encode(), value))
        self.log.append_raw(PREDICTIONS, served)

    def _close_window(self, start: float) -> ClosedWindow:
        """Close the window of the events that were produced last, as the stream job does.

        The window is as long as the stream job's, but it is not aligned to the clock.
        """
        for promotion in self.new(Promotion, "stream job"):
            self.state = self.state.after_promotion(promotion)
        for version in self.new(SchemaVersion, "stream job"):
            self.state = self.state.after_schema(version)
        (span,) = self.log.spans(self.contract.events_topic)
        fresh = OffsetRange(topic=span.topic, partition=0, start=span.stop - ROWS, stop=span.stop)
        values = [message.value for message in self.log.read(fresh)]
        decoded = Decoder(self.contract).decode(values, now=self.clock.now())
        end_ms = round((start + self.contract.window_seconds) * 1000)
        rows = decoded.batch.num_rows
        windows: dict[int, WindowAccumulator] = {}
        self.combiner.add(
            windows,
            decoded,
            Assignment(
                ends=np.full(rows, end_ms),
                late=np.zeros(rows, bool),
                watermarks=np.zeros(rows + 1, np.int64),
            ),
            partition=0,
            offsets=range(fresh.start, fresh.stop),
        )
        accumulator = self.combiner.window(windows, end_ms)
        accumulator.dead = len(decoded.dead)
        closed, self.state = self.model_step.close(end_ms, [accumulator], self.state)
        return closed

    def records(self, kind: type[R]) -> list[R]:
        return reader.records(self.log, kind)

    def new(self, kind: type[R], consumer: str) -> list[R]:
        """The records of a kind that `consumer` has not read yet."""
        unread = self.unread(topics.TOPIC_OF[kind].name, consumer)
        return [record for record in unread if isinstance(record, kind)]

    def unread(self, topic: str, consumer: str) -> Iterator[AnyRecord]:
        (span,) = self.log.spans(topic)
        start = self.next_offsets.get(f"{consumer}/{topic}", 0)
        self.next_offsets[f"{consumer}/{topic}"] = span.stop
        for message in self.log.read(
            OffsetRange(topic=topic, partition=0, start=start, stop=span.stop)
        ):
            assert message.value is not None
            yield decode(message.value)


def to_version_one(loop: ControlLoop) -> None:
    """Produce ordinary traffic until the first version is live."""
    for _ in range(30):
        loop.window()
        if loop.records(Promotion) and loop.controller.state.rollout.rollout is None:
            return
    raise AssertionError("Version 1 never went live.")


def request_retrain(loop: ControlLoop, name: str) -> None:
    """Send a person's request for a retrain."""
    send_command(loop, "retrain", name)


def send_command(loop: ControlLoop, action: Action, reason: str, subject: str = "") -> None:
    """Put a person's command on the log."""
    loop.log.append(
        [
            Command(
                record_id=record_id("command", loop.contract.model, action, reason),
                model=loop.contract.model,
                at=loop.clock.now(),
                action=action,
                reason=reason,
                who="tester",
                subject=subject,
            )
        ]
    )
