"""Signing in at an OpenID provider, a real one on loopback; wrong answers sign nobody in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey
from starlette.testclient import TestClient

from deploy.console.context import Console
from streaming.contracts.log import MemoryLog
from tests.deploy.access.oidc_provider import Provider, query_of, running_provider
from tests.deploy.console.consoles import browser, console_on

PERSON = "petra@example.com"


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with running_provider() as running:
        yield running


@pytest.fixture
def console(provider: Provider, tmp_path: Path) -> Console:
    provider.changes, provider.signing_key = {}, provider.key
    section = {
        "sign_in": "oidc",
        "roles": [{"person": PERSON, "role": "approver"}],
        "oidc": {"issuer": provider.issuer, "client_id": "driftline"},
    }
    return console_on(MemoryLog(), tmp_path, now=time.time(), access=section)


def come_back(pages: TestClient, provider: Provider, following: str = "/approvals") -> Any:
    """Sign in as far as the provider's answer."""
    away = pages.get(f"/sign-in/start?following={following}")
    assert away.status_code == 303
    back = provider.authorize(query_of(away.headers["location"]))
    return pages.get(f"/sign-in/callback?{back.partition('?')[2]}")


def test_the_provider_signs_a_person_in(console: Console, provider: Provider) -> None:
    pages = browser(console)
    assert provider.issuer in pages.get("/sign-in").text
    answer = come_back(pages, provider)
    assert (answer.status_code, answer.headers["location"]) == (303, "/approvals")
    assert pages.get("/api/v1/me").json()["person"] == PERSON
    assert "HttpOnly" in answer.headers["set-cookie"]


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    console: Console, provider: Provider
) -> None:
    pages = browser(console)
    away = pages.get("/sign-in/start")
    query = provider.authorize(query_of(away.headers["location"])).partition("?")[2]
    assert browser(console).get(f"/sign-in/callback?{query}").status_code == 403
    assert pages.get(f"/sign-in/callback?{query}").status_code == 303
    assert pages.get(f"/sign-in/callback?{query}").status_code == 403


def test_a_forged_state_signs_nobody_in(console: Console, provider: Provider) -> None:
    pages = browser(console)
    provider.authorize(query_of(pages.get("/sign-in/start").headers["location"]))
    code = list(provider.codes)[-1]
    assert pages.get(f"/sign-in/callback?code={code}&state=forged").status_code == 403
    assert pages.get("/").status_code == 303


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": ["driftline", "another"]},
        {"nonce": "another"},
        {"exp": 1},
        {"email_verified": False},
        {"email": ""},
        {"email": "petra@example.com\r\nx: y"},
        {"email": ["petra@example.com"]},
        {"email": "stranger@example.com"},
    ],
)
def test_a_wrong_token_signs_nobody_in(
    console: Console, provider: Provider, changes: dict[str, Any]
) -> None:
    provider.changes = changes
    pages = browser(console)
    assert come_back(pages, provider).status_code == 403
    assert pages.get("/").status_code == 303


def test_a_token_of_another_key_signs_nobody_in(console: Console, provider: Provider) -> None:
    provider.signing_key = ECKey.generate_key("P-256", {"kid": "one"})
    pages = browser(console)
    assert come_back(pages, provider).status_code == 403
    assert pages.get("/").status_code == 303


def test_a_code_needs_the_verifier_of_its_sign_in(console: Console, provider: Provider) -> None:
    """A stolen code is of no use in a sign-in that another browser has begun."""
    victim, thief = browser(console), browser(console)
    stolen = query_of(
        provider.authorize(query_of(victim.get("/sign-in/start").headers["location"]))
    )["code"]
    state = query_of(thief.get("/sign-in/start").headers["location"])["state"]
    assert thief.get(f"/sign-in/callback?code={stolen}&state={state}").status_code == 403
    assert thief.get("/").status_code == 303


def test_a_provider_that_does_not_answer_is_named(console: Console) -> None:
    assert console.access.oidc is not None
    silent = replace(console.access.oidc, issuer="http://127.0.0.1:9")
    served = replace(console, access=replace(console.access, oidc=silent))
    answer = browser(served).get("/sign-in/start")
    assert answer.status_code == 503
    assert "http://127.0.0.1:9" in answer.text
