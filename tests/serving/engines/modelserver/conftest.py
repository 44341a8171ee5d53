"""SavedModels written once by TensorFlow in a separate process, and a real server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving.engines.modelserver.server_process import Server, start, stop
from tests.shared_folder import shared_folder


def write_models(folder: Path) -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "tests.serving.engines.modelserver.make_models", str(folder)],
        check=False,
        capture_output=True,
        timeout=600,
        cwd=Path(__file__).parents[4],
    )
    assert completed.returncode == 0, completed.stderr.decode()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of the models, and TensorFlow's own predictions."""
    base = shared_folder(tmp_path_factory, "models", write_models)
    return base, json.loads((base / "expected.json").read_text())


@pytest.fixture(scope="module")
def server(models: tuple[Path, dict[str, Any]]) -> Iterator[Server]:
    """A server with versions 1 and 2; its tests do not change the versions."""
    running = start(models[0], "--versions", "1,2")
    yield running
    stop(running)
