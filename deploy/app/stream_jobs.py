"""The stream jobs on the house's Flink: one per group of models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from deploy.config.port_map import HOST
from streaming.contracts.errors import DriftlineError, NotFoundError, UnavailableError
from streaming.engines.flink.client import Flink, JobStatus
from streaming.engines.flink.client import submit as submit_job
from streaming.job.settings import JobSettings, ModelJob

if TYPE_CHECKING:
    from deploy.app.deployment import Deployment

Say = Callable[[str], None]


def job_settings(deployment: Deployment, group: str) -> JobSettings:
    """What the job of a group is submitted with."""
    endpoints, ports, stream = (
        deployment.settings.endpoints,
        deployment.ports,
        deployment.settings.stream,
    )
    return JobSettings(
        models=tuple(
            ModelJob(contract=deployment.contract(model), rules=deployment.drift_rules(model))
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


@dataclass(frozen=True, slots=True)
class StreamJob:
    """The stream job of one group of models."""

    flink: Flink
    settings: JobSettings

    @property
    def models(self) -> tuple[str, ...]:
        """The models it serves."""
        return tuple(one.contract.model for one in self.settings.models)

    def find(self) -> str | None:
        """Flink's id, None when it does not run."""
        return self.flink.find(self.settings.name)

    def id(self) -> str:
        """Flink's id; raises `NotFoundError` when it does not run."""
        found = self.find()
        if found is None:
            raise NotFoundError(
                f"{self.settings.name} does not run; "
                f"`driftline job submit {self.models[0]}` starts it."
            )
        return found

    def submit(self, ensure_topics: Callable[[], None], say: Say, *, restore: str = "") -> str:
        """Start it unless it runs; returns Flink's id once it does."""
        if self.find() is None:
            ensure_topics()
            say(f"Submitting {self.settings.name}; the first start takes about half a minute.")
        return submit_job(replace(self.settings, restore=restore))

    def status(self) -> JobStatus:
        """How it is."""
        return self.flink.status(self.id())

    def savepoint(self) -> str:
        """Write a savepoint; where it lies."""
        return self.flink.savepoint(self.id(), folder=self.settings.checkpoint_folder)

    def cancel(self) -> None:
        """End it; its last checkpoint stays."""
        self.flink.cancel(self.id())

    def update(
        self, ensure_topics: Callable[[], None], say: Say, *, parallelism: int | None = None
    ) -> str:
        """Start it anew from a savepoint, with the settings as they are now; no event is lost.

        Models that were added to the file join, rules that were changed hold from the next window
        on. Its parallelism stays as it is unless `parallelism` says otherwise.

        Raises
        ------
        ConfigurationError
            When the job can never have so many workers; it runs on as it was.
        UnavailableError
            When it does not come up again; the message says where the savepoint lies.
        """
        running = self.id()
        workers = parallelism or self.flink.parallelism(running)
        wanted = replace(self.settings, parallelism=workers)  # refused before anything is stopped
        if workers > self.settings.shards:
            say(
                f"Only {self.settings.shards} of {workers} workers can read: "
                "partitions are spread over that many shards (stream.shards)."
            )
        ensure_topics()
        point = self.savepoint()
        say(f"{self.settings.name}: savepoint at {point}")
        self.cancel()
        try:
            return submit_job(replace(wanted, restore=point))
        except DriftlineError as error:
            raise UnavailableError(
                f"{self.settings.name} did not come up again: {error} Its state is safe; "
                f"`driftline job submit {self.models[0]} --restore {point}` goes on from it."
            ) from error


def stream_job(deployment: Deployment, group: str) -> StreamJob:
    """The job of a group as Flink sees it."""
    settings = job_settings(deployment, group)
    return StreamJob(Flink(settings.flink_rest), settings)
