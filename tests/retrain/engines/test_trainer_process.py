"""The trainer's process: results, errors, a child that dies, and one that hangs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrain.engines.trainer_process import TrainerProcess, TrainingBroken
from retrain.ports import (
    Progress,
    RetrainCancelled,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
)
from streaming.contracts.errors import TemporaryError, UnavailableError
from tests.retrain.builders import CONTRACT, request
from tests.retrain.engines.hanging_trainers import ScriptedTrainer, Unusable, scripted_examples
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def trainer() -> Iterator[TrainerProcess]:
    process = TrainerProcess(ScriptedTrainer)
    process.warm()
    yield process
    process.close()


def job(folder: Path, script: str, *, seconds: float = 600.0) -> TrainingJob:
    (folder / "script").write_text(script)
    now = time.time()
    return TrainingJob(
        request=request(at=now, deadline=now + seconds), contract=CONTRACT, version=1,
        examples=folder, rows=10, rows_after_shift=0, champion=None, work_dir=folder,
    )  # fmt: skip


def run(trainer: TrainerProcess, folder: Path, script: str) -> TrainingResult:
    return trainer.train(job(folder, script), lambda progress: None)


def test_one_child_serves_one_job_after_another(trainer: TrainerProcess, tmp_path: Path) -> None:
    reports: list[Progress] = []
    first = trainer.train(job(tmp_path, "succeed"), reports.append)
    assert [(r.component, r.state) for r in reports] == [("Transform", "started")]
    assert first.reason == run(trainer, tmp_path, "succeed").reason == f"By {trainer.pid}."
    assert trainer.pid != os.getpid()
    assert trainer.steps_of(request()) == 3


def test_errors_arrive_as_what_they_are(trainer: TrainerProcess, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"No labels\.") as failed:
        run(trainer, tmp_path, "fail")
    assert (failed.value.component, failed.value.advice) == ("Trainer", "Send some.")
    with pytest.raises(TemporaryError, match="Not now") as later:
        run(trainer, tmp_path, "later")
    assert later.value.delay_seconds == 0.5
    with pytest.raises(TrainingFailed, match="No space is left") as full:
        run(trainer, tmp_path, "full disk")
    assert full.value.component == "Transform"
    with pytest.raises(TrainingBroken) as crashed:
        run(trainer, tmp_path, "crash")
    assert str(crashed.value) == "ValueError: bad row {…}", "no row is told"


def test_a_child_that_dies_is_named_and_replaced(trainer: TrainerProcess, tmp_path: Path) -> None:
    before = trainer.pid
    with pytest.raises(UnavailableError, match="signal SIGKILL"):
        run(trainer, tmp_path, "die")
    assert run(trainer, tmp_path, "succeed").blessed
    assert trainer.pid != before


def test_a_run_that_hangs_is_ended_at_the_deadline_with_all_that_it_started(
    trainer: TrainerProcess, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailed, match="Transform had no result") as hanging:
        trainer.train(job(tmp_path, "hang", seconds=2.0), lambda progress: None)
    assert hanging.value.component == "Transform"
    assert "retrain.deadline" in hanging.value.advice
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: not any(_runs(pid) for pid in pids), seconds=20.0)
    assert run(trainer, tmp_path, "succeed").blessed, "the next job has a new process"


def test_examples_that_hang_are_ended_at_the_deadline(tmp_path: Path) -> None:
    process = TrainerProcess(ScriptedTrainer, examples=scripted_examples)
    (tmp_path / "script").write_text("hang")
    now = time.time()
    late = request(at=now, deadline=now + 2.0)
    with pytest.raises(TrainingFailed, match="Examples had no result") as hanging:
        process.build(late, CONTRACT, tmp_path / "examples")
    assert hanging.value.component == "Examples"
    assert process.pid is None
    (tmp_path / "script").write_text("succeed")
    built = process.build(late, CONTRACT, tmp_path / "examples")
    assert (built.rows, built.folder) == (7, tmp_path / "examples")
    process.close()


def test_a_cancelled_run_is_ended_and_the_next_one_is_served(tmp_path: Path) -> None:
    cancelled = {"r1"}
    process = TrainerProcess(ScriptedTrainer, cancelled=lambda r: r.record_id in cancelled)
    with pytest.raises(RetrainCancelled):
        run(process, tmp_path, "hang")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    wait_for(lambda: not any(_runs(pid) for pid in pids), seconds=20.0)
    cancelled.clear()
    assert run(process, tmp_path, "succeed").blessed
    process.close()


def test_what_a_child_still_sends_after_an_error_is_not_the_next_jobs_result(
    trainer: TrainerProcess, tmp_path: Path
) -> None:
    def broken(progress: Progress) -> None:
        raise OSError("the log is gone")

    before = trainer.pid
    with pytest.raises(OSError, match="the log is gone"):
        trainer.train(job(tmp_path, "succeed"), broken)
    assert run(trainer, tmp_path, "succeed").reason == f"By {trainer.pid}."
    assert trainer.pid != before


def test_a_trainer_that_cannot_be_made_says_why() -> None:
    process = TrainerProcess(Unusable)
    with pytest.raises(TrainingBroken, match="RuntimeError: no TFX here"):
        process.warm()
    assert process.pid is None


def _runs(pid: int) -> bool:
    """Whether the process runs; one that has ended and was not yet collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
