"""`driftline prune` on a store, runs and a state: what goes, and what a record holds."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from retrain.engines.model_store import FolderStore
from streaming.contracts.errors import UnavailableError
from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import RECORD_TOPICS
from tests.deploy.cli.builders import MODEL, version
from tests.deploy.cli.runner import data, run
from tests.retrain.builders import promotion, request, servable

OLD = 90 * 86400.0


@dataclass
class State:
    """Versions 1 to 6, of which 4 is live and 3 was, with a run each; request r9 is open."""

    log: MemoryLog
    home: Path

    def prune(self, *words: str, code: int = 0) -> Any:
        result = run(
            "prune", "--versions", "1", "--json", *words,
            log=self.log, env={"DRIFTLINE_HOME": str(self.home)},
        )  # fmt: skip
        assert result.exit_code == code, result.stderr
        return data(result)

    @property
    def root(self) -> Path:
        return self.home / "demo-stack"

    def there(self) -> set[str]:
        """The versions, runs and attempts on the disk."""
        folders = [*self.root.glob("artifacts/models/*/[0-9]*"), *self.root.glob("scratch/*")]
        folders += self.root.glob("artifacts/runs/*/*")
        return {folder.name for folder in folders}


@pytest.fixture
def state(tmp_path: Path) -> State:
    log = MemoryLog()
    log.ensure(RECORD_TOPICS)
    state = State(log, tmp_path)
    store = FolderStore(state.root / "artifacts" / "models")
    for number in range(1, 7):
        record = replace(version(number, blessed=number < 5), base_version=number - 1)
        log.append([store.publish(record, servable(tmp_path / "model"))])
        run_folder = state.root / "artifacts" / "runs" / MODEL / f"request-{number}" / "1"
        for part in ("Examples", "ModelRun", "Model"):
            (run_folder / part).mkdir(parents=True)
            (run_folder / part / "file").write_bytes(b"x" * 1000)
    for number in (3, 4):
        log.append([replace(promotion(number, float(number), replaced=number - 1), model=MODEL)])
    now = time.time()
    log.append([replace(request("r9", at=now, deadline=now + 600, base_version=2), model=MODEL)])
    for name in ("r9-1", "dead-2"):
        (state.root / "scratch" / name).mkdir(parents=True)
    for path in [*state.root.rglob("*"), state.root]:
        os.utime(path, (now - OLD, now - OLD))
    return state


def test_what_a_record_in_force_points_to_stays_and_the_rest_goes(state: State) -> None:
    before = state.there()
    shown = state.prune("--dry-run")
    assert state.there() == before
    held = {(f["kind"], f["name"]): f["held_by"] for f in shown["plan"]["kept"] if f["held_by"]}
    assert held["version", "4"] == "version 4 is live"
    assert held["version", "3"] == "version 3 was live before"
    assert held["version", "2"] == "a retrain compares with it"
    assert held["run", "request-3"] == "version 3 was live before"
    assert held["attempt", "scratch/r9-1"] == "its request is open"
    done = state.prune("--yes")
    assert [r["files"]["name"] for r in done["plan"]["removed"]] == [
        r["files"]["name"] for r in shown["plan"]["removed"]
    ]
    assert before - state.there() == {"1", "5", "dead-2", "request-1", "request-5"}
    assert state.prune("--yes")["plan"]["removed"] == []


def test_nothing_goes_when_the_log_cannot_be_read(state: State) -> None:
    class Away(MemoryLog):
        def spans(self, topic: str, *, since: float | None = None) -> Any:
            raise UnavailableError("Kafka is away.")

    state.log, before = Away(), state.there()
    state.prune("--yes", code=8)
    assert state.there() == before


def test_without_consent_nothing_goes(state: State) -> None:
    before = state.there()
    assert "--yes" in state.prune(code=2)["error"]["message"]
    assert state.there() == before
    words = run("prune", "--quota", "1 apple", env={"DRIFTLINE_HOME": str(state.home)})
    assert words.exit_code == 2


def test_the_quota_that_cannot_be_kept_is_said(state: State) -> None:
    result = run(
        "prune", "--dry-run", "--quota", "0.001MB",
        log=state.log, env={"DRIFTLINE_HOME": str(state.home)},
    )  # fmt: skip
    assert result.exit_code == 0
    assert "The quota is exceeded by" in result.stderr
    assert "held by records in force" in result.stderr
