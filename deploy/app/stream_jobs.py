"""The stream jobs on Flink: one per group of models.

A job that was submitted and not cancelled is expected to run. A file remembers it with its Flink
id, so `driftline status` reports a job that is gone, for example after `driftline down` and `up`,
and `driftline job submit` continues from its last checkpoint.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from deploy.app.deployment import Deployment
from deploy.config.job_groups import group_of
from deploy.config.port_map import HOST
from streaming.contracts.errors import DriftlineError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from streaming.engines.flink.client import Flink, JobStatus
    from streaming.job.settings import JobSettings

Say = Callable[[str], None]


class SubmittedJob(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a job that was submitted."""

    job_id: str = ""
    """Flink's id; its checkpoints lie in a folder of this name."""
    expected: bool = True
    """Whether it should run: false once it was cancelled."""


@dataclass(frozen=True, slots=True)
class SubmittedJobs:
    """The stream jobs that were submitted, kept in a JSON file: name -> `SubmittedJob`."""

    file: Path

    def all(self) -> dict[str, SubmittedJob]:
        """By name; empty when there is no readable file."""
        try:
            return msgspec.json.decode(self.file.read_bytes(), type=dict[str, SubmittedJob])
        except (OSError, msgspec.DecodeError, msgspec.ValidationError):
            return {}

    def names(self) -> frozenset[str]:
        """The jobs that should run."""
        return frozenset(name for name, job in self.all().items() if job.expected)

    def add(self, name: str, job_id: str = "") -> None:
        """Expect a job to run."""
        self._write(self.all() | {name: SubmittedJob(job_id=job_id)})

    def remove(self, name: str) -> None:
        """Expect a job no longer; where its checkpoints lie stays known."""
        jobs = self.all()
        if name in jobs:
            self._write(jobs | {name: msgspec.structs.replace(jobs[name], expected=False)})

    def _write(self, jobs: dict[str, SubmittedJob]) -> None:
        with contextlib.suppress(OSError):  # a read-only home only loses the reminder
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch(mode=0o600)
            self.file.write_bytes(msgspec.json.encode(jobs))


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
        window is judged twice; with `fresh` or without a checkpoint, from the beginning of its
        topics.

        Raises
        ------
        UnavailableError
            When it does not start.
        """
        point = "" if fresh else restore or self._last_checkpoint()
        if self.find() is None:
            ensure_topics()
            say(f"Submitting {self.settings.name}; the first start takes about half a minute.")
            if point:
                say(f"It continues from {point}.")
        try:
            job_id = _submit(replace(self.settings, restore=point))
        except DriftlineError as error:
            if not point or restore:
                raise
            raise UnavailableError(
                f"{self.settings.name} did not continue from its checkpoint: {error} "
                f"`driftline job submit {self.models[0]} --fresh` reads its topics from the start."
            ) from error
        if self.submitted is not None:
            self.submitted.add(self.settings.name, job_id)
        return job_id

    def _last_checkpoint(self) -> str:
        """The newest checkpoint of the previous run of this job; empty for none."""
        from streaming.engines.flink.client import newest_checkpoint

        if self.submitted is None or self.checkpoints is None:
            return ""
        previous = self.submitted.all().get(self.settings.name)
        if previous is None or not previous.job_id:
            return ""
        return newest_checkpoint(self.checkpoints, previous.job_id)

    def status(self) -> JobStatus:
        """Its state, restarts and checkpoints."""
        return self.flink.status(self.id())

    def savepoint(self) -> str:
        """Write a savepoint; returns its path."""
        return self.flink.savepoint(self.id(), folder=self.settings.checkpoint_folder)

    def cancel(self) -> None:
        """Cancel it; its last checkpoint stays."""
        self.flink.cancel(self.id())
        if self.submitted is not None:
            self.submitted.remove(self.settings.name)

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
        self.flink.cancel(job_id)
        try:
            restarted = _submit(replace(settings, restore=savepoint))
        except DriftlineError as error:
            raise UnavailableError(
                f"{self.settings.name} did not start again: {error} Its state is safe; "
                f"`driftline job submit {self.models[0]} --restore {savepoint}` continues from it."
            ) from error
        if self.submitted is not None:
            self.submitted.add(self.settings.name, restarted)
        return restarted


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamJobState:
    """Whether a stream job runs, for `driftline status`."""

    name: str
    models: tuple[str, ...]
    state: str
    """Flink's state, ``not running``, or ``unknown`` when Flink does not answer."""
    expected: bool
    """Whether it was submitted and not cancelled."""

    @property
    def missing(self) -> bool:
        """Whether it should run and does not."""
        return self.expected and self.state == "not running"


def job_settings(deployment: Deployment, group: str) -> JobSettings:
    """The settings that a group's job is submitted with."""
    from streaming.job.settings import JobSettings, ModelJob

    endpoints, ports, stream = (
        deployment.settings.endpoints,
        deployment.ports,
        deployment.settings.stream,
    )
    return JobSettings(
        models=tuple(
            ModelJob(
                contract=deployment.contract(model),
                rules=deployment.drift_rules(model),
                tolerance=deployment.tolerance(model),
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
    )


def stream_job(deployment: Deployment, model: str) -> StreamJob:
    """The stream job that serves a model; raises `NotFoundError` for an unknown model."""
    deployment.settings_of(model)
    return _job_of(deployment, group_of(model, deployment.groups))


def stream_jobs(deployment: Deployment) -> list[StreamJob]:
    """Every stream job of the configuration."""
    return [_job_of(deployment, group) for group in deployment.groups]


def stream_job_states(deployment: Deployment) -> tuple[StreamJobState, ...]:
    """Whether each stream job runs; an unreachable Flink gives ``unknown``, not an error."""
    from streaming.engines.flink.client import Flink

    flink = Flink(deployment.flink_url, timeout=3.0)
    expected = submitted_jobs(deployment).names()
    states = []
    for group, models in deployment.groups.items():
        name = f"driftline-{group}"
        states.append(
            StreamJobState(
                name=name,
                models=models,
                state=_flink_state(flink, name),
                expected=name in expected,
            )
        )
    return tuple(states)


def submitted_jobs(deployment: Deployment) -> SubmittedJobs:
    """The jobs of this deployment that were submitted."""
    return SubmittedJobs(deployment.home / "run" / "stream-jobs.json")


def _flink_state(flink: Flink, name: str) -> str:
    try:
        job_id = flink.find(name)
        return flink.status(job_id).state.lower() if job_id is not None else "not running"
    except DriftlineError:
        return "unknown"


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
