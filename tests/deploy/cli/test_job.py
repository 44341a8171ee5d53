"""`driftline job` against a stubbed Flink."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.app.submitted_jobs import Keeping, SubmittedJob, SubmittedJobs
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.doubles import http_server
from tests.deploy.cli.runner import data, run


class FakeFlink:
    """One job that runs until it is cancelled."""

    def __init__(self) -> None:
        self.state = "RUNNING"

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        job = {"jid": "j1", "name": "driftline-all", "state": self.state, "start-time": 1000}
        if method == "PATCH":
            self.state = "CANCELED"
            return 202, {}
        if path == "/jobs/overview":
            return 200, {"jobs": [job]}
        if path == "/jobs/j1":
            return 200, {**job, "vertices": [{"status": self.state, "parallelism": 2}]}
        if path == "/jobs/j1/checkpoints":
            newest = {
                "external_path": "file:/chk-7",
                "latest_ack_timestamp": 60_000,
                "state_size": 4096,
            }
            counts = {"completed": 7, "failed": 1}
            return 200, {"counts": counts, "latest": {"completed": newest}}
        if path == "/jobs/j1/exceptions":
            entry = {"stacktrace": "java.lang.Error: [/x]\n\tat"}
            return 200, {"exceptionHistory": {"entries": [entry]}}
        if path == "/jobs/j1/savepoints":
            return 202, {"request-id": "r1"}
        if path == "/jobs/j1/savepoints/r1":
            return 200, {"status": {"id": "COMPLETED"}, "operation": {"location": "file:/sp-1"}}
        return 404, {}


@pytest.fixture
def flink() -> FakeFlink:
    return FakeFlink()


@pytest.fixture
def env(flink: FakeFlink, tmp_path: Path) -> Iterator[dict[str, str]]:
    with http_server(flink.answer) as url:
        yield {"DRIFTLINE__ENDPOINTS__FLINK": url, "DRIFTLINE_HOME": str(tmp_path)}


def test_jobs_are_listed_with_their_models(env: dict[str, str]) -> None:
    (job,) = data(run("job", "list", "--json", env=env))
    assert job == {
        "job": "driftline-all",
        "models": [MODEL],
        "state": "RUNNING",
        "parallelism": 2,
    }
    assert "running" in run("job", "list", env=env).stdout


def test_the_watchdogs_doing_is_shown(env: dict[str, str], tmp_path: Path) -> None:
    done = Keeping(
        resubmits=2,
        resubmitted_at=50_580.0,
        resubmitted_from="/a/j0/chk-17",
        note="no TaskManager is registered at Flink",
        last_error="[/x] refused",
    )
    jobs = SubmittedJobs(tmp_path / "demo-stack" / "run" / "stream-jobs.json")
    jobs.change("driftline-all", lambda _: SubmittedJob(job_id="j1", keeping=done))
    for shown in (run("job", "list", env=env), run("job", "status", MODEL, env=env)):
        assert "resubmitted 2 times, last 1970-01-01 14:03:00 UTC from chk-17" in shown.stdout
        assert "no TaskManager is registered at Flink" in shown.stdout
        assert "last failure: [/x] refused" in shown.stdout
    (job,) = data(run("job", "list", "--json", env=env))
    assert job["watchdog"]["keeping"]["resubmits"] == 2
    status = data(run("job", "status", MODEL, "--json", env=env))
    assert status["watchdog"]["keeping"]["resubmitted_from"] == "/a/j0/chk-17"


def test_the_status_has_times_with_a_zone_and_the_newest_exception(env: dict[str, str]) -> None:
    shown = run("job", "status", MODEL, env=env)
    assert shown.exit_code == 0, shown.stderr
    for words in ("1970-01-01 00:01:00 UTC at file:/chk-7", "7, and 1 failed", "[/x]", "4,096"):
        assert words in shown.stdout
    assert data(run("job", "status", MODEL, "--json", env=env))["checkpoints"] == 7


def test_a_savepoint_is_written(env: dict[str, str]) -> None:
    assert run("job", "savepoint", MODEL, env=env).stdout == "file:/sp-1\n"
    assert data(run("job", "savepoint", MODEL, "--json", env=env)) == {"savepoint": "file:/sp-1"}


def test_cancelling_needs_consent_and_ends_the_expectation(
    env: dict[str, str], flink: FakeFlink, tmp_path: Path
) -> None:
    expected = SubmittedJobs(tmp_path / "demo-stack" / "run" / "stream-jobs.json")
    expected.add("driftline-all")
    refused = run("job", "cancel", MODEL, env=env)
    assert refused.exit_code == 2
    assert "big_tipper are no longer judged" in refused.stderr
    assert flink.state == "RUNNING"
    assert run("job", "cancel", MODEL, "--yes", env=env).exit_code == 0
    assert flink.state == "CANCELED"
    assert expected.names() == frozenset()


def test_a_running_job_is_left_alone_and_expected_from_now_on(
    env: dict[str, str], tmp_path: Path
) -> None:
    assert data(run("job", "submit", MODEL, "--json", env=env)) == {"job": "j1"}
    expected = SubmittedJobs(tmp_path / "demo-stack" / "run" / "stream-jobs.json")
    assert expected.names() == {"driftline-all"}


def test_a_job_that_does_not_run_is_not_found(env: dict[str, str], flink: FakeFlink) -> None:
    flink.state = "FINISHED"
    for command in ("status", "savepoint", "cancel"):
        yes = ["--yes"] if command == "cancel" else []
        shown = run("job", command, MODEL, *yes, env=env)
        assert shown.exit_code == 3
        assert "`driftline job submit big_tipper`" in shown.stderr
    assert "not running" in run("job", "list", env=env).stdout


def test_an_absent_flink_is_exit_8() -> None:
    shown = run("job", "list")
    assert shown.exit_code == 8
    assert "driftline up" in shown.stderr


def test_a_lost_job_can_be_cancelled(env: dict[str, str], flink: FakeFlink, tmp_path: Path) -> None:
    expected = SubmittedJobs(tmp_path / "demo-stack" / "run" / "stream-jobs.json")
    expected.add("driftline-all", "j1")
    flink.state = "FAILED"
    shown = run("job", "cancel", MODEL, "--yes", env=env)
    assert shown.exit_code == 0, shown.stderr
    assert "no longer submits it" in shown.stderr
    assert expected.names() == frozenset()


def test_cancelling_while_flink_is_away_is_remembered(tmp_path: Path) -> None:
    env = {"DRIFTLINE_HOME": str(tmp_path)}
    expected = SubmittedJobs(tmp_path / "demo-stack" / "run" / "stream-jobs.json")
    assert run("job", "cancel", MODEL, "--yes", env=env).exit_code == 8
    expected.add("driftline-all", "j1")
    shown = run("job", "cancel", MODEL, "--yes", env=env)
    assert shown.exit_code == 0, shown.stderr
    assert "until Flink answers" in shown.stderr
    assert expected.all()["driftline-all"].ending
    assert expected.names() == frozenset()
