"""Keeps one stream job running: looks, lets `deploy.app.job_keeping` decide, and acts.

What must survive the watchdog's end lies in the file of `SubmittedJobs`, in Flink and in the folder
of checkpoints. Every act holds the job's lock, and is decided again under it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import structlog

from deploy.app.job_keeping import (
    Act,
    Decision,
    Observation,
    SeenRun,
    WatchdogRules,
    decide,
    local_path,
)
from deploy.app.stream_jobs import StreamJob
from deploy.app.submitted_jobs import Keeping, SubmittedJob, SubmittedJobs, UnreadableJobs
from deploy.metrics.stream_job import JobCondition
from deploy.services.submissions import Submissions
from streaming.contracts.errors import Conflict, DriftlineError, PermanentError, UnavailableError
from streaming.engines.flink.client import Flink, JobRun

_RULES = WatchdogRules()

log = structlog.get_logger()


@dataclass
class Stopwatch:
    """How long something has lasted, on a clock that the caller reads."""

    since: float | None = None
    _of: str = ""

    def seconds(self, now: float, of: str = "") -> float:
        """It lasts; returns for how long, and begins again for something else."""
        if self.since is None or of != self._of:
            self.since, self._of = now, of
        return now - self.since

    def ends(self) -> None:
        """It does not last."""
        self.since = None


@dataclass
class JobWatchdog:
    """Keeps one stream job running.

    Parameters
    ----------
    flink:
        Is looked at; it gives up waiting for an answer after seconds, as a stopped JobManager gives
        none.
    silent:
        Which of the engines that a submission needs do not answer.
    prepare:
        Makes the topics that are missing.
    """

    job: StreamJob
    flink: Flink
    submitted: SubmittedJobs
    silent: Callable[[], tuple[str, ...]]
    prepare: Callable[[], None]
    rules: WatchdogRules = _RULES
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    """Stands still while the machine is suspended; measures how long something has lasted."""
    condition: JobCondition = field(default_factory=JobCondition)
    """What the metrics show."""
    _waiting: Stopwatch = field(default_factory=Stopwatch)
    _unsaved: Stopwatch = field(default_factory=Stopwatch)
    _noted: str = ""

    @property
    def name(self) -> str:
        """The job's name on Flink."""
        return self.job.settings.name

    @property
    def group(self) -> str:
        """The job's group of models."""
        return self.name.removeprefix("driftline-")

    def look(self, submissions: Submissions) -> Decision | None:
        """Look once and act; None while a submission is under way or the file is unusable."""
        try:
            decision = self._decision()
            if submissions.busy:
                return None
            if decision.act in (Act.NOTHING, Act.WAIT, Act.GIVE_UP):
                self._note(decision)
                return decision
            with self.submitted.submission(self.name):
                decision = self._decision()  # again, now that nobody else can act
                self._note(decision)
                if decision.act is not Act.SUBMIT:
                    self._act(decision)
                    return decision
        except Conflict:
            return None  # a command of a user is at work
        except UnreadableJobs as error:  # whether it should run is not known: somebody must act
            self.condition = replace(self.condition, running=False, needs_help=True)
            self._report(f"cannot look: {error}")
            return None
        except (DriftlineError, OSError) as error:
            self._report(f"cannot look: {error}")
            return None
        submissions.start(lambda: self.submit(decision.point))
        return decision

    def _decision(self) -> Decision:
        seen = self._seen()
        decision = decide(seen, self.clock(), self.rules)
        self._observe(seen, decision)
        return decision

    # ------------------------------------------------------------------- looking

    def _seen(self) -> Observation:
        job = self.submitted.all().get(self.name)
        if job is None or not (job.expected or job.ending):
            return Observation(job=job)
        try:
            seen = tuple(self._run(run) for run in self.flink.runs(self.name))
            live = [run for run in seen if not run.ended]
            if not job.expected:
                return Observation(job=job, runs=seen)
            if any(run.tasks_run for run in live):
                self._waiting.ends()
                return Observation(
                    job=self._with_checkpoint(job, live[0]),
                    runs=seen,
                    without_checkpoint=self._without_checkpoint(live),
                )
            managers = self.flink.task_managers()
        except UnavailableError:
            if job.expected:
                _import_beam()  # a submission follows; there is time for it now
            self._waiting.ends()
            self._unsaved.ends()
            return Observation(job=job, flink_answers=False)
        silent = self.silent()
        blamed = [] if silent or not managers else live
        if not blamed:
            self._waiting.ends()
        return Observation(
            job=job,
            runs=seen,
            task_managers=managers,
            silent=silent,
            points=self.job.starting_points(),
            waited=self._waiting.seconds(self.monotonic(), live[0].job_id) if blamed else 0.0,
            without_checkpoint=self._without_checkpoint(blamed),
        )

    def _without_checkpoint(self, live: list[SeenRun]) -> float:
        """Seconds for which the one run has been seen without a checkpoint of its own."""
        if len(live) != 1 or live[0].checkpointed_at:
            self._unsaved.ends()
            return 0.0
        return self._unsaved.seconds(self.monotonic(), live[0].job_id)

    def _run(self, run: JobRun) -> SeenRun:
        """What Flink says of a run; details only of one that lives."""
        tasks_run, checkpointed_at, last_error = False, 0.0, ""
        if not run.ended:
            tasks_run = self.flink.running(run.job_id)
            checkpointed_at = self.flink.newest_checkpoint(run.job_id)[1]
            if not checkpointed_at and self._unsaved.since is not None:
                last_error = self.flink.status(run.job_id).last_error
        return SeenRun(
            job_id=run.job_id,
            state=run.state,
            ended=run.ended,
            started_at=run.started_at,
            tasks_run=tasks_run,
            checkpointed_at=checkpointed_at,
            last_error=last_error,
        )

    def _with_checkpoint(self, job: SubmittedJob, run: SeenRun) -> SubmittedJob:
        """Remember that the run has a checkpoint, and where, if its folder is not visible here."""
        if not run.checkpointed_at or run.job_id != job.job_id:
            return job
        folder = self.job.checkpoints
        if job.last_checkpoint and folder is not None and folder.is_dir():
            return job
        path = local_path(self.flink.newest_checkpoint(run.job_id)[0])
        if path and path != job.last_checkpoint:
            self.submitted.change(
                self.name,
                lambda known: (
                    msgspec.structs.replace(known, last_checkpoint=path)
                    if known.job_id == run.job_id
                    else known
                ),
            )
        return job

    # -------------------------------------------------------------------- acting

    def _act(self, decision: Decision) -> None:
        """Do what takes no submission; the caller holds the job's lock."""
        match decision.act:
            case Act.ADOPT:
                self._adopt(decision.job_id)
            case Act.SETTLE:
                self._keep(lambda keeping: msgspec.structs.replace(
                    keeping, attempts=0, refused=(), note="", last_error="", needs_help=False
                ))  # fmt: skip
            case Act.FORGET:
                self.submitted.remove(self.name)
            case Act.CANCEL_SECOND | Act.END:  # the next look sees that it has ended
                self.job.flink.cancel(decision.job_id)
            case Act.RESTART:
                point = decision.point
                self.submitted.change(
                    self.name,
                    lambda job: msgspec.structs.replace(job, starting_from=point),
                )
                self.job.flink.cancel(decision.job_id)
            case _:  # it has come right by itself since the first look
                pass

    def _adopt(self, job_id: str) -> None:
        """Remember the run that lives: a submission was interrupted before it could do so."""
        restored = local_path(self.flink.status(job_id).restored_from)

        def adopted(job: SubmittedJob) -> SubmittedJob:
            if job.job_id == job_id:
                return msgspec.structs.replace(job, starting_from=None)
            return msgspec.structs.replace(
                job,
                job_id=job_id,
                restored_from=restored or job.starting_from or "",
                last_checkpoint="",
                starting_from=None,
            )

        self.submitted.change(self.name, adopted)

    def submit(self, point: str) -> None:
        """Submit the job from a checkpoint; a failure is remembered, not raised."""
        try:
            with self.submitted.submission(self.name):
                job = self.submitted.all().get(self.name)
                if job is None or not job.expected or self.job.find() is not None:
                    return
                self.prepare()
                now = self.clock()
                self._keep(lambda keeping: msgspec.structs.replace(
                    keeping, attempts=keeping.attempts + 1, attempted_at=now
                ))  # fmt: skip
                job_id = self.job.start(point, parallelism=job.parallelism)
                self.submitted.change(self.name, lambda known: _resubmitted(
                    known, job_id, point, self.clock()
                ))  # fmt: skip
                log.info("job.resubmitted", job=self.name, id=job_id, point=point)
        except Conflict:
            return  # a command of a user is at work
        except UnreadableJobs as error:  # the next look reports it
            log.warning("job.not_remembered", job=self.name, reason=str(error))
        except PermanentError as error:  # it ended at once: perhaps it cannot start from there
            if self._cancelled_meanwhile():
                self.submitted.remove(self.name)
                return
            log.warning("job.refused", job=self.name, point=point, reason=str(error))
            refusal = str(error)[:500]
            self._keep(lambda keeping: msgspec.structs.replace(
                keeping, refused=_added(keeping.refused, point), last_error=refusal
            ))  # fmt: skip
        except Exception as error:  # noqa: BLE001 - the next look decides
            text = f"{type(error).__name__}: {error}"[:500]
            log.warning("job.not_submitted", job=self.name, point=point, reason=text)
            self._keep(lambda keeping: msgspec.structs.replace(keeping, last_error=text))

    def _cancelled_meanwhile(self) -> bool:
        """Whether somebody cancelled the newest run on Flink while it was starting."""
        try:
            return [run.state for run in self.flink.runs(self.name)][:1] == ["CANCELED"]
        except DriftlineError:
            return False

    # ----------------------------------------------------------------- reporting

    def _keep(self, change: Callable[[Keeping], Keeping]) -> None:
        self.submitted.change(
            self.name,
            lambda job: msgspec.structs.replace(job, keeping=change(job.keeping)),
        )

    def _note(self, decision: Decision) -> None:
        """Log and remember a reason, once while its words (without numbers) stay the same."""
        idle = decision.act is Act.NOTHING
        words = "".join(letter for letter in decision.reason if not letter.isdigit())
        if f"{decision.act} {words}" == self._noted:
            return
        self._noted = f"{decision.act} {words}"
        log.info("job.seen", job=self.name, act=str(decision.act), reason=decision.reason)
        if self.name in self.submitted.all():
            self._keep(lambda keeping: msgspec.structs.replace(
                keeping,
                note="" if idle else decision.reason,
                needs_help=_needs_help(decision),
            ))  # fmt: skip

    def _report(self, problem: str) -> None:
        if problem != self._noted:
            self._noted = problem
            log.warning("job.problem", job=self.name, problem=problem)

    def _observe(self, seen: Observation, decision: Decision) -> None:
        """What the metrics show after this look."""
        job = seen.job
        if job is None:
            self.condition = JobCondition(resubmits=self.condition.resubmits)
            return
        live = [run for run in seen.runs if not run.ended]
        # A run that never completed a checkpoint is as old as its start.
        newest = max((run.checkpointed_at or run.started_at for run in live), default=0.0)
        self.condition = JobCondition(
            expected=job.expected,
            running=any(run.tasks_run for run in live),
            checkpointed_at=newest or self.condition.checkpointed_at,
            resubmits=job.keeping.resubmits,
            attempts=job.keeping.attempts,
            needs_help=_needs_help(decision) or job.keeping.attempts >= self.rules.alert_attempts,
        )


def _needs_help(decision: Decision) -> bool:
    return decision.needs_help or decision.act is Act.GIVE_UP


def _added(refused: tuple[str, ...], point: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*refused, point)))


def _resubmitted(job: SubmittedJob, job_id: str, point: str, now: float) -> SubmittedJob:
    """The new run is the remembered one."""
    keeping = msgspec.structs.replace(
        job.keeping,
        resubmits=job.keeping.resubmits + 1,
        resubmitted_at=now,
        resubmitted_from=point,
        note="",
    )
    return SubmittedJob(
        job_id=job_id,
        restored_from=point,
        parallelism=job.parallelism,
        changed_at=job.changed_at,
        keeping=keeping,
    )


def _import_beam() -> None:
    """Import what a submission needs; it takes seconds the first time."""
    from streaming.job import pipeline

    del pipeline
