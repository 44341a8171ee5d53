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
from tests.deploy.console import chromium, scenario
from tests.deploy.console.consoles import console_on
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
    source = copied()
    log = LiveLog(clock=source.clock, _partitions=source._partitions, _topics=source._topics)
    console = replace(
        console_on(log, tmp_path, now=scenario.shared().clock.now()),
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
    }
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name, path in pages.items():
        page = served.open(
            browser, path, color_scheme=scheme, viewport={"width": width, "height": 900}
        )
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
        page.context.close()


def test_a_version_is_approved_without_javascript(browser: Browser, served: Served) -> None:
    request = request_of(served)
    page = served.open(browser, "/", java_script_enabled=False)
    page.get_by_role("button", name="Open").click()
    page.get_by_label("Reason").fill("The slices look right")
    page.get_by_role("button", name="Yes, let it go on").click()
    assert page.url == f"{ADDRESS}/approvals/{request.record_id}"
    wait_for(lambda: len(served.console.reader.newest(Command, scenario.MODEL, 9)) > 1, 10.0)
    newest = served.console.reader.newest_record(Command, scenario.MODEL)
    assert newest is not None
    assert (newest.action, newest.digest, newest.reason) == (
        "approve",
        request.digest,
        "The slices look right",
    )
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
