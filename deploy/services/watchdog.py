"""Keeps the stream jobs running: `driftline job keep`.

The loop looks at each job every second or two, asks `deploy.app.job_keeping` what to do, and does
it. What must survive its own end lies in the file of `SubmittedJobs`, in Flink and in the folder of
checkpoints, so it can be killed at any time. A submission runs in a thread, so the loop goes on and
shows that the watchdog lives; a submission that hangs ends the process, and whoever supervises it
starts it again. It also ends, with status 0, when a command has submitted or updated a job since:
the settings, the code of the models and the groups may be others now, and a new process reads them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import psutil
import structlog

from deploy.app.deployment import Deployment
from deploy.app.stream_jobs import stream_jobs, submitted_jobs
from deploy.app.submitted_jobs import SubmittedJobs, UnreadableJobs
from deploy.app.topics import ensure_topics
from deploy.metrics.stream_job import WatchdogExporter
from deploy.services.endpoints import silent_for_submission
from deploy.services.job_watchdog import JobWatchdog
from deploy.services.shutdown import ShutdownFlag
from deploy.services.submissions import Submissions
from streaming.contracts.errors import DriftlineError, UnavailableError
from streaming.engines.kafka.partitions import PartitionWatch

LOOK_SECONDS = 1.0
CALM_LOOK_SECONDS = 2.0
"""Interval while every job runs."""
FLINK_SECONDS = 4.0
"""Longest wait for an answer of Flink while looking."""
PROCESS_SECONDS = 5.0
"""Interval at which the health of the processes is exported."""
PARTITION_SECONDS = 15.0
"""Interval at which the condition of Kafka's partitions is exported."""
PROCESS = "stream-watchdog"

log = structlog.get_logger()


def run(
    deployment: Deployment,
    *,
    submit_new: bool,
    process_health: Callable[[], Mapping[str, str]] = dict,
) -> None:
    """Keep every stream job of the configuration until SIGTERM, SIGINT, or a job's new settings.

    Parameters
    ----------
    submit_new:
        Submit the jobs that never were.
    process_health:
        The health of each process of the deployment; exported for alerts.
    """
    stop = ShutdownFlag()
    news = SettingsNews(submitted_jobs(deployment), started_at=psutil.Process().create_time())
    exporter = WatchdogExporter(PROCESS)
    exporter.progress(time.time())
    exporter.serve(deployment.ports.watchdog_metrics)
    submitted = submitted_jobs(deployment)
    jobs = stream_jobs(deployment)
    watchdogs = [
        JobWatchdog(
            job,
            replace(job.flink, timeout=FLINK_SECONDS),
            submitted,
            silent=lambda: silent_for_submission(deployment),
            prepare=lambda: ensure_topics(deployment),
        )
        for job in jobs
    ]
    log.info("watchdog.started", jobs=[job.settings.name for job in jobs])
    for work in (
        lambda: _export_processes(exporter, process_health),
        lambda: _export_partitions(exporter, PartitionWatch(deployment.bootstrap)),
    ):
        threading.Thread(target=work, daemon=True).start()
    submissions = Submissions()
    new = [job.settings.name for job in jobs] if submit_new else []
    while not stop():
        if not submissions.busy and news.come():
            log.info("watchdog.starts_anew", reason="a command submitted or updated a job")
            return
        new = _still_new(submitted, new)
        for watchdog in watchdogs:
            watchdog.look(submissions)
            exporter.job(watchdog.group, watchdog.condition)
        submissions.check()
        exporter.progress(time.time())
        well = all(watchdog.condition.running for watchdog in watchdogs)
        time.sleep(CALM_LOOK_SECONDS if well else LOOK_SECONDS)


@dataclass
class SettingsNews:
    """Whether a command submitted or updated a job since this process read the settings.

    Compared with the first look rather than with the clock, which may be set back; only what
    happened between the start of the process and its first look is told by the clock.
    """

    submitted: SubmittedJobs
    started_at: float
    """When the process started, before it read the settings; seconds since 1970."""
    clock: Callable[[], float] = time.time
    _known: dict[str, float] | None = None

    def come(self) -> bool:
        """Whether there is news."""
        try:
            changes = {name: at for name, at in self.submitted.changes().items() if at}
        except UnreadableJobs:
            return False  # each look reports it
        if self._known is None:
            self._known, now = changes, self.clock()
            return any(self.started_at < at <= now for at in changes.values())
        return any(self._known.get(name) != at for name, at in changes.items())


def _still_new(submitted: SubmittedJobs, names: Sequence[str]) -> list[str]:
    """Expect the jobs that never were submitted; returns those for which that is not known yet."""
    try:
        for name in names:
            if name not in submitted.all():
                submitted.add(name)
    except UnreadableJobs:
        return list(names)  # each look reports it
    return []


def _export_processes(
    exporter: WatchdogExporter, process_health: Callable[[], Mapping[str, str]]
) -> None:
    while True:
        try:
            exporter.processes(process_health())
        except (DriftlineError, OSError) as error:
            log.warning("processes.unknown", reason=str(error))
        time.sleep(PROCESS_SECONDS)


def _export_partitions(exporter: WatchdogExporter, watch: PartitionWatch) -> None:
    while True:
        with suppress(UnavailableError):  # then the process kafka does not answer either
            seen = watch.look()
            exporter.partitions(offline=seen.offline, under_replicated=seen.under_replicated)
        time.sleep(PARTITION_SECONDS)
