"""A running stream job: an update that cannot work is refused before anything stops."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.app.stream_jobs import StreamJob
from deploy.app.submitted_jobs import SubmittedJobs
from streaming.contracts.errors import ConfigurationError, NotFoundError, UnavailableError
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


def test_a_run_without_a_checkpoint_of_its_own_goes_back_to_where_it_started(
    tmp_path: Path, restored: list[str]
) -> None:
    """It died before its first checkpoint; the topics must not be read again from the start."""
    job = stopped_job(tmp_path)
    job.submit(lambda: None, lambda text: None)
    first = checkpoint(tmp_path, "job-1", 7)
    job.submit(lambda: None, lambda text: None)  # job-2, which never completes a checkpoint
    job.submit(lambda: None, lambda text: None)
    assert restored == ["", first, first]


def test_lost_checkpoints_are_refused_instead_of_judging_every_window_again(
    tmp_path: Path, restored: list[str]
) -> None:
    job = stopped_job(tmp_path)
    job.submit(lambda: None, lambda text: None)
    checkpoint(tmp_path, "job-1", 7)
    job.submit(lambda: None, lambda text: None)
    shutil.rmtree(tmp_path / "checkpoints" / "job-1")
    with pytest.raises(NotFoundError, match=r"are gone.*job submit m --fresh"):
        job.submit(lambda: None, lambda text: None)
    job.submit(lambda: None, lambda text: None, fresh=True)
    assert restored[-1] == ""


@pytest.mark.parametrize("newest", [b"", b"\x49\x60", b"not a checkpoint", None])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, restored: list[str], newest: bytes | None
) -> None:
    job = stopped_job(tmp_path)
    job.submit(lambda: None, lambda text: None)
    whole = Path(checkpoint(tmp_path, "job-1", 9))
    (whole / "_metadata").write_bytes(bytes.fromhex("4960672d00000004") + bytes(64))
    damaged = Path(checkpoint(tmp_path, "job-1", 10)) / "_metadata"
    damaged.unlink()
    if newest is not None:
        damaged.write_bytes(newest)
    job.submit(lambda: None, lambda text: None)
    assert restored[-1] == str(whole)


def test_a_failed_submission_leaves_what_is_remembered_as_it_was(
    tmp_path: Path, restored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(settings: JobSettings) -> str:
        raise UnavailableError("The job server does not answer.")

    job = stopped_job(tmp_path)
    job.submit(lambda: None, lambda text: None)
    assert job.submitted is not None
    before = job.submitted.all()
    monkeypatch.setattr("deploy.app.stream_jobs._submit", refuse)
    for fresh in (False, True):
        with pytest.raises(UnavailableError):
            job.submit(lambda: None, lambda text: None, fresh=fresh)
        assert job.submitted.all() == before
    job.submitted.change(job.settings.name, lambda known: None)
    with pytest.raises(UnavailableError):
        job.submit(lambda: None, lambda text: None)
    assert job.submitted.all() == {}, "a job that never ran is not expected"


class CancelFails(Flink):
    """A running job that cannot be cancelled at the moment."""

    def find(self, name: str) -> str | None:
        return "job-1"

    def cancel(self, job_id: str, *, seconds: float = 60.0) -> None:
        raise UnavailableError("Flink does not answer.")


def test_a_job_that_could_not_be_cancelled_is_still_expected(tmp_path: Path) -> None:
    job = replace(stopped_job(tmp_path), flink=CancelFails("http://127.0.0.1:1"))
    assert job.submitted is not None
    job.submitted.add(job.settings.name, "job-1", restored_from="/chk-1")
    with pytest.raises(UnavailableError):
        job.cancel()
    assert job.submitted.names() == {job.settings.name}
    assert job.submitted.all()[job.settings.name].restored_from == "/chk-1"


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("point", ["", "/named"])
def test_an_interrupted_submission_stays_intended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: type[BaseException], point: str
) -> None:
    """The job server may have accepted it: then the watchdog adopts it."""

    def interrupted(settings: JobSettings) -> str:
        raise end

    monkeypatch.setattr("deploy.app.stream_jobs._submit", interrupted)
    job = stopped_job(tmp_path)
    with pytest.raises(end):
        job.submit(lambda: None, lambda text: None, restore=point)
    known = job.remembered()
    assert known is not None
    assert (known.expected, known.starting_from) == (True, point)


def test_a_submission_after_which_flink_does_not_answer_stays_intended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dies(StoppedJob):
        answers = True

        def find(self, name: str) -> str | None:
            if not Dies.answers:
                raise UnavailableError("Flink does not answer.")
            return None

    def dies(settings: JobSettings) -> str:
        Dies.answers = False
        raise UnavailableError("It did not appear.")

    monkeypatch.setattr("deploy.app.stream_jobs._submit", dies)
    job = replace(stopped_job(tmp_path), flink=Dies("http://127.0.0.1:1"))
    with pytest.raises(UnavailableError):
        job.submit(lambda: None, lambda text: None)
    known = job.remembered()
    assert known is not None
    assert known.expected


def test_each_command_that_starts_a_job_tells_the_watchdog_of_new_settings(
    tmp_path: Path, restored: list[str]
) -> None:
    job = stopped_job(tmp_path)
    assert job.submitted is not None
    name, times = job.settings.name, [0.0]

    def is_new() -> bool:
        times.append(job.submitted.changes()[name] if job.submitted else 0.0)
        return times[-1] > times[-2]

    job.submit(lambda: None, lambda text: None)
    assert is_new()
    job.submit(lambda: None, lambda text: None, fresh=True)
    assert is_new()
    running = replace(job, flink=CancelFails("http://127.0.0.1:1"))
    running.submit(lambda: None, lambda text: None)
    assert is_new()
    updated = replace(job, flink=Updatable("http://127.0.0.1:1"))
    for workers in (None, 1):
        updated.update(lambda: None, lambda text: None, parallelism=workers)
        assert is_new()


class Updatable(RunningJob):
    """A job that can be updated."""

    def parallelism(self, job_id: str) -> int:
        return 1

    def savepoint(self, job_id: str, *, folder: str = "", seconds: float = 120.0) -> str:
        return "/sp-1"

    def cancel(self, job_id: str, *, seconds: float = 60.0) -> None:
        pass
