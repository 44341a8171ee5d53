"""The control loop, with a daemon that keeps running and with one that restarts at every step."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.control_loop import ControlLoop


@pytest.fixture(params=[False, True], ids=["runs-through", "restarts-at-every-step"])
def loop(request: pytest.FixtureRequest, tmp_path: Path) -> ControlLoop:
    return ControlLoop(tmp_path, restarts=request.param)
