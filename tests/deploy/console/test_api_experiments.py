"""Experiments through the API: the checks of the command line, and once for each key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from deploy.console.context import Console
from deploy.records import reader
from streaming.contracts.experiment_assignment import with_id
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command, ModelVersion
from tests.deploy.console import scenario
from tests.deploy.console.consoles import browser, console_on
from tests.deploy.console.people import MODEL, PASSWORDS, token_of
from tests.deploy.console.test_decisions import answering, copied

PATH = f"/api/v1/models/{MODEL}/experiments"


@pytest.fixture
def log() -> MemoryLog:
    return answering(copied())


@pytest.fixture
def console(log: MemoryLog, tmp_path: Path) -> Console:
    return console_on(log, tmp_path, now=scenario.shared().clock.now(), access=PASSWORDS)


def digest(version: int) -> str:
    (record,) = [v for v in scenario.shared().records(ModelVersion) if v.version == version]
    return record.artifact.digest


def start(pages: TestClient, headers: dict[str, str], key: str = "key-0001", **changes: Any) -> Any:
    arm = {"version": 2, "percent": 20.0, "digest": digest(2)}
    content = {"arms": [arm], "seconds": 3600.0, "reason": "is it better?", **changes}
    return pages.post(PATH, headers=headers | {"idempotency-key": key}, json=content)


def started(log: MemoryLog) -> list[Command]:
    return [c for c in reader.records(log, Command) if c.action == "start-experiment"]


def test_an_operator_starts_one_and_the_same_request_counts_once(
    console: Console, log: MemoryLog
) -> None:
    pages, headers = browser(console), token_of(console, "olaf")
    answers = [start(pages, headers, metric="brier", champion_percent=30) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text
    assert answers[1].headers["idempotency-replayed"] == "true"
    (command,) = started(log)
    assert (command.who, command.role, command.channel) == ("olaf", "operator", "api")
    assert command.record_id == answers[0].json()["command_id"]
    experiment = command.experiment
    assert experiment is not None
    assert experiment == with_id(experiment, MODEL)
    arms = [(arm.version, arm.share, arm.digest) for arm in experiment.arms]
    assert arms == [(1, 3000, digest(1)), (2, 2000, digest(2))]
    assert experiment.metric == "brier"
    assert experiment.end - experiment.begin == pytest.approx(3600.0)


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"arms": [{"version": 2, "percent": 20, "digest": "d"}]}, 409, "not the one that was"),
        ({"arms": [{"version": 9, "percent": 20, "digest": "d"}]}, 404, "no version 9"),
        ({"arms": []}, 422, "arms"),
        ({"metric": "loss"}, 409, "compared by"),
        ({"champion_percent": 90}, 409, "100 %"),
        ({"reason": " "}, 409, "blank"),
        ({"seconds": 0}, 422, "seconds"),
        ({"force": True}, 403, "needs the role admin"),
    ],
)
def test_what_the_command_line_refuses_is_refused(
    console: Console, log: MemoryLog, changes: dict[str, Any], status: int, reason: str
) -> None:
    answer = start(browser(console), token_of(console, "olaf"), **changes)
    assert answer.status_code == status, answer.text
    assert reason in answer.json()["detail"]
    assert started(log) == []


def test_the_champion_and_the_same_version_twice_are_refused(console: Console) -> None:
    pages, headers = browser(console), token_of(console, "olaf")
    live = {"version": 1, "percent": 20, "digest": digest(1)}
    assert "is live" in start(pages, headers, arms=[live]).json()["detail"]
    other = {"version": 2, "percent": 20, "digest": digest(2)}
    twice = start(pages, headers, "key-0002", arms=[other, other])
    assert "same version" in twice.json()["detail"]


def test_a_viewer_starts_none(console: Console, log: MemoryLog) -> None:
    assert start(browser(console), token_of(console, "vera")).status_code == 403
    assert started(log) == []
