"""The forms that give commands: who may, once for each form, bound to what was shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from deploy.console.command_forms import experiment_input
from deploy.console.context import Console
from deploy.records import reader
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import Command
from tests.deploy.console import operations, scenario
from tests.deploy.console.consoles import FORM_HEADERS, browser, console_on
from tests.deploy.console.people import MODEL, PASSWORDS, ROLES, STRANGER, session_of
from tests.deploy.console.test_api_experiments import digest
from tests.deploy.console.test_decisions import answering, copied
from tests.deploy.console.test_foreign_text import (
    ESCAPED,
    EVIL,
    assert_harmless,
    extra_records,
)

NOBODY = "nobody"
PEOPLE = (NOBODY, STRANGER, *ROLES)
OPERATE = (401, 401, 403, 200, 200, 200)
APPROVE = (401, 401, 403, 403, 200, 200)
"""Statuses for nobody, a person without a role, viewer, operator, approver and admin."""


def form(action: str, **changes: str) -> tuple[str, dict[str, str]]:
    """Where a form is sent, and what is sent with it."""
    fields = {"model": MODEL, "key": "key-of-this-form", "reason": "tried", **changes}
    if action == "start-experiment":
        experiment = {"arm": f"2 {digest(2)}", "percent": "20", "length": "1h", "begin": "+10m"}
        return "/experiments", experiment | fields
    return "/commands", {"action": action} | fields


TABLE: dict[str, tuple[dict[str, str], tuple[int, ...]]] = {
    "retrain": ({}, OPERATE),
    "start-experiment": ({}, OPERATE),
    "stop-experiment": ({"subject": "e"}, OPERATE),
    "accept-schema": ({"subject": "abc", "digest": "e"}, APPROVE),
    "reject-schema": ({"subject": "abc", "digest": "e"}, APPROVE),
}


@pytest.fixture
def log() -> MemoryLog:
    return answering(copied())


@pytest.fixture
def console(log: MemoryLog, tmp_path: Path) -> Console:
    return console_on(log, tmp_path, now=scenario.shared().clock.now(), access=PASSWORDS)


def given(log: MemoryLog) -> list[Command]:
    known = {record.record_id for record in scenario.shared().records(Command)}
    return [entry for entry in reader.records(log, Command) if entry.record_id not in known]


def send(pages: TestClient, action: str, **changes: str) -> Any:
    address, fields = form(action, **changes)
    return pages.post(address, data=fields, headers=FORM_HEADERS)


@pytest.mark.parametrize("person", PEOPLE)
def test_every_form_for_every_role(console: Console, log: MemoryLog, person: str) -> None:
    pages = browser(console) if person == NOBODY else session_of(console, person)
    got = {
        action: send(pages, action, **fields).status_code for action, (fields, _) in TABLE.items()
    }
    place = PEOPLE.index(person)
    assert got == {action: statuses[place] for action, (_, statuses) in TABLE.items()}
    accepted = [action for action, status in got.items() if status == 200]
    assert [command.action for command in given(log)] == accepted
    for command in given(log):
        assert (command.who, command.role) == (person, ROLES[person])
        assert (command.channel, command.reason) == ("console", "tried")


def test_a_form_acts_once_and_an_edited_one_again(console: Console, log: MemoryLog) -> None:
    pages = session_of(console, "olaf")
    for _ in range(3):
        answer = send(pages, "retrain", reason="new tariff")
        assert answer.status_code == 200
        assert "Accepted: retrain" in answer.text
        assert "It counts." in answer.text
    assert len(given(log)) == 1
    assert send(pages, "retrain", reason="new tariff, once more").status_code == 200
    assert send(session_of(console, "petra"), "retrain", reason="new tariff").status_code == 200
    assert [command.who for command in given(log)] == ["olaf", "olaf", "petra"]


@pytest.mark.parametrize(
    ("action", "changes", "status", "reason"),
    [
        ("retrain", {"reason": "  "}, 422, "The reason is missing"),
        ("retrain", {"reason": "x" * 2001}, 422, "at most 2000"),
        ("retrain", {"key": ""}, 422, "incomplete"),
        ("retrain", {"key": "key\nof-this"}, 422, "incomplete"),
        ("retrain", {"model": "other"}, 404, "no model other"),
        ("promote", {}, 422, "incomplete"),
        ("approve", {}, 422, "incomplete"),
        ("accept-schema", {"subject": "abc"}, 422, "incomplete"),
        ("start-experiment", {"arm": "2 d"}, 409, "not the one that was"),
        ("start-experiment", {"arm": "9 d"}, 404, "no version 9"),
        ("start-experiment", {"arm": ""}, 422, "needs a version"),
        ("start-experiment", {"percent": "0"}, 422, "percent"),
        ("start-experiment", {"percent": "nan"}, 422, "percent"),
        ("start-experiment", {"percent": "all"}, 422, "needs a version"),
        ("start-experiment", {"length": "soon"}, 422, "needs a version"),
        ("start-experiment", {"length": "0s"}, 422, "seconds"),
        ("start-experiment", {"begin": "tomorrow"}, 422, "needs a version"),
        ("start-experiment", {"reason": ""}, 422, "The reason is missing"),
    ],
)
def test_what_cannot_work_is_refused_and_nothing_is_sent(
    console: Console, log: MemoryLog, action: str, changes: dict[str, str], status: int, reason: str
) -> None:
    answer = send(session_of(console, "ada"), action, **changes)
    assert answer.status_code == status, answer.text
    assert reason in answer.text
    assert given(log) == []


def test_a_form_of_another_site_is_refused(console: Console, log: MemoryLog) -> None:
    pages = session_of(console, "ada")
    for action, (fields, _) in TABLE.items():
        address, content = form(action, **fields)
        for headers in (
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
            {"origin": "http://127.0.0.1:9999"},
            {"origin": "null"},
            {},
        ):
            assert pages.post(address, data=content, headers=headers).status_code == 403
    assert given(log) == []


def test_the_daemons_no_and_its_silence_are_said(tmp_path: Path) -> None:
    refusing = answering(copied(), accepts=False, reason="Conflict: a retrain is in flight.")
    now = scenario.shared().clock.now()
    pages = browser(console_on(refusing, tmp_path / "a", now=now))
    answer = send(pages, "retrain")
    assert answer.status_code == 409
    assert "Not done: retrain" in answer.text
    assert "a retrain is in flight" in answer.text
    assert "tried" in answer.text  # what was typed is not lost


def test_an_experiment_is_bound_to_the_version_that_was_shown(
    console: Console, log: MemoryLog
) -> None:
    pages = session_of(console, "olaf")
    assert send(pages, "start-experiment").status_code == 200
    (command,) = given(log)
    experiment = command.experiment
    assert experiment is not None
    assert [(arm.version, arm.share) for arm in experiment.arms] == [(1, 2000), (2, 2000)]
    assert experiment.begin == pytest.approx(console.now() + 600.0)
    assert experiment.end - experiment.begin == pytest.approx(3600.0)
    shown = pages.get(f"/models/{MODEL}/experiments").text
    assert f'<option value="2 {digest(2)}">' in shown


def test_an_experiment_begins_at_once_at_a_date_or_later() -> None:
    def begin(text: str) -> float | None:
        return experiment_input("2 d", "20%", "7d", text, "r", now=1000.0).begin

    assert [begin(text) for text in ("", "+1h", "1970-01-02")] == [None, 4600.0, 86400.0]
    with pytest.raises(ConfigurationError, match="begin"):
        begin("-50")


def test_forms_are_shown_to_those_who_may_use_them(tmp_path: Path) -> None:
    log = answering(copied())
    now = scenario.shared().clock.now()
    log.append([*extra_records(now)])
    console = operations.operating(log, tmp_path, now=now, access=PASSWORDS)
    pages = {person: session_of(console, person) for person in ROLES}
    buttons = {
        f"/runs?model={MODEL}": ("Retrain big_tipper</button>", "vera"),
        "/runs": ("Retrain big_tipper</button>", "vera"),
        f"/models/{MODEL}/experiments": ("Stop it: all users meet", "vera"),
        f"/models/{MODEL}": ("Accept version 2 of the schema</button>", "olaf"),
    }
    for address, (button, barred) in buttons.items():
        assert button in pages["ada"].get(address).text, address
        text = pages[barred].get(address).text
        assert button not in text, address
        assert f"You ({barred}) cannot do this" in text, address
    keys = [re.findall(r'name="key" value="([^"]+)"', pages["ada"].get("/runs").text) for _ in "ab"]
    assert keys[0] != keys[1]


def test_foreign_text_in_forms_comes_back_escaped(console: Console, log: MemoryLog) -> None:
    pages = session_of(console, "ada")
    answer = send(pages, "retrain", reason=EVIL)
    assert answer.status_code == 200
    assert ESCAPED in answer.text
    assert_harmless(answer.text)
    for action in ("retrain", "start-experiment"):
        address, fields = form(action)
        for name in (*fields, "subject", "digest"):
            for text in (EVIL, 100 * EVIL, "\x00", "\r\nset-cookie: a=b"):
                answer = pages.post(address, data=fields | {name: text}, headers=FORM_HEADERS)
                assert answer.status_code in (200, 404, 409, 422), (name, text)
                assert answer.headers["content-type"].startswith("text/html")
                assert "set-cookie" not in answer.headers
                assert_harmless(answer.text)


@pytest.mark.parametrize("action", ["retrain", "start-experiment"])
def test_the_answer_of_a_form_is_not_redrawn_and_its_address_leads_to_the_audit(
    console: Console, log: MemoryLog, action: str
) -> None:
    pages = session_of(console, "olaf")
    answer = send(pages, action, **TABLE[action][0])
    assert "Accepted" in answer.text
    assert "hx-get" not in answer.text
    opened = pages.get(form(action)[0], follow_redirects=False)
    assert (opened.status_code, opened.headers["location"]) == (303, "/audit")
