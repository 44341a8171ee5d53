"""Whatever lies in the folder of a model, the good version is served."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec.structs import replace

from retrain.engines.model_store import FolderStore
from tests.retrain.engines.test_model_store import record
from tests.serving.engines.modelserver.server_process import MODEL, Server, start, stop
from tests.waiting import wait_for

pytestmark = pytest.mark.engine

Models = tuple[Path, dict[str, Any]]
_BODY = {"instances": [{"fare": [1.5], "hour": [3], "payment": ["Cash"]}]}


def _statuses(server: Server) -> dict[str, Any]:
    response = httpx.get(server.url)
    items = response.json().get("model_version_status", [])
    return {item["version"]: item for item in items}


def _state(server: Server, version: int) -> str:
    return str(_statuses(server).get(str(version), {}).get("state", ""))


def _answers(server: Server, version: int) -> None:
    response = httpx.post(f"{server.url}:predict", json=_BODY)
    assert response.status_code == 200, response.text
    assert response.headers["x-model-version"] == str(version)


def _publish(store: Path, version: int, models: Models) -> None:
    """Publish a copy of the first or the second model."""
    published = replace(record(version, f"r{version}"), model=MODEL)
    FolderStore(store.parent).publish(published, models[0] / ("1" if version == 1 else "2"))


@pytest.fixture
def store(models: Models, tmp_path: Path) -> Path:
    """The folder of a model with version 1, as the retrain worker publishes it."""
    _publish(tmp_path / "models" / MODEL, 1, models)
    return tmp_path / "models" / MODEL


@pytest.fixture
def server(store: Path) -> Iterator[Server]:
    running = start(store, "--manifests", "store", "--file-system-poll-wait-seconds", "0.05")
    yield running
    stop(running)


def test_changed_bytes_are_not_served_and_the_good_version_stays(
    server: Server, store: Path, models: Models
) -> None:
    _answers(server, 1)
    hidden = store / ".2"
    _publish(store, 2, models)
    wait_for(lambda: _state(server, 2) == "AVAILABLE", seconds=30)
    _answers(server, 2)

    _publish(store, 3, models)
    (store / "3").rename(hidden)
    weights = next((hidden / "variables").glob("variables.data*"))
    content = weights.read_bytes()
    weights.chmod(0o644)
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    hidden.rename(store / "3")
    wait_for(lambda: _state(server, 3) == "END", seconds=30)
    status = _statuses(server)["3"]["status"]
    assert status["error_code"] == "DATA_LOSS"
    assert "'variables/variables.data-00000-of-00001' differs" in status["error_message"]
    _answers(server, 2)

    weights = next((store / "3" / "variables").glob("variables.data*"))
    weights.write_bytes(content)
    wait_for(lambda: _state(server, 3) == "AVAILABLE", seconds=30)
    _answers(server, 3)


def test_in_a_store_with_manifests_a_version_without_one_is_not_served(
    server: Server, store: Path, models: Models
) -> None:
    shutil.copytree(models[0] / "2", store / "2")
    wait_for(lambda: _state(server, 2) == "END", seconds=30)
    status = _statuses(server)["2"]["status"]
    assert status["error_code"] == "FAILED_PRECONDITION"
    assert "no manifest" in status["error_message"]
    _answers(server, 1)


def test_a_copy_that_takes_its_time_is_served_when_it_is_whole(
    models: Models, tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(models[0] / "1", base / "1")
    server = start(base, "--file-system-poll-wait-seconds", "0.05")
    try:
        _answers(server, 1)
        source = models[0] / "2"
        files = sorted(path for path in source.rglob("*") if path.is_file())
        for file in files:
            target = base / "2" / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = file.read_bytes()
            target.write_bytes(content[: len(content) // 2])
            _answers(server, 1)
            with target.open("ab") as stream:
                stream.write(content[len(content) // 2 :])
            _answers(server, 1)
        wait_for(lambda: _state(server, 2) == "AVAILABLE", seconds=30)
        _answers(server, 2)
    finally:
        stop(server)


def test_odd_neighbours_disturb_nothing(server: Server, store: Path, models: Models) -> None:
    for name in (str(2**63), "9" * 200, "-1", "1.5", "٣", "notes"):
        (store / name).mkdir()
        (store / name / "saved_model.pb").write_bytes(b"")
    (store / "4").write_bytes(b"a file")
    (store / "5").symlink_to("5")
    (store / "6").symlink_to(store / "missing")
    (store / "7").mkdir()
    (store / "7" / "saved_model.pb").mkdir()
    (store / "8").mkdir()
    (store / "8" / "saved_model.pb").symlink_to("saved_model.pb")
    (store / "9").mkdir()
    os.mkfifo(store / "9" / "saved_model.pb")
    wait_for(lambda: _state(server, 9) == "END", seconds=30)
    _answers(server, 1)
    _publish(store, 10, models)
    wait_for(lambda: _state(server, 10) == "AVAILABLE", seconds=30)
    _answers(server, 10)


def test_the_folder_may_go_and_come_back(server: Server, store: Path, models: Models) -> None:
    """Nothing, a file, a link to itself and an empty folder are in its place meanwhile."""
    away = store.with_name("away")
    for served, instead in enumerate(("nothing", "file", "loop", "empty"), start=1):
        store.rename(away)
        if instead == "file":
            store.write_bytes(b"")
        elif instead == "loop":
            store.symlink_to(store.name)
        elif instead == "empty":
            store.mkdir()
        for _ in range(20):
            _answers(server, served)
        if instead == "empty":
            store.rmdir()
        elif instead != "nothing":
            store.unlink()
        away.rename(store)
        _publish(store, served + 1, models)
        wait_for(lambda version=served + 1: _state(server, version) == "AVAILABLE", seconds=30)  # type: ignore[misc]
        _answers(server, served + 1)


def test_loading_leaves_no_thread_of_low_priority(
    server: Server, store: Path, models: Models
) -> None:
    """It would hold the interpreter's lock while others have the processor."""
    for version in (2, 3, 4):
        _publish(store, version, models)
        wait_for(lambda version=version: _state(server, version) == "AVAILABLE", seconds=30)  # type: ignore[misc]
        _answers(server, version)
    own = os.getpriority(os.PRIO_PROCESS, 0)

    def lowered() -> list[str]:
        """Threads of another priority; one that ends meanwhile has none."""
        threads = []
        for task in Path(f"/proc/{server.process.pid}/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                if os.getpriority(os.PRIO_PROCESS, int(task.name)) != own:
                    threads.append(task.name)
        return threads

    # The thread that has loaded, and one whose request was slow, end after their work is done.
    wait_for(lambda: lowered() == [], seconds=10)
