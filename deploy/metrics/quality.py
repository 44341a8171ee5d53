"""What the label service exports to Prometheus, made from the one table of meters."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from deploy.metrics.exporter import instrument
from streaming.contracts import metrics as meters
from streaming.contracts.metrics import MetricSpec
from streaming.contracts.quality import QualityAccounts, QualityMetric, QualityVerdict
from streaming.quality import QualityBook

PREDICTION_FATES = {
    "joined": "joined",
    "unlabelled": "unlabelled",
    "repeated": "predictions_repeated",
    "late": "predictions_late",
    "dead": "predictions_dead",
}
LABEL_FATES = {
    "matched": "matched",
    "unmatched": "unmatched",
    "repeated": "labels_repeated",
    "corrected": "corrected",
    "late": "labels_late",
    "dead": "labels_dead",
}
"""Label `fate` of the counters, and the number of `QualityAccounts` it counts."""


@dataclass
class QualityInstruments:
    """Verdicts and accounts as metrics; of the live version only, so that series stay few."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def __post_init__(self) -> None:
        self._made = {one.name: instrument(one, self.registry) for one in meters.QUALITY_METRICS}
        self._counted: dict[str, QualityAccounts] = {}

    def serve(self, port: int) -> None:
        """Export on 127.0.0.1."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    def verdict(self, verdict: QualityVerdict) -> None:
        """Count a verdict and show its figures."""
        if not verdict.live:
            return
        model = verdict.model
        if verdict.stage == "realised":
            labels = (model, verdict.outcome, verdict.cause or "none")
            self._counter(meters.QUALITY_VERDICTS).labels(*labels).inc()
            self._values(model, "realised", verdict.metrics)
            self._gauge(meters.QUALITY_WINDOW_END).labels(model).set(verdict.window_end)
            for metric in verdict.metrics:
                if metric.limit is not None:
                    self._gauge(meters.QUALITY_LIMIT).labels(model, metric.name).set(metric.limit)
            return
        if verdict.founded:
            self._values(model, "estimated", verdict.estimated)
        if verdict.scores is not None:
            self._gauge(meters.PREDICTION_DRIFT).labels(model).set(verdict.scores.effect)

    def accounts(self, model: str, book: QualityBook) -> None:
        """Bring the counters up to the book's accounts."""
        now, before = book.joiner.accounts, self._counted.get(model, QualityAccounts())
        self._counted[model] = now
        for meter, fates in (
            (meters.PREDICTIONS_READ, PREDICTION_FATES),
            (meters.LABELS_READ, LABEL_FATES),
        ):
            for fate, name in fates.items():
                more = getattr(now, name) - getattr(before, name)
                self._counter(meter).labels(model, fate).inc(more)
        waiting = self._gauge(meters.KEYS_WAITING)
        waiting.labels(model, "prediction").set(now.waiting)
        waiting.labels(model, "label").set(now.early)
        self._gauge(meters.LABELS_MATURE).labels(model).set(book.matures_after)

    def _values(self, model: str, kind: str, metrics: tuple[QualityMetric, ...]) -> None:
        for metric in metrics:
            self._gauge(meters.QUALITY_VALUE).labels(model, metric.name, kind).set(metric.value)

    def _counter(self, meter: MetricSpec) -> Counter:
        made = self._made[meter.name]
        assert isinstance(made, Counter)
        return made

    def _gauge(self, meter: MetricSpec) -> Gauge:
        made = self._made[meter.name]
        assert isinstance(made, Gauge)
        return made
