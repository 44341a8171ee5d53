"""The file of submitted jobs: replaced in one step, shared by watchdog and commands, with locks."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import msgspec
import pytest

from deploy.app.submitted_jobs import Keeping, SubmittedJobs, UnreadableJobs
from streaming.contracts.errors import Conflict


@pytest.fixture
def jobs(tmp_path: Path) -> SubmittedJobs:
    return SubmittedJobs(tmp_path / "run" / "stream-jobs.json")


def test_a_file_of_an_earlier_version_is_read(jobs: SubmittedJobs) -> None:
    jobs.file.parent.mkdir()
    jobs.file.write_text('{"a": {"job_id": "j", "expected": true}}')
    assert jobs.all()["a"].job_id == "j"


UNUSABLE = [b"{", b"[]", b'{"a": 1}', b"\xff", b"", b"\0" * 64, b"[" * 100_000]


@pytest.mark.parametrize("content", UNUSABLE)
def test_an_unusable_file_is_an_error_and_stays_as_it_is(
    jobs: SubmittedJobs, content: bytes
) -> None:
    jobs.file.parent.mkdir()
    jobs.file.write_bytes(content)
    for use in (
        jobs.all,
        jobs.names,
        lambda: jobs.add("a", "j"),
        lambda: jobs.remove("a"),
        lambda: jobs.change("b", lambda job: None),
    ):
        with pytest.raises(UnreadableJobs, match=r"stream-jobs\.json.*--restore PATH"):
            use()
    assert jobs.file.read_bytes() == content


def test_a_file_that_the_disk_does_not_give_is_an_error(
    jobs: SubmittedJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(UnreadableJobs, match="Input/output error"):
        jobs.add("a", "j")
    assert not jobs.file.exists()


def test_the_same_run_keeps_what_is_known_of_it(jobs: SubmittedJobs) -> None:
    jobs.add("a", "j1", restored_from="/chk-1", parallelism=2)
    jobs.change("a", lambda job: msgspec.structs.replace(job, last_checkpoint="/chk-2"))
    jobs.add("a", "j1")
    assert (jobs.all()["a"].restored_from, jobs.all()["a"].last_checkpoint) == ("/chk-1", "/chk-2")
    jobs.add("a", "j2")
    assert jobs.all()["a"] == msgspec.structs.replace(jobs.all()["a"], last_checkpoint="")
    assert jobs.all()["a"].restored_from == ""


def test_a_new_submission_forgets_the_failed_attempts_and_keeps_the_history(
    jobs: SubmittedJobs,
) -> None:
    failed = Keeping(attempts=4, refused=("/x",), resubmits=2, note="?", needs_help=True)
    jobs.change("a", lambda job: msgspec.structs.replace(job, keeping=failed))
    jobs.add("a", "j")
    assert jobs.all()["a"].keeping == Keeping(resubmits=2)


def test_changes_of_many_writers_are_all_kept(jobs: SubmittedJobs) -> None:
    def count(name: str) -> None:
        for _ in range(25):
            jobs.change(
                name,
                lambda job: msgspec.structs.replace(job, parallelism=job.parallelism + 1),
            )

    threads = [threading.Thread(target=count, args=(name,)) for name in "aabb"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {name: job.parallelism for name, job in jobs.all().items()} == {"a": 50, "b": 50}


def test_only_one_starts_or_stops_a_job_at_a_time(jobs: SubmittedJobs) -> None:
    waited: list[bool] = []
    with jobs.submission("a"):
        second = jobs.submission("a", seconds=0.3, on_wait=lambda: waited.append(True))
        with pytest.raises(Conflict, match="a is being started or stopped"), second:
            raise AssertionError("two at once")
        with jobs.submission("b"):
            pass  # another job is not held up
    assert waited == [True]
    with jobs.submission("a"):
        pass


def test_a_home_that_cannot_be_written_has_no_lock(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a folder should be")
    jobs = SubmittedJobs(tmp_path / "run" / "stream-jobs.json")
    with jobs.submission("a"):
        jobs.add("a", "j")
    assert jobs.all() == {}
