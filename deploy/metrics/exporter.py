"""The Prometheus metrics of daemon and worker, made from the table of metrics in the contracts.

Records are the source: each process counts the records that it reads and writes, so a metric shows
nothing that is not in the log. A record seen twice (a replay after a restart) counts once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from deploy.metrics.drift import DriftSeries
from deploy.metrics.endpoint import serve
from deploy.metrics.experiments import ExperimentSeries
from deploy.metrics.schema import SchemaSeries
from serving.phase import Phase
from streaming.contracts import metrics
from streaming.contracts.metrics import MetricSpec
from streaming.contracts.records import (
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    DriftVerdict,
    ExperimentLook,
    ExperimentStatus,
    GateOutcome,
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
        self._phases: dict[str, str] = {}
        self.schema = SchemaSeries(self._counter, self._gauge)
        self.experiments = ExperimentSeries(self._counter, self._gauge)
        self._count: dict[type[Record], Callable[..., None]] = {
            DriftVerdict: self._drift,
            RetrainRequest: self._request,
            RetrainProgress: self._progress,
            ModelVersion: self._version,
            RetrainFailure: self._failure,
            CanaryVerdict: self._canary,
            Promotion: self._promotion,
            RolloutStatus: self._rollout,
            ApprovalRequest: self._approval_request,
            ApprovalOutcome: self._approval_outcome,
            SchemaVerdict: self.schema.verdict,
            ExperimentStatus: self.experiments.status,
            ExperimentLook: self.experiments.look,
        }

    def serve(self, port: int) -> None:
        """Serve the metrics on 127.0.0.1."""
        serve(self.registry, port)

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

    def settings(self, model: str, values: Mapping[str, float]) -> None:
        """The settings that alert rules compare with, and counters at 0.

        A counter that begins at its first event has no increase that a rule could see.
        """
        for name, value in values.items():
            self._gauge(metrics.SETTING, model, name).set(value)
        self._counter(metrics.ROLLBACKS, model)

    def live_version(self, model: str, version: int) -> None:
        """The version that serves a model, also after a restart; 0 says nothing."""
        if version:
            self._gauge(metrics.LIVE_VERSION, model).set(version)

    def rollout(self, model: str, phase: str, weight: int, ends_at: float | None = None) -> None:
        """The phase of a model's rollout, the candidate's share in percent, and the phase's end.

        They are known also after a restart.

        Without them the alerts about a rollout that waits would be silent until the next record.
        """
        self._gauge(metrics.CANARY_WEIGHT, model).set(weight / 100)
        for known in Phase:
            self._gauge(metrics.ROLLOUT_PHASE, model, known).set(float(known == phase))
        waiting = float(phase == Phase.AWAITING_APPROVAL)
        self._gauge(metrics.APPROVAL_WAITING, model).set(waiting)
        self._gauge(metrics.ROLLOUT_ENDS, model).set(ends_at or 0.0)

    def approval(self, model: str, opened: ApprovalRequest | None, missing_people: int) -> None:
        """The open approval of a model, also after a restart; None while nobody is asked."""
        asked_at, deadline = (opened.at, opened.deadline) if opened is not None else (0.0, 0.0)
        self._gauge(metrics.APPROVAL_ASKED, model).set(asked_at)
        self._gauge(metrics.APPROVAL_DEADLINE, model).set(deadline)
        self._gauge(metrics.APPROVAL_PEOPLE, model).set(missing_people)

    def waits_for_memory(self, model: str, waits: bool) -> None:
        """Whether a rollout waits for memory of the model servers."""
        self._gauge(metrics.MEMORY_WAITING, model).set(float(waits))

    def labels_waiting(self, model: str, count: int) -> None:
        """How many of the users' labels do not have their version."""
        self._gauge(metrics.LABELS_WAITING, model).set(count)

    def retrain_running(
        self, model: str, running: bool, *, since: float = 0.0, deadline: float = 0.0
    ) -> None:
        """Whether a retrain is in flight, since when and until when, also after a restart."""
        self._gauge(metrics.RETRAIN_RUNNING, model).set(float(running))
        self._gauge(metrics.RETRAIN_STARTED, model).set(since)
        self._gauge(metrics.RETRAIN_DEADLINE, model).set(deadline)

    def retrain_budget(self, model: str, left: int) -> None:
        """How many retrains may still start within the period of the budget."""
        self._gauge(metrics.RETRAIN_BUDGET_LEFT, model).set(left)

    def rollout_version(self, model: str, version: int) -> None:
        """The version in rollout; 0 keeps what was exported."""
        if version:
            self._gauge(metrics.ROLLOUT_VERSION, model).set(version)

    def progress(self, process: str, now: float) -> None:
        """The loop of a process made a step."""
        self._gauge(metrics.PROGRESS, process).set(now)

    def ticked(self, model: str, part: str, now: float) -> None:
        """A part of a model's controller made a tick."""
        self._gauge(metrics.MODEL_TICKED, model, part).set(now)

    def step_failed(self, model: str, part: str) -> None:
        """A step of a model ended with an error that is not temporary."""
        self._counter(metrics.STEPS_FAILED, model, part).inc()

    def record_waiting(self, model: str, seconds: float) -> None:
        """For how long a model's first record has been tried in vain; 0 if none is."""
        self._gauge(metrics.RECORD_WAITING, model).set(seconds)

    def record_dead(self, model: str, reason: str) -> None:
        """A record became a dead letter of the daemon."""
        self._counter(metrics.RECORDS_DEAD, model, reason).inc()

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
        self.retrain_running(record.model, True, since=record.at, deadline=record.deadline)

    def _progress(self, record: RetrainProgress, now: float) -> None:
        self._gauge(metrics.RETRAIN_PROGRESS, record.model).set(now)
        if record.state == "done":
            self._gauge(metrics.RETRAIN_SECONDS, record.model, record.component).set(record.seconds)

    def _version(self, record: ModelVersion, now: float) -> None:
        self._counter(metrics.RETRAINS, record.model, "published").inc()
        self.retrain_running(record.model, False)

    def _failure(self, record: RetrainFailure, now: float) -> None:
        self._counter(metrics.RETRAINS, record.model, record.outcome).inc()
        self.retrain_running(record.model, False)

    def _canary(self, record: CanaryVerdict, now: float) -> None:
        self._counter(metrics.CANARY_VERDICTS, record.model, record.outcome).inc()
        sick = any(
            gate.gate.startswith("control_") and gate.outcome == "error" for gate in record.gates
        )
        self._gauge(metrics.CONTROL_SICK, record.model).set(float(sick))
        for gate in record.gates:
            for outcome in get_args(GateOutcome):
                current = float(outcome == gate.outcome)
                series = (record.model, gate.gate, gate.mode, outcome)
                self._gauge(metrics.CANARY_GATE, *series).set(current)

    def _promotion(self, record: Promotion, now: float) -> None:
        self.live_version(record.model, record.version)

    def _approval_request(self, record: ApprovalRequest, now: float) -> None:
        self._counter(metrics.APPROVALS, record.model, "asked").inc()
        self.approval(record.model, record, record.people)

    def _approval_outcome(self, record: ApprovalOutcome, now: float) -> None:
        self._counter(metrics.APPROVALS, record.model, record.outcome).inc()

    def _rollout(self, record: RolloutStatus, now: float) -> None:
        self.rollout(record.model, record.phase, record.weight, record.ends_at)
        before = self._phases.get(record.model, "")
        self._phases[record.model] = record.phase
        if record.phase != Phase.IDLE:
            self.rollout_version(record.model, record.version)
        # What ends with its approval request has an alert of its own.
        if record.phase == Phase.ROLLING_BACK and before not in (
            Phase.ROLLING_BACK,
            Phase.AWAITING_APPROVAL,
        ):
            self._counter(metrics.ROLLBACKS, record.model).inc()
        replacements = self._gauge(metrics.CONTROL_REPLACEMENTS, record.model)
        replacements.set(record.control_replacements)
