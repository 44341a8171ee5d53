"""The Prometheus metrics of the stream jobs' watchdog, made from the table of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge

from deploy.metrics.endpoint import serve
from deploy.metrics.exporter import make_metric
from streaming.contracts import metrics
from streaming.contracts.metrics import MetricSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCondition:
    """What is exported of a stream job."""

    expected: bool = False
    running: bool = False
    checkpointed_at: float = 0.0
    """Seconds since 1970; 0 = it has no checkpoint yet."""
    resubmits: int = 0
    attempts: int = 0
    needs_help: bool = False


@dataclass
class WatchdogExporter:
    """Exports the condition of the stream jobs, and which processes answer."""

    process: str
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._metrics = {
            spec.name: make_metric(spec, self.registry) for spec in metrics.WATCHDOG_METRICS
        }
        self._resubmits: dict[str, int] = {}
        self._known: set[str] = set()
        self._answered: set[str] = set()

    def serve(self, port: int) -> None:
        """Serve the metrics on 127.0.0.1."""
        serve(self.registry, port)

    def progress(self, now: float) -> None:
        """The loop made a step."""
        self._gauge(metrics.PROGRESS).labels(self.process).set(now)

    def job(self, group: str, condition: JobCondition) -> None:
        """Export the condition of a group's job."""
        for spec, value in (
            (metrics.JOB_EXPECTED, float(condition.expected)),
            (metrics.JOB_RUNNING, float(condition.running)),
            (metrics.JOB_ATTEMPTS, float(condition.attempts)),
            (metrics.JOB_NEEDS_HELP, float(condition.needs_help)),
        ):
            self._gauge(spec).labels(group).set(value)
        counter = self._metrics[metrics.JOB_RESUBMITS.name]
        assert isinstance(counter, Counter)
        counter.labels(group).inc(max(0, condition.resubmits - self._resubmits.get(group, 0)))
        self._resubmits[group] = condition.resubmits
        if condition.checkpointed_at:
            self._gauge(metrics.JOB_CHECKPOINT).labels(group).set(condition.checkpointed_at)

    def processes(self, health: Mapping[str, str]) -> None:
        """Export the health of each process; one that is no longer listed disappears.

        ``unresponsive`` means that it runs and has answered before; ``no answer``, said of an
        endpoint whose process is not known, means the same once it has answered.
        """
        answers, unresponsive = metrics.PROCESS_ANSWERS, metrics.PROCESS_UNRESPONSIVE
        for name in self._known - health.keys():
            self._gauge(answers).remove(name)
            self._gauge(unresponsive).remove(name)
        self._known = set(health)
        self._answered &= self._known
        for name, state in health.items():
            silent = state == "unresponsive" or (state == "no answer" and name in self._answered)
            self._gauge(answers).labels(name).set(float(state == "ready"))
            self._gauge(unresponsive).labels(name).set(float(silent))
            if state == "ready":
                self._answered.add(name)

    def partitions(self, *, offline: int, under_replicated: int) -> None:
        """Export the condition of Kafka's partitions."""
        self._gauge(metrics.PARTITIONS_OFFLINE).set(offline)
        self._gauge(metrics.PARTITIONS_UNDER_REPLICATED).set(under_replicated)

    def _gauge(self, spec: MetricSpec) -> Gauge:
        metric = self._metrics[spec.name]
        assert isinstance(metric, Gauge)
        return metric
