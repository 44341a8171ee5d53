"""The worker: attempts, takeovers, outcomes, and the schema of a retrain."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from msgspec.structs import replace

from retrain.engines.memory import InMemoryModelStore
from retrain.ports import TrainingFailed
from retrain.worker import PUBLISH
from streaming.contracts.errors import (
    ConfigurationError,
    DecodeError,
    TemporaryError,
)
from streaming.contracts.ids import digest
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    ModelVersion,
    OffsetRange,
    RetrainFailure,
    SchemaVersion,
)
from streaming.contracts.topics import RETRAIN_FAILURES
from tests.retrain.builders import CONTRACT, MODEL, model_version, request, servable
from tests.retrain.worker_environment import Killed, WorkerEnvironment


@pytest.fixture
def environment(tmp_path: Path) -> WorkerEnvironment:
    return WorkerEnvironment(tmp_path)


def test_a_request_becomes_a_version_and_its_progress_is_published(
    environment: WorkerEnvironment,
) -> None:
    environment.requests.put(replace(request(), proposed_by="ana"))
    worker, _ = environment.worker()
    assert worker.run_once(0.0) == "published"
    (version,) = environment.versions()
    assert version.proposed_by == "ana"
    assert (version.version, version.blessed, version.training_rows) == (1, True, 800)
    assert version.caused_by == ("r1",)
    assert version.schema_version == 0
    assert version.artifact.uri.startswith("file:")
    steps = [(p.component, p.state, p.step, p.steps) for p in environment.progress()]
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
    assert worker.run_once(0.0) == "no-request"
    assert list(environment.scratch.iterdir()) == []


def test_the_next_number_is_one_above_the_highest_and_the_champion_is_passed_on(
    environment: WorkerEnvironment,
) -> None:
    environment.store.publish(
        model_version(4, "older"), servable(environment.scratch.parent / "four")
    )
    environment.requests.put(request(base_version=4))
    worker, _ = environment.worker()
    worker.run_once(0.0)
    assert environment.versions()[0].version == 5
    assert environment.trainer.jobs[0].champion == environment.store.path(MODEL, 4)


def test_an_insufficient_evaluation_publishes_no_version_and_asks_for_rows(
    environment: WorkerEnvironment,
) -> None:
    environment.trainer.blessed, environment.trainer.growth = False, 2.5
    span = OffsetRange(topic="trips", partition=0, start=0, stop=1)
    environment.requests.put(replace(request(), after_shift=(span,)))
    worker, _ = environment.worker()
    assert worker.run_once(0.0) == "insufficient"
    assert environment.versions() == []
    assert environment.store.versions(MODEL) == ()
    (record,) = environment.failures()
    assert (record.outcome, record.component) == ("insufficient", "Blessing")
    assert (record.rows, record.rows_needed) == (500, 1250), "rows after the shift"
    assert (
        "more than these 500 labelled rows after the shift; about 1250 would decide"
        in record.advice
    )
    assert not any(p.component == PUBLISH for p in environment.progress())
    assert not any(environment.scratch.iterdir())


def test_an_unblessed_model_is_a_version_too(environment: WorkerEnvironment) -> None:
    environment.trainer.blessed = False
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "published"
    assert not environment.versions()[0].blessed


def test_the_request_of_dead_workers_fails_after_two_attempts(
    environment: WorkerEnvironment,
) -> None:
    def die() -> None:
        raise Killed

    environment.trainer.before_end = die
    environment.requests.put(request())
    for number in (1, 2):
        worker, queue = environment.worker(f"w{number}")
        with pytest.raises(Killed):
            worker.run_once(0.0)
        queue.simulate_crash()
    worker, _ = environment.worker("w3")
    assert worker.run_once(0.0) == "failed"
    (failure,) = environment.failures()
    assert (failure.component, failure.attempt) == ("Trainer", 2)
    assert "The worker died in Trainer." in failure.reason
    assert {(p.attempt, p.worker) for p in environment.progress()} == {(1, "w1"), (2, "w2")}
    assert not environment.versions()
    assert worker.run_once(0.0) == "no-request"


def test_a_successful_takeover_gives_one_version(environment: WorkerEnvironment) -> None:
    deaths = iter([Killed()])

    def die_once() -> None:
        for death in deaths:
            raise death

    environment.trainer.before_end = die_once
    environment.requests.put(request())
    first, queue = environment.worker("w1")
    with pytest.raises(Killed):
        first.run_once(0.0)
    queue.simulate_crash()
    assert environment.worker("w2")[0].run_once(0.0) == "published"
    assert len(environment.versions()) == 1


def test_a_request_whose_version_is_in_the_store_is_published_again_not_trained(
    environment: WorkerEnvironment,
) -> None:
    environment.requests.put(request())
    worker, _ = environment.worker()
    worker.run_once(0.0)
    environment.requests.put(request())
    assert worker.run_once(0.0) == "already-done"
    assert len(environment.trainer.jobs) == 1
    first, second = environment.versions()
    assert first == second


def test_a_failed_request_is_not_attempted_again(environment: WorkerEnvironment) -> None:
    def gate() -> None:
        raise TrainingFailed("Column gone.", component="Gate", advice="Fix it.")

    environment.trainer.before_end = gate
    environment.requests.put(request())
    worker, _ = environment.worker()
    assert worker.run_once(0.0) == "failed"
    (failure,) = environment.failures()
    assert (failure.component, failure.reason, failure.advice) == (
        "Gate",
        "Column gone.",
        "Fix it.",
    )
    assert [p.state for p in environment.progress()][-1] == "failed"
    environment.requests.put(request())
    assert worker.run_once(0.0) == "already-done"
    assert len(environment.failures()) == 1


def test_a_temporary_error_is_retried_by_the_same_worker(environment: WorkerEnvironment) -> None:
    errors = iter([TemporaryError("Kafka is not reachable.", delay_seconds=7.0)])

    def fail_once() -> None:
        for error in errors:
            raise error

    environment.trainer.before_end = fail_once
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "published"
    assert [p.attempt for p in environment.progress() if p.component == "Publish"] == [2, 2]
    assert environment.clock.now() == 1_007.0


def test_an_unexpected_error_becomes_a_failure_that_names_it(
    environment: WorkerEnvironment,
) -> None:
    def bug() -> None:
        raise ZeroDivisionError("division by zero")

    environment.trainer.before_end = bug
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "failed"
    (failure,) = environment.failures()
    assert failure.reason == ("2 attempts gave no version. ZeroDivisionError: division by zero")
    assert failure.component == "Trainer"


def test_past_its_deadline_a_request_is_refused_before_and_after_training(
    environment: WorkerEnvironment,
) -> None:
    environment.requests.put(request("late", deadline=999.0))
    assert environment.worker()[0].run_once(0.0) == "failed"
    assert "deadline passed 1 s ago" in environment.failures()[0].reason
    assert not environment.trainer.jobs
    environment.trainer.before_end = lambda: environment.clock.advance(10_000.0)
    environment.requests.put(request("slow"))
    assert environment.worker()[0].run_once(0.0) == "failed"
    assert environment.failures()[1].component == "Publish"
    assert not environment.versions()


def test_an_unknown_model_is_refused_with_the_known_ones(environment: WorkerEnvironment) -> None:
    worker, _ = environment.worker()
    worker.contracts = {}
    environment.requests.put(request())
    assert worker.run_once(0.0) == "failed"
    assert environment.failures()[0].reason == (
        f"This worker is configured for no model, not for {MODEL}."
    )


def test_a_number_taken_in_the_meantime_is_skipped(environment: WorkerEnvironment) -> None:
    def take_number() -> None:
        environment.store.publish(
            model_version(1, "another"), servable(environment.scratch.parent / "another")
        )

    environment.trainer.before_end = take_number
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "published"
    assert environment.versions()[0].version == 2


def test_unreachable_kafka_leaves_the_request_in_the_queue(environment: WorkerEnvironment) -> None:
    worker, _ = environment.worker()

    class DeadLog(MemoryLog):
        def append(self, records: object, *, topic: object = None) -> None:
            raise TemporaryError("No Kafka.", delay_seconds=3.0)

    worker.log = DeadLog(clock=environment.clock)
    environment.requests.put(request())
    rounds = iter([True, False])
    worker.run(lambda: next(rounds))
    assert environment.clock.now() == 1_003.0
    worker.log = environment.log
    assert worker.run_once(0.0) == "published"


@pytest.mark.parametrize(
    "error",
    [
        ValueError("bad code"),
        MemoryError("too many rows"),
        TrainingFailed("Column gone.", component="Gate", advice="Fix it."),
        TemporaryError("The model server did not start.", delay_seconds=1.0),
    ],
)
def test_a_failing_model_never_stops_the_retrains_of_another(
    environment: WorkerEnvironment, error: Exception
) -> None:
    worker, queue = environment.worker()
    worker.contracts = {MODEL: CONTRACT, "other": replace(CONTRACT, model="other")}

    def fail_for_one_model() -> None:
        if environment.trainer.jobs[-1].request.model == MODEL:
            raise error

    environment.trainer.before_end = fail_for_one_model
    environment.requests.put(request("r1"))
    environment.requests.put(replace(request("r2"), model="other"))
    worker.run(lambda: not environment.versions())
    assert [(f.model, f.request_id) for f in environment.failures()] == [(MODEL, "r1")]
    assert [(v.model, v.request_id) for v in environment.versions()] == [("other", "r2")]
    assert queue.take(0.0) is None


def test_a_damaged_version_in_the_store_fails_the_request_not_the_worker(
    environment: WorkerEnvironment,
) -> None:
    class DamagedStore(InMemoryModelStore):
        def of_request(self, model: str, request_id: str) -> ModelVersion | None:
            raise DecodeError("The record of version 3 is damaged.")

    worker, _ = environment.worker()
    worker.store = DamagedStore()
    environment.requests.put(request())
    assert worker.run_once(0.0) == "failed"
    (failure,) = environment.failures()
    assert (failure.component, failure.reason) == ("Store", "The record of version 3 is damaged.")
    assert worker.run_once(0.0) == "no-request"


def schema_version(number: int, text: str, sha: str = "") -> SchemaVersion:
    return SchemaVersion(
        record_id=f"s{number}", model=MODEL, at=1.0, version=number, text=text,
        digest=sha or digest(text.encode()), accepted_by="ann", reason="Known.", parent=number - 1,
    )  # fmt: skip


def test_a_retrain_uses_the_newest_schema_and_its_version_names_it(
    environment: WorkerEnvironment,
) -> None:
    environment.log.append([schema_version(1, "a"), schema_version(2, "b")])
    environment.log.append([replace(schema_version(9, "c"), model="another")])
    schemas: list[str] = []
    environment.trainer.before_end = lambda: schemas.append(
        (environment.trainer.jobs[-1].schema or Path()).read_text()
    )
    worker, _ = environment.worker()
    environment.requests.put(request("r1"))
    assert worker.run_once(0.0) == "published"
    (version,) = environment.versions()
    assert schemas == ["b"]
    assert (version.schema_version, version.schema_digest) == (2, digest(b"b"))
    assert version.caused_by == ("r1", "s2")


def test_a_schema_that_does_not_match_its_digest_stops_the_retrain(
    environment: WorkerEnvironment,
) -> None:
    environment.log.append([schema_version(1, "a", sha="0" * 64)])
    worker, _ = environment.worker()
    environment.requests.put(request("r1"))
    assert worker.run_once(0.0) == "failed"
    assert environment.trainer.jobs == []
    (failure,) = [
        r for r in environment.records(RETRAIN_FAILURES.name) if isinstance(r, RetrainFailure)
    ]
    assert failure.component == "Schema"


def fails_with(environment: WorkerEnvironment, error: BaseException) -> RetrainFailure:
    """The failure record of a request whose trainer raises `error` in every attempt."""

    def raise_error() -> None:
        raise error

    environment.trainer.before_end = raise_error
    environment.requests.put(request())
    worker, _ = environment.worker()
    assert worker.run_once(0.0) == "failed"
    assert environment.versions() == []
    (failure,) = environment.failures()
    assert failure.outcome == "failed"
    assert failure.advice
    environment.trainer.before_end = lambda: None
    environment.requests.put(request("r2"))
    assert worker.run_once(0.0) == "published", "the worker lives on"
    return failure


def test_a_full_disk_fails_at_once_and_says_where(environment: WorkerEnvironment) -> None:
    cause = OSError(errno.ENOSPC, "No space left on device", "/scratch/x")
    error = RuntimeError("Trainer failed")
    error.__cause__ = cause
    failure = fails_with(environment, error)
    assert (failure.component, failure.attempt) == ("Trainer", 1)
    assert "No space is left" in failure.reason
    assert "Free space" in failure.advice


def test_code_that_cannot_be_imported_fails_at_once(environment: WorkerEnvironment) -> None:
    error = ConfigurationError("The module x cannot be used: SyntaxError: invalid syntax (line 3)")
    failure = fails_with(environment, error)
    assert failure.attempt == 1
    assert "SyntaxError" in failure.reason
    assert "driftline model check" in failure.advice


def test_a_failure_tells_no_values_of_rows(environment: WorkerEnvironment) -> None:
    row = "{'fare': array([[12.75]], dtype=float32), 'name': array([b'Ada Lovelace'])} " * 50
    failure = fails_with(environment, ValueError(f"column fare is missing in {row}"))
    assert "column fare is missing" in failure.reason
    texts = [failure.reason, *(p.detail for p in environment.progress())]
    assert not any("Ada" in text or "12.75" in text for text in texts)
    assert all(len(text) < 700 for text in texts)


def test_a_live_version_that_is_gone_is_named_before_anything_is_read(
    environment: WorkerEnvironment,
) -> None:
    environment.requests.put(request(base_version=7))
    worker, _ = environment.worker()
    assert worker.run_once(0.0) == "failed"
    (failure,) = environment.failures()
    assert (failure.component, failure.attempt) == ("Champion", 1)
    assert "Version 7" in failure.reason or "7" in failure.reason
    assert "rollback" in failure.advice
    assert [(p.component, p.state) for p in environment.progress()] == [("Examples", "failed")]
