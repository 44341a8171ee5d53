"""Who may what: every operation of the API, and every page, for every role, from one table."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from deploy.console.context import Console
from streaming.contracts.records import Command
from tests.deploy.console import scenario
from tests.deploy.console.consoles import browser, console_on
from tests.deploy.console.people import MODEL, PASSWORDS, ROLES, STRANGER, session_of, token_of
from tests.deploy.console.test_decisions import answering, commands, copied, waiting

NOBODY = "nobody"
PEOPLE = (NOBODY, STRANGER, *ROLES)
READ = (401, 401, 200, 200, 200, 200)
"""Statuses for nobody, a person without a role, viewer, operator, approver and admin."""


@dataclass(frozen=True, slots=True)
class Operation:
    """A request, and the status that each person gets."""

    method: str
    path: str
    statuses: tuple[int, ...]
    content: Any = None


def act(action: str, **fields: Any) -> dict[str, Any]:
    return {"action": action, "reason": "tried", **fields}


COMMANDS = f"/models/{MODEL}/commands"
OPERATE = (401, 401, 403, 200, 200, 200)
APPROVE = (401, 401, 403, 403, 200, 200)
FORCE = (401, 401, 403, 403, 403, 200)
NAMED = {"version": 2, "digest": "d"}
TABLE = (
    Operation("GET", "/me", READ),
    Operation("GET", "/models", READ),
    Operation("GET", f"/models/{MODEL}/records?kind=promotion", READ),
    Operation("GET", "/models/other/records?kind=promotion", (401, 401, 404, 404, 404, 404)),
    Operation("GET", "/records/{request}", READ),
    Operation("GET", "/approvals", READ),
    Operation("GET", "/approvals/{request}", READ),
    Operation("GET", "/events?model=" + MODEL, READ),
    Operation("GET", "/commands/unknown", (401, 401, 404, 404, 404, 404)),
    Operation("GET", "/tokens", READ),
    Operation("GET", "/tokens?everybody=true", (401, 401, 403, 403, 403, 200)),
    Operation("DELETE", "/tokens/unknown", (401, 401, 404, 404, 404, 404)),
    Operation(
        "POST",
        "/tokens",
        (401, 401, 403, 403, 403, 403),  # tokens make no tokens
        {"label": "x", "role": "viewer", "days": 1},
    ),
    Operation("POST", COMMANDS, OPERATE, act("retrain")),
    Operation("POST", COMMANDS, OPERATE, act("pause")),
    Operation("POST", COMMANDS, OPERATE, act("resume")),
    Operation("POST", COMMANDS, OPERATE, act("abort")),
    Operation("POST", COMMANDS, OPERATE, act("rollback")),
    Operation("POST", COMMANDS, OPERATE, act("retry", **NAMED)),
    Operation("POST", COMMANDS, OPERATE, act("stop-experiment")),
    Operation(
        "POST",
        f"/models/{MODEL}/experiments",
        (401, 401, 403, 409, 409, 409),  # nobody has reviewed a digest "d"
        {
            "arms": [{"version": 2, "percent": 5.0, "digest": "d"}],
            "seconds": 60.0,
            "reason": "tried",
        },
    ),
    Operation("POST", COMMANDS, APPROVE, act("promote", **NAMED)),
    Operation("POST", COMMANDS, APPROVE, act("accept-schema", digest="d", subject="p")),
    Operation("POST", COMMANDS, APPROVE, act("reject-schema", digest="d", subject="p")),
    Operation("POST", COMMANDS, FORCE, act("promote", force=True, **NAMED)),
    Operation(
        "POST",
        "/approvals/{request}/decisions",
        APPROVE,
        {"answer": "approve", "reason": "It is better"},
    ),
    Operation(
        "POST",
        "/approvals/{request}/decisions",
        APPROVE,
        {"answer": "reject", "reason": "Nights got worse"},
    ),
)
PAGES = ("/", f"/models/{MODEL}", "/approvals", "/approvals/{request}", "/records/{request}",
         "/dead-letters", "/settings", "/events", "/runs", "/schedules", "/audit",
         f"/models/{MODEL}/experiments")  # fmt: skip


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    log = answering(copied())
    created = console_on(
        log,
        tmp_path_factory.mktemp("console"),
        now=scenario.shared().clock.now(),
        access=PASSWORDS,
    )
    created.live.close()  # streams end at once
    yield created
    created.reader.close()


def headers_of(console: Console, person: str) -> dict[str, str]:
    return {} if person == NOBODY else token_of(console, person)


def tag(pages: TestClient, path: str, headers: dict[str, str]) -> str:
    answer = pages.get(path.removesuffix("/decisions"), headers=headers)
    return answer.headers.get("etag", "none")


@pytest.mark.parametrize("person", PEOPLE)
def test_every_operation_for_every_role(console: Console, person: str) -> None:
    pages, got, expected = browser(console), {}, {}
    for operation in TABLE:
        path = "/api/v1" + operation.path.format(request=waiting().record_id)
        headers = headers_of(console, person) | {"idempotency-key": str(uuid.uuid4())}
        if "decisions" in path:
            headers["if-match"] = tag(pages, path, headers)
        if operation.method != "GET" and person == NOBODY:
            headers["sec-fetch-site"] = "same-origin"  # what a page without a session sends
        answer = pages.request(operation.method, path, headers=headers, json=operation.content)
        name = f"{operation.method} {operation.path} {operation.content}"
        got[name] = answer.status_code
        expected[name] = operation.statuses[PEOPLE.index(person)]
        if answer.status_code >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == answer.status_code
    assert got == expected


def test_the_table_has_every_operation(console: Console) -> None:
    document = browser(console).get("/api/v1/openapi.json").json()
    described = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, operations in document["paths"].items()
        for method in operations
    }
    tried = {
        (entry.method, tuple(entry.path.partition("?")[0].split("/")), bool(entry.content))
        for entry in TABLE
    }
    for method, path in described:
        parts = path.split("/")
        assert any(
            known == method
            and content == (method == "POST")
            and len(own) == len(parts)
            and all(a == b or b.startswith("{") for a, b in zip(own, parts, strict=True))
            for known, own, content in tried
        ), (method, path)


@pytest.mark.parametrize("path", PAGES)
def test_pages_need_a_sign_in_and_a_role(console: Console, path: str) -> None:
    address = path.format(request=waiting().record_id)
    assert session_of(console, "vera").get(address).status_code == 200
    for pages in (browser(console), session_of(console, STRANGER)):
        answer = pages.get(address)
        if path == "/events":
            assert answer.status_code == 401
        else:
            assert (answer.status_code, answer.text) == (303, "")
            assert answer.headers["location"].startswith("/sign-in")


def test_a_command_carries_person_role_and_channel(tmp_path: Path) -> None:
    log = answering(copied())
    created = console_on(log, tmp_path, now=scenario.shared().clock.now(), access=PASSWORDS)
    pages = browser(created)
    headers = token_of(created, "petra") | {"idempotency-key": "key-of-petra"}
    path = f"/api/v1/approvals/{waiting().record_id}"
    headers["if-match"] = pages.get(path, headers=headers).headers["etag"]
    content = {"answer": "approve", "reason": "It is better"}
    for _ in range(2):  # sent again, it acts once
        answer = pages.post(f"{path}/decisions", headers=headers, json=content)
        assert answer.status_code == 200, answer.text
    assert answer.headers["idempotency-replayed"] == "true"
    (command,) = commands(log)
    assert (command.who, command.role, command.channel) == ("petra", "approver", "api")
    assert command.record_id == answer.json()["command_id"]
    other = pages.post(f"{path}/decisions", headers=headers, json=content | {"reason": "another"})
    assert other.status_code == 409


def test_roles_of_one_model_show_nothing_of_others(tmp_path: Path) -> None:
    section = {**PASSWORDS} | {
        "roles": [{"person": "vera", "role": "admin", "models": ["elsewhere"]}],
    }
    created = console_on(copied(), tmp_path, now=scenario.shared().clock.now(), access=section)
    headers, pages = token_of(created, "vera"), browser(created)
    request = waiting().record_id
    assert pages.get("/api/v1/models", headers=headers).json() == {"items": [], "tasks": []}
    assert pages.get("/api/v1/approvals", headers=headers).json() == {"items": []}
    for path in (f"models/{MODEL}/records?kind=promotion", f"records/{request}",
                 f"approvals/{request}", f"events?model={MODEL}"):  # fmt: skip
        assert pages.get(f"/api/v1/{path}", headers=headers).status_code == 404
    own = session_of(created, "vera")
    assert MODEL not in own.get("/").text
    assert own.get(f"/models/{MODEL}").status_code == 404
    assert own.get(f"/pictures/{MODEL}/drift.svg?variant=light-wide").status_code == 404
    assert MODEL not in own.get("/settings").text


def test_a_token_is_limited_to_its_role_expires_and_can_be_revoked(console: Console) -> None:
    pages, access = browser(console), console.access
    address, command = f"/api/v1{COMMANDS}", act("pause")
    key = {"idempotency-key": "key-0001"}
    limited = token_of(console, "ada", "viewer") | key
    assert pages.post(address, json=command, headers=limited).status_code == 403
    token, secret = access.tokens.create("ada", "t", role="admin", seconds=10.0, now=access.now())
    headers = {"authorization": f"Bearer {secret}"}
    assert pages.get("/api/v1/me", headers=headers).json()["person"] == "ada"
    revoked = pages.delete(f"/api/v1/tokens/{token.id}", headers=headers)
    assert revoked.json()["revoked"] is not None
    assert pages.get("/api/v1/me", headers=headers).status_code == 401
    _, old = access.tokens.create("ada", "t", role="admin", seconds=10.0, now=access.now() - 10.0)
    expired = {"authorization": f"Bearer {old}"}
    assert pages.get("/api/v1/me", headers=expired).status_code == 401


def test_nothing_is_sent_for_a_refused_command(tmp_path: Path) -> None:
    log = answering(copied())
    created = console_on(log, tmp_path, now=scenario.shared().clock.now(), access=PASSWORDS)
    before = _commands(log)
    for person in (STRANGER, "vera"):
        headers = token_of(created, person) | {"idempotency-key": "key-0001"}
        browser(created).post(f"/api/v1{COMMANDS}", headers=headers, json=act("abort"))
    assert _commands(log) == before


def _commands(log: Any) -> list[Command]:
    from deploy.records import reader

    return list(reader.records(log, Command))
