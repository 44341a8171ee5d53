"""The stream jobs on Flink: one per group of models.

A job that was submitted and not cancelled is expected to run. That expectation is kept in a file,
so `driftline status` can report a job that is gone, for example after `driftline down` and `up`.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.app.deployment import Deployment
from deploy.config.job_groups import group_of
from deploy.config.port_map import HOST
from streaming.contracts.errors import DriftlineError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from streaming.engines.flink.client import Flink, JobStatus
    from streaming.job.settings import JobSettings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExpectedJobs:
    """Names of the stream jobs that were submitted and not cancelled, kept in a JSON file."""

    file: Path

    def names(self) -> frozenset[str]:
        """The names; empty when there is no readable file."""
        try:
            return frozenset(json.loads(self.file.read_text()))
        except (OSError, ValueError, TypeError):
            return frozenset()

    def add(self, name: str) -> None:
        """Expect a job to run."""
        self._write(self.names() | {name})

    def remove(self, name: str) -> None:
        """Expect a job no longer."""
        self._write(self.names() - {name})

    def _write(self, names: frozenset[str]) -> None:
        with contextlib.suppress(OSError):  # a read-only home only loses the reminder
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.touch(mode=0o600)
            self.file.write_text(json.dumps(sorted(names)))


@dataclass(frozen=True, slots=True)
class StreamJob:
    """The stream job of one group of models."""

    flink: Flink
    settings: JobSettings
    expected: ExpectedJobs | None = None
    """Remembers that it should run; None where nobody asks."""

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

    def submit(self, ensure_topics: Callable[[], None], say: Say, *, restore: str = "") -> str:
        """Start it unless it runs; returns Flink's id once it does."""
        if self.find() is None:
            ensure_topics()
            say(f"Submitting {self.settings.name}; the first start takes about half a minute.")
        job_id = _submit(replace(self.settings, restore=restore))
        if self.expected is not None:
            self.expected.add(self.settings.name)
        return job_id

    def status(self) -> JobStatus:
        """Its state, restarts and checkpoints."""
        return self.flink.status(self.id())

    def savepoint(self) -> str:
        """Write a savepoint; returns its path."""
        return self.flink.savepoint(self.id(), folder=self.settings.checkpoint_folder)

    def cancel(self) -> None:
        """Cancel it; its last checkpoint stays."""
        self.flink.cancel(self.id())
        if self.expected is not None:
            self.expected.remove(self.settings.name)

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
            return _submit(replace(settings, restore=savepoint))
        except DriftlineError as error:
            raise UnavailableError(
                f"{self.settings.name} did not start again: {error} Its state is safe; "
                f"`driftline job submit {self.models[0]} --restore {savepoint}` continues from it."
            ) from error


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
    expected = expected_jobs(deployment).names()
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


def expected_jobs(deployment: Deployment) -> ExpectedJobs:
    """The jobs of this deployment that should run."""
    return ExpectedJobs(deployment.home / "run" / "stream-jobs.json")


def _flink_state(flink: Flink, name: str) -> str:
    try:
        job_id = flink.find(name)
        return flink.status(job_id).state.lower() if job_id is not None else "not running"
    except DriftlineError:
        return "unknown"


def _job_of(deployment: Deployment, group: str) -> StreamJob:
    from streaming.engines.flink.client import Flink

    settings = job_settings(deployment, group)
    return StreamJob(Flink(settings.flink_rest), settings, expected_jobs(deployment))


def _submit(settings: JobSettings) -> str:
    from streaming.job.submit import submit

    return submit(settings)
