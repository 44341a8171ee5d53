"""Whether each stream job runs, for `driftline status`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.app.deployment import Deployment
from deploy.app.stream_jobs import submitted_jobs
from deploy.app.submitted_jobs import SubmittedJob, UnreadableJobs
from streaming.contracts.errors import DriftlineError

if TYPE_CHECKING:
    from streaming.engines.flink.client import Flink

FIRST_CHECKPOINT_SECONDS = 120.0
"""A job that starts may take this long until its first checkpoint, as for its watchdog."""
STALLED_SECONDS = 30.0
"""A job completes a checkpoint every five seconds; after this long without one it is stalled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamJobState:
    """One stream job."""

    name: str
    models: tuple[str, ...]
    state: str
    """Flink's state, ``not running``, or ``unknown`` when Flink does not answer."""
    expected: bool
    """Whether it was submitted and not cancelled."""
    watchdog: str = ""
    """What its watchdog waits for, or why it gave up; empty while there is nothing to do."""
    checkpoint_age: float | None = None
    """Seconds since its newest completed checkpoint, or since its start when it has none yet; None
    when it does not run, or has only just started."""

    problem: str = ""
    """Why it is not known whether it should run; empty when it is known."""

    @property
    def stalled(self) -> bool:
        """Whether it runs without completing checkpoints: a step of it does not go on."""
        return self.checkpoint_age is not None and self.checkpoint_age > STALLED_SECONDS

    @property
    def missing(self) -> bool:
        """Whether it should run and does not."""
        return self.expected and self.state == "not running"


def stream_job_states(deployment: Deployment) -> tuple[StreamJobState, ...]:
    """Whether each stream job runs; an unreachable Flink gives ``unknown``, not an error."""
    from streaming.engines.flink.client import Flink

    flink = Flink(deployment.flink_url, timeout=3.0)
    submitted: dict[str, SubmittedJob] = {}
    problem = ""
    try:
        submitted = submitted_jobs(deployment).all()
    except UnreadableJobs as error:
        problem = str(error)
    states = []
    for group, models in deployment.groups.items():
        name = f"driftline-{group}"
        state, checkpoint_age = _flink_state(flink, name)
        job = submitted.get(name)
        expected = job is not None and job.expected
        states.append(
            StreamJobState(
                name=name,
                models=models,
                state=state,
                expected=expected,
                watchdog=job.keeping.note if job is not None and expected else "",
                checkpoint_age=checkpoint_age,
                problem=problem,
            )
        )
    return tuple(states)


def _flink_state(flink: Flink, name: str) -> tuple[str, float | None]:
    """Flink's state in lower case, and the seconds since the newest completed checkpoint."""
    try:
        job_id = flink.find(name)
        if job_id is None:
            return "not running", None
        status = flink.status(job_id)
    except DriftlineError:
        return "unknown", None
    if status.state != "RUNNING":
        return status.state.lower(), None
    age = max(0.0, time.time() - max(status.last_checkpoint_at, status.started_at))
    starting = not status.checkpoints and age < FIRST_CHECKPOINT_SECONDS
    return "running", None if starting else age
