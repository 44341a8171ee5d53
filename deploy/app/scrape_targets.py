"""What Prometheus scrapes besides the serving side: Driftline's services and Flink."""

from __future__ import annotations

from deploy.config.port_map import HOST, PortMap
from deploy.config.settings import Settings
from serving.engines.prometheus.client import Target

_FLINK_SECONDS = 10.0
_FLINK_METRICS = (
    "flink_jobmanager_job_(numberOf(Failed|Completed)Checkpoints|lastCheckpoint(Duration|Size)"
    "|numRestarts|uptime)"
    "|flink_jobmanager_(numRegisteredTaskManagers|numRunningJobs)"
    "|flink_taskmanager_job_task_(busy|backPressured)TimeMsPerSecond"
    "|flink_(job|task)manager_Status_JVM_(Memory_Heap_(Used|Max)|CPU_Load)"
)
"""The metrics of Flink that rules and dashboards use; it has hundreds of each task."""


def service_targets(ports: PortMap) -> tuple[Target, ...]:
    """Driftline's own processes, and Flink's JobManager and TaskManager."""
    return (
        Target(job="daemon", address=f"{HOST}:{ports.daemon_metrics}"),
        Target(job="worker", address=f"{HOST}:{ports.worker_metrics}"),
        Target(job="watchdog", address=f"{HOST}:{ports.watchdog_metrics}"),
        Target(job="labels", address=f"{HOST}:{ports.labels_metrics}"),
        Target(job="notifier", address=f"{HOST}:{ports.notifier}"),
        Target(job="traffic", address=f"{HOST}:{ports.demo_metrics}"),
        # Whichever of the two starts first takes the first port.
        *(
            Target(
                job="flink",
                address=f"{HOST}:{port}",
                path="/",
                seconds=_FLINK_SECONDS,
                relabel=(
                    {"source_labels": ["__name__"], "regex": _FLINK_METRICS, "action": "keep"},
                ),
            )
            for port in (ports.flink_job_metrics, ports.flink_worker_metrics)
        ),
    )


def console_address(settings: Settings, ports: PortMap) -> str:
    """The address of the console in links, without a slash at its end."""
    return settings.alerts.console or f"http://{HOST}:{ports.console}"
