"""The walk, with a daemon that lives and with one that dies at every step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.walk import Walk


@pytest.fixture(params=[False, True], ids=["lives", "dies-at-every-step"])
def walk(request: pytest.FixtureRequest, tmp_path: Path) -> Walk:
    return Walk(tmp_path, dies=request.param)
