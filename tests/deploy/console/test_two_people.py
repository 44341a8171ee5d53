"""Where two people are asked, the second yes is another person's, by every way and spelling."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from deploy.console.context import Console
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import ApprovalDecision
from tests.deploy.console import scenario
from tests.deploy.console.consoles import FORM_HEADERS, browser, console_on
from tests.deploy.console.people import PASSWORDS, session_of, token_of
from tests.deploy.console.test_decisions import answering, commands, copied, feed, waiting

ADDRESS = f"/approvals/{waiting().record_id}"


@pytest.fixture
def log() -> MemoryLog:
    return answering(copied())


@pytest.fixture
def console(log: MemoryLog, tmp_path: Path) -> Console:
    """Petra has said yes to what two people are asked."""
    created = console_on(log, tmp_path, now=scenario.shared().clock.now(), access=PASSWORDS)
    request = waiting()
    first = ApprovalDecision(
        record_id="first", model=request.model, at=request.at + 1.0, request_id=request.record_id,
        version=request.version, who="petra", answer="yes", reason="fine", digest=request.digest,
    )  # fmt: skip
    feed(created, log, tmp_path, replace(request, people=2), first)
    return created


def by_form(console: Console, person: str) -> int:
    form = {"answer": "approve", "digest": waiting().digest, "reason": "fine"}
    pages = session_of(console, person)
    return pages.post(ADDRESS, data=form, headers=FORM_HEADERS).status_code


def by_token(console: Console, person: str) -> int:
    pages, headers = browser(console), token_of(console, person)
    tag = pages.get(f"/api/v1{ADDRESS}", headers=headers).headers["etag"]
    headers |= {"if-match": tag, "idempotency-key": f"key-of-{len(person)}-{person.strip()}"}
    content = {"answer": "approve", "reason": "fine"}
    return pages.post(f"/api/v1{ADDRESS}/decisions", headers=headers, json=content).status_code


@pytest.mark.parametrize("spelling", ["petra", "PETRA", " Petra "])
def test_the_same_person_does_not_count_twice(
    console: Console, log: MemoryLog, spelling: str
) -> None:
    assert "1 of 2 yes" in session_of(console, spelling).get(ADDRESS).text
    assert by_form(console, spelling) in (403, 409)
    assert by_token(console, spelling) in (403, 409)
    assert commands(log) == []


def test_a_second_person_decides(console: Console, log: MemoryLog) -> None:
    assert by_form(console, "ada") == 303
    assert [command.who for command in commands(log)] == ["ada"]


def test_somebody_without_the_role_is_no_second_person(console: Console, log: MemoryLog) -> None:
    for person in ("olaf", "vera"):
        assert by_form(console, person) == 403
        assert by_token(console, person) == 403
    assert commands(log) == []
