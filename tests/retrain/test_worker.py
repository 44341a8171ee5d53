from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from msgspec.structs import replace

from retrain.engines.memory import MemoryQueue, MemoryStore, Requests
from retrain.ports import (
    ExampleSet,
    OnProgress,
    Progress,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
)
from retrain.worker import Worker
from streaming.contracts.clock import ManualClock
from streaming.contracts.codec import decode
from streaming.contracts.errors import TemporaryError
from streaming.contracts.ids import digest
from streaming.contracts.log import MemoryLog
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    ComponentRun,
    ModelVersion,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    SchemaVersion,
)
from streaming.contracts.topics import MODEL_VERSIONS, RECORD_TOPICS, RETRAIN_FAILURES
from streaming.contracts.topics import RETRAIN_PROGRESS as PROGRESS
from tests.retrain.builders import CONTRACT, MODEL, built, model_version, request


class Killed(BaseException):
    """Stands for kill -9: nothing of ours runs after it."""


@dataclass
class FakeTrainer:
    steps: int = 2
    blessed: bool = True
    jobs: list[TrainingJob] = field(default_factory=list)
    before_end: Callable[[], None] = lambda: None

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        self.jobs.append(job)
        assert job.work_dir.is_dir()
        for step, name in enumerate(("Transform", "Trainer"), start=1):
            on_progress(Progress(component=name, state="started", step=step, steps=2))
            if name == "Trainer":
                self.before_end()
            on_progress(Progress(component=name, state="done", step=step, steps=2, seconds=1.5))
        return TrainingResult(
            built=built(job.work_dir / "model"),
            metrics=(),
            components=(ComponentRun(name="Trainer", seconds=1.5),),
            load_seconds=0.4,
            warm_predict_seconds=0.01,
            blessed=self.blessed,
            reason="Because.",
        )


@dataclass
class FakeExamples:
    def build(self, request: RetrainRequest, contract: ModelContract, folder: Path) -> ExampleSet:
        return ExampleSet(folder=folder, rows=800, rows_after_shift=500, unlabelled=9, unusable=1)


class Deployment:
    """A log, a queue and a store, and workers that come and go."""

    def __init__(self, scratch: Path) -> None:
        self.clock = ManualClock(1_000.0)
        self.log = MemoryLog(clock=self.clock)
        self.log.ensure(RECORD_TOPICS)
        self.requests, self.store, self.trainer = Requests(), MemoryStore(), FakeTrainer()
        self.scratch = scratch

    def worker(self, name: str = "w1") -> tuple[Worker, MemoryQueue]:
        queue = MemoryQueue(self.requests)
        worker = Worker(
            requests=queue,
            log=self.log,
            trainer=self.trainer,
            store=self.store,
            examples=FakeExamples(),
            contracts={MODEL: CONTRACT},
            clock=self.clock,
            name=name,
            scratch=self.scratch,
        )
        return worker, queue

    def told(self, topic: str) -> list[Record]:
        return [
            decode(message.value or b"")
            for span in self.log.spans(topic)
            for message in self.log.read(span)
        ]

    def progress(self) -> list[RetrainProgress]:
        return [r for r in self.told(PROGRESS.name) if isinstance(r, RetrainProgress)]

    def versions(self) -> list[ModelVersion]:
        return [r for r in self.told(MODEL_VERSIONS.name) if isinstance(r, ModelVersion)]

    def failures(self) -> list[RetrainFailure]:
        return [r for r in self.told(RETRAIN_FAILURES.name) if isinstance(r, RetrainFailure)]


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_a_request_becomes_a_version_with_its_progress_told(deployment: Deployment) -> None:
    deployment.requests.put(request())
    worker, _ = deployment.worker()
    assert worker.run_once(0.0) == "published"
    (version,) = deployment.versions()
    assert (version.version, version.blessed, version.training_rows) == (1, True, 800)
    assert version.caused_by == ("r1",)
    assert version.schema_version == 0
    assert version.artifact.uri.startswith("file:")
    steps = [(p.component, p.state, p.step, p.steps) for p in deployment.progress()]
    assert steps == [
        ("Examples", "started", 1, 4),
        ("Examples", "done", 1, 4),
        ("Transform", "started", 2, 4),
        ("Transform", "done", 2, 4),
        ("Trainer", "started", 3, 4),
        ("Trainer", "done", 3, 4),
        ("Publish", "started", 4, 4),
        ("Publish", "done", 4, 4),
    ]
    assert worker.run_once(0.0) == "nothing"
    assert list(deployment.scratch.iterdir()) == []


def test_the_next_number_is_one_above_the_highest_and_the_champion_is_given(
    deployment: Deployment,
) -> None:
    deployment.store.publish(model_version(4, "older"), built(deployment.scratch.parent / "four"))
    deployment.requests.put(request(base_version=4))
    worker, _ = deployment.worker()
    worker.run_once(0.0)
    assert deployment.versions()[0].version == 5
    assert deployment.trainer.jobs[0].champion == deployment.store.path(MODEL, 4)


def test_an_unblessed_model_is_a_version_too(deployment: Deployment) -> None:
    deployment.trainer.blessed = False
    deployment.requests.put(request())
    assert deployment.worker()[0].run_once(0.0) == "published"
    assert not deployment.versions()[0].blessed


def test_a_dead_workers_request_is_taken_over_once_and_then_fails(deployment: Deployment) -> None:
    def die() -> None:
        raise Killed

    deployment.trainer.before_end = die
    deployment.requests.put(request())
    for number in (1, 2):
        worker, queue = deployment.worker(f"w{number}")
        with pytest.raises(Killed):
            worker.run_once(0.0)
        queue.lose()
    worker, _ = deployment.worker("w3")
    assert worker.run_once(0.0) == "failed"
    (failure,) = deployment.failures()
    assert (failure.component, failure.attempt) == ("Trainer", 2)
    assert "The worker died in Trainer." in failure.reason
    assert {(p.attempt, p.worker) for p in deployment.progress()} == {(1, "w1"), (2, "w2")}
    assert not deployment.versions()
    assert worker.run_once(0.0) == "nothing"


def test_a_takeover_that_works_gives_one_version(deployment: Deployment) -> None:
    deaths = iter([Killed()])

    def die_once() -> None:
        for death in deaths:
            raise death

    deployment.trainer.before_end = die_once
    deployment.requests.put(request())
    first, queue = deployment.worker("w1")
    with pytest.raises(Killed):
        first.run_once(0.0)
    queue.lose()
    assert deployment.worker("w2")[0].run_once(0.0) == "published"
    assert len(deployment.versions()) == 1


def test_a_request_whose_version_is_in_the_store_is_announced_not_trained(
    deployment: Deployment,
) -> None:
    deployment.requests.put(request())
    worker, _ = deployment.worker()
    worker.run_once(0.0)
    deployment.requests.put(request())
    assert worker.run_once(0.0) == "known"
    assert len(deployment.trainer.jobs) == 1
    first, second = deployment.versions()
    assert first == second


def test_a_request_that_failed_once_is_not_tried_again(deployment: Deployment) -> None:
    def gate() -> None:
        raise TrainingFailed("Column gone.", component="Gate", advice="Mend it.")

    deployment.trainer.before_end = gate
    deployment.requests.put(request())
    worker, _ = deployment.worker()
    assert worker.run_once(0.0) == "failed"
    (failure,) = deployment.failures()
    assert (failure.component, failure.reason, failure.advice) == (
        "Gate",
        "Column gone.",
        "Mend it.",
    )
    assert [p.state for p in deployment.progress()][-1] == "failed"
    deployment.requests.put(request())
    assert worker.run_once(0.0) == "known"
    assert len(deployment.failures()) == 1


def test_a_passing_trouble_is_tried_again_by_the_same_worker(deployment: Deployment) -> None:
    troubles = iter([TemporaryError("Kafka hiccup.", delay_seconds=7.0)])

    def trouble() -> None:
        for error in troubles:
            raise error

    deployment.trainer.before_end = trouble
    deployment.requests.put(request())
    assert deployment.worker()[0].run_once(0.0) == "published"
    assert [p.attempt for p in deployment.progress() if p.component == "Publish"] == [2, 2]
    assert deployment.clock.now() == 1_007.0


def test_an_unknown_error_ends_in_a_failure_that_names_it(deployment: Deployment) -> None:
    def bug() -> None:
        raise ZeroDivisionError("division by zero")

    deployment.trainer.before_end = bug
    deployment.requests.put(request())
    assert deployment.worker()[0].run_once(0.0) == "failed"
    (failure,) = deployment.failures()
    assert failure.reason == ("2 attempts gave no version. ZeroDivisionError: division by zero")
    assert failure.component == "Trainer"


def test_past_its_deadline_a_request_is_refused_before_and_after_training(
    deployment: Deployment,
) -> None:
    deployment.requests.put(request("late", deadline=999.0))
    assert deployment.worker()[0].run_once(0.0) == "failed"
    assert "deadline passed 1 s ago" in deployment.failures()[0].reason
    assert not deployment.trainer.jobs
    deployment.trainer.before_end = lambda: deployment.clock.advance(10_000.0)
    deployment.requests.put(request("slow"))
    assert deployment.worker()[0].run_once(0.0) == "failed"
    assert deployment.failures()[1].component == "Publish"
    assert not deployment.versions()


def test_an_unknown_model_is_refused_with_the_known_ones(deployment: Deployment) -> None:
    worker, _ = deployment.worker()
    worker.contracts = {}
    deployment.requests.put(request())
    assert worker.run_once(0.0) == "failed"
    assert deployment.failures()[0].reason == f"This worker knows no model, not {MODEL}."


def test_a_number_that_somebody_took_meanwhile_is_skipped(deployment: Deployment) -> None:
    def taken() -> None:
        deployment.store.publish(
            model_version(1, "other"), built(deployment.scratch.parent / "other")
        )

    deployment.trainer.before_end = taken
    deployment.requests.put(request())
    assert deployment.worker()[0].run_once(0.0) == "published"
    assert deployment.versions()[0].version == 2


def test_unreachable_kafka_leaves_the_request_in_the_queue(deployment: Deployment) -> None:
    worker, _ = deployment.worker()

    class DeadLog(MemoryLog):
        def append(self, records: object, *, topic: object = None) -> None:
            raise TemporaryError("No Kafka.", delay_seconds=3.0)

    worker.log = DeadLog(clock=deployment.clock)
    deployment.requests.put(request())
    turns = iter([True, False])
    worker.run(lambda: next(turns))
    assert deployment.clock.now() == 1_003.0
    worker.log = deployment.log
    assert worker.run_once(0.0) == "published"


def schema_version(number: int, text: str, sha: str = "") -> SchemaVersion:
    return SchemaVersion(
        record_id=f"s{number}", model=MODEL, at=1.0, version=number, text=text,
        digest=sha or digest(text.encode()), accepted_by="ann", reason="Known.", parent=number - 1,
    )  # fmt: skip


def test_a_retrain_is_held_against_the_newest_schema_and_says_so(deployment: Deployment) -> None:
    deployment.log.append([schema_version(1, "a"), schema_version(2, "b")])
    deployment.log.append([replace(schema_version(9, "other"), model="another")])
    seen: list[str] = []
    deployment.trainer.before_end = lambda: seen.append(
        (deployment.trainer.jobs[-1].schema or Path()).read_text()
    )
    worker, _ = deployment.worker()
    deployment.requests.put(request("r1"))
    assert worker.run_once(0.0) == "published"
    (version,) = deployment.versions()
    assert seen == ["b"]
    assert (version.schema_version, version.schema_digest) == (2, digest(b"b"))
    assert version.caused_by == ("r1", "s2")


def test_a_schema_that_is_not_what_was_accepted_is_not_trained_under(
    deployment: Deployment,
) -> None:
    deployment.log.append([schema_version(1, "a", sha="0" * 64)])
    worker, _ = deployment.worker()
    deployment.requests.put(request("r1"))
    assert worker.run_once(0.0) == "failed"
    assert deployment.trainer.jobs == []
    (failure,) = [
        r for r in deployment.told(RETRAIN_FAILURES.name) if isinstance(r, RetrainFailure)
    ]
    assert failure.component == "Schema"
