"""What the watchdog's loop does with the file of submitted jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.submitted_jobs import SubmittedJobs
from deploy.services.watchdog import SettingsNews, _still_new


@pytest.fixture
def submitted(tmp_path: Path) -> SubmittedJobs:
    return SubmittedJobs(tmp_path / "run" / "stream-jobs.json")


def test_a_job_that_never_was_is_expected_and_a_cancelled_one_is_not(
    submitted: SubmittedJobs,
) -> None:
    submitted.add("b", "j")
    submitted.remove("b")
    assert _still_new(submitted, ["a", "b"]) == []
    assert submitted.names() == {"a"}


def test_no_job_is_new_while_the_file_cannot_be_read(submitted: SubmittedJobs) -> None:
    submitted.add("a", "j")
    whole = submitted.file.read_bytes()
    submitted.file.write_bytes(b"")
    assert _still_new(submitted, ["a", "b"]) == ["a", "b"]
    assert submitted.file.read_bytes() == b""
    submitted.file.write_bytes(whole)
    assert _still_new(submitted, ["a", "b"]) == []
    assert submitted.all()["a"].job_id == "j"


def news(submitted: SubmittedJobs, started_at: float = 100.0) -> SettingsNews:
    return SettingsNews(submitted, started_at=started_at, clock=lambda: 200.0)


@pytest.mark.parametrize("name", ["known", "of a new group"])
def test_a_command_since_the_start_is_news(submitted: SubmittedJobs, name: str) -> None:
    submitted.add("known", "j", changed_at=50.0)
    watched = news(submitted)
    assert not watched.come()
    submitted.add("known", "j2")  # the watchdog itself
    submitted.remove("known")
    assert not watched.come()
    submitted.add(name, "j3", changed_at=201.0)
    assert watched.come()
    assert not news(submitted, started_at=202.0).come(), "the next process has read the settings"


def test_a_command_while_the_process_was_starting_is_news(submitted: SubmittedJobs) -> None:
    submitted.add("a", "j", changed_at=150.0)
    assert news(submitted).come()


@pytest.mark.parametrize("at", [20.0, 150.0])
def test_a_clock_that_was_set_back_hides_no_command_and_starts_no_loop(
    submitted: SubmittedJobs, at: float
) -> None:
    submitted.add("a", "j", changed_at=1e9)
    watched = news(submitted)
    assert not watched.come(), "else it would start again until the clock has caught up"
    submitted.add("a", "j", changed_at=at)
    assert watched.come()


def test_a_file_that_cannot_be_read_is_no_news(submitted: SubmittedJobs) -> None:
    submitted.add("a", "j", changed_at=50.0)
    watched = news(submitted)
    whole = submitted.file.read_bytes()
    for content in (b"", whole):
        submitted.file.write_bytes(content)
        assert not watched.come()
