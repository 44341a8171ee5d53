"""The Prometheus metrics of the label service, made from the table of metrics."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge

from deploy.metrics.endpoint import serve
from deploy.metrics.exporter import make_metric
from streaming.contracts import metrics
from streaming.contracts.metrics import MetricSpec
from streaming.contracts.quality_records import QualityAccounts, QualityMetric, QualityVerdict
from streaming.quality import QualityMonitor

PREDICTION_OUTCOMES = {
    "joined": "joined",
    "unlabelled": "unlabelled",
    "repeated": "predictions_repeated",
    "late": "predictions_late",
    "dead": "predictions_dead",
}
LABEL_OUTCOMES = {
    "matched": "matched",
    "unmatched": "unmatched",
    "repeated": "labels_repeated",
    "corrected": "corrected",
    "late": "labels_late",
    "dead": "labels_dead",
}
"""Label `outcome` of the counters, and the field of `QualityAccounts` with its number."""


@dataclass
class QualityExporter:
    """Exports the verdicts on the live version, and the accounts of predictions and labels."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._metrics = {
            spec.name: make_metric(spec, self.registry) for spec in metrics.QUALITY_METRICS
        }
        self._counted: dict[str, QualityAccounts] = {}

    def serve(self, port: int) -> None:
        """Serve the metrics on 127.0.0.1."""
        serve(self.registry, port)

    def progress(self, now: float) -> None:
        """The service's loop made a step."""
        self._gauge(metrics.PROGRESS).labels("labels").set(now)

    def verdict(self, verdict: QualityVerdict) -> None:
        """Count a verdict and export its values."""
        if not verdict.live:
            return
        model = verdict.model
        if verdict.stage == "realised":
            labels = (model, verdict.outcome, verdict.cause or "none")
            self._counter(metrics.QUALITY_VERDICTS).labels(*labels).inc()
            self._values(model, "realised", verdict.metrics)
            self._gauge(metrics.QUALITY_WINDOW_END).labels(model).set(verdict.window_end)
            for metric in verdict.metrics:
                if metric.limit is not None:
                    self._gauge(metrics.QUALITY_LIMIT).labels(model, metric.name).set(metric.limit)
            return
        if verdict.assumption_holds:
            self._values(model, "estimated", verdict.estimated)
        if verdict.prediction_drift is not None:
            self._gauge(metrics.PREDICTION_DRIFT).labels(model).set(verdict.prediction_drift.effect)

    def accounts(self, model: str, monitor: QualityMonitor) -> None:
        """Bring the counters up to the accounts of the monitor."""
        now, before = monitor.joiner.accounts, self._counted.get(model, QualityAccounts())
        self._counted[model] = now
        for spec, outcomes in (
            (metrics.PREDICTIONS_READ, PREDICTION_OUTCOMES),
            (metrics.LABELS_READ, LABEL_OUTCOMES),
        ):
            for outcome, name in outcomes.items():
                increase = getattr(now, name) - getattr(before, name)
                self._counter(spec).labels(model, outcome).inc(increase)
        waiting = self._gauge(metrics.KEYS_WAITING)
        waiting.labels(model, "prediction").set(now.waiting)
        waiting.labels(model, "label").set(now.early)
        self._gauge(metrics.LABELS_MATURE).labels(model).set(monitor.matures_after)

    def _values(self, model: str, kind: str, values: tuple[QualityMetric, ...]) -> None:
        for metric in values:
            self._gauge(metrics.QUALITY_VALUE).labels(model, metric.name, kind).set(metric.value)

    def _counter(self, spec: MetricSpec) -> Counter:
        metric = self._metrics[spec.name]
        assert isinstance(metric, Counter)
        return metric

    def _gauge(self, spec: MetricSpec) -> Gauge:
        metric = self._metrics[spec.name]
        assert isinstance(metric, Gauge)
        return metric
