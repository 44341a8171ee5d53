"""Requests that no page sends: each is refused with a page or a problem, and nothing breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from deploy.console.context import Console
from deploy.records import reader
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command
from tests.deploy.console import operations, scenario
from tests.deploy.console.consoles import FORM_HEADERS, browser
from tests.deploy.console.people import MODEL, PASSWORDS, session_of, token_of
from tests.deploy.console.test_decisions import answering, copied, waiting
from tests.deploy.console.test_foreign_text import EVIL, assert_harmless

PARTS = (
    "%00", "%0d%0aset-cookie:%20a=b", "%ed%a0%80", "%ff", "..%2f..%2fetc%2fpasswd", "%252e%252e",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "a" * 3000, "%F0%9F%92%A9", "-1", "1e400", "%27--",
)  # fmt: skip
PATHS = (
    "/models/{}", "/models/" + MODEL + "?feature={}", "/models/" + MODEL + "?span={}",
    "/records/{}", "/approvals/{}", "/runs/{}", "/runs?model={}", "/runs/compare?run={0}&run={0}",
    "/runs/curves.svg?run={}", "/dead-letters?model={}", "/dead-letters?reason={}",
    "/models/{}/experiments", "/models/" + MODEL + "/experiments?experiment={}",
    "/audit?model={}", "/audit?person={}", "/audit?since={}", "/audit?page={}", "/audit?answer={}",
    "/pictures/{}/drift.svg", "/pictures/" + MODEL + "/{}.svg", "/assets/{}",
    "/pictures/" + MODEL + "/drift.svg?subject={}", "/sign-in?following={}", "/events?model={}",
    "/api/v1/records/{}", "/api/v1/models/{}/records?kind=command", "/api/v1/approvals/{}",
    "/api/v1/models/" + MODEL + "/records?kind=command&before={}", "/api/v1/commands/{}",
)  # fmt: skip
FORMS = ("/commands", "/experiments", "/approvals/{request}", "/sign-in", "/sign-out", "/{request}")


@pytest.fixture
def log() -> MemoryLog:
    return answering(copied())


@pytest.fixture
def console(log: MemoryLog, tmp_path: Path) -> Console:
    now = scenario.shared().clock.now()
    created = operations.operating(log, tmp_path, now=now, access=PASSWORDS)
    created.live.close()
    return created


def check(answer: Any, what: object) -> None:
    assert answer.status_code < 500, what
    assert "set-cookie" not in answer.headers, what
    assert answer.headers["x-content-type-options"] == "nosniff", what
    location = answer.headers.get("location", "/")
    assert location.startswith("/"), what
    assert not location.startswith("//"), what
    if answer.headers.get("content-type", "").startswith("text/html"):
        assert_harmless(answer.text)


@pytest.mark.parametrize("path", PATHS)
def test_an_address_with_anything_in_it_is_answered(console: Console, path: str) -> None:
    pages, programs = session_of(console, "ada"), browser(console)
    for part in PARTS:
        api = path.startswith("/api/")
        headers = token_of(console, "ada") if api else {}
        answer = (programs if api else pages).get(path.format(part), headers=headers)
        check(answer, (path, part))


def bodies() -> list[dict[str, Any]]:
    """Bodies that no form sends."""
    fields = {"model": MODEL, "action": "retrain", "key": "key-of-this-form"}
    mixed = b'--x\r\ncontent-disposition: form-data; name="reason"\r\n\r\n'
    form = {"content-type": "application/x-www-form-urlencoded"}
    return [
        {"json": fields | {"reason": "x"}},
        {"files": {"reason": ("a.txt", b"x")}, "data": fields},
        {"data": {name: [value, EVIL] for name, value in fields.items()}},
        {"content": mixed, "headers": {"content-type": "multipart/form-data; boundary=x"}},
        {"content": mixed, "headers": {"content-type": "multipart/form-data"}},
        {"content": b"reason=%ED%A0%80&model=%00&key=%FF&action=%C3", "headers": form},
        {"content": b"&" * 60_000, "headers": form},
        {"content": b"a=1&" * 15_000, "headers": form},
        {"content": b"\xff\xfe\x00", "headers": {"content-type": "text/plain"}},
        {"content": b"x" * 70_000, "headers": form},
    ]


@pytest.mark.parametrize("path", FORMS)
def test_a_body_that_no_form_sends_does_nothing(
    console: Console, log: MemoryLog, path: str
) -> None:
    before = len(reader.records(log, Command))
    address = path.format(request=waiting().record_id)
    for body in bodies():
        pages = session_of(console, "ada")
        headers = FORM_HEADERS | body.pop("headers", {})
        answer = pages.post(address, headers=headers, **body)
        if path != "/sign-out":
            assert answer.status_code >= 400, body
            check(answer, body)
    for method in ("PUT", "PATCH", "DELETE"):
        pages = session_of(console, "ada")
        answer = pages.request(method, address, headers=FORM_HEADERS)
        assert answer.status_code in (404, 405), method
    assert len(reader.records(log, Command)) == before


def test_another_site_cannot_sign_a_person_out_or_in(console: Console) -> None:
    pages: TestClient = session_of(console, "ada")
    for path in ("/sign-out", "/sign-in"):
        answer = pages.post(path, data={"name": "ada"}, headers={"sec-fetch-site": "cross-site"})
        assert answer.status_code == 403
    assert pages.get("/").status_code == 200
