"""A console on a log in memory, and a browser without JavaScript for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from deploy.app.deployment import Deployment
from deploy.console.app import create_app
from deploy.console.context import Console, Feed
from deploy.console.live import Live
from deploy.console.pictures import Pictures
from deploy.console.security import loopback_hosts
from streaming.contracts.log import MemoryLog, RecordLog
from tests.deploy.cli.runner import DEMO
from tests.deploy.projection.builders import projected

ADDRESS = "http://127.0.0.1:8580"
FORM_HEADERS = {"sec-fetch-site": "same-origin", "origin": ADDRESS}
"""What a browser sends with a form of the console's own page."""


def console_on(log: MemoryLog, folder: Path, *, now: float, who: str = "ann") -> Console:
    """A console whose projection has everything that the log has now."""
    reader = projected(log, folder)

    @contextmanager
    def open_log() -> Iterator[RecordLog]:
        yield log

    return Console(
        settings=Deployment.load(DEMO).settings,
        file="demo.yaml",
        reader=reader,
        open_log=open_log,
        pictures=Pictures(folder),
        live=Live(),
        now=lambda: now,
        who=who,
        hosts=loopback_hosts(8580),
        feed=Feed(read=True),
        reply_seconds=10.0,
    )


def browser(console: Console) -> TestClient:
    """A client of the console's pages."""
    return TestClient(create_app(console), base_url=ADDRESS, follow_redirects=False)
