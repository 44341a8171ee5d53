"""Decisions through the API: stale, expired, unread, of the wrong person; and when replies fail."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from starlette.testclient import TestClient

from deploy.console.context import Console
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Approver, CommandReply, ModelVersion
from tests.deploy.console import scenario
from tests.deploy.console.consoles import browser, console_on
from tests.deploy.console.people import PASSWORDS, token_of
from tests.deploy.console.test_decisions import (
    PausingLog,
    answering,
    commands,
    copied,
    feed,
    waiting,
    with_timeout,
)


def console(log: MemoryLog, folder: Path, now: float | None = None) -> Console:
    at = scenario.shared().clock.now() if now is None else now
    return console_on(log, folder, now=at, access=PASSWORDS)


def path() -> str:
    return f"/api/v1/approvals/{waiting().record_id}"


def decide(pages: TestClient, headers: dict[str, str], **content: Any) -> Any:
    """Read the approval and decide on it."""
    sent = {"idempotency-key": "key-0001", **headers}
    if "if-match" not in sent:
        sent["if-match"] = pages.get(path(), headers=headers).headers["etag"]
    given = {"answer": "approve", "reason": "Better", **content}
    return pages.post(f"{path()}/decisions", headers=sent, json=given)


def test_a_decision_names_what_was_read(tmp_path: Path) -> None:
    log = answering(copied())
    created = console(log, tmp_path)
    pages, headers = browser(created), token_of(created, "petra")
    key = headers | {"idempotency-key": "key-0001"}
    content = {"answer": "approve", "reason": "Better"}
    assert pages.post(f"{path()}/decisions", headers=key, json=content).status_code == 428
    assert decide(pages, headers | {"if-match": '"other"'}).status_code == 412
    assert commands(log) == []
    tag = pages.get(path(), headers=headers).headers["etag"]
    again = pages.get(path(), headers=headers | {"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert decide(pages, headers).status_code == 200


def test_what_has_changed_or_expired_is_refused(tmp_path: Path) -> None:
    log = copied()
    created = console(log, tmp_path / "changed")
    headers = token_of(created, "petra")
    tag = browser(created).get(path(), headers=headers).headers["etag"]
    (version,) = [v for v in scenario.shared().records(ModelVersion) if v.version == 2]
    feed(created, log, tmp_path / "changed", replace(version, reason="Another evaluation."))
    assert decide(browser(created), headers | {"if-match": tag}).status_code == 412
    assert decide(browser(created), headers | {"idempotency-key": "key-0002"}).status_code == 409
    late = console(copied(), tmp_path / "late", now=waiting().deadline + 1.0)
    refused = decide(browser(late), token_of(late, "petra"))
    assert refused.status_code == 409
    assert "deadline" in refused.json()["detail"]
    assert commands(log) == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"barred": ("Petra",)}, "petra proposed it"),
        ({"approvers": (Approver(name="ben", role="engineer"),)}, "not among those who may decide"),
    ],
)
def test_the_authenticated_name_is_the_one_that_rules_know(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    log = copied()
    created = console(log, tmp_path)
    feed(created, log, tmp_path, replace(waiting(), **changes))
    headers = token_of(created, "petra")
    assert reason in browser(created).get(path(), headers=headers).json()["barrier"]
    refused = decide(browser(created), headers)
    assert refused.status_code == 403
    assert reason in refused.json()["detail"]
    assert commands(log) == []


def test_a_lost_reply_is_found_when_the_request_is_sent_again(tmp_path: Path) -> None:
    log = copied()
    quiet = PausingLog(clock=log.clock, _partitions=log._partitions, _topics=log._topics)
    created = with_timeout(console(quiet, tmp_path), 0.2)
    pages, headers = browser(created), token_of(created, "petra")
    headers["if-match"] = pages.get(path(), headers=headers).headers["etag"]
    sent = decide(pages, headers)
    assert (sent.status_code, sent.json()["state"]) == (202, "sent")
    command_id = sent.json()["command_id"]
    reply = CommandReply(
        record_id="r",
        model=waiting().model,
        at=1.0,
        caused_by=(command_id,),
        command_id=command_id,
        accepted=True,
        reason="It counts.",
    )
    feed(created, log, tmp_path, reply)
    again = decide(pages, headers)
    assert (again.status_code, again.json()["reason"]) == (200, "It counts.")
    assert len(commands(log)) == 1
    detail = pages.get(f"/api/v1/commands/{command_id}", headers=headers).json()
    assert (detail["who"], detail["accepted"]) == ("petra", True)
