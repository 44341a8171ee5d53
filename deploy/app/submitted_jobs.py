"""Which stream jobs should run, and what is needed to continue them: one JSON file.

The file outlives Flink's memory of a job. It is replaced in one step, so a crash leaves the old
content or the new one. Everybody who starts or stops a job holds the job's lock meanwhile: the
watchdog, and the commands of users.
"""

from __future__ import annotations

import contextlib
import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.config.atomic_file import open_private, write_atomic
from streaming.contracts.errors import ConfigurationError, Conflict

LOCK_POLL_SECONDS = 0.2


class UnreadableJobs(ConfigurationError):
    """The file of the submitted jobs is there and cannot be used."""


class Keeping(msgspec.Struct, frozen=True, kw_only=True):
    """What the watchdog has done for a job; it survives the watchdog's own restarts."""

    attempts: int = 0
    """Submissions by the watchdog since the job last ran well."""
    attempted_at: float = 0.0
    """The last of them, seconds since 1970."""
    refused: tuple[str, ...] = ()
    """Checkpoints that it did not start from since then."""
    resubmits: int = 0
    """Submissions that led to a running job, ever."""
    resubmitted_at: float = 0.0
    resubmitted_from: str = ""
    """The checkpoint of the last one; empty = the beginning of the topics."""
    note: str = ""
    """What it waits for, or why it does nothing; empty while the job runs."""
    last_error: str = ""
    """Why the last attempt failed; empty once the job has run well."""
    needs_help: bool = False
    """Whether the job cannot run again before somebody acts."""


class SubmittedJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a job that was submitted."""

    job_id: str = ""
    """Flink's id; its checkpoints lie in a folder of this name."""
    expected: bool = True
    """Whether it should run: false once it was cancelled."""
    restored_from: str = ""
    """Checkpoint or savepoint that this run started from; empty = the beginning of the topics."""
    last_checkpoint: str = ""
    """A completed checkpoint of this run that Flink named; empty = it has none yet."""
    starting_from: str | None = None
    """Set while a submission replaces the run of `job_id`: where it starts from, empty = the
    beginning."""
    parallelism: int = 0
    """Workers that the job was rescaled to; 0 = as in the settings."""
    ending: bool = False
    """Cancelled while Flink did not answer: a run that is still there then is to be ended."""
    changed_at: float = 0.0
    """When a command last submitted or updated it, seconds since 1970: the settings may be new."""
    keeping: Keeping = Keeping()


@dataclass(frozen=True, slots=True)
class SubmittedJobs:
    """The stream jobs that were submitted, by name."""

    file: Path

    def all(self) -> dict[str, SubmittedJob]:
        """By name; empty when there is no file.

        Raises
        ------
        UnreadableJobs
            When the file is there and cannot be used. That never counts as "no job".
        """
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=dict[str, SubmittedJob])
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UnreadableJobs(
                f"{self.file}, which remembers the stream jobs and their checkpoints, cannot be "
                f"read ({error}). Put a copy of it back; or move it away, and "
                "`driftline job submit MODEL --restore PATH` continues each job from its newest "
                "checkpoint."
            ) from error

    def names(self) -> frozenset[str]:
        """The jobs that should run."""
        return frozenset(name for name, job in self.all().items() if job.expected)

    def changes(self) -> dict[str, float]:
        """When a command last submitted or updated each job, seconds since 1970."""
        return {name: job.changed_at for name, job in self.all().items()}

    def add(
        self,
        name: str,
        job_id: str = "",
        *,
        restored_from: str = "",
        parallelism: int = 0,
        changed_at: float | None = None,
    ) -> None:
        """Expect a job to run; an id that is known already keeps what is known of its run.

        Parameters
        ----------
        changed_at:
            Now, for a command that may have other settings than the watchdog; None = as before.
        """

        def added(job: SubmittedJob) -> SubmittedJob:
            keeping = msgspec.structs.replace(
                job.keeping, attempts=0, refused=(), note="", last_error="", needs_help=False
            )
            changed = job.changed_at if changed_at is None else changed_at
            if job_id and job.job_id == job_id:
                return msgspec.structs.replace(
                    job,
                    expected=True,
                    starting_from=None,
                    ending=False,
                    changed_at=changed,
                    keeping=keeping,
                )
            return SubmittedJob(
                job_id=job_id,
                restored_from=restored_from,
                parallelism=parallelism,
                changed_at=changed,
                keeping=keeping,
            )

        self.change(name, added)

    def remove(self, name: str, *, ending: bool = False) -> None:
        """Expect a job no longer; where its checkpoints lie stays known.

        Parameters
        ----------
        ending:
            Whether it may still run on a Flink that does not answer, and is to be ended then.
        """
        if name in self.all():
            self.change(
                name,
                lambda job: msgspec.structs.replace(
                    job, expected=False, starting_from=None, ending=ending
                ),
            )

    def forget_all(self) -> None:
        """Remember no job: the folder starts afresh."""
        self.file.unlink(missing_ok=True)

    def change(self, name: str, change: Callable[[SubmittedJob], SubmittedJob | None]) -> None:
        """Replace what is remembered of a job, in one step; a new one starts empty.

        None forgets the job. A home that cannot be written only loses the reminder.

        Raises
        ------
        UnreadableJobs
            When the file cannot be used; it stays as it is.
        """
        with contextlib.suppress(OSError), _locked(self.file.with_suffix(".lock")):
            jobs = self.all()
            before = jobs.get(name)
            after = change(before or SubmittedJob())
            if after == before:
                return
            jobs.pop(name, None)
            known = jobs if after is None else jobs | {name: after}
            write_atomic(self.file, msgspec.json.encode(known), mode=0o600)

    @contextmanager
    def submission(
        self, name: str, *, seconds: float = 0.0, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[None]:
        """Hold the lock of a job while it is started or stopped.

        Parameters
        ----------
        seconds:
            Longest wait for another holder.
        on_wait:
            Called once when there is one.

        Raises
        ------
        Conflict
            When another process still starts or stops the job then.
        """
        file = self.file.parent / f"{name}.lock"
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(
                OSError
            ):  # a read-only home has no lock, and no watchdog either
                file.parent.mkdir(parents=True, exist_ok=True)
                lock = stack.enter_context(open_private(file))
                if not _take(lock.fileno(), seconds, on_wait):
                    raise Conflict(
                        f"{name} is being started or stopped by another command or its watchdog; "
                        "try again when that has ended (`driftline job list`)."
                    )
            yield


def _take(file: int, seconds: float, on_wait: Callable[[], None]) -> bool:
    deadline = time.monotonic() + seconds
    announced = False
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        if time.monotonic() >= deadline:
            return False
        if not announced:
            on_wait()
            announced = True
        time.sleep(LOCK_POLL_SECONDS)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_private(path) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
