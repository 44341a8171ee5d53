"""`driftline config check --live` names every topic that is not as the settings say."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.app.deployment import Deployment
from deploy.app.topics import deployment_topics
from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import Topic, TopicDifference
from tests.deploy.cli.runner import DEMO, data, run


class DifferingLog(MemoryLog):
    """A log with differences that are given."""

    given: tuple[TopicDifference, ...] = ()

    def differences(self, topics: object) -> tuple[TopicDifference, ...]:
        return self.given


def test_missing_topics_are_named_and_exit_4() -> None:
    shown = run("config", "check", "--live")
    assert shown.exit_code == 4, shown.stderr
    assert "window-statistics: topic is missing, not exists" in shown.stdout
    assert "repairs it" in shown.stdout


def test_topics_as_they_should_be_exit_0(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    log = MemoryLog()
    topics: tuple[Topic, ...] = deployment_topics(Deployment.load(DEMO))
    log.ensure(topics)
    assert run("config", "check", "--live", log=log).exit_code == 0
    shown = run("config", "check", "--live", "--json", log=log)
    assert (shown.exit_code, data(shown)) == (0, [])


def test_what_driftline_does_not_change_is_said() -> None:
    log = DifferingLog()
    log.given = (
        TopicDifference(
            topic="trips", setting="retention.ms", actual="60000", expected="9", repaired=False
        ),
    )
    shown = run("config", "check", "--live", log=log)
    assert shown.exit_code == 4
    assert "trips: retention.ms is 60000, not 9; Driftline does not change it" in shown.stdout
    assert data(run("config", "check", "--live", "--json", log=log))[0]["topic"] == "trips"


def test_without_live_no_broker_is_asked() -> None:
    log = DifferingLog()
    log.given = (TopicDifference(topic="t", setting="s", actual="a", expected="b"),)
    assert run("config", "check", log=log).exit_code == 0
