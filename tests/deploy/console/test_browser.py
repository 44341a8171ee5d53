"""The console in a real Chromium: accessible, live, local, and usable without JavaScript."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from deploy.config.paths import PROJECT
from deploy.console.context import Console
from deploy.console.security import Transport, loopback_hosts
from deploy.console.server import ConsoleServer, Feeder
from deploy.projection.writer import ProjectionWriter
from streaming.contracts.records import ApprovalRequest, Command, DriftVerdict
from tests.deploy.console import chromium, operations, scenario
from tests.deploy.console.people import PASSWORDS
from tests.deploy.console.test_decisions import PausingLog, answering, copied
from tests.deploy.projection.builders import verdict
from tests.engine_ports import port_offset
from tests.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.engine

PORT = port_offset(580)
ADDRESS = f"http://127.0.0.1:{PORT}"
SHOTS = PROJECT / ".driftline" / "test" / "console"
"""Screenshots of every page, kept for people to look at."""
MAX_SHOT_HEIGHT = 5000
"""Pixels; the browser cannot take a picture of the longest page in one piece."""
LOOKS = [("light", 400), ("light", 1600), ("dark", 400), ("dark", 1600)]
LOAD_PICTURES = (
    "async () => { for (const i of document.images) { i.loading = 'eager'; await i.decode(); } }"
)


class LiveLog(PausingLog):
    """A log whose commands are answered at once and whose consumer pauses."""

    def append(self, records: Any, **options: Any) -> None:
        answering(self).append(records)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        chromium.fetch()
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"npm does not give the browser: {error}")
    with chromium.chromium() as running:
        yield running


@dataclass
class Served:
    """A console that is served for the browser."""

    console: Console
    log: LiveLog
    messages: list[str] = field(default_factory=list)
    """What the browser complained about, and requests that left the machine."""

    def open(self, browser: Browser, path: str, **options: Any) -> Page:
        context = browser.new_context(
            locale="en-GB", timezone_id="UTC", reduced_motion="reduce", **options
        )
        page = context.new_page()
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self._check(request.url))
        page.goto(ADDRESS + path, wait_until="load")
        return page

    def _check(self, url: str) -> None:
        if not url.startswith(ADDRESS):
            self.messages.append(f"a request left the machine: {url}")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    yield from serving(tmp_path)


@pytest.fixture
def signing_in(tmp_path: Path) -> Iterator[Served]:
    """A console with a sign-in by password."""
    yield from serving(tmp_path, access=PASSWORDS)


def serving(tmp_path: Path, **options: Any) -> Iterator[Served]:
    source = copied()
    log = LiveLog(clock=source.clock, _partitions=source._partitions, _topics=source._topics)
    console = replace(
        operations.operating(log, tmp_path, now=scenario.shared().clock.now(), **options),
        transport=Transport(hosts=loopback_hosts(PORT)),
    )
    feeder = Feeder(log, ProjectionWriter(tmp_path), console.feed, console.live)
    feeder.start()
    server = ConsoleServer(console, host="127.0.0.1", port=PORT)
    thread = threading.Thread(target=server.run)
    thread.start()
    wait_for(lambda: server.started, 30.0)
    served = Served(console, log)
    yield served
    server.should_exit = True
    thread.join()
    feeder.stop()
    assert served.messages == []


def request_of(served: Served) -> ApprovalRequest:
    (row,) = served.console.reader.open_requests()
    request = served.console.reader.record(row.record_id, ApprovalRequest)
    assert request is not None
    return request


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_every_page_is_accessible_and_fits(
    browser: Browser, served: Served, scheme: str, width: int
) -> None:
    request = request_of(served).record_id
    pages = {
        "overview": "/",
        "model": f"/models/{scenario.MODEL}",
        "approvals": "/approvals",
        "decision": f"/approvals/{request}",
        "record": f"/records/{request}",
        "dead-letters": "/dead-letters",
        "settings": "/settings",
        "runs": "/runs",
        "run": f"/runs/{operations.finished_run(served.console)}",
        "run-failed": f"/runs/{operations.FAILED}",
        "compare": f"/runs/compare?run={operations.RUNNING}"
        f"&run={operations.finished_run(served.console)}",
        "schedules": "/schedules",
        "experiments": f"/models/{scenario.MODEL}/experiments",
        "audit": "/audit",
    }
    for name, path in pages.items():
        page = served.open(
            browser, path, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
        check_look(page, name, scheme, width)
        page.context.close()


def check_look(page: Page, name: str, scheme: str, width: int) -> None:
    """Keep a screenshot; nothing may overflow, and axe must have no finding."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.evaluate(LOAD_PICTURES)
    height = min(page.evaluate("document.documentElement.scrollHeight"), MAX_SHOT_HEIGHT)
    page.screenshot(
        path=SHOTS / f"{name}-{scheme}-{width}.png",
        full_page=True,
        clip={"x": 0, "y": 0, "width": width, "height": height},
    )
    overflow = page.evaluate(
        "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    assert overflow == 0, name
    page.evaluate(chromium.axe())
    violations = page.evaluate(
        "async () => (await axe.run()).violations.map(v => [v.id, v.nodes[0].html])"
    )
    assert violations == [], name


def test_a_version_is_approved_without_javascript(browser: Browser, served: Served) -> None:
    request = request_of(served)
    page = served.open(browser, "/", java_script_enabled=False)
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Reason").fill("The slices look right")
    page.get_by_role("button", name="Yes, let it go on").click()
    assert page.url == f"{ADDRESS}/approvals/{request.record_id}"
    wait_for(lambda: newest_command(served).digest == request.digest, 10.0)
    newest = newest_command(served)
    assert (newest.action, newest.digest, newest.reason) == (
        "approve",
        request.digest,
        "The slices look right",
    )
    page.context.close()


def newest_command(served: Served) -> Command:
    newest = served.console.reader.newest_record(Command, scenario.MODEL)
    assert newest is not None
    return newest


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_the_sign_in_page_is_accessible_and_fits(
    browser: Browser, signing_in: Served, scheme: str, width: int
) -> None:
    page = signing_in.open(
        browser, "/runs", color_scheme=scheme, viewport={"width": width, "height": 900}
    )
    assert page.url.startswith(f"{ADDRESS}/sign-in")
    check_look(page, "sign-in", scheme, width)
    page.context.close()


def test_runs_are_chosen_and_compared_by_keyboard_alone(browser: Browser, served: Served) -> None:
    page = served.open(browser, "/runs")
    pressed = 0
    while pressed < 2:
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.type") == "checkbox":
            page.keyboard.press("Space")
            pressed += 1
    while page.evaluate("document.activeElement.type") != "submit":
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="2 runs side by side").wait_for()
    page.context.close()


def test_the_audit_is_filtered_without_javascript(browser: Browser, served: Served) -> None:
    page = served.open(browser, "/audit", java_script_enabled=False)
    page.get_by_label("person").select_option("petra")
    page.get_by_role("button", name="Search").click()
    page.get_by_text("the night shift asked for it").wait_for()
    assert page.get_by_text("waiting for the holidays").count() == 0
    page.context.close()


def test_an_open_page_is_redrawn_and_what_was_typed_stays(browser: Browser, served: Served) -> None:
    request = request_of(served)
    overview = served.open(browser, "/")
    decision = served.open(browser, f"/approvals/{request.record_id}")
    decision.get_by_label("Reason").fill("half a sentence")
    served.log.append([later_verdict(served)])
    overview.get_by_text("a window that came later").wait_for(timeout=10_000)
    decision.locator("img[src*=verdict-big_tipper]").first.wait_for(state="attached")
    assert decision.get_by_label("Reason").input_value() == "half a sentence"
    overview.context.close()
    decision.context.close()


def later_verdict(served: Served) -> DriftVerdict:
    """A verdict that is newer than all others."""
    now = served.console.now()
    return msgspec.structs.replace(
        verdict(1, model=scenario.MODEL, outcome="suspected"),
        at=now,
        reason="a window that came later",
        window_end=now,
    )
