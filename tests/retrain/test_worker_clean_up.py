"""The worker and the clean-up: room on a full disk, and the end of a request."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from retrain.ports import Room
from tests.retrain.builders import request
from tests.retrain.worker_environment import WorkerEnvironment


@pytest.fixture
def environment(tmp_path: Path) -> WorkerEnvironment:
    return WorkerEnvironment(tmp_path)


def full_disk(environment: WorkerEnvironment, times: int) -> None:
    """Let the disk be full in the next `times` attempts."""
    errors = iter([OSError(errno.ENOSPC, "No space left on device")] * times)

    def write() -> None:
        for error in errors:
            raise error

    environment.trainer.before_end = write
    environment.requests.put(request())


@pytest.mark.parametrize(
    ("attempts", "freed", "outcome"),
    [(1, 1000, "published"), (2, 1000, "failed"), (1, 0, "failed")],
)
def test_where_the_disk_is_full_old_files_go_and_the_retrain_is_tried_once_more(
    environment: WorkerEnvironment, attempts: int, freed: int, outcome: str
) -> None:
    full_disk(environment, attempts)
    worker, _ = environment.worker()
    calls = []

    def make_room() -> Room:
        calls.append(worker.name)
        return Room(freed=freed, advice="At most 3.0 MB can go.")

    worker.make_room = make_room
    assert worker.run_once(0.0) == outcome
    assert len(calls) == attempts
    if outcome == "failed":
        (failure,) = environment.failures()
        assert failure.advice.endswith("At most 3.0 MB can go.")
        assert failure.attempt == attempts


def test_whoever_cleans_up_is_told_of_each_end(environment: WorkerEnvironment) -> None:
    ends: list[int] = []
    worker, _ = environment.worker()
    worker.on_end = lambda: ends.append(len(environment.versions()))
    environment.requests.put(request())
    worker.run_once(0.0)
    worker.run_once(0.0)
    assert ends == [1], "after the outcome, and not when there was no request"
