"""The stream jobs on Flink: one per group of models.

A job that was submitted and not cancelled is expected to run. A file remembers it with its Flink
id (`deploy.app.submitted_jobs`), so that its watchdog (`deploy.services.watchdog`) and
`driftline job submit` continue from its last checkpoint.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.app.code_version import code_version
from deploy.app.deployment import Deployment
from deploy.app.job_keeping import point_exists, starting_points
from deploy.app.submitted_jobs import SubmittedJob, SubmittedJobs
from deploy.config.job_groups import group_of
from deploy.config.port_map import HOST
from streaming.contracts.errors import DriftlineError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from streaming.engines.flink.client import Flink, JobStatus
    from streaming.job.settings import JobSettings

Say = Callable[[str], None]

LOCK_SECONDS = 300.0
"""Longest wait of a command for another one, or the watchdog, that starts or stops the same job."""


@dataclass(frozen=True, slots=True)
class StreamJob:
    """The stream job of one group of models."""

    flink: Flink
    settings: JobSettings
    submitted: SubmittedJobs | None = None
    """Remembers that it should run, and its id; None where nobody asks."""
    checkpoints: Path | None = None
    """Flink's checkpoint folder as this process sees it; None when it is not known."""

    @property
    def models(self) -> tuple[str, ...]:
        """The models it serves."""
        return tuple(job.contract.model for job in self.settings.models)

    def find(self) -> str | None:
        """Flink's id, None when it does not run."""
        return self.flink.find(self.settings.name)

    def id(self) -> str:
        """Flink's id; raises `NotFoundError` when it does not run."""
        job_id = self.find()
        if job_id is None:
            raise NotFoundError(
                f"{self.settings.name} is not running; "
                f"`driftline job submit {self.models[0]}` starts it."
            )
        return job_id

    def submit(
        self,
        ensure_topics: Callable[[], None],
        say: Say,
        *,
        restore: str = "",
        fresh: bool = False,
    ) -> str:
        """Start it unless it runs; returns Flink's id once it does.

        It continues from `restore`, else from the last checkpoint of its previous run, so that no
        window is judged twice; with `fresh` or when it never had a checkpoint, from the beginning
        of its topics.

        Raises
        ------
        UnavailableError
            When it does not start.
        NotFoundError
            When its checkpoints are gone.
        """
        with self._exclusively(say):
            running = self.find()
            if running is not None:  # also one that is still starting
                _submit(self.settings)
                self._remember(running, changed_at=time.time())
                return running
            point = "" if fresh else restore or self._first_point()
            ensure_topics()
            say(f"Submitting {self.settings.name}; the first start takes about half a minute.")
            if point:
                say(f"It continues from {point}.")
            with self._intending(point):
                return self._start(point, named=bool(restore))

    def start(self, point: str, *, parallelism: int = 0) -> str:
        """Submit it from a point and wait until it runs; for a caller that holds its lock.

        Parameters
        ----------
        point:
            Checkpoint or savepoint; empty = the beginning of its topics.
        parallelism:
            Number of workers; 0 = as in the settings.

        Raises
        ------
        UnavailableError
            When an engine does not answer, or it does not run in time.
        PermanentError
            When it ends at once.
        """
        workers = parallelism or self.settings.parallelism
        return _submit(replace(self.settings, restore=point, parallelism=workers))

    def _start(self, point: str, *, named: bool) -> str:
        try:
            job_id = self.start(point)
        except DriftlineError as error:
            if not point or named:
                raise
            raise UnavailableError(
                f"{self.settings.name} did not continue from its checkpoint: {error} "
                f"`driftline job submit {self.models[0]} --fresh` reads its topics from the start."
            ) from error
        self._remember(job_id, restored_from=point)
        return job_id

    def _exclusively(self, say: Say) -> AbstractContextManager[None]:
        """The job's lock, for as long as it is started or stopped."""
        if self.submitted is None:
            return nullcontext()
        return self.submitted.submission(
            self.settings.name,
            seconds=LOCK_SECONDS,
            on_wait=lambda: say(f"{self.settings.name} is being started or stopped; waiting."),
        )

    @contextmanager
    def _intending(self, point: str) -> Iterator[None]:
        """Remember where it is about to start from, in case this process is ended meanwhile.

        An end from outside (SIGKILL, Ctrl-C) leaves the intention: Flink may have the job already,
        so the watchdog adopts it or starts it.
        """
        if self.submitted is None:
            yield
            return
        name = self.settings.name
        before = self.remembered()
        now = time.time()
        self.submitted.change(
            name,
            lambda job: msgspec.structs.replace(
                job, expected=True, starting_from=point, ending=False, changed_at=now
            ),
        )
        try:
            yield
        except Exception:
            with contextlib.suppress(DriftlineError):  # without an answer it may run: as intended
                live = self.find()
                if live is not None:  # it only took too long
                    self._remember(live, restored_from=point)
                else:  # whoever asked for it knows that it did not start
                    self.submitted.change(name, lambda job: before)
            raise

    def _remember(
        self,
        job_id: str,
        *,
        restored_from: str = "",
        parallelism: int = 0,
        changed_at: float | None = None,
    ) -> None:
        if self.submitted is not None:
            self.submitted.add(
                self.settings.name,
                job_id,
                restored_from=restored_from,
                parallelism=parallelism,
                changed_at=changed_at,
            )

    def _first_point(self) -> str:
        points = self.starting_points()
        if not points:
            raise NotFoundError(
                f"The checkpoints of {self.settings.name} are gone. "
                f"`driftline job submit {self.models[0]} --fresh` reads its topics from the start; "
                "`--restore PATH` continues from a copy."
            )
        return points[0]

    def remembered(self) -> SubmittedJob | None:
        """What is remembered of it; None when it was never submitted."""
        return None if self.submitted is None else self.submitted.all().get(self.settings.name)

    def starting_points(self) -> tuple[str, ...]:
        """Where it can start from, the best first; see `job_keeping.starting_points`."""
        from streaming.engines.flink.client import complete_checkpoints

        if self.submitted is None or self.checkpoints is None:
            return ("",)
        folder = self.checkpoints
        job = self.remembered()
        if job is None:
            return ("",)
        own = complete_checkpoints(folder, job.job_id) if job.job_id else ()
        return starting_points(job, own, lambda point: point_exists(point, folder))

    def status(self) -> JobStatus:
        """Its state, restarts and checkpoints."""
        return self.flink.status(self.id())

    def savepoint(self) -> str:
        """Write a savepoint; returns its path."""
        return self.flink.savepoint(self.id(), folder=self.settings.checkpoint_folder)

    def find_to_cancel(self) -> str | None:
        """Flink's id; None when it does not run, or Flink does not answer, but is expected to.

        Raises
        ------
        NotFoundError, UnavailableError
            When it does not run, or Flink does not answer, and it is not expected either.
        """
        try:
            return self.id()
        except (NotFoundError, UnavailableError):
            known = self.remembered()
            if known is None or not (known.expected or known.ending):
                raise
            return None

    def cancel(self, say: Say = lambda text: None) -> None:
        """Cancel it; its last checkpoint stays.

        One that is lost is no longer expected. While Flink does not answer, the watchdog remembers
        to end a run that is still there then.

        Raises
        ------
        NotFoundError, UnavailableError
            As `find_to_cancel`; or Flink did not end it: then it is still expected.
        """
        with self._exclusively(say):
            job_id = self.find_to_cancel()
            if job_id is None:
                self._cancel_lost(say)
                return
            if self.submitted is not None:
                self.submitted.remove(self.settings.name)
            try:
                self.flink.cancel(job_id)
            except DriftlineError:
                self._remember(job_id)  # it may run on
                raise

    def _cancel_lost(self, say: Say) -> None:
        assert self.submitted is not None  # it is remembered there
        try:
            away = self.find() is not None  # it has come back since: the watchdog ends it
        except UnavailableError:
            away = True
        self.submitted.remove(self.settings.name, ending=away)
        if away:
            say(
                f"Flink at {self.settings.flink_rest} does not answer: a run of "
                f"{self.settings.name} that is still there goes on until Flink answers; then the "
                "watchdog ends it."
            )
        else:
            say(f"{self.settings.name} did not run; its watchdog no longer submits it.")

    def update(
        self, ensure_topics: Callable[[], None], say: Say, *, parallelism: int | None = None
    ) -> str:
        """Restart it from a savepoint with the settings as they are now; no event is lost.

        Models that were added to the file join, and changed rules apply from the next window on.
        Its parallelism stays as it is unless `parallelism` is given.

        Raises
        ------
        ConfigurationError
            When the job can never have that number of workers; the job keeps running.
        UnavailableError
            When it does not start again; the message has the savepoint's path.
        """
        with self._exclusively(say):
            return self._update(ensure_topics, say, parallelism)

    def _update(self, ensure_topics: Callable[[], None], say: Say, parallelism: int | None) -> str:
        job_id = self.id()
        workers = parallelism or self.flink.parallelism(job_id)
        settings = replace(self.settings, parallelism=workers)  # refused before anything stops
        if workers > self.settings.shards:
            say(
                f"Only {self.settings.shards} of {workers} workers can read: "
                "partitions are spread over that many shards (stream.shards)."
            )
        ensure_topics()
        savepoint = self.savepoint()
        say(f"{self.settings.name}: savepoint at {savepoint}")
        if self.submitted is not None:  # should this process be killed, the watchdog continues
            now = time.time()
            self.submitted.change(
                self.settings.name,
                lambda job: msgspec.structs.replace(
                    job,
                    job_id=job_id,
                    expected=True,
                    starting_from=savepoint,
                    ending=False,
                    parallelism=workers,
                    changed_at=now,
                ),
            )
        self.flink.cancel(job_id)
        try:
            restarted = _submit(replace(settings, restore=savepoint))
        except DriftlineError as error:
            raise UnavailableError(
                f"{self.settings.name} did not start again: {error} Its state is safe; "
                f"`driftline job submit {self.models[0]} --restore {savepoint}` continues from it."
            ) from error
        self._remember(restarted, restored_from=savepoint, parallelism=workers)
        return restarted


def job_settings(deployment: Deployment, group: str) -> JobSettings:
    """The settings that a group's job is submitted with."""
    from streaming.job.settings import JobSettings, ModelJob

    settings, ports = deployment.settings, deployment.ports
    endpoints, stream = settings.endpoints, settings.stream
    return JobSettings(
        models=tuple(
            ModelJob(
                contract=deployment.contract(model),
                rules=deployment.drift_rules(model),
                tolerance=deployment.tolerance(model),
                code=code_version(),
            )
            for model in deployment.groups[group]
        ),
        group=group,
        bootstrap=deployment.bootstrap,
        artifact_root=str(deployment.artifact_root),
        job_endpoint=endpoints.jobserver or f"{HOST}:{ports.jobserver}",
        worker_endpoint=endpoints.workers or f"{HOST}:{ports.workers}",
        flink_rest=deployment.flink_url,
        parallelism=stream.parallelism,
        max_workers=stream.max_workers,
        shards=stream.shards,
        registry=deployment.registry,
    )


def stream_job(deployment: Deployment, model: str) -> StreamJob:
    """The stream job that serves a model; raises `NotFoundError` for an unknown model."""
    deployment.settings_of(model)
    return _job_of(deployment, group_of(model, deployment.groups))


def stream_jobs(deployment: Deployment) -> list[StreamJob]:
    """Every stream job of the configuration."""
    return [_job_of(deployment, group) for group in deployment.groups]


def submitted_jobs(deployment: Deployment) -> SubmittedJobs:
    """The jobs of this deployment that were submitted."""
    return SubmittedJobs(deployment.home / "run" / "stream-jobs.json")


def _job_of(deployment: Deployment, group: str) -> StreamJob:
    from streaming.engines.flink.client import Flink

    settings = job_settings(deployment, group)
    return StreamJob(
        Flink(settings.flink_rest),
        settings,
        submitted_jobs(deployment),
        deployment.home / "data" / "checkpoints",
    )


def _submit(settings: JobSettings) -> str:
    from streaming.job.submit import submit

    return submit(settings)
