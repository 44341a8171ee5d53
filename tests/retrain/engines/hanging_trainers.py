"""Trainers for the tests of `TrainerProcess`; the child imports them."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from retrain.ports import (
    ExampleSet,
    OnProgress,
    Progress,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
)
from streaming.contracts.errors import TemporaryError
from streaming.contracts.model import ModelContract
from streaming.contracts.records import RetrainRequest


class ScriptedTrainer:
    """Does what the file ``script`` in the job's folder says."""

    def steps_of(self, request: RetrainRequest) -> int:
        return 3

    def warm(self) -> None:
        """Nothing is needed."""

    def train(self, job: TrainingJob, on_progress: OnProgress) -> TrainingResult:
        on_progress(Progress(component="Transform", state="started", step=1, steps=3))
        script = (job.work_dir / "script").read_text()
        if script == "hang":
            helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            (job.work_dir / "pids").write_text(f"{os.getpid()} {helper.pid}")
            time.sleep(600)
        if script == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if script == "full disk":
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/x")
        if script == "fail":
            raise TrainingFailed("No labels.", component="Trainer", advice="Send some.")
        if script == "later":
            raise TemporaryError("Not now.", delay_seconds=0.5)
        if script == "crash":
            raise ValueError("bad row {'fare': 12.5, 'name': 'Ada Lovelace'}")
        return TrainingResult(
            servable=Path("model"), metrics=(), components=(), load_seconds=0.1,
            warm_predict_seconds=0.1, blessed=True, reason=f"By {os.getpid()}.",
        )  # fmt: skip


class Unusable(ScriptedTrainer):
    """A trainer that cannot be prepared."""

    def warm(self) -> None:
        raise RuntimeError("no TFX here")


class ScriptedExamples:
    """Does what the file ``script`` in the examples' parent folder says."""

    def build(
        self,
        request: RetrainRequest,
        contract: ModelContract,
        folder: Path,
        schema: Path | None = None,
    ) -> ExampleSet:
        if (folder.parent / "script").read_text() == "hang":
            time.sleep(600)
        return ExampleSet(folder=folder, rows=7, rows_after_shift=0, unlabelled=0, unusable=0)


@contextmanager
def scripted_examples() -> Iterator[ScriptedExamples]:
    """What `TrainerProcess` opens in the child for each request."""
    yield ScriptedExamples()
