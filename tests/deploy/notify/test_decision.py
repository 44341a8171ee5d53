"""From Alertmanager's notification to a message with buttons, to a press, to the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from deploy.app.deployment import Deployment
from deploy.console.decisions import MAX_REASON
from deploy.notify.buttons import Press
from deploy.notify.history import History, history_file
from deploy.notify.local_receiver import PLACE
from deploy.notify.server import Notifier, create_app
from deploy.notify.service import assemble
from deploy.records import reader
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command
from tests.deploy.cli.runner import DEMO
from tests.deploy.console import scenario
from tests.deploy.console.test_decisions import answering, copied, waiting_request
from tests.deploy.notify.groups import body, served
from tests.deploy.notify.test_buttons import PEOPLE, SECRET, form, signed


@pytest.fixture(scope="module")
def log() -> MemoryLog:
    """The log of a control loop that waits for an approval, and a daemon that answers."""
    return answering(copied())


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    monkeypatch.setenv("DRIFTLINE_HOME", str(tmp_path))
    kept = History(history_file(tmp_path / "demo-stack"))
    yield kept
    kept.close()


@pytest.fixture
def notifier(log: MemoryLog, history: History) -> Iterator[Notifier]:
    """The notifier of the demonstration's settings; its local receiver really listens."""
    deployment = Deployment.load(DEMO, log_factory=lambda bootstrap: log)
    notifier, receiver = assemble(deployment, history)
    assert receiver is not None
    notifier.secret, notifier.people = SECRET, lambda: PEOPLE
    subjects = notifier.decide.__self__  # type: ignore[attr-defined]
    subjects.now = scenario.shared().clock.now
    notifier.slack.picture = lambda group: None  # drawn in the test of pictures
    with served(create_app(notifier, receiver)) as address:
        receiver._address = f"{address}/local"
        notifier.slack.client.base_url = f"{address}/local/api/"
        yield notifier


def alert(client: TestClient, notifier: Notifier, content: bytes) -> None:
    headers = {"authorization": f"Bearer {notifier.token}"}
    assert client.post("/alerts", content=content, headers=headers).status_code == 200
    while notifier.deliverer.step():
        pass


def press(client: TestClient, notifier: Notifier, content: bytes, at: float | None = None) -> int:
    timestamp, signature = signed(content, notifier.now() if at is None else at)
    headers = {"x-slack-request-timestamp": timestamp, "x-slack-signature": signature}
    status = client.post("/slack/actions", content=content, headers=headers).status_code
    for thread in list(notifier.deciding):
        thread.join()
    return status


def commands(log: MemoryLog) -> list[Command]:
    return [c for c in reader.records(log, Command) if c.subject == waiting_request().record_id]


def test_a_button_becomes_a_command_in_the_name_of_the_person(
    notifier: Notifier, log: MemoryLog, history: History
) -> None:
    client, request = TestClient(create_app(notifier)), waiting_request()
    alert(client, notifier, body("approval", severity="ticket"))
    ((message, thread, _, text),) = history.messages(5)
    assert not thread
    blocks = json.loads(text)["blocks"]
    assert blocks[-1]["elements"][0]["value"] == request.record_id
    assert request.on_yes[:30] in text

    before = len(commands(log))
    pressed = form(value=request.record_id, message=message, reason="the slices look right")
    assert press(client, notifier, pressed, at=notifier.now() - 301.0) == 401
    assert (
        press(client, notifier, form("driftline_reject", value=request.record_id, message=message))
        == 200
    )
    assert "A no needs a reason" in history.messages(1)[0][3]
    assert len(commands(log)) == before
    moment = notifier.now()
    assert press(client, notifier, pressed, at=moment) == 200
    assert press(client, notifier, pressed, at=moment) == 409  # the same press again

    command = commands(log)[-1]
    assert len(commands(log)) == before + 1
    assert (command.action, command.who, command.digest) == ("approve", "ann", request.digest)
    assert command.reason == "the slices look right"
    assert command.channel == "slack"
    reply, in_thread, _, outcome = history.messages(1)[0]
    assert reply != message
    assert in_thread == message
    assert "ann approved it" in outcome


def test_a_message_that_is_out_of_date_decides_nothing(
    notifier: Notifier, log: MemoryLog, history: History
) -> None:
    request = waiting_request()
    history.asked("2.2", request.record_id, "an older digest")
    before = len(commands(log))
    client = TestClient(create_app(notifier))
    assert press(client, notifier, form(value=request.record_id, message="2.2")) == 200
    assert "not what people are asked about now" in history.messages(1)[0][3]
    assert len(commands(log)) == before


def test_only_alertmanager_may_send_alerts(notifier: Notifier, history: History) -> None:
    client = TestClient(create_app(notifier))
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": notifier.token}):
        assert client.post("/alerts", content=body(), headers=headers).status_code == 401
    headers = {"authorization": f"Bearer {notifier.token}"}
    assert client.post("/alerts", content=b"{", headers=headers).status_code == 400
    assert client.post("/alerts", content=b" " * 2_000_001, headers=headers).status_code == 413
    assert client.post("/slack/actions", content=b" " * 100_001).status_code == 413
    assert history.newest(5) == []


def test_without_slack_no_press_is_taken(notifier: Notifier) -> None:
    notifier.secret = ""
    assert press(TestClient(create_app(notifier)), notifier, form()) == 401


def test_an_alert_without_an_open_request_has_no_buttons(
    notifier: Notifier, history: History
) -> None:
    alert(TestClient(create_app(notifier)), notifier, body("approval", "another_model"))
    assert "actions" not in history.messages(1)[0][3]
    assert notifier.slack.place == PLACE


def test_a_reason_that_is_too_long_is_refused_by_the_same_function(notifier: Notifier) -> None:
    request = waiting_request()
    text = notifier.decide(
        Press(
            request_id=request.record_id, digest=request.digest, answer="approve",
            reason="x" * (MAX_REASON + 1), person="ann", message="1.1",
        )
    )  # fmt: skip
    assert text == f"ann: A reason has at most {MAX_REASON} characters."


def test_the_metrics_begin_at_nought(notifier: Notifier) -> None:
    text = TestClient(create_app(notifier)).get("/metrics").text
    assert 'driftline_notifications_total{channel="local",outcome="failed"} 0.0' in text
