"""The daemon's and the worker's Prometheus metrics, made from the one table of meters.

Records are the source: whoever sees a record counts it here, so a metric never says anything
that is not in the log. A record seen twice (replay after a restart) is counted once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.metrics import MetricWrapperBase

from deploy.metrics.drift import DriftSeries
from deploy.metrics.schema import SchemaSeries
from streaming.contracts import metrics as meters
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

_REMEMBERED = 4096
_PHASES = [
    "idle",
    "preparing",
    "awaiting-approval",
    "stepping",
    "paused",
    "promoting",
    "baking",
    "rolling-back",
]


def instrument(meter: MetricSpec, registry: CollectorRegistry) -> MetricWrapperBase:
    """The prometheus-client instrument of a meter."""
    name = meter.name.removesuffix("_total")
    if meter.kind == "counter":
        return Counter(name, meter.help, meter.labels, registry=registry)
    if meter.kind == "gauge":
        return Gauge(name, meter.help, meter.labels, registry=registry)
    return Histogram(name, meter.help, meter.labels, registry=registry, buckets=meter.buckets)


class Instruments:
    """Counts records into metrics.

    Parameters
    ----------
    registry:
        Where they are kept.
    max_features:
        By model, so many features have series of their own (`DriftSeries`).
    """

    def __init__(
        self,
        registry: CollectorRegistry | None = None,
        max_features: Mapping[str, int] | None = None,
    ) -> None:
        self.registry = registry or CollectorRegistry()
        self._made = {meter.name: instrument(meter, self.registry) for meter in meters.METRICS}
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
        """Export on 127.0.0.1."""
        start_http_server(port, addr="127.0.0.1", registry=self.registry)

    def on_record(self, record: Record, now: float) -> None:
        """Count a record; the same id only once."""
        if record.record_id in self._seen:
            return
        self._seen[record.record_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        count = self._count.get(type(record))
        if count is not None:
            count(record, now)

    def refused(self, topic: str, reason: str) -> None:
        """A record that could not be read."""
        self._counter(meters.RECORDS_REFUSED, topic, reason).inc()

    def tick_took(self, seconds: float) -> None:
        """How long the daemon's tick took."""
        made = self._made[meters.TICK_SECONDS.name]
        assert isinstance(made, Histogram)
        made.observe(seconds)

    def _counter(self, meter: MetricSpec, *labels: str) -> Counter:
        made = self._made[meter.name]
        assert isinstance(made, Counter)
        return made.labels(*labels) if labels else made

    def _gauge(self, meter: MetricSpec, *labels: str) -> Gauge:
        made = self._made[meter.name]
        assert isinstance(made, Gauge)
        return made.labels(*labels) if labels else made

    def _drift(self, record: DriftVerdict, now: float) -> None:
        model = record.model
        self._counter(meters.WINDOWS, model, record.outcome).inc()
        self._counter(meters.EVENTS_READ, model).inc(record.offsets_read)
        self._counter(meters.EVENTS_ACCEPTED, model).inc(record.accepted)
        self._counter(meters.EVENTS_DEAD, model).inc(record.dead_letters)
        self._counter(meters.EVENTS_LATE, model).inc(record.late)
        self._gauge(meters.WINDOW_ROWS, model).set(record.rows)
        self._gauge(meters.WINDOW_END, model).set(record.window_end)
        self._features.show(record)
        made = self._made[meters.VERDICT_DELAY.name]
        assert isinstance(made, Histogram)
        made.labels(model).observe(max(0.0, now - record.window_end))

    def _request(self, record: RetrainRequest, now: float) -> None:
        self._counter(meters.RETRAINS, record.model, "requested").inc()
        self._gauge(meters.RETRAIN_RUNNING, record.model).set(1)

    def _progress(self, record: RetrainProgress, now: float) -> None:
        if record.state == "done":
            self._gauge(meters.RETRAIN_SECONDS, record.model, record.component).set(record.seconds)

    def _version(self, record: ModelVersion, now: float) -> None:
        self._counter(meters.RETRAINS, record.model, "published").inc()
        self._gauge(meters.RETRAIN_RUNNING, record.model).set(0)

    def _failure(self, record: RetrainFailure, now: float) -> None:
        self._counter(meters.RETRAINS, record.model, "failed").inc()
        self._gauge(meters.RETRAIN_RUNNING, record.model).set(0)

    def _canary(self, record: CanaryVerdict, now: float) -> None:
        self._counter(meters.CANARY_VERDICTS, record.model, record.outcome).inc()

    def _promotion(self, record: Promotion, now: float) -> None:
        self._gauge(meters.LIVE_VERSION, record.model).set(record.version)

    def _rollout(self, record: RolloutStatus, now: float) -> None:
        model = record.model
        self._gauge(meters.CANARY_WEIGHT, model).set(record.weight / 100)
        for phase in _PHASES:
            self._gauge(meters.ROLLOUT_PHASE, model, phase).set(float(phase == record.phase))
        waiting = float(record.phase == "awaiting-approval")
        self._gauge(meters.APPROVAL_WAITING, model).set(waiting)
