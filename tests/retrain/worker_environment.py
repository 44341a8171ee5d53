"""The surroundings of a worker in memory, with a fake trainer and a simulated crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from retrain.engines.memory import InMemoryModelStore, InMemoryRequestQueue, InMemoryRequests
from retrain.ports import ExampleSet, OnProgress, Progress, TrainingJob, TrainingResult
from retrain.worker import Worker
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    ComponentRun,
    ModelVersion,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RowRules,
    RowSelection,
    RowsProbe,
)
from streaming.contracts.topics import (
    MODEL_VERSIONS,
    RECORD_TOPICS,
    RETRAIN_FAILURES,
    RETRAIN_PROGRESS,
)
from tests.retrain.builders import CONTRACT, MODEL, servable


class Killed(BaseException):
    """Simulates kill -9: no handler of ours runs after it."""


@dataclass
class FakeTrainer:
    blessed: bool = True
    growth: float = 0.0
    jobs: list[TrainingJob] = field(default_factory=list)
    before_end: Callable[[], None] = lambda: None

    def steps_of(self, request: RetrainRequest) -> int:
        return 2

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        self.jobs.append(job)
        assert job.work_dir.is_dir()
        for step, name in enumerate(("Transform", "Trainer"), start=1):
            on_progress(Progress(component=name, state="started", step=step, steps=2))
            if name == "Trainer":
                self.before_end()
            on_progress(Progress(component=name, state="done", step=step, steps=2, seconds=1.5))
        return TrainingResult(
            servable=servable(job.work_dir / "model"),
            metrics=(),
            components=(ComponentRun(name="Trainer", seconds=1.5),),
            load_seconds=0.4,
            warm_predict_seconds=0.01,
            blessed=self.blessed,
            reason="Because.",
            growth=self.growth,
        )


@dataclass
class FakeExamples:
    outages: int = 0
    """How often an engine cannot be reached before it can."""
    probe: RowsProbe | None = None
    selection: RowSelection | None = None

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        self.outages -= 1
        if self.outages >= 0:
            raise UnavailableError("The registry does not answer.", delay_seconds=5.0)
        return ExampleSet(
            folder=folder, rows=800, rows_after_shift=500, unlabelled=9, unusable=1,
            rules=RowRules(), selection=self.selection, probe=self.probe,
        )  # fmt: skip


class WorkerEnvironment:
    """A log, a queue, a store and a trainer, shared by the workers of a test."""

    def __init__(self, scratch: Path) -> None:
        self.clock = ManualClock(1_000.0)
        self.log = MemoryLog(clock=self.clock)
        self.log.ensure(RECORD_TOPICS)
        self.requests, self.store = InMemoryRequests(), InMemoryModelStore()
        self.trainer, self.examples = FakeTrainer(), FakeExamples()
        self.stopping = False
        self.scratch = scratch

    def worker(self, name: str = "w1") -> tuple[Worker, InMemoryRequestQueue]:
        queue = InMemoryRequestQueue(self.requests)
        worker = Worker(
            requests=queue,
            log=self.log,
            trainer=self.trainer,
            store=self.store,
            examples=self.examples,
            stopping=lambda: self.stopping,
            contracts={MODEL: CONTRACT},
            clock=self.clock,
            name=name,
            scratch=self.scratch,
        )
        return worker, queue

    def records(self, topic: str) -> list[Record]:
        return [
            decode(message.value or b"")
            for span in self.log.spans(topic)
            for message in self.log.read(span)
        ]

    def progress(self) -> list[RetrainProgress]:
        return [r for r in self.records(RETRAIN_PROGRESS.name) if isinstance(r, RetrainProgress)]

    def versions(self) -> list[ModelVersion]:
        return [r for r in self.records(MODEL_VERSIONS.name) if isinstance(r, ModelVersion)]

    def failures(self) -> list[RetrainFailure]:
        return [r for r in self.records(RETRAIN_FAILURES.name) if isinstance(r, RetrainFailure)]
