"""One real server of the conformance model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.engines.modelserver.server_process import Server, start, stop


@pytest.fixture(scope="session")
def conforming(models: tuple[Path, dict[str, Any]]) -> Iterator[Server]:
    """A server of version 1 of the conformance model; its tests do not change the versions."""
    running = start(models[0] / "conformance", "--versions", "1")
    yield running
    log = stop(running)
    assert "Traceback" not in log
