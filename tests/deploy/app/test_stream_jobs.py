"""A running stream job: an update that cannot work is refused before anything stops."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.stream_jobs import ExpectedJobs, StreamJob
from streaming.contracts.errors import ConfigurationError
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
    expected = ExpectedJobs(tmp_path / "run" / "stream-jobs.json")
    assert expected.names() == frozenset()
    expected.add("a")
    expected.add("b")
    expected.remove("a")
    assert ExpectedJobs(expected.file).names() == {"b"}
    expected.file.write_text("{")
    assert expected.names() == frozenset()


def test_a_home_that_cannot_be_written_loses_only_the_reminder(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where a folder should be")
    expected = ExpectedJobs(tmp_path / "run" / "stream-jobs.json")
    expected.add("a")
    assert expected.names() == frozenset()
