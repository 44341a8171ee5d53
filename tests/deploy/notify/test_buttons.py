"""Pressed buttons: only Slack's, only new ones, only of known people, only what was shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from slack_sdk.signature import SignatureVerifier

from deploy.notify.buttons import Press, PressRefused, is_signed, read_press
from deploy.notify.history import History

SECRET, NOW = "8f742231b10e8888abcd99yyyzzz85a5", 1_700_000_000.0
PEOPLE = {"U1": "ann"}


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    kept = History(tmp_path / "history.sqlite")
    kept.asked("1.000001", "request-1", "digest-1")
    yield kept
    kept.close()


def form(
    action: str = "driftline_approve",
    *,
    user: str = "U1",
    value: str = "request-1",
    message: str = "1.000001",
    reason: str | None = None,
) -> bytes:
    payload = {
        "type": "block_actions",
        "user": {"id": user, "name": "anna"},
        "message": {"ts": message},
        "actions": [{"action_id": action, "value": value, "type": "button"}],
        "state": {"values": {"driftline_reason": {"reason": {"value": reason, "type": "x"}}}},
    }
    return urlencode({"payload": json.dumps(payload)}).encode()


def signed(body: bytes, at: float = NOW, secret: str = SECRET) -> tuple[str, str]:
    timestamp = str(int(at))
    signature = SignatureVerifier(secret).generate_signature(timestamp=timestamp, body=body)
    return timestamp, str(signature)


def read(
    history: History, body: bytes, signature: tuple[str, str] | None = None
) -> Press | PressRefused:
    timestamp, text = signature or signed(body)
    return read_press(
        body, secret=SECRET, timestamp=timestamp, signature=text, people=PEOPLE, history=history,
        now=NOW,
    )  # fmt: skip


def test_a_press_is_bound_to_what_the_message_showed(history: History) -> None:
    press = read(history, form("driftline_reject", reason=" the slices are worse "))
    assert press == Press(
        request_id="request-1",
        digest="digest-1",
        answer="reject",
        reason="the slices are worse",
        person="ann",
        message="1.000001",
    )


def test_a_press_counts_once(history: History) -> None:
    body = form()
    assert isinstance(read(history, body), Press)
    again = read(history, body)
    assert isinstance(again, PressRefused)
    assert again.status == 409


@pytest.mark.parametrize("seconds", [-301.0, 301.0, -86400.0])
def test_what_is_more_than_five_minutes_away_is_refused(history: History, seconds: float) -> None:
    body = form()
    refused = read(history, body, signed(body, NOW + seconds))
    assert isinstance(refused, PressRefused)
    assert refused.status == 401


@pytest.mark.parametrize(
    "timestamp",
    [
        "",
        "abc",
        "1e9",
        "nan",
        "-1",
        " 1",
        "１７００００００００",
        "9" * 5000,
        "9" * 400,
        "1700000000.0",
    ],
)
def test_a_timestamp_that_is_no_number_is_refused(timestamp: str) -> None:
    body = form()
    text = SignatureVerifier(SECRET).generate_signature(timestamp=timestamp, body=body)
    assert not is_signed(SECRET, body, timestamp, str(text), NOW)


def test_forged_requests_are_refused(history: History) -> None:
    body = form()
    timestamp, text = signed(body)
    for other in (
        (body, (timestamp, signed(body, secret="other")[1])),
        (form(user="U2"), (timestamp, text)),
        (body + b"&x=1", (timestamp, text)),
        (body, (timestamp, "")),
        (body, (timestamp, "v0=")),
        (b"\xff\xfe", (timestamp, text)),
    ):
        refused = read(history, *other)
        assert isinstance(refused, PressRefused)
        assert refused.status == 401
    assert isinstance(read(history, body), Press)  # none of them used it up


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (form(user="U9"), "has no name"),
        (form(value="request-2"), "asks for nothing"),
        (form(message="9.9"), "asks for nothing"),
        (form("something_else"), "No button"),
    ],
)
def test_other_people_and_other_messages_decide_nothing(
    history: History, body: bytes, reason: str
) -> None:
    refused = read(history, body)
    assert isinstance(refused, PressRefused)
    assert refused.status == 200
    assert reason in refused.reason


@pytest.mark.parametrize(
    "body", [b"", b"payload=", b"payload=%7B", b"payload=[]", b"a=b", b"payload=1&payload=2"]
)
def test_what_cannot_be_read_is_refused(history: History, body: bytes) -> None:
    refused = read(history, body)
    assert isinstance(refused, PressRefused)
    assert refused.status == 400
