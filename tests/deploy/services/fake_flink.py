"""A fake Flink, and a scene with it, a watchdog and a user.

The fake keeps what matters of the real one: runs that the JobManager forgets when it dies,
checkpoints as files, and a position in the topics that each checkpoint stands for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.app.job_keeping import Decision
from deploy.app.stream_jobs import StreamJob
from deploy.app.submitted_jobs import SubmittedJobs
from deploy.services.job_watchdog import JobWatchdog
from deploy.services.submissions import Submissions
from streaming.contracts.errors import DriftlineError, PermanentError, UnavailableError
from streaming.contracts.model import ModelContract
from streaming.drift import DriftRules
from streaming.engines.flink.client import Flink, JobRun, JobStatus
from streaming.job.settings import JobSettings, ModelJob

CONTRACT = ModelContract(
    model="m", module="", events_topic="e", labels_topic="l", key="id", time="at"
)
SETTINGS = JobSettings(
    models=(ModelJob(contract=CONTRACT, rules=DriftRules()),),
    bootstrap="127.0.0.1:1",
    artifact_root="/tmp",
)
NAME = SETTINGS.name
WHOLE = bytes.fromhex("4960672d00000004")


class Killed(BaseException):
    """The watchdog's process was killed at this point."""


class FakeFlink(Flink):
    """A JobManager, its runs, and their checkpoints in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__("http://127.0.0.1:1")
        object.__setattr__(self, "w", World(folder))

    w: World

    def _check(self) -> None:
        if not self.w.up:
            raise UnavailableError("Flink does not answer.")

    def runs(self, name: str) -> tuple[JobRun, ...]:
        self._check()
        return tuple(
            JobRun(job_id=job_id, state=state, started_at=self.w.started[job_id])
            for job_id, state in reversed(self.w.states.items())
        )

    def task_managers(self) -> int:
        self._check()
        return int(self.w.task_manager)

    def running(self, job_id: str) -> bool:
        self._check()
        return self.w.states[job_id] == "RUNNING" and self.w.task_manager and not self.w.stuck

    def newest_checkpoint(self, job_id: str) -> tuple[str, float]:
        self._check()
        return self.w.newest.get(job_id, ("", 0.0))

    def status(self, job_id: str) -> JobStatus:
        self._check()
        return JobStatus(
            job_id=job_id, name=NAME, state=self.w.states[job_id], started_at=0.0, restarts=0,
            checkpoints=0, checkpoints_failed=0, last_checkpoint="", last_checkpoint_at=0.0,
            state_bytes=0, last_error=self.w.last_error, restored_from=self.w.restored[job_id],
        )  # fmt: skip

    def cancel(self, job_id: str, *, seconds: float = 60.0) -> None:
        self._check()
        self.w.states[job_id] = "CANCELED"


class World:
    """What the fakes share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now = 1_000.0
        self.suspended = 0.0
        """Seconds for which the machine was suspended so far."""
        self.last_error = ""
        self.up = self.task_manager = True
        self.kafka = True
        self.stuck = False
        self.states: dict[str, str] = {}
        self.started: dict[str, float] = {}
        self.restored: dict[str, str] = {}
        self.newest: dict[str, tuple[str, float]] = {}
        self.position: dict[str, int] = {}
        """Of each run, and of each checkpoint by its path."""
        self.damaged: set[str] = set()
        self.submissions: list[str] = []
        self.kill_at = ""
        self.number = 0

    @property
    def live(self) -> list[str]:
        ended = ("FAILED", "CANCELED", "FINISHED")
        return [job_id for job_id, state in self.states.items() if state not in ended]

    def submit(self, settings: JobSettings) -> str:
        """Like `streaming.job.submit.submit`."""
        if not self.up:
            raise UnavailableError("Flink does not answer.")
        if self.live:
            return self.live[0]
        if self.kill_at == "before":
            raise Killed
        if settings.restore and not Path(settings.restore, "_metadata").exists():
            raise PermanentError("no such checkpoint")
        self.number += 1
        job_id = f"j{self.number}"
        self.submissions.append(settings.restore)
        self.started[job_id], self.restored[job_id] = self.now, settings.restore
        self.position[job_id] = self.position.get(settings.restore, 0)
        if settings.restore in self.damaged:
            self.states[job_id] = "FAILED"
            raise PermanentError(f"cannot restore from {settings.restore}")
        self.states[job_id] = "RUNNING"
        if self.kill_at == "after":
            raise Killed
        return job_id

    def checkpoint(self) -> None:
        """The running job reads on and completes a checkpoint; Flink keeps two."""
        for job_id in self.live:
            if not self.up or not self.task_manager:
                return
            self.position[job_id] += 1
            self.number += 1
            path = self.folder / job_id / f"chk-{self.number}"
            path.mkdir(parents=True)
            (path / "_metadata").write_bytes(WHOLE)
            self.position[str(path)] = self.position[job_id]
            self.newest[job_id] = (f"file:{path}", self.now)
            for old in sorted(path.parent.iterdir(), key=lambda p: int(p.name[4:]))[:-2]:
                (old / "_metadata").unlink(missing_ok=True)
                old.rmdir()

    def jobmanager_dies(self) -> None:
        """Without high availability it forgets every run."""
        self.up = False
        self.states.clear()
        self.newest.clear()


class Scene:
    """One watchdog, which can be replaced by a new one at any time, and the user's commands."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.flink = FakeFlink(folder / "checkpoints")
        self.world = self.flink.w
        self.world.folder.mkdir()
        self.submitted = SubmittedJobs(folder / "run" / "stream-jobs.json")
        self.job = StreamJob(self.flink, SETTINGS, self.submitted, self.world.folder)
        monkeypatch.setattr("deploy.app.stream_jobs._submit", self.world.submit)
        monkeypatch.setattr("deploy.services.job_watchdog._import_beam", lambda: None)
        self.new_watchdog()

    def new_watchdog(self) -> None:
        self.watchdog = JobWatchdog(
            self.job,
            self.flink,
            self.submitted,
            silent=lambda: () if self.world.kafka else ("Kafka",),
            prepare=lambda: None,
            clock=lambda: self.world.now,
            monotonic=lambda: self.world.now - self.world.suspended,
        )

    def look(self) -> Decision | None:
        """One look, with its submission at once; a kill gives a new watchdog."""
        try:
            return self.watchdog.look(AtOnce())
        except Killed:
            self.world.kill_at = ""
            self.new_watchdog()
            return None

    def wait(self, seconds: float) -> None:
        """Time passes while the watchdog looks."""
        for _ in range(int(seconds)):
            self.world.now += 1.0
            self.look()

    def user_submits(self) -> None:
        try:
            self.job.submit(lambda: None, lambda text: None)
        except (DriftlineError, Killed):
            self.world.kill_at = ""

    def user_cancels(self) -> None:
        with contextlib.suppress(DriftlineError):
            self.job.cancel()

    def expected(self) -> bool:
        return NAME in self.submitted.names()


class AtOnce(Submissions):
    """Submits in the caller's thread."""

    def start(self, work: Callable[[], None]) -> None:
        work()
