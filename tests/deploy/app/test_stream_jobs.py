"""A running stream job: an update that cannot work is refused before anything stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.stream_jobs import StreamJob, SubmittedJobs
from streaming.contracts.errors import ConfigurationError, UnavailableError
from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules
from streaming.engines.flink.client import Flink
from streaming.job.settings import JobSettings, ModelJob

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)


class RunningJob(Flink):
    """A job that must not be stopped."""

    def find(self, name: str) -> str | None:
        return f"id of {name}"

    def savepoint(self, job_id: str, *, folder: str = "", seconds: float = 120.0) -> str:
        raise AssertionError("a savepoint was requested")

    def cancel(self, job_id: str, *, seconds: float = 60.0) -> None:
        raise AssertionError("the job was cancelled")


def test_a_job_continues_when_it_can_never_have_that_number_of_workers() -> None:
    settings = JobSettings(
        models=(ModelJob(contract=CONTRACT, rules=DriftRules()),),
        bootstrap="127.0.0.1:1",
        artifact_root="/tmp",
        max_workers=8,
    )
    messages: list[str] = []
    with pytest.raises(ConfigurationError, match=r"9 workers are more than stream\.max_workers: 8"):
        StreamJob(RunningJob("http://127.0.0.1:1"), settings).update(
            lambda: None, messages.append, parallelism=9
        )
    assert messages == []


def test_a_job_is_expected_from_its_submission_to_its_cancellation(tmp_path: Path) -> None:
    expected = SubmittedJobs(tmp_path / "run" / "stream-jobs.json")
    assert expected.names() == frozenset()
    expected.add("a")
    expected.add("b")
    expected.remove("a")
    assert SubmittedJobs(expected.file).names() == {"b"}
    expected.file.write_text("{")
    assert expected.names() == frozenset()


def test_a_home_that_cannot_be_written_loses_only_the_reminder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a folder should be")
    expected = SubmittedJobs(tmp_path / "run" / "stream-jobs.json")
    expected.add("a")
    assert expected.names() == frozenset()


class StoppedJob(Flink):
    """Flink without a running job."""

    def find(self, name: str) -> str | None:
        return None


def stopped_job(folder: Path) -> StreamJob:
    settings = JobSettings(
        models=(ModelJob(contract=CONTRACT, rules=DriftRules()),),
        bootstrap="127.0.0.1:1",
        artifact_root="/tmp",
    )
    submitted = SubmittedJobs(folder / "run" / "stream-jobs.json")
    return StreamJob(StoppedJob("http://127.0.0.1:1"), settings, submitted, folder / "checkpoints")


def checkpoint(folder: Path, job_id: str, number: int) -> str:
    path = folder / "checkpoints" / job_id / f"chk-{number}"
    path.mkdir(parents=True)
    (path / "_metadata").touch()
    return str(path)


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoint that each submission starts from."""
    points: list[str] = []

    def submit(settings: JobSettings) -> str:
        points.append(settings.restore)
        return f"job-{len(points)}"

    monkeypatch.setattr("deploy.app.stream_jobs._submit", submit)
    return points


def test_a_job_that_ran_before_continues_from_its_own_last_checkpoint(
    tmp_path: Path, restored: list[str]
) -> None:
    job = stopped_job(tmp_path)
    assert job.submit(lambda: None, lambda text: None) == "job-1"
    own = checkpoint(tmp_path, "job-1", 7)
    checkpoint(tmp_path, "of-another-job", 99)
    job.submit(lambda: None, lambda text: None)
    assert restored == ["", own]


def test_a_cancelled_job_continues_too(tmp_path: Path, restored: list[str]) -> None:
    job = stopped_job(tmp_path)
    job.submit(lambda: None, lambda text: None)
    own = checkpoint(tmp_path, "job-1", 3)
    assert job.submitted is not None
    job.submitted.remove(job.settings.name)
    job.submit(lambda: None, lambda text: None)
    assert restored[-1] == own
    assert job.submitted.names() == {job.settings.name}


def test_a_fresh_job_and_a_named_checkpoint_win(tmp_path: Path, restored: list[str]) -> None:
    job = stopped_job(tmp_path)
    job.submit(lambda: None, lambda text: None)
    checkpoint(tmp_path, "job-1", 3)
    job.submit(lambda: None, lambda text: None, fresh=True)
    job.submit(lambda: None, lambda text: None, restore="/named")
    assert restored == ["", "", "/named"]


def test_a_checkpoint_that_cannot_be_restored_says_how_to_start_afresh(
    tmp_path: Path, restored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = stopped_job(tmp_path)
    job.submit(lambda: None, lambda text: None)
    checkpoint(tmp_path, "job-1", 3)

    def refuse(settings: JobSettings) -> str:
        raise UnavailableError("The state does not fit.")

    monkeypatch.setattr("deploy.app.stream_jobs._submit", refuse)
    with pytest.raises(UnavailableError, match=r"does not fit.*job submit m --fresh"):
        job.submit(lambda: None, lambda text: None)
