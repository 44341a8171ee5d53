"""The pages on the records of a control loop that waits for an approval."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from deploy.console.context import Console
from deploy.console.security import CONTENT_SECURITY_POLICY
from streaming.contracts import topics
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import ApprovalRequest, DriftVerdict, ModelVersion
from tests.deploy.console import scenario
from tests.deploy.console.consoles import browser, console_on

MODEL = scenario.MODEL


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    loop = scenario.shared()
    console = console_on(loop.log, tmp_path_factory.mktemp("console"), now=loop.clock.now())
    yield console
    console.reader.close()


@pytest.fixture(scope="module")
def pages(console: Console) -> TestClient:
    return browser(console)


def request_of(console: Console) -> ApprovalRequest:
    (row,) = console.reader.open_requests()
    request = console.reader.record(row.record_id, ApprovalRequest)
    assert request is not None
    return request


def addresses(console: Console) -> list[str]:
    loop = scenario.shared()
    records = [loop.records(kind)[-1] for kind in (DriftVerdict, ModelVersion, ApprovalRequest)]
    return [
        "/",
        f"/models/{MODEL}",
        f"/models/{MODEL}?feature=fare",
        "/approvals",
        f"/approvals/{request_of(console).record_id}",
        *(f"/approvals/{record.record_id}" for record in loop.records(ApprovalRequest)),
        *(f"/records/{record.record_id}" for record in records),
        "/dead-letters",
        "/settings",
    ]


class Page(HTMLParser):
    """Notes what would need an exception in the policy, and what a screen reader would miss."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.ids: list[str] = []
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self._script = tag == "script"
        if tag == "style" or (tag == "script" and "src" not in values):
            self.problems.append(f"inline {tag}")
        for name, value in attrs:
            if name == "style" or name.startswith("on") or "javascript:" in (value or ""):
                self.problems.append(f"{tag} {name}={value}")
            if name in ("src", "href", "action") and re.match(r"(https?:)?//", value or ""):
                self.problems.append(f"from elsewhere: {value}")
        if tag == "img" and not values.get("alt"):
            self.problems.append("image without a text")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if values.get("id"):
            self.ids.append(values["id"] or "")


def test_every_page_obeys_the_policy_and_can_be_read_aloud(
    pages: TestClient, console: Console
) -> None:
    for address in addresses(console):
        response = pages.get(address)
        assert response.status_code == 200, address
        assert response.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert response.headers["cache-control"] == "no-store"
        page = Page(response.text)
        assert page.problems == [], address
        assert page.headings.count("h1") == 1
        assert len(set(page.ids)) == len(page.ids), address


def test_every_link_of_every_page_leads_somewhere(pages: TestClient, console: Console) -> None:
    links = {
        link.partition("#")[0]
        for address in addresses(console)
        for link in Page(pages.get(address).text).links
    }
    assert len(links) > 20
    broken = {link for link in links if link and pages.get(link).status_code != 200}
    assert broken == set()


def test_the_first_page_says_what_is_live_what_is_wrong_and_what_needs_a_person(
    pages: TestClient, console: Console
) -> None:
    text = pages.get("/").text
    assert "1 decision needs you" in text
    assert "version 1" in text
    assert "Decide on version 2 before canary" in text
    assert f"/approvals/{request_of(console).record_id}" in text
    assert "drifted" in text
    assert "approval before canary of version 2" in text


def test_the_models_page_gives_value_limit_and_n_of_each_feature(pages: TestClient) -> None:
    text = pages.get(f"/models/{MODEL}").text
    verdict = scenario.shared().records(DriftVerdict)[-1]
    for feature in verdict.features:
        assert f"feature={feature.feature.replace('(', '%28').replace(')', '%29')}" in text
        if feature.tests:
            assert f"{feature.effect:.2f} sd" in text
            assert f"{feature.limit_sd:.2f} sd" in text
    assert "driftline drift big_tipper --feature" in text
    assert "Evaluation of version 2" in text
    assert "0.890 to 0.910" in text


def test_the_decision_page_shows_what_it_is_bound_to_and_why_it_is_asked(
    pages: TestClient, console: Console
) -> None:
    request = request_of(console)
    text = pages.get(f"/approvals/{request.record_id}").text
    for shown in (request.digest, request.artifact, request.evaluation, request.comparison):
        assert shown in text
    for sentence in ("retrain because of drift", "drifted", "version 2 blessed"):
        assert sentence in text
    assert 'value="approve"' in text
    assert 'value="reject"' in text
    assert f'<input type="hidden" name="digest" value="{request.digest}">' in text


def test_a_decided_request_has_no_form(pages: TestClient) -> None:
    first = scenario.shared().records(ApprovalRequest)[0]
    text = pages.get(f"/approvals/{first.record_id}").text
    assert "<form" not in text
    assert "ann said yes" in text


def test_lineage_is_walked_both_ways(pages: TestClient, console: Console) -> None:
    request = request_of(console)
    links = Page(pages.get(f"/records/{request.record_id}").text).links
    causes = [row.record_id for row in console.reader.causes(request.record_id)]
    assert causes
    for cause in causes:
        assert f"/records/{cause}" in links
        back = Page(pages.get(f"/records/{cause}").text).links
        assert f"/records/{request.record_id}" in back


def test_pictures_say_what_is_seen_and_are_not_sent_twice(
    pages: TestClient, console: Console
) -> None:
    text = pages.get(f"/models/{MODEL}").text
    (alt,) = re.findall(r'kind|/drift\.svg[^>]*?alt="([^"]+)"', text, re.DOTALL)[-1:]
    assert "sd" in alt
    bodies = set()
    for variant in ("", "-dark", "-narrow", "-narrow-dark"):
        picture = pages.get(f"/pictures/{MODEL}/drift.svg?variant={variant}")
        assert picture.headers["content-type"] == "image/svg+xml"
        assert picture.headers["cache-control"] == "private, no-cache"
        assert picture.text.startswith("<svg")
        bodies.add(picture.text)
        etag = picture.headers["etag"]
        again = pages.get(
            f"/pictures/{MODEL}/drift.svg?variant={variant}", headers={"if-none-match": etag}
        )
        assert (again.status_code, again.content) == (304, b"")
    assert len(bodies) == 4
    for kind in ("quality", "comparison"):
        assert pages.get(f"/pictures/{MODEL}/{kind}.svg").status_code in (200, 404)
    assert pages.get(f"/pictures/{MODEL}/drift.svg?subject=fare").status_code == 200


def test_what_does_not_exist_is_a_page_that_leads_back(pages: TestClient) -> None:
    for address in (
        "/models/nobody",
        f"/models/{MODEL}?feature=nothing",
        "/approvals/none",
        "/records/none",
        "/nothing",
        f"/pictures/{MODEL}/drift.svg?variant=huge",
        f"/pictures/{MODEL}/drift.svg?subject=nothing",
        "/assets/../app.py",
        "/assets/licences",
    ):
        response = pages.get(address)
        assert response.status_code == 404, address
        assert 'href="/"' in response.text


def test_before_the_first_record_each_page_says_what_to_do(tmp_path: Path) -> None:
    log = MemoryLog()
    log.ensure(topics.RECORD_TOPICS)
    pages = browser(console_on(log, tmp_path, now=0.0))
    first = pages.get("/").text
    for sentence in (
        "No version is live yet",
        "Nothing was judged yet",
        "events: no window was judged",
        "driftline status",
    ):
        assert sentence in first, sentence
    assert "events: no window was judged" in pages.get(f"/models/{MODEL}").text
    assert "driftline job status big_tipper" in pages.get(f"/models/{MODEL}").text
    assert "Nothing waits for a decision" in pages.get("/approvals").text
    assert "Every event could be used" in pages.get("/dead-letters").text
    assert "models.big_tipper" in pages.get("/settings").text


def test_a_log_that_cannot_be_reached_is_said_on_every_page(tmp_path: Path) -> None:
    log = MemoryLog()
    console = console_on(log, tmp_path, now=0.0)
    console.feed.problem = "Kafka at k:9092 did not respond."
    for address in ("/", "/approvals", "/settings"):
        text = browser(console).get(address).text
        assert "Nothing new arrives" in text
        assert "Kafka at k:9092 did not respond." in text
    assert browser(console).get("/health").json() == {
        "read": True,
        "problem": "Kafka at k:9092 did not respond.",
    }
