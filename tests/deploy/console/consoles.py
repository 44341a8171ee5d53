"""A console on a log in memory, and a browser without JavaScript for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from deploy.app.deployment import Deployment
from deploy.config.access_settings import AccessSettings
from deploy.console.access import open_access
from deploy.console.addresses import transport
from deploy.console.app import create_app
from deploy.console.context import Console, Feed
from deploy.console.identity import Identity
from deploy.console.live import Live
from deploy.console.pictures import Pictures
from streaming.contracts.log import MemoryLog, RecordLog
from tests.deploy.cli.runner import DEMO
from tests.deploy.projection.builders import projected

ADDRESS = "http://127.0.0.1:8580"
FORM_HEADERS = {"sec-fetch-site": "same-origin", "origin": ADDRESS}
"""What a browser sends with a form of the console's own page."""


def console_on(
    log: MemoryLog,
    folder: Path,
    *,
    now: float,
    who: str = "ann",
    access: Mapping[str, object] | None = None,
) -> Console:
    """A console whose projection has everything that the log has now.

    Parameters
    ----------
    access:
        The section `access` of its settings; None for a console without sign-in. Tests ask faster
        than people, so the limit of requests is higher unless it says another one.
    """
    reader = projected(log, folder)
    settings = Deployment.load(DEMO).settings
    section = AccessSettings.model_validate({"requests": 1_000, **(access or {})})
    settings = settings.model_copy(update={"access": section})
    known = open_access(settings, folder, local=who, port=8580, now=lambda: now)

    @contextmanager
    def open_log() -> Iterator[RecordLog]:
        yield log

    return Console(
        settings=settings,
        file="demo.yaml",
        reader=reader,
        open_log=open_log,
        pictures=Pictures(folder),
        live=Live(),
        now=lambda: now,
        access=known,
        identity=Identity(person=who, how="local", roles=known.roles),
        transport=transport(section, 8580),
        feed=Feed(read=True),
        reply_seconds=10.0,
    )


def browser(console: Console) -> TestClient:
    """A client of the console's pages."""
    return TestClient(create_app(console), base_url=ADDRESS, follow_redirects=False)
