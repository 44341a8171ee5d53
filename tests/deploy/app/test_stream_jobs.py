"""A running job that is started anew, before Flink is asked for anything that cannot be undone."""

from __future__ import annotations

import pytest

from deploy.app.stream_jobs import StreamJob
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules
from streaming.engines.flink.client import Flink
from streaming.job.settings import JobSettings, ModelJob

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)


class Standing(Flink):
    """A job that must be left alone."""

    def find(self, name: str) -> str | None:
        return f"id of {name}"

    def savepoint(self, job_id: str, *, folder: str = "", seconds: float = 120.0) -> str:
        raise AssertionError("a savepoint was asked for")

    def cancel(self, job_id: str, *, seconds: float = 60.0) -> None:
        raise AssertionError("the job was cancelled")


def test_a_job_runs_on_when_it_can_never_have_so_many_workers() -> None:
    settings = JobSettings(
        models=(ModelJob(contract=CONTRACT, rules=DriftRules()),),
        bootstrap="127.0.0.1:1",
        artifact_root="/tmp",
        max_workers=8,
    )
    said: list[str] = []
    with pytest.raises(ConfigurationError, match=r"9 workers are more than stream\.max_workers: 8"):
        StreamJob(Standing("http://127.0.0.1:1"), settings).update(
            lambda: None, said.append, parallelism=9
        )
    assert said == []
