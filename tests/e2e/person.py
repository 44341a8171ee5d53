"""The engineer whom `driftline demo --approve` waits for: a real Chromium at its decision page.

Where npm does not give the browser, the decision is made by command; `browser_is_missing` says so.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.deploy.console import chromium
from tests.e2e.conftest import PROJECT, Machine

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOWN = re.compile(r"waits for your decision: open (http://\S+) ")
SCREENSHOT = PROJECT / ".driftline" / "test" / "console" / "demo-decision.png"
REASON = "The shift is real, and the new version is better on it."
PICTURES = (
    "async () => { for (const i of document.images) { i.loading = 'eager'; await i.decode(); }"
    " return [...document.images].map(i => [i.alt, i.naturalWidth]); }"
)


@dataclass
class Person:
    """Decides once, and keeps what was on the page."""

    machine: Machine
    address: str = ""
    """Of the decision page, as the demonstration shows it."""
    browser_is_missing: str = ""
    """Why the decision was made by command; empty when it was made in the browser."""
    title: str = ""
    steps: str = ""
    """Text of the section that says why it is asked."""
    pictures: list[tuple[str, int]] = field(default_factory=list)
    """Alternative text and width of each."""
    complaints: list[str] = field(default_factory=list)
    """Messages of the browser, and requests that left the machine."""
    answered: str = ""
    """What the page says once the decision counts."""

    def approve_when_asked(self, ended: Callable[[], bool]) -> None:
        """Wait until the demonstration shows an address, and say yes there."""
        while not (shown := SHOWN.search((self.machine.home / "demo.log").read_text())):
            if ended():
                return
            time.sleep(0.5)
        self.address = shown.group(1)
        try:
            chromium.fetch()
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            self.browser_is_missing = f"npm does not give the browser: {error}"
            self.machine.run("rollout", "approve", "big_tipper", "--yes", "--reason", REASON)
            return
        try:
            self._approve_in_the_browser()
        except BaseException as error:
            # The demonstration ends instead of waiting for an hour.
            self.machine.run("rollout", "reject", "big_tipper", "--yes", "--reason", repr(error))
            raise

    def _approve_in_the_browser(self) -> None:
        with chromium.chromium() as browser:
            page = browser.new_page(viewport={"width": 1200, "height": 900})
            page.on("console", lambda message: self.complaints.append(message.text))
            page.on("pageerror", lambda error: self.complaints.append(str(error)))
            page.on("request", lambda request: self._check(request.url))
            self._decide(page)

    def _decide(self, page: Page) -> None:
        page.goto(self.address, wait_until="load")
        self.title = page.get_by_role("heading", level=1).inner_text()
        self.steps = page.locator("section[aria-labelledby=chain]").inner_text()
        self.pictures = [(alt, width) for alt, width in page.evaluate(PICTURES)]
        SCREENSHOT.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SCREENSHOT, full_page=True)
        page.get_by_label("Reason").fill(REASON)
        page.get_by_role("button", name="Yes, let it go on").click()
        outcome = page.locator("p.banner")
        outcome.filter(has_text=REASON).wait_for(timeout=60_000)
        self.answered = outcome.inner_text()

    def _check(self, url: str) -> None:
        if urlsplit(url).netloc != urlsplit(self.address).netloc:
            self.complaints.append(f"a request left the machine: {url}")
