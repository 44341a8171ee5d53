"""The worker beside outages, cancellations and the choice of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pytest
from msgspec.structs import replace

from retrain.failures import failure_record
from retrain.ports import ProcessDied
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import (
    Record,
    RetrainFailure,
    RetrainProgress,
    RowRules,
    RowSelection,
    RowsProbe,
    TrainingRows,
)
from streaming.contracts.topics import TRAINING_ROWS
from tests.retrain.builders import MODEL, request
from tests.retrain.worker_environment import WorkerEnvironment


@pytest.fixture
def environment(tmp_path: Path) -> WorkerEnvironment:
    return WorkerEnvironment(tmp_path)


def test_an_outage_before_the_training_uses_up_no_attempt(environment: WorkerEnvironment) -> None:
    environment.examples.outages = 10
    environment.requests.put(request())
    began = environment.clock.now()
    assert environment.worker()[0].run_once(0.0) == "published"
    states = [(p.attempt, p.state) for p in environment.progress() if p.component == "Examples"]
    assert states == [(1, "started"), (1, "waiting"), (1, "done")]
    assert environment.progress()[1].detail == "The registry does not answer."
    assert environment.clock.now() - began > 300.0, "the pauses grow"


def test_an_outage_until_the_deadline_is_named_and_trains_nothing(
    environment: WorkerEnvironment,
) -> None:
    environment.examples.outages = 1_000_000
    environment.requests.put(request(deadline=2_000.0))
    assert environment.worker()[0].run_once(0.0) == "failed"
    (failure,) = environment.failures()
    assert (failure.component, failure.attempt) == ("Examples", 1)
    assert "The registry does not answer. This lasted until" in failure.reason
    assert environment.clock.now() < 2_010.0


def test_a_worker_that_stops_during_an_outage_leaves_the_request_and_its_attempt(
    environment: WorkerEnvironment,
) -> None:
    environment.examples.outages, environment.stopping = 3, True
    environment.requests.put(request())
    first, queue = environment.worker("w1")
    assert first.run_once(0.0) == "left"
    queue.close()
    environment.stopping = False
    assert environment.worker("w2")[0].run_once(0.0) == "published"
    assert {p.attempt for p in environment.progress()} == {1}


def test_a_process_that_dies_uses_up_attempts(environment: WorkerEnvironment) -> None:
    def die() -> None:
        raise ProcessDied("signal SIGKILL", delay_seconds=1.0)

    environment.trainer.before_end = die
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "failed"
    assert environment.failures()[0].attempt == 2


def cancellation(environment: WorkerEnvironment) -> RetrainFailure:
    return replace(
        failure_record(
            "r1", model=MODEL, component="Worker", reason="Cancelled.", advice="", attempt=1, at=1e3
        ),
        outcome="cancelled",
    )


def test_a_request_that_was_cancelled_while_it_ran_publishes_nothing(
    environment: WorkerEnvironment,
) -> None:
    environment.trainer.before_end = lambda: environment.log.append([cancellation(environment)])
    environment.requests.put(request())
    worker, _ = environment.worker()
    assert worker.run_once(0.0) == "cancelled"
    assert environment.versions() == []
    assert environment.store.versions(MODEL) == ()
    assert [failure.outcome for failure in environment.failures()] == ["cancelled"]
    assert list(environment.scratch.iterdir()) == []
    assert worker.run_once(0.0) == "no-request"


def test_a_request_that_was_cancelled_while_it_waited_is_not_begun(
    environment: WorkerEnvironment,
) -> None:
    environment.log.append([cancellation(environment)])
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "already-done"
    assert environment.trainer.jobs == []


def test_progress_that_cannot_be_published_does_not_end_a_training(
    environment: WorkerEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, _ = environment.worker()
    appended = MemoryLog.append

    def append(log: MemoryLog, records: Sequence[Record]) -> None:
        if any(isinstance(r, RetrainProgress) and r.component == "Trainer" for r in records):
            raise UnavailableError("Kafka does not answer.")
        appended(log, records)

    monkeypatch.setattr(MemoryLog, "append", append)
    environment.requests.put(request())
    assert worker.run_once(0.0) == "published"
    assert "Trainer" not in {p.component for p in environment.progress()}


SELECTION = RowSelection(
    rows=900, duplicates=20, capped_rows=30, capped_entities=1, after_shift=500, history=(),
    train=640, evaluated=160, by_entity=True, too_old=50, digest="d",
)  # fmt: skip


def probe(outcome: Literal["enough", "more", "unclear"]) -> RowsProbe:
    return RowsProbe(
        outcome=outcome, reason="Twice the rows.", rows=500, fits=(), smallest_gain=0.02,
        factor=2.0, seed=1,
    )  # fmt: skip


@pytest.mark.parametrize("outcome", ["enough", "unclear"])
def test_the_chosen_rows_are_a_record_that_the_version_names(
    environment: WorkerEnvironment, outcome: Literal["enough", "unclear"]
) -> None:
    environment.examples.selection, environment.examples.probe = SELECTION, probe(outcome)
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "published"
    (rows,) = environment.records(TRAINING_ROWS.name)
    assert isinstance(rows, TrainingRows)
    assert (rows.selection, rows.request_id, rows.rules) == (SELECTION, "r1", RowRules())
    assert environment.versions()[0].caused_by == ("r1", rows.record_id)
    detail = environment.progress()[1].detail
    assert "20 duplicates, 30 of 1 flooding entities left out, 50 held back and older" in detail


def test_a_curve_that_asks_for_more_rows_ends_the_request_before_the_training(
    environment: WorkerEnvironment,
) -> None:
    environment.examples.selection, environment.examples.probe = SELECTION, probe("more")
    environment.requests.put(request())
    assert environment.worker()[0].run_once(0.0) == "insufficient"
    assert environment.trainer.jobs == []
    (failure,) = environment.failures()
    assert (failure.component, failure.rows, failure.rows_needed) == ("Examples", 500, 1_000)
    assert failure.reason.endswith("Twice the rows.")
    assert not any(environment.scratch.iterdir())
