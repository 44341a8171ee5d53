"""The stream job of a model on the house's Flink."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local.ports import HOST
from streaming.contracts.errors import NotFound
from streaming.engines.flink import Flink, JobStatus
from streaming.engines.flink import submit as submit_job
from streaming.engines.job import JobSettings, ModelJob

if TYPE_CHECKING:
    from deploy.wiring import House


def job_settings(house: House, model: str) -> JobSettings:
    """What the job is submitted with."""
    endpoints, ports = house.settings.endpoints, house.ports
    return JobSettings(
        models=(ModelJob(contract=house.contract(model), rules=house.drift_rules(model)),),
        bootstrap=house.bootstrap,
        artifact_root=str(house.artifact_root),
        job_endpoint=endpoints.jobserver or f"{HOST}:{ports.jobserver}",
        worker_endpoint=endpoints.workers or f"{HOST}:{ports.workers}",
        flink_rest=house.flink_url,
    )


def submit(house: House, model: str, say: Callable[[str], None]) -> str:
    """Submit the job unless one of its name runs; returns Flink's id once it runs."""
    settings = job_settings(house, model)
    running = Flink(settings.flink_rest).find(settings.name)
    if running is None:
        house.ensure_topics()
        say(f"Submitting {settings.name}; the first start takes about half a minute.")
    return submit_job(settings)


@dataclass(frozen=True, slots=True)
class StreamJob:
    """The running stream job of one model."""

    flink: Flink
    settings: JobSettings

    def id(self) -> str:
        """Flink's id; raises `NotFound` when it does not run."""
        found = self.flink.find(self.settings.name)
        if found is None:
            raise NotFound(
                f"{self.settings.name} does not run; "
                f"`driftline job submit {self.settings.models[0].contract.model}` starts it."
            )
        return found

    def status(self) -> JobStatus:
        """How it is."""
        return self.flink.status(self.id())

    def savepoint(self) -> str:
        """Write a savepoint; where it lies."""
        return self.flink.savepoint(self.id(), folder=self.settings.checkpoint_folder)

    def cancel(self) -> None:
        """End it; its last checkpoint stays."""
        self.flink.cancel(self.id())


def stream_job(house: House, model: str) -> StreamJob:
    """The job of a model as Flink sees it."""
    settings = job_settings(house, model)
    return StreamJob(Flink(settings.flink_rest), settings)
