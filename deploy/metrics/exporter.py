"""The Prometheus metrics of daemon and worker, made from the table of metrics in the contracts.

Records are the source: each process counts the records that it reads and writes, so a metric shows
nothing that is not in the log. A record seen twice (a replay after a restart) counts once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.metrics import MetricWrapperBase

from deploy.metrics.drift import DriftSeries
from deploy.metrics.schema import SchemaSeries
from serving.state import Phase
from streaming.contracts import metrics
from streaming.contracts.metrics import MetricSpec
from streaming.contracts.records import (
    CanaryVerdict,
    DriftVerdict,
    ModelVersion,
    Promotion,
    Record,
    RetrainFailure,
    RetrainProgress,
    RetrainRequest,
    RolloutStatus,
    SchemaVerdict,
)

_REMEMBERED_IDS = 4096


def make_metric(spec: MetricSpec, registry: CollectorRegistry) -> MetricWrapperBase:
    """The prometheus-client metric of a spec."""
    name = spec.name.removesuffix("_total")
    if spec.kind == "counter":
        return Counter(name, spec.help, spec.labels, registry=registry)
    if spec.kind == "gauge":
        return Gauge(name, spec.help, spec.labels, registry=registry)
    return Histogram(name, spec.help, spec.labels, registry=registry, buckets=spec.buckets)


class MetricsExporter:
    """Counts records into metrics.

    Parameters
    ----------
    registry:
        Registry of the metrics; a new one by default.
    max_features:
        By model, the number of features with series of their own (`DriftSeries`).
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        max_features: Mapping[str, int] | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._metrics = {spec.name: make_metric(spec, self.registry) for spec in metrics.METRICS}
        self._features = DriftSeries(self._gauge, max_features or {})
        self._seen: OrderedDict[str, None] = OrderedDict()
        self.schema = SchemaSeries(self._counter, self._gauge)
        self._count: dict[type[Record], Callable[..., None]] = {
            DriftVerdict: self._drift,
            RetrainRequest: self._request,
            RetrainProgress: self._progress,
            ModelVersion: self._version,
            RetrainFailure: self._failure,
            CanaryVerdict: self._canary,
            Promotion: self._promotion,
            RolloutStatus: self._rollout,
            SchemaVerdict: self.schema.verdict,
        }

    def serve(self, port: int) -> None:
        """Serve the metrics on 127.0.0.1."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    def on_record(self, record: Record, now: float) -> None:
        """Count a record; the same id only once."""
        if record.record_id in self._seen:
            return
        self._seen[record.record_id] = None
        if len(self._seen) > _REMEMBERED_IDS:
            self._seen.popitem(last=False)
        count = self._count.get(type(record))
        if count is not None:
            count(record, now)

    def refused(self, topic: str, reason: str) -> None:
        """Count a record that could not be decoded."""
        self._counter(metrics.RECORDS_REFUSED, topic, reason).inc()

    def tick_took(self, seconds: float) -> None:
        """Record the duration of a tick of the daemon."""
        metric = self._metrics[metrics.TICK_SECONDS.name]
        assert isinstance(metric, Histogram)
        metric.observe(seconds)

    def _counter(self, spec: MetricSpec, *labels: str) -> Counter:
        metric = self._metrics[spec.name]
        assert isinstance(metric, Counter)
        return metric.labels(*labels) if labels else metric

    def _gauge(self, spec: MetricSpec, *labels: str) -> Gauge:
        metric = self._metrics[spec.name]
        assert isinstance(metric, Gauge)
        return metric.labels(*labels) if labels else metric

    def _drift(self, record: DriftVerdict, now: float) -> None:
        model = record.model
        self._counter(metrics.WINDOWS, model, record.outcome).inc()
        self._counter(metrics.EVENTS_READ, model).inc(record.offsets_read)
        self._counter(metrics.EVENTS_ACCEPTED, model).inc(record.accepted)
        self._counter(metrics.EVENTS_DEAD, model).inc(record.dead_letters)
        self._counter(metrics.EVENTS_LATE, model).inc(record.late)
        self._gauge(metrics.WINDOW_ROWS, model).set(record.rows)
        self._gauge(metrics.WINDOW_END, model).set(record.window_end)
        self._features.update(record)
        metric = self._metrics[metrics.VERDICT_DELAY.name]
        assert isinstance(metric, Histogram)
        metric.labels(model).observe(max(0.0, now - record.window_end))

    def _request(self, record: RetrainRequest, now: float) -> None:
        self._counter(metrics.RETRAINS, record.model, "requested").inc()
        self._gauge(metrics.RETRAIN_RUNNING, record.model).set(1)

    def _progress(self, record: RetrainProgress, now: float) -> None:
        if record.state == "done":
            self._gauge(metrics.RETRAIN_SECONDS, record.model, record.component).set(record.seconds)

    def _version(self, record: ModelVersion, now: float) -> None:
        self._counter(metrics.RETRAINS, record.model, "published").inc()
        self._gauge(metrics.RETRAIN_RUNNING, record.model).set(0)

    def _failure(self, record: RetrainFailure, now: float) -> None:
        self._counter(metrics.RETRAINS, record.model, "failed").inc()
        self._gauge(metrics.RETRAIN_RUNNING, record.model).set(0)

    def _canary(self, record: CanaryVerdict, now: float) -> None:
        self._counter(metrics.CANARY_VERDICTS, record.model, record.outcome).inc()

    def _promotion(self, record: Promotion, now: float) -> None:
        self._gauge(metrics.LIVE_VERSION, record.model).set(record.version)

    def _rollout(self, record: RolloutStatus, now: float) -> None:
        model = record.model
        self._gauge(metrics.CANARY_WEIGHT, model).set(record.weight / 100)
        for phase in Phase:
            self._gauge(metrics.ROLLOUT_PHASE, model, phase).set(float(phase == record.phase))
        waiting = float(record.phase == Phase.AWAITING_APPROVAL)
        self._gauge(metrics.APPROVAL_WAITING, model).set(waiting)
