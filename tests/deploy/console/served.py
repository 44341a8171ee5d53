"""A console that is served for a real browser, on the records of a loop that waits for a person."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from deploy.console.context import Console
from deploy.console.security import Transport, loopback_hosts
from deploy.console.server import ConsoleServer, Feeder
from deploy.projection.writer import ProjectionWriter
from deploy.records import reader as log_reader
from streaming.contracts.records import ApprovalRequest, Record
from tests.deploy.console import operations, scenario, unusable
from tests.deploy.console.test_decisions import PausingLog, answering, copied
from tests.engine_ports import port_offset
from tests.waiting import wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

R = TypeVar("R", bound=Record)
PORT = port_offset(580)
ADDRESS = f"http://127.0.0.1:{PORT}"
LOAD_PICTURES = (
    "async () => { for (const i of document.images) { i.loading = 'eager'; await i.decode(); } }"
)


class LiveLog(PausingLog):
    """A log whose commands are answered at once and whose consumer pauses."""

    def append(self, records: Any, **options: Any) -> None:
        answering(self).append(records)


@dataclass
class Served:
    """A console that is served for the browser."""

    console: Console
    log: LiveLog
    messages: list[str] = field(default_factory=list)
    """What the browser complained about, and requests that left the machine."""

    def open(self, browser: Browser, path: str, **options: Any) -> Page:
        """A page in a context of its own."""
        context = browser.new_context(
            locale="en-GB", timezone_id="UTC", reduced_motion="reduce", **options
        )
        page = context.new_page()
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self._check(request.url))
        page.goto(ADDRESS + path, wait_until="load")
        return page

    def request(self) -> ApprovalRequest:
        """The request that waits for a person."""
        (row,) = self.console.reader.open_requests()
        request = self.console.reader.record(row.record_id, ApprovalRequest)
        assert request is not None
        return request

    def log_records(self, kind: type[R]) -> list[R]:
        """What the log has of a kind, oldest first."""
        return list(log_reader.records(self.log, kind))

    def _check(self, url: str) -> None:
        if not url.startswith(ADDRESS):
            self.messages.append(f"a request left the machine: {url}")


def serving(folder: Path, **options: Any) -> Iterator[Served]:
    """A served console; what the browser complained about fails at its end."""
    source, now = copied(), scenario.shared().clock.now()
    source.append([*unusable.dead_letters(now), unusable.proposal(now)])
    log = LiveLog(clock=source.clock, _partitions=source._partitions, _topics=source._topics)
    console = replace(
        operations.operating(log, folder, now=now, **options),
        transport=Transport(hosts=loopback_hosts(PORT)),
    )
    feeder = Feeder(log, ProjectionWriter(folder), console.feed, console.live)
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
    assert served.messages == [], served.messages
