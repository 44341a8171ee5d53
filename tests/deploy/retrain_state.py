"""A stack's state with old versions, runs and attempts, and the log that says what is needed."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from retrain.engines.model_store import FolderStore
from streaming.contracts.log import MemoryLog
from streaming.contracts.topics import RECORD_TOPICS
from tests.deploy.cli.builders import MODEL, version
from tests.retrain.builders import promotion, request, servable

OLD = 90 * 86400.0
VERSIONS = range(1, 7)


@dataclass
class RetrainState:
    """Versions 1 to 6 with a run each; 5 and 6 are not blessed. Without promotions none is live."""

    log: MemoryLog
    home: Path
    """DRIFTLINE_HOME."""

    @property
    def root(self) -> Path:
        return self.home / "demo-stack"

    def there(self) -> set[str]:
        """The versions, runs and attempts on the disk."""
        folders = [*self.root.glob("artifacts/models/*/[0-9]*"), *self.root.glob("scratch/*")]
        folders += self.root.glob("artifacts/runs/*/*")
        return {folder.name for folder in folders}

    def promote(self, *numbers: int) -> None:
        for number in numbers:
            live = promotion(number, float(number), replaced=number - 1)
            self.log.append([replace(live, model=MODEL)])

    def ask(self, name: str, *, base_version: int) -> None:
        """A request that is open."""
        now = time.time()
        record = request(name, at=now, deadline=now + 600, base_version=base_version)
        self.log.append([replace(record, model=MODEL)])

    def attempt(self, name: str) -> Path:
        folder = self.root / "scratch" / name
        folder.mkdir(parents=True)
        (folder / "file").write_bytes(b"x" * 1000)
        return folder

    def aged(self, seconds: float = OLD) -> None:
        """Let everything be of that age."""
        then = time.time() - seconds
        for path in [*self.root.rglob("*"), self.root]:
            os.utime(path, (then, then))


def retrain_state(home: Path) -> RetrainState:
    log = MemoryLog()
    log.ensure(RECORD_TOPICS)
    state = RetrainState(log, home)
    store = FolderStore(state.root / "artifacts" / "models")
    for number in VERSIONS:
        record = replace(version(number, blessed=number < 5), base_version=number - 1)
        log.append([store.publish(record, servable(home / "model"))])
        run_folder = state.root / "artifacts" / "runs" / MODEL / f"request-{number}" / "1"
        for part in ("Examples", "ModelRun", "Model"):
            (run_folder / part).mkdir(parents=True)
            (run_folder / part / "file").write_bytes(b"x" * 1000)
    state.aged()
    return state
