"""Without Kafka every command that needs the log fails at once, and says what to do."""

from __future__ import annotations

import pytest

from deploy.app.deployment import kafka_log
from tests.deploy.cli.builders import MODEL
from tests.deploy.cli.runner import data, run
from tests.waiting import undelayed_seconds


@pytest.mark.parametrize(
    "words",
    [
        ("models",),
        ("versions", MODEL),
        ("drift", MODEL),
        ("trace", "2"),
        ("rollout", "status", MODEL),
        ("rollout", "promote", MODEL, "--yes"),
        ("retrain", MODEL, "--reason", "x"),
        ("dead-letters", "list"),
        ("schema", "history", MODEL),
        ("quality", MODEL),
    ],
    ids=" ".join,
)
def test_kafka_away_is_exit_8_within_three_seconds(words: tuple[str, ...]) -> None:
    began = undelayed_seconds()
    shown = run(*words, "--json", log_factory=kafka_log)
    assert undelayed_seconds() - began < 3.0
    assert shown.exit_code == 8
    message = data(shown)["error"]["message"]
    assert "127.0.0.1:28092" in message
    assert "`driftline up`" in message
    assert shown.stderr.count(message) == 1
