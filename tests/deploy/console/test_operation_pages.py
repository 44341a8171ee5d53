"""Runs, schedules, experiments and the audit: what each page says, to whom, and what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.testclient import TestClient

from deploy.console.context import Console
from deploy.console.security import CONTENT_SECURITY_POLICY
from deploy.projection.runs import newest_runs
from retrain.run_view import Run
from streaming.contracts import topics
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from tests.deploy.console import operations, scenario
from tests.deploy.console.consoles import browser, console_on
from tests.deploy.console.operations import FAILED, RUNNING
from tests.deploy.console.people import PASSWORDS, session_of
from tests.deploy.console.test_decisions import copied
from tests.deploy.console.test_foreign_text import ESCAPED, EVIL, assert_harmless, poisoned
from tests.deploy.console.test_pages import Page

MODEL = scenario.MODEL


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    folder = tmp_path_factory.mktemp("console")
    created = operations.operating(copied(), folder, now=scenario.shared().clock.now())
    yield created
    created.reader.close()


@pytest.fixture(scope="module")
def pages(console: Console) -> TestClient:
    return browser(console)


def addresses(console: Console) -> list[str]:
    done = operations.finished_run(console)
    return [
        "/runs",
        f"/runs?model={MODEL}",
        f"/runs/{done}",
        f"/runs/{FAILED}",
        f"/runs/{RUNNING}",
        f"/runs/compare?run={done}&run={RUNNING}",
        "/schedules",
        f"/models/{MODEL}/experiments",
        "/audit",
        "/audit?person=petra&answer=refused",
        *(f"/models/{MODEL}?span={span}" for span in ("", "1d", "7d", "30d")),
    ]


def test_every_page_obeys_the_policy_and_its_links_lead_somewhere(
    pages: TestClient, console: Console
) -> None:
    links: set[str] = set()
    for address in addresses(console):
        response = pages.get(address)
        assert response.status_code == 200, (address, response.text)
        assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        page = Page(response.text)
        assert page.problems == [], address
        assert page.headings.count("h1") == 1, address
        assert len(set(page.ids)) == len(page.ids), address
        links |= {link.partition("#")[0] for link in page.links}
    broken = {link for link in links if link and pages.get(link).status_code != 200}
    assert broken == set()


def test_a_failed_run_says_where_why_and_what_to_do(pages: TestClient) -> None:
    text = pages.get(f"/runs/{FAILED}").text
    assert "<strong>In Trainer:</strong> The loss is no number after epoch 3." in text
    assert "Look at the newest examples." in text
    assert "driftline retrain big_tipper --reason" in text
    assert "Components: 5 of 7 begun" in text
    assert "Missing: parameters, curves and trials. ML Metadata has not recorded this run" in text


def test_a_running_one_shows_its_progress_and_how_to_end_it(pages: TestClient) -> None:
    text = pages.get(f"/runs/{RUNNING}").text
    assert "Components: 4 of 7 begun" in text
    assert "It goes on by itself; at most 9m more" in text
    assert "driftline retrain big_tipper --cancel" in text
    assert "1 retrain runs" not in pages.get("/runs").text  # the scheduled one waits, too
    assert "2 retrains run" in pages.get("/runs").text


def test_a_run_past_its_deadline_is_called_overdue(pages: TestClient) -> None:
    text = pages.get(f"/runs/{operations.SCHEDULED}").text
    assert "Its deadline has passed." in text
    assert "No worker has begun." in text


def test_a_finished_run_has_curves_parameters_trials_evaluation_and_log(
    pages: TestClient, console: Console
) -> None:
    done = operations.finished_run(console)
    text = pages.get(f"/runs/{done}").text
    assert "Its version waits for a decision." in text
    for shown in ("learning rate", "64, 32", "<strong>(best)</strong>", "0.33000", "auc"):
        assert shown in text
    (alt,) = re.findall(r'curves\.svg[^>]*?alt="([^"]+)"', text, re.DOTALL)
    assert "held back" in alt
    assert "at epoch" in alt
    addresses = re.findall(r'src="(/runs/curves\.svg[^"]+)"', text)
    address = addresses[0].replace("&amp;", "&")
    bodies = set()
    for variant in ("", "-narrow-dark"):
        picture = pages.get(address + variant)
        assert picture.headers["content-type"] == "image/svg+xml"
        bodies.add(picture.text)
        etag = {"if-none-match": picture.headers["etag"]}
        assert pages.get(address + variant, headers=etag).status_code == 304
    assert len(bodies) == 2


def test_runs_are_compared_and_differences_are_marked(pages: TestClient, console: Console) -> None:
    done = operations.finished_run(console)
    text = pages.get(f"/runs/compare?run={done}&run={RUNNING}").text
    assert "2 runs side by side" in text
    assert "<strong>0.003</strong>" in text
    assert f"driftline runs compare {done} {RUNNING}" in text
    for query in ("", f"?run={done}", f"?run={done}&run={done}"):
        refused = pages.get(f"/runs/compare{query}")
        assert refused.status_code == 422
        assert "Choose two to 6 runs to compare" in refused.text
    assert pages.get(f"/runs/compare?run={done}&run=none").status_code == 404


def test_ml_metadata_that_cannot_be_read_is_said_and_the_rest_is_shown(
    console: Console,
) -> None:
    def unreachable(run_id: str) -> None:
        raise UnavailableError("ML Metadata at k cannot be used: no answer.")

    text = browser(replace(console, recorded=unreachable)).get(f"/runs/{RUNNING}").text
    assert "Missing: parameters, curves and trials. ML Metadata at k cannot be used" in text
    assert "Components: 4 of 7 begun" in text


def test_the_schedule_gives_the_next_times_in_its_zone(pages: TestClient) -> None:
    text = pages.get("/schedules").text
    assert "0 3 * * 1" in text
    assert "Europe/Berlin" in text
    times = re.findall(r"<time>(\d{4}-\d\d-\d\d) (\d\d):00:00 UTC</time>(?:<br>|</td>)", text)
    assert len(times) >= 3
    assert {hour for _, hour in times[:3]} <= {"01", "02"}  # three o'clock in Berlin
    assert "What ends by itself" in text
    assert "the approval of version 2 before canary" in text
    assert "log loss" in text


def test_an_experiment_has_arms_intervals_and_its_sample_ratio(pages: TestClient) -> None:
    text = pages.get(f"/models/{MODEL}/experiments").text
    assert "Log loss of 2 versions of big_tipper, by user" in text
    for shown in ("+0.0120", "+0.0049 to +0.0191", "1210", "1233", "sample_ratio", "x-user-id"):
        assert shown in text, shown
    assert "driftline experiment stop big_tipper" in text
    assert "<strong>Sample ratio fails.</strong> 1210 and 640 users" in text
    listed = re.findall(r"experiments\?experiment=([0-9a-f]+)", text)
    assert len(set(listed)) == 2
    older = pages.get(f"/models/{MODEL}/experiments?experiment={listed[-1]}").text
    assert "A gain of 0.01 is excluded." in older
    assert "Missing for a picture: enough users" in older
    (address,) = re.findall(r'src="(/pictures/[^"]+experiment\.svg[^"]+)"', text)
    assert pages.get(address.replace("&amp;", "&")).text.startswith("<svg")
    assert pages.get(f"/models/{MODEL}/experiments?experiment=none").status_code == 404


def people_in(text: str) -> list[str]:
    return re.findall(r'<th scope="row">(\w+)<span class="muted detail">', text)


def test_the_audit_says_who_what_why_over_which_digest_and_the_answer(
    pages: TestClient, console: Console
) -> None:
    text = pages.get("/audit").text
    assert [name for name in people_in(text) if name != "ann"] == ["vera", "petra", "olaf"]
    for shown in (
        "the night shift asked for it",
        "<code>digest-2</code>",
        "by api",
        "operator,",
        "Conflict: stale digest.",
        "No answer was recorded.",
        "not authenticated",
    ):
        assert shown in text, shown
    assert "The request ended: approved." in text


@pytest.mark.parametrize(
    ("query", "people"),
    [
        ("person=petra", ["petra"]),
        ("action=retrain", ["olaf"]),
        ("answer=none", ["vera"]),
        ("answer=refused", ["petra"]),
        ("person=petra&answer=accepted", []),
        (f"model={MODEL}&action=pause", ["vera"]),
        ("since=2100-01-01", []),
        ("since={day}&until={day}&person=petra", ["petra"]),
        ("until={day_before}&person=petra", []),
        ("page=9999", []),
    ],
)
def test_the_audit_is_filtered(pages: TestClient, query: str, people: list[str]) -> None:
    at = datetime.fromtimestamp(scenario.shared().clock.now() - 290.0, UTC)
    day_before = at - timedelta(days=1)
    dated = query.format(day=f"{at:%Y-%m-%d}", day_before=f"{day_before:%Y-%m-%d}")
    response = pages.get(f"/audit?{dated}")
    assert response.status_code == 200
    assert people_in(response.text) == people


@pytest.mark.parametrize(
    "query", ["since=yesterday", "until=2026-13-40", "model=nobody", "action=x", "answer=maybe"]
)
def test_a_question_that_cannot_be_answered_is_refused_and_shows_nothing(
    pages: TestClient, query: str
) -> None:
    response = pages.get(f"/audit?{query}")
    assert response.status_code == 422
    assert "Not searched." in response.text
    assert people_in(response.text) == []


def test_the_course_has_its_events_on_one_axis_and_as_a_table(pages: TestClient) -> None:
    text = pages.get(f"/models/{MODEL}").text
    (alt,) = re.findall(r'course\.svg[^>]*?alt="([^"]+)"', text, re.DOTALL)
    assert "judged windows" in alt
    assert "retrains:" in alt
    table = text.partition("What happened, as a table")[2].partition("</table>")[0]
    for part in ("inputs", "retrain", "canary", "live version"):
        assert f'<th scope="row">{part}</th>' in table
    assert "drifted" in table
    for span in ("", "1d"):
        picture = pages.get(f"/pictures/{MODEL}/course.svg?subject={span}")
        assert picture.text.startswith("<svg")
        for panel in ("Inputs", "Retrains", "effect / limit", "version 1 live"):
            assert panel in picture.text
    assert pages.get(f"/models/{MODEL}?span=9y").status_code == 404
    assert pages.get(f"/pictures/{MODEL}/course.svg?subject=9y").status_code == 404


def test_what_does_not_exist_is_not_found(pages: TestClient) -> None:
    for address in ("/runs/none", "/runs?model=nobody", "/models/nobody/experiments",
                    "/runs/curves.svg", f"/runs/curves.svg?run={FAILED}",
                    f"/runs/curves.svg?run={RUNNING}&variant=huge"):  # fmt: skip
        assert pages.get(address).status_code == 404, address


def test_before_the_first_record_each_page_says_what_to_do(tmp_path: Path) -> None:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    empty = browser(console_on(log, tmp_path, now=0.0))
    assert "No retrain was requested yet." in empty.get("/runs").text
    assert "driftline retrain big_tipper --reason" in empty.get("/runs").text
    assert "No retrain is scheduled" in empty.get("/schedules").text
    assert "driftline experiment start" in empty.get(f"/models/{MODEL}/experiments").text
    assert "Nobody has given a command yet." in empty.get("/audit").text


def test_people_see_only_what_is_about_their_models(tmp_path: Path) -> None:
    section = {**PASSWORDS, "roles": [{"person": "vera", "role": "admin", "models": ["elsewhere"]}]}
    now = scenario.shared().clock.now()
    console = operations.operating(copied(), tmp_path, now=now, access=section)
    done = newest_runs(console.reader, (MODEL,), 9)[0].request.record_id
    own = session_of(console, "vera")
    for address in ("/runs", "/schedules", "/audit"):
        text = own.get(address).text
        assert MODEL not in text
        assert "petra" not in text
    for address in (f"/runs/{done}", f"/runs/compare?run={done}&run={RUNNING}",
                    f"/runs/curves.svg?run={RUNNING}", f"/models/{MODEL}/experiments"):  # fmt: skip
        assert own.get(address).status_code == 404, address
    assert own.get(f"/audit?model={MODEL}").status_code == 422
    for address in ("/runs", "/schedules", "/audit", f"/runs/{done}"):
        assert browser(console).get(address).status_code == 303


def test_foreign_text_is_shown_and_never_interpreted(tmp_path: Path) -> None:
    import msgspec

    from streaming.contracts.codec import decode, encode

    log, now = MemoryLog(), scenario.shared().clock.now()
    log.ensure(topics.RECORD_TOPICS)
    kept = {"experiment_id", "arm", "user_header", "user_field", "metric", "worker", "who", "role"}
    for record in operations.records(now):
        content = msgspec.json.decode(encode(record))
        bad = {
            name: value
            if name in kept | {"definition", "counts", "effects"}
            else poisoned(value)
            if name in ("reason", "advice", "detail", "gates")
            else value
            for name, value in content.items()
        }
        bad |= {name: EVIL for name in ("who", "role") if name in bad}
        log.append([decode(msgspec.json.encode(bad))])
    pages = browser(replace(console_on(log, tmp_path, now=now), recorded=_evil_run))
    shown = 0
    for address in ("/runs", f"/runs/{FAILED}", f"/runs/{RUNNING}", "/schedules", "/audit",
                    f"/runs/compare?run={FAILED}&run={RUNNING}", f"/models/{MODEL}/experiments",
                    f"/audit?person={quote(EVIL)}"):  # fmt: skip
        response = pages.get(address)
        assert response.status_code == 200, address
        assert_harmless(response.text)
        shown += ESCAPED in response.text
    assert shown >= 7
    for address in (f"/runs/{quote(EVIL, safe='')}", f"/audit?since={quote(EVIL)}",
                    f"/runs/compare?run={quote(EVIL)}&run=x"):  # fmt: skip
        assert_harmless(pages.get(address).text)


def _evil_run(run_id: str) -> Run:
    import msgspec

    run = operations.recorded(RUNNING)
    assert run is not None
    return msgspec.structs.replace(
        run, parameters={EVIL: EVIL}, trials=({"id": EVIL, "values": 3},)
    )
