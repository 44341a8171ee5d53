"""Signing in by password: sessions, their fixation, forged requests, guessing, and hostile text."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from deploy.access.sessions import Sessions
from deploy.config.access_settings import AccessSettings
from deploy.console.access import ATTEMPTS
from deploy.console.addresses import check_address, transport
from deploy.console.context import Console
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import MemoryLog
from tests.deploy.console.consoles import ADDRESS, FORM_HEADERS, browser, console_on
from tests.deploy.console.people import PASSWORD, PASSWORDS, session_of

EVIL = "<script>alert(1)</script>\"'{{1234*5678}}\u202e"


@pytest.fixture
def console(tmp_path: Path) -> Console:
    created = console_on(MemoryLog(), tmp_path, now=1000.0, access=PASSWORDS)
    created.access.people.add("Petra", PASSWORD, now=0.0)
    created.access.people.add("nils", PASSWORD, now=0.0)
    return created


def sign_in(pages: TestClient, name: str = "petra", password: str = PASSWORD, **form: str):  # type: ignore[no-untyped-def]
    return pages.post(
        "/sign-in", data={"name": name, "password": password, **form}, headers=FORM_HEADERS
    )


def test_a_sign_in_leads_to_the_page_that_was_asked_for(console: Console) -> None:
    pages = browser(console)
    away = pages.get("/approvals?a=b")
    assert away.headers["location"] == "/sign-in?following=%2Fapprovals%3Fa%3Db"
    form = pages.get(away.headers["location"])
    assert 'value="/approvals?a=b"' in form.text
    answer = sign_in(pages, following="/approvals?a=b")
    assert (answer.status_code, answer.headers["location"]) == (303, "/approvals?a=b")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    page = pages.get("/approvals")
    assert "Signed in as <strong>Petra</strong> (approver)" in page.text
    assert pages.get("/api/v1/me").json()["how"] == "session"


@pytest.mark.parametrize(
    "following",
    ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)",
     "/a\r\nb: c", "", "evil", "/\t/evil.example"],
)  # fmt: skip
def test_a_sign_in_never_leads_to_another_site(console: Console, following: str) -> None:
    answer = sign_in(browser(console), following=following)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_the_session_has_another_id_after_the_sign_in(console: Console) -> None:
    """A session that an attacker placed in the browser is not the one that is signed in."""
    pages, access = browser(console), console.access
    planted = access.sessions.begin("vera", now=access.now())
    pages.cookies.set(access.cookie, planted, domain="127.0.0.1", path="/")
    sign_in(pages)
    assert pages.cookies[access.cookie] != planted
    assert access.sessions.person(planted, now=access.now()) is None
    pages.cookies.set(access.cookie, "made-up", domain="127.0.0.1", path="/")
    assert pages.get("/").status_code == 303


def test_a_session_ends_by_sign_out_by_time_and_when_it_is_not_used(
    console: Console, tmp_path: Path
) -> None:
    pages, access = browser(console), console.access
    sign_in(pages)
    secret = pages.cookies[access.cookie]
    assert pages.post("/sign-out", headers=FORM_HEADERS).headers["location"] == "/sign-in"
    assert access.sessions.person(secret, now=access.now()) is None
    sessions: Sessions = access.sessions
    begun = sessions.begin("petra", now=1000.0)
    idle, longest = access.settings.idle, access.settings.session
    assert sessions.person(begun, now=1000.0 + idle - 1.0) == "petra"
    assert sessions.person(begun, now=1000.0 + 2 * idle) is None
    used = sessions.begin("petra", now=1000.0)
    for at in range(1000, 1000 + int(longest), int(idle / 2)):
        assert sessions.person(used, now=float(at)) == "petra"
    assert sessions.person(used, now=1000.0 + longest) is None


def test_a_new_password_ends_the_sessions(console: Console) -> None:
    pages = session_of(console, "Petra")
    assert pages.get("/").status_code == 200
    console.access.people.set_password("PETRA", "another long password")
    assert pages.get("/").status_code == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"{ADDRESS}.evil.example"},
        {"origin": "http://[bad"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", "origin": ADDRESS},
        {"sec-fetch-site": "none"},
        {"authorization": "Bearer x"},
    ],
)
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/approvals/1", "/api/v1/tokens"])
def test_requests_of_other_sites_are_refused(
    console: Console, path: str, headers: dict[str, str]
) -> None:
    pages = session_of(console, "petra")
    answer = pages.post(path, headers=headers, data={"name": "petra", "password": PASSWORD})
    assert answer.status_code in (401, 403)  # 401: with a header that makes the cookie not count
    assert answer.status_code == 403 or path.startswith("/api/")
    assert pages.get("/").status_code == 200  # the session is as it was


def test_a_browser_page_of_the_console_may_use_the_api(console: Console) -> None:
    pages = session_of(console, "petra")
    content = {"label": "mine", "role": "approver", "days": 1}
    created = pages.post("/api/v1/tokens", headers=FORM_HEADERS, json=content)
    assert created.status_code == 201
    token = created.json()["token"]
    listed = pages.get("/api/v1/tokens").text
    assert created.json()["id"] in listed
    assert token not in listed
    assert token.encode() not in (console.reader._file.parent / "access/access.sqlite").read_bytes()
    too_high = pages.post("/api/v1/tokens", headers=FORM_HEADERS, json=content | {"role": "admin"})
    assert too_high.status_code == 403


def test_guessing_is_slowed_down_and_tells_no_names(console: Console) -> None:
    answers = [sign_in(browser(console), name, "wrong password") for name in ("petra", "nobody")]
    assert [answer.status_code for answer in answers] == [401, 401]
    texts = {answer.text.replace("nobody", "petra") for answer in answers}
    assert len(texts) == 1
    while sign_in(browser(console), "petra", "wrong password").status_code == 401:
        pass
    refused = sign_in(browser(console))
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0


def test_many_attempts_at_once_are_no_more_than_one_after_another(console: Console) -> None:
    browsers = [browser(console) for _ in range(ATTEMPTS + 3)]
    with ThreadPoolExecutor(len(browsers)) as pool:
        answers = [
            answer.status_code
            for answer in pool.map(lambda pages: sign_in(pages, "petra", "a guess"), browsers)
        ]
    assert answers.count(401) <= ATTEMPTS
    assert set(answers) == {401, 429}


def test_a_right_password_costs_no_attempt(console: Console) -> None:
    for _ in range(ATTEMPTS + 2):
        assert sign_in(browser(console)).status_code == 303


def test_a_person_without_a_role_is_told_so(console: Console) -> None:
    answer = sign_in(browser(console), "nils")
    assert answer.status_code == 403
    assert "no role" in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("field", ["name", "password", "following"])
def test_hostile_text_is_escaped_on_the_sign_in_page(console: Console, field: str) -> None:
    answer = sign_in(browser(console), **{"name": "x", "password": "y", field: EVIL})
    assert answer.status_code == 401
    assert "<script>alert" not in answer.text
    assert "7006652" not in answer.text
    assert "\u202e" not in answer.text


def test_requests_are_limited_by_person_and_by_size(tmp_path: Path) -> None:
    section = {**PASSWORDS} | {"requests": 1}
    created = console_on(MemoryLog(), tmp_path, now=1000.0, access=section)
    pages = session_of(created, "vera")
    statuses = [pages.get("/api/v1/me").status_code for _ in range(8)]
    assert statuses[:5] == [200] * 5
    assert statuses[-1] == 429
    assert session_of(created, "olaf").get("/api/v1/me").status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/api/v1/tokens"])
def test_long_bodies_are_refused_also_without_a_length(console: Console, path: str) -> None:
    pages = session_of(console, "petra")
    form = {**FORM_HEADERS, "content-type": "application/x-www-form-urlencoded"}
    assert pages.post(path, headers=form, content=b"name=" + b"x" * 70_000).status_code == 413
    chunks = (b"name=" + b"x" * 1000 for _ in range(100))
    assert pages.post(path, headers=form, content=chunks).status_code == 413


@pytest.mark.parametrize(
    "path",
    ["/models/..%2f..%2fetc", "/records/%00", "/assets/..%2fapp.py", "/approvals/a%0d%0ab:c",
     "/api/v1/records/..%2F..%2Fetc", "/api/v1/records/%0d%0ax", "/sign-in/%2e%2e/settings",
     "/api/v1/commands/%ff"],
)  # fmt: skip
def test_hostile_paths_find_nothing_and_inject_nothing(console: Console, path: str) -> None:
    answer = session_of(console, "petra").get(path)
    assert answer.status_code == 404
    assert "x" not in answer.headers
    assert "b" not in answer.headers


def test_a_foreign_name_of_this_machine_is_refused(console: Console) -> None:
    for path in ("/", "/api/v1/me", "/sign-in"):
        answer = session_of(console, "petra").get(path, headers={"host": "evil.example"})
        assert answer.status_code == 421


SAFE = {
    "sign_in": "password",
    "roles": [{"person": "ada", "role": "admin"}],
    "address": "https://driftline.example",
}


@pytest.mark.parametrize(
    ("changed", "said_why"),
    [
        ({"sign_in": "none"}, "no sign-in"),
        ({"address": "", "certificate_file": "c", "key_file": "k"}, "access.address"),
        ({}, "TLS"),
        ({"address": "http://driftline.example", "certificate_file": "c", "key_file": "k"}, "TLS"),
    ],
)
def test_other_addresses_need_sign_in_tls_and_a_name(
    changed: dict[str, object], said_why: str
) -> None:
    with pytest.raises(ConfigurationError, match=said_why):
        check_address("0.0.0.0", AccessSettings.model_validate(SAFE | changed))


@pytest.mark.parametrize(
    "added", [{"certificate_file": "c", "key_file": "k"}, {"proxy": "10.0.0.1"}]
)
def test_with_sign_in_tls_and_a_name_any_address_is_allowed(added: dict[str, object]) -> None:
    check_address("0.0.0.0", AccessSettings.model_validate(SAFE | added))


def test_behind_a_proxy_only_the_proxy_says_who_asks(console: Console) -> None:
    way = transport(AccessSettings.model_validate(SAFE | {"proxy": "10.0.0.1"}), 8580)
    forwarded = {"x-forwarded-for": "1.1.1.1, 192.0.2.7", "x-forwarded-proto": "https"}
    assert way.client("10.0.0.1", forwarded) == ("192.0.2.7", "")
    assert "proxy only" in way.client("192.0.2.9", forwarded)[1]
    assert "https only" in way.client("10.0.0.1", {"x-forwarded-proto": "http"})[1]
    served = replace(console, transport=way)
    answer = browser(served).get("/sign-in")  # the test client is not the proxy
    assert answer.status_code == 403
    assert "max-age" in answer.headers["strict-transport-security"]
