"""`driftline retrain`: the command that is sent, and what comes back."""

from __future__ import annotations

import threading

import pytest
from msgspec.structs import replace

from deploy.console.states import state_of
from deploy.projection.rows import row_of
from deploy.records.describe import head
from retrain.failures import failure_record
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import ModelVersion, RetrainFailure
from tests.deploy.cli.builders import MODEL, version
from tests.deploy.cli.doubles import replying
from tests.deploy.cli.runner import data, run

ASK = ("retrain", MODEL, "--reason", "a new tariff")


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def test_a_dry_run_prints_the_command_and_sends_nothing(log: MemoryLog) -> None:
    shown = data(run(*ASK, "--from", "5", "--to", "9", "--dry-run", log=log))
    assert (shown["action"], shown["reason"]) == ("retrain", "a new tariff")
    assert (shown["window_start"], shown["window_end"]) == (5.0, 9.0)
    assert log.spans("commands") == ()


def test_the_reply_is_printed(log: MemoryLog) -> None:
    with replying(log, reason="the request is on its way") as daemon:
        shown = run(*ASK, "--json", log=log)
    assert shown.exit_code == 0
    assert data(shown)["accepted"] is True
    assert daemon.commands[0].reason == "a new tariff"


def test_a_refusal_is_a_conflict_as_json(log: MemoryLog) -> None:
    with replying(log, accepted=False, reason="one is running"):
        shown = run(*ASK, "--json", log=log)
    assert shown.exit_code == 5
    assert data(shown)["error"] == {
        "type": "Conflict",
        "message": "one is running",
        "exit_code": 5,
    }


def wait(log: MemoryLog, result: ModelVersion | RetrainFailure, *options: str) -> tuple[int, str]:
    """Exit code and stderr of a wait that ends with `result`."""
    with replying(log, result_id="request-2"):
        timer = threading.Timer(0.05, log.append, args=([result],))
        timer.start()
        shown = run(*ASK, "--wait", "--timeout", "20", *options, log=log)
        timer.join()
    return shown.exit_code, shown.stderr


def test_a_wait_ends_with_the_version(log: MemoryLog) -> None:
    code, messages = wait(log, version(2, reason="AUC 0.9"))
    assert code == 0
    assert "version 2: AUC 0.9" in messages


def test_a_version_that_is_not_blessed_is_exit_4(log: MemoryLog) -> None:
    code, messages = wait(log, version(2, reason="AUC 0.5", blessed=False))
    assert code == 4
    assert "not blessed: AUC 0.5" in messages


def test_a_failed_retrain_is_exit_4_with_its_advice(log: MemoryLog) -> None:
    failure = RetrainFailure(
        record_id="f",
        model=MODEL,
        at=9.0,
        request_id="request-2",
        component="Trainer",
        reason="no memory.",
        advice="Free some.",
    )
    code, messages = wait(log, failure)
    assert code == 4
    assert "Trainer failed: no memory. Free some." in messages


def test_an_insufficient_evaluation_is_exit_4_and_says_how_many_rows_are_needed(
    log: MemoryLog,
) -> None:
    record = RetrainFailure(
        record_id="f",
        model=MODEL,
        at=9.0,
        request_id="request-2",
        component="Blessing",
        reason="Insufficient: the interval is wide.",
        advice="Wait: the next retrain starts with about 900 labelled rows instead of 500.",
        outcome="insufficient",
        rows=500,
        rows_needed=900,
    )
    code, messages = wait(log, record)
    assert code == 4
    assert "No version yet. Insufficient: the interval is wide. Wait:" in messages
    assert "failed" not in messages
    assert head(record) == "retrain insufficient, waits for 900 labelled rows"
    row = row_of(record)
    assert (row.outcome, state_of(row.outcome).name) == ("insufficient", "warning")


def test_a_wait_that_takes_too_long_is_exit_7(log: MemoryLog) -> None:
    with replying(log, result_id="request-2"):
        shown = run(*ASK, "--wait", "--timeout", "0.3", log=log)
    assert shown.exit_code == 7


@pytest.mark.parametrize("options", [(), ("--wait",), ("--json",)])
def test_a_daemon_that_does_not_reply_is_exit_7(log: MemoryLog, options: tuple[str, ...]) -> None:
    shown = run(*ASK, "--timeout", "0.1", *options, log=log)
    assert shown.exit_code == 7
    assert "is the daemon running? `driftline status` shows it." in shown.stderr
    if "--json" in options:
        assert data(shown)["error"]["exit_code"] == 7


def test_a_cancellation_is_sent_and_its_reply_printed(log: MemoryLog) -> None:
    with replying(log, reason="Retrain r1 is cancelled.") as daemon:
        shown = run("retrain", MODEL, "--cancel", "--reason", "a mistake", log=log)
    assert (shown.exit_code, daemon.commands[0].action) == (0, "cancel-retrain")
    assert "accepted: Retrain r1 is cancelled." in shown.stderr
    with replying(log, accepted=False, reason="No retrain of m is queued or running."):
        assert run("retrain", MODEL, "--cancel", "--reason", "x", log=log).exit_code == 5
    assert run("retrain", MODEL, "--cancel", "--reason", "x", "--wait", log=log).exit_code == 2


def test_a_cancelled_retrain_ends_the_wait_as_a_conflict(log: MemoryLog) -> None:
    failure = failure_record(
        "request-2", model=MODEL, component="Worker", reason="Cancelled by ana: a mistake.",
        advice="", attempt=1, at=9.0,
    )  # fmt: skip
    code, messages = wait(log, replace(failure, outcome="cancelled"))
    assert code == 5
    assert "No version. Cancelled by ana: a mistake." in messages
