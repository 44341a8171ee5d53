"""What the watchdog of a stream job does next: a pure decision.

Flink without high availability forgets its jobs when its JobManager ends, and nothing on Flink's
side starts them again. The watchdog does: it compares what should run (`SubmittedJob`) with what
runs, and says what to do about the difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from deploy.app.submitted_jobs import SubmittedJob


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchdogRules:
    """How patient the watchdog is."""

    first_pause_seconds: float = 5.0
    """Pause after the first attempt that failed; it doubles with each further one."""
    longest_pause_seconds: float = 600.0
    settled_seconds: float = 30.0
    """A job that has run this long since it was submitted, with a checkpoint of its own, runs well
    again: earlier failures no longer count."""
    stuck_seconds: float = 120.0
    """A job whose tasks do not all run for this long, although Flink does not restart it and
    everything that it needs answers, is started again: Beam waits without end for a Python worker
    whose pool was killed before the worker reported."""
    alert_attempts: int = 3
    """After this many attempts without success somebody should look."""

    def pause_seconds(self, attempts: int) -> float:
        """Pause after this many attempts in a row.

        >>> [WatchdogRules().pause_seconds(n) for n in (0, 1, 2, 3, 99)]
        [0.0, 5.0, 10.0, 20.0, 600.0]
        """
        if attempts == 0:
            return 0.0
        doubled = self.first_pause_seconds * 2.0 ** min(attempts - 1, 30)
        return min(self.longest_pause_seconds, doubled)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenRun:
    """A run of the job that Flink remembers."""

    job_id: str
    state: str
    """Flink's state: RUNNING, RESTARTING, FAILED, CANCELED, …"""
    ended: bool
    started_at: float
    tasks_run: bool = False
    """Whether every task runs."""
    checkpointed_at: float = 0.0
    """Its newest completed checkpoint, seconds since 1970; 0 = none."""
    last_error: str = ""
    """Flink's newest exception of a run without a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the watchdog knows of a job and its surroundings."""

    job: SubmittedJob | None
    """What is remembered of it; None when it was never submitted."""
    flink_answers: bool = True
    task_managers: int = 1
    runs: tuple[SeenRun, ...] = ()
    """The newest first."""
    silent: tuple[str, ...] = ()
    """What a submission needs and does not answer, for example ``Kafka``."""
    points: tuple[str, ...] = ()
    """Where it can start from, the best first; empty text = the beginning of its topics. No point
    at all: its checkpoints are lost."""
    waited: float = 0.0
    """Seconds for which not every task has been running, as far as the watchdog has seen; a machine
    that was suspended does not count them."""
    without_checkpoint: float = 0.0
    """Seconds for which the one run has lived without ever completing a checkpoint, although all
    that it needs answers; counted in the same way."""


class Act(StrEnum):
    """What the watchdog does."""

    NOTHING = "nothing"
    WAIT = "wait"
    """It should run and does not, but a submission would not help now."""
    ADOPT = "adopt"
    """It runs under another id than the remembered one."""
    SETTLE = "settle"
    """It runs well again: forget the failed attempts."""
    FORGET = "forget"
    """It was cancelled, on Flink itself or earlier, and does not run: it should not."""
    END = "end"
    """It was cancelled while Flink did not answer, and still runs: end it."""
    CANCEL_SECOND = "cancel-second"
    """Two runs of it live: end the younger one."""
    RESTART = "restart"
    """Its tasks are stuck: end it and submit it again."""
    SUBMIT = "submit"
    GIVE_UP = "give-up"
    """It cannot run again before somebody acts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, and why."""

    act: Act
    reason: str
    job_id: str = ""
    """The run that it is about."""
    point: str = ""
    """For a submission: checkpoint or savepoint to start from; empty = the beginning."""
    needs_help: bool = False
    """Whether somebody should look, although the watchdog goes on."""


_ENDING = frozenset({"CANCELLING", "FAILING"})


def decide(seen: Observation, now: float, rules: WatchdogRules = WatchdogRules()) -> Decision:
    """What the watchdog does about one job at `now`, seconds since 1970."""
    job = seen.job
    if job is None:
        return Decision(act=Act.NOTHING, reason="it was never submitted")
    live = [run for run in seen.runs if not run.ended]
    if not job.expected:
        return _cancelled(seen, job, live)
    if not seen.flink_answers:
        return Decision(act=Act.WAIT, reason="Flink does not answer")
    if live:
        return _live(seen, job, live, now, rules)
    ended = next((run for run in seen.runs if run.job_id == job.job_id), None)
    if ended is not None and ended.state == "CANCELED" and job.starting_from is None:
        return Decision(act=Act.FORGET, reason="it was cancelled on Flink", job_id=ended.job_id)
    return _submission(seen, job, ended, now, rules)


def _cancelled(seen: Observation, job: SubmittedJob, live: Sequence[SeenRun]) -> Decision:
    """What to do about a job that should not run."""
    if not job.ending:
        return Decision(act=Act.NOTHING, reason="it was cancelled")
    if not seen.flink_answers:
        return Decision(act=Act.WAIT, reason="it was cancelled; it is ended when Flink answers")
    if not live:
        return Decision(act=Act.FORGET, reason="it was cancelled, and does not run")
    if live[0].state in _ENDING:
        return Decision(act=Act.WAIT, reason="it ends", job_id=live[0].job_id)
    return Decision(act=Act.END, reason="it was cancelled, and still runs", job_id=live[0].job_id)


def _live(
    seen: Observation, job: SubmittedJob, live: Sequence[SeenRun], now: float, rules: WatchdogRules
) -> Decision:
    """What to do while at least one run lives."""
    if len(live) > 1:
        oldest = min(live, key=lambda run: (run.job_id != job.job_id, run.started_at))
        second = next(run for run in live if run is not oldest)
        reason = f"it runs twice; {second.job_id} is ended"
        return Decision(act=Act.CANCEL_SECOND, reason=reason, job_id=second.job_id)
    (run,) = live
    if run.state in _ENDING:
        return Decision(act=Act.WAIT, reason=f"Flink says {run.state.lower()}", job_id=run.job_id)
    if run.job_id != job.job_id or job.starting_from is not None:
        reason = f"it runs as {run.job_id}"
        return Decision(act=Act.ADOPT, reason=reason, job_id=run.job_id)
    if seen.without_checkpoint >= rules.stuck_seconds and not _can_restart(seen, job, now, rules):
        reason = _no_checkpoint(seen, run)
        return Decision(act=Act.GIVE_UP, reason=reason, job_id=run.job_id)
    if run.tasks_run:
        since = now - max(run.started_at, job.keeping.attempted_at)
        well = run.checkpointed_at > run.started_at and since >= rules.settled_seconds
        failed = job.keeping.attempts or job.keeping.refused or job.keeping.needs_help
        if failed and well:
            return Decision(act=Act.SETTLE, reason="it runs well again", job_id=run.job_id)
        return Decision(act=Act.NOTHING, reason="it runs", job_id=run.job_id)
    if run.state != "RUNNING" or not _can_restart(seen, job, now, rules):
        reason = f"Flink says {run.state.lower()}; not all of its tasks run"
        return Decision(act=Act.WAIT, reason=reason, job_id=run.job_id)
    if not seen.points:
        return Decision(act=Act.WAIT, reason="its tasks are stuck, and it has no checkpoint")
    reason = f"not all of its tasks have run for {seen.waited:.0f} s"
    return Decision(act=Act.RESTART, reason=reason, job_id=run.job_id, point=seen.points[0])


def _can_restart(seen: Observation, job: SubmittedJob, now: float, rules: WatchdogRules) -> bool:
    """Whether tasks are stuck, and a restart may help now."""
    return (
        seen.waited >= rules.stuck_seconds
        and seen.task_managers > 0
        and not seen.silent
        and not _pausing(job, now, rules)
    )


def _no_checkpoint(seen: Observation, run: SeenRun) -> str:
    """Why a run that lives needs help."""
    error = f" Flink's last error: {run.last_error[:300]}." if run.last_error else ""
    return (
        f"Flink says {run.state.lower()}, but it has completed no checkpoint for "
        f"{seen.without_checkpoint:.0f} s, none since its start.{error} The point that it started "
        "from may be of another release: after `driftline job cancel MODEL`, `driftline job submit "
        "MODEL --fresh` starts anew"
    )


def _submission(
    seen: Observation, job: SubmittedJob, ended: SeenRun | None, now: float, rules: WatchdogRules
) -> Decision:
    """What to do while no run lives."""
    if not seen.points:
        reason = (
            "its checkpoints are gone; `driftline job submit MODEL --fresh` reads its topics from "
            "the start, `--restore PATH` continues from a copy"
        )
        return Decision(act=Act.GIVE_UP, reason=reason)
    if seen.silent:
        return Decision(act=Act.WAIT, reason=f"{', '.join(seen.silent)} does not answer")
    if seen.task_managers == 0:
        return Decision(act=Act.WAIT, reason="no TaskManager is registered at Flink")
    point, all_refused = _next_point(seen, job, ended)
    needs_help = all_refused and job.keeping.attempts > 1
    advice = _ALL_REFUSED if needs_help else ""
    pause = _pausing(job, now, rules)
    if pause > 0:
        tries = f"{job.keeping.attempts} attempt" + "s" * (job.keeping.attempts > 1)
        reason = f"{tries} failed; the next one comes in {pause:.0f} s{advice}"
        return Decision(act=Act.WAIT, reason=reason, needs_help=needs_help)
    state = "is gone from Flink" if ended is None else f"is {ended.state.lower()}"
    reason = f"it {state}{advice}"
    return Decision(act=Act.SUBMIT, reason=reason, point=point, needs_help=needs_help)


_ALL_REFUSED = (
    "; every checkpoint of its last run was refused, and the newest is tried again. They may be of "
    "another release: after `driftline job cancel MODEL`, `driftline job submit MODEL` continues "
    "with `--restore PATH` from an older point, with `--fresh` from the start of the topics"
)


def _pausing(job: SubmittedJob, now: float, rules: WatchdogRules) -> float:
    """Seconds until the next attempt is due; a clock that was set back makes it no longer."""
    pause = rules.pause_seconds(job.keeping.attempts)
    return max(0.0, min(pause, job.keeping.attempted_at + pause - now))


def _next_point(seen: Observation, job: SubmittedJob, ended: SeenRun | None) -> tuple[str, bool]:
    """The best point that was not refused since the job last ran well; when all were, the best.

    Also returns whether all were.
    """
    refused = set(job.keeping.refused)
    if ended is not None and ended.state == "FAILED" and job.keeping.attempts:
        refused.add(job.restored_from)  # it started from there, and failed before it ran well
    usable = [point for point in seen.points if point not in refused]
    return (usable[0], False) if usable else (seen.points[0], True)


def starting_points(
    job: SubmittedJob, own: Sequence[str], is_there: Callable[[str], bool]
) -> tuple[str, ...]:
    """Where a job that does not run can start from, the best first.

    First the point that an interrupted command was about to start it from, then the complete
    checkpoints of its last run; where that run started from itself only if it had no checkpoint
    yet, for that point may be weeks old. Empty text stands for the beginning of its topics: only
    for a job that never had a checkpoint, or whose restart from there was interrupted. No point at
    all: its checkpoints are lost.

    Parameters
    ----------
    own:
        The complete checkpoints of its last run that this process sees, the best first.
    is_there:
        Whether a named checkpoint or savepoint still exists; true when that cannot be known.
    """
    if job.starting_from == "":
        return ("",)
    first = "" if own or job.last_checkpoint else job.restored_from
    named = (job.starting_from or "", *own, local_path(job.last_checkpoint), first)
    points = tuple(
        dict.fromkeys(point for point in named if point and (point in own or is_there(point)))
    )
    had_one = job.starting_from or job.last_checkpoint or job.restored_from
    return points if points or had_one else ("",)


def local_path(point: str) -> str:
    """A point as a path where it is a file; otherwise unchanged.

    >>> local_path("file:/a/chk-3"), local_path("file:///a/chk-3"), local_path("s3://b/chk-3")
    ('/a/chk-3', '/a/chk-3', 's3://b/chk-3')
    """
    if not point.startswith("file:"):
        return point
    return "/" + point.removeprefix("file:").lstrip("/")


def point_exists(point: str, folder: Path) -> bool:
    """Whether a point still exists; true when this process does not see Flink's folders.

    Parameters
    ----------
    folder:
        Flink's checkpoint folder as this process would see it.
    """
    path = local_path(point)
    if "://" in path or not folder.is_dir():
        return True
    return (Path(path) / "_metadata").exists() or Path(path).is_file()
