"""Slices from served predictions to a verdict over a log: in memory, and on real Kafka.

Applications write predictions and labels, the label service counts and judges them, the rollout
takes what it wrote, and every record goes over the log. In the end each verdict is computed again
from what the log holds.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import orjson
import pytest
from msgspec.structs import replace

from serving.evidence.rules import EvidenceRules, EvidenceSlices
from serving.phase import Phase
from serving.state import RolloutState
from streaming.contracts import topics
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.log import MemoryLog, RecordLog
from streaming.contracts.model import ModelContract
from streaming.contracts.prediction_slices import PredictionSlices
from streaming.contracts.records import (
    AnyRecord,
    CanaryVerdict,
    PredictionScores,
    QualityVerdict,
    Record,
)
from streaming.contracts.topics import Topic, applications_topic
from streaming.engines.kafka.log import KafkaLog
from streaming.quality.service import LabelService
from streaming.quality.settings import QualityRules
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import START, RolloutSimulation, quick_rules, version
from tests.streaming.engines.conftest import Engines, broker

__all__ = ["broker"]

Harm = Literal["flipped", "shuffled", "none"]
NAMES = ("acme", "beta")
SHARES = (0.3, 0.06)
REQUESTS = 160
"""Requests in a second."""
RULES = quick_rules(
    steps=(50,),
    hold_seconds=60.0,
    bake_seconds=20.0,
    evidence=EvidenceRules(measured=True, slices=EvidenceSlices(values=NAMES)),
)
QUALITY = QualityRules(horizon_seconds=5.0, grace_seconds=0.0, min_labels=50, min_of_class=10)


@dataclass
class SlicedModel:
    """A model whose canary does harm in slice beta only."""

    log: RecordLog
    clock: ManualClock
    harm: Harm
    name: str = field(default_factory=lambda: f"m{uuid.uuid4().hex[:8]}")
    positions: dict[tuple[str, int], int] = field(default_factory=dict)
    """Next offset that the rollout reads, by topic and partition."""
    sent: int = 0
    """How many of the rollout's records are on the log."""
    requests: int = 0
    predictions: list[tuple[bytes, bytes]] = field(default_factory=list)
    labels: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Messages that are not on the log yet."""

    def __post_init__(self) -> None:
        self.contract = ModelContract(
            model=self.name, module="", events_topic=f"{self.name}.e",
            labels_topic=f"{self.name}.l", key="id", time="at", window_seconds=10.0,
            max_out_of_orderness_seconds=1.0,
        )  # fmt: skip
        inputs = (f"{self.name}.p", self.contract.labels_topic)
        self.log.ensure(
            [*topics.RECORD_TOPICS, *(applications_topic(i, partitions=2) for i in inputs)]
        )
        self.random = np.random.default_rng(11)
        self.rollout = RolloutSimulation(rules=RULES, state=RolloutState(model=self.name))
        self.start_service()

    def start_service(self) -> None:
        """A label service that begins with what is on the log."""
        self.service = LabelService(
            log=self.log, clock=self.clock, contract=self.contract, rules=QUALITY,
            predictions_topic=f"{self.name}.p", outcome_of=lambda fields: fields["y"],
            slices=PredictionSlices(field="tenant", values=NAMES),
        )  # fmt: skip
        self.service.start()

    def publish(self, number: int) -> None:
        record = replace(version(number), model=self.name)
        self.log.append([record])
        self.rollout.send(record)

    def serve(self) -> None:
        """A second of requests: what the applications will write of them, with the labels."""
        split = self.rollout.serving.router.split
        canary = self.rollout.live == 2 or self.random.random(REQUESTS) < split.canary / 100
        of_canary = np.broadcast_to(canary, (REQUESTS,))
        outcomes = self.random.random(REQUESTS) < 0.4
        logits = self.random.normal(np.where(outcomes, 0.8, -0.8))
        tenants = self.random.choice([*NAMES, "other"], REQUESTS, p=[*SHARES, 1 - sum(SHARES)])
        harmed = of_canary & (tenants == "beta")
        if self.harm == "flipped":
            logits = np.where(harmed, 2.0 - logits, logits)
        elif self.harm == "shuffled":  # the same scores, for other requests
            logits[harmed] = self.random.permutation(logits[harmed])
        scores = (1 / (1 + np.exp(-logits))).tolist()
        for n, score in enumerate(scores):
            self.requests += 1
            key = f"k{self.requests}"
            row = {"id": key, "at": self.clock.now(), "version": 1 + int(of_canary[n])}
            row |= {"prediction": score, "tenant": str(tenants[n])}
            self.predictions.append((key.encode(), orjson.dumps(row)))
            self.labels.append((key.encode(), orjson.dumps({"id": key, "y": bool(outcomes[n])})))

    def step(self) -> None:
        """Five seconds of requests and ticks; then the label service, and what it wrote."""
        for _ in range(5):
            self.rollout.tick()
            self.clock.advance(self.rollout.now - self.clock.now())
            self.serve()
        self.log.append_raw(f"{self.name}.p", self.predictions)
        self.log.append_raw(self.contract.labels_topic, self.labels)
        until = self.read() + 2 * len(self.predictions)
        for _ in range(200):
            self.service.step()
            if self.read() >= until:
                break
        self.predictions, self.labels = [], []
        for kind in (PredictionScores, QualityVerdict):
            for record in self.new(topics.TOPIC_OF[kind]):
                self.rollout.send(record)
        self.log.append(self.rollout.records[self.sent :])
        self.sent = len(self.rollout.records)

    def step_until(self, phase: Phase) -> None:
        """As many steps as it takes, and a limited number."""
        for _ in range(60):
            self.step()
            if self.rollout.phase is phase:
                return
        raise AssertionError(f"never {phase}: {self.rollout.phase}")

    def read(self) -> int:
        """How many predictions and labels the label service has read."""
        accounts = self.service.monitor.joiner.accounts
        return accounts.predictions_read + accounts.labels_read

    def new(self, topic: Topic) -> Iterator[AnyRecord]:
        """The model's records of a topic that were not read before."""
        for span in self.log.spans(topic.name):
            place = (topic.name, span.partition)
            unread = replace(span, start=max(span.start, self.positions.get(place, 0)))
            self.positions[place] = span.stop
            for message in self.log.read(unread):
                record = decode(message.value or b"")
                if record.model == self.name:
                    yield record

    def everything(self) -> list[Record]:
        """What the log holds of the model."""
        self.positions.clear()
        return [record for topic in topics.RECORD_TOPICS for record in self.new(topic)]


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.engine)])
def log(request: pytest.FixtureRequest) -> Iterator[RecordLog]:
    log: RecordLog
    if request.param == "memory":
        log = MemoryLog(ManualClock(START))
    else:
        engines: Engines = request.getfixturevalue("broker")
        log = KafkaLog(engines.bootstrap)
    yield log
    log.close()


def play(log: RecordLog, harm: Harm) -> SlicedModel:
    """A rollout from its beginning to its end; the label service restarts at the first weight."""
    clock = log.clock if isinstance(log, MemoryLog) else ManualClock(START)
    assert isinstance(clock, ManualClock)
    model = SlicedModel(log, clock, harm)
    model.publish(1)
    while model.rollout.live != 1:
        model.step()
    model.publish(2)
    model.step_until(Phase.STEPPING)
    model.step()
    model.start_service()
    model.step_until(Phase.IDLE)
    model.step()  # so that the last records are on the log
    return model


@pytest.mark.parametrize(
    ("harm", "gate"),
    [("flipped", "predictions_by_slice"), ("shuffled", "quality_by_slice"), ("none", "")],
)
def test_what_a_slice_showed_is_on_the_log_and_is_computed_again(
    log: RecordLog, harm: Harm, gate: str
) -> None:
    model = play(log, harm)
    assert model.rollout.phase is Phase.IDLE
    assert model.rollout.live == (2 if harm == "none" else 1)
    records = model.everything()
    verdicts = [record for record in records if isinstance(record, CanaryVerdict)]
    failed = {
        (result.gate, part.name)
        for verdict in verdicts
        if verdict.outcome == "fail"
        for result in verdict.gates
        for part in result.slices
        if part.outcome == "fail"
    }
    assert failed == ({(gate, "beta")} if gate else set())
    judged = {result.gate for verdict in verdicts for result in verdict.gates if result.slices}
    assert judged == {"predictions_by_slice", "quality_by_slice"}
    results = computed_again(records)
    assert {result.outcome for result in results} == {"equal"}
    assert {verdict.record_id for verdict in verdicts} <= {result.record_id for result in results}
    ids = [record.record_id for record in records]
    assert len(ids) == len(set(ids))
