"""The Prometheus metrics of the notifier, made from the table of metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from deploy.metrics.endpoint import add_process
from deploy.metrics.exporter import make_metric
from streaming.contracts import metrics


@dataclass
class NotifierExporter:
    """Counts notifications; the notifier's own web server exports them, with its process."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._metrics = {
            spec.name: make_metric(spec, self.registry) for spec in metrics.NOTIFIER_METRICS
        }
        add_process(self.registry)

    def progress(self, now: float) -> None:
        """The loop made a step."""
        gauge = self._metrics[metrics.PROGRESS.name]
        assert isinstance(gauge, Gauge)
        gauge.labels("notifier").set(now)

    def known(self, channel: str) -> None:
        """A channel exists: its counters begin at 0, so that a rule sees the first failure."""
        for outcome in ("delivered", "failed"):
            self._counter(channel, outcome)

    def counted(self, channel: str, outcome: str) -> None:
        """A notification was delivered or failed."""
        self._counter(channel, outcome).inc()

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, channel: str, outcome: str) -> Counter:
        counter = self._metrics[metrics.NOTIFICATIONS.name]
        assert isinstance(counter, Counter)
        return counter.labels(channel, outcome)
