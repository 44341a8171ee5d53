"""Every metric's name, kind, labels and meaning, in one place.

Names follow Prometheus' conventions: prefix ``driftline_``, base units, ``_total`` for counters.
Labels are bounded (model, outcome, reason code, arm, and of features so many as a setting allows);
never an id. Engines make their
instruments from this table with `instrument`, so a metric that is not listed cannot be exported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricSpec:
    """One metric."""

    name: str
    kind: Kind
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


EVENTS_READ = MetricSpec(
    name="driftline_events_read_total",
    kind="counter",
    labels=("model",),
    help="Offsets read from the events topic, in judged windows.",
)
EVENTS_ACCEPTED = MetricSpec(
    name="driftline_events_accepted_total",
    kind="counter",
    labels=("model",),
    help="Events counted in a window.",
)
EVENTS_DEAD = MetricSpec(
    name="driftline_events_dead_total",
    kind="counter",
    labels=("model",),
    help="Events sent to the dead letters.",
)
EVENTS_LATE = MetricSpec(
    name="driftline_events_late_total",
    kind="counter",
    labels=("model",),
    help="Events that came after their window had closed.",
)
WINDOWS = MetricSpec(
    name="driftline_windows_total",
    kind="counter",
    labels=("model", "outcome"),
    help="Windows judged, by outcome.",
)
DRIFT_EFFECT = MetricSpec(
    name="driftline_drift_effect_sd",
    kind="gauge",
    labels=("model", "feature"),
    help="Effect of the latest window against the reference, in standard deviations.",
)
DRIFT_LIMIT = MetricSpec(
    name="driftline_drift_limit_sd",
    kind="gauge",
    labels=("model", "feature"),
    help="The effect that counts as a hit in the latest window, in standard deviations.",
)
DRIFT_P = MetricSpec(
    name="driftline_drift_p_ratio",
    kind="gauge",
    labels=("model", "feature"),
    help="Combined p of the latest window.",
)
DRIFT_P_OVER_LIMIT = MetricSpec(
    name="driftline_drift_p_over_limit_ratio",
    kind="gauge",
    labels=("model", "feature"),
    help="That p over its limit: at most 1 is significant.",
)
DRIFT_HITS = MetricSpec(
    name="driftline_drift_hits",
    kind="gauge",
    labels=("model", "feature"),
    help="Of the last windows those in which the feature was beyond its limit.",
)
DRIFT_OUTCOME = MetricSpec(
    name="driftline_drift_outcome",
    kind="gauge",
    labels=("model", "feature"),
    help="The feature's outcome: 2 drifted, 1 suspected, 0 stable, -1 inconclusive.",
)
DRIFT_DISTANCE = MetricSpec(
    name="driftline_drift_distance",
    kind="gauge",
    labels=("model", "feature", "distance"),
    help="Familiar distances of the latest window, less what chance gives: psi, and others.",
)
DRIFT_CAPPED = MetricSpec(
    name="driftline_drift_features_capped",
    kind="gauge",
    labels=("model",),
    help="Features without series, because drift.exported_features allows no more.",
)
WINDOW_ROWS = MetricSpec(
    name="driftline_window_rows",
    kind="gauge",
    labels=("model",),
    help="Rows of the latest judged window.",
)
WINDOW_END = MetricSpec(
    name="driftline_window_end_seconds",
    kind="gauge",
    labels=("model",),
    help="End of the latest judged window, seconds since 1970: a stalled watermark shows here.",
)
VERDICT_DELAY = MetricSpec(
    name="driftline_verdict_delay_seconds",
    kind="histogram",
    labels=("model",),
    help="From the end of a window to its verdict.",
    buckets=(0.25, 0.5, 1, 2, 5, 10, 30, 60, 300),
)
RETRAINS = MetricSpec(
    name="driftline_retrains_total",
    kind="counter",
    labels=("model", "outcome"),
    help="Retrains by outcome: requested, published, failed.",
)
RETRAIN_RUNNING = MetricSpec(
    name="driftline_retrain_running",
    kind="gauge",
    labels=("model",),
    help="1 while a retrain is in flight.",
)
RETRAIN_SECONDS = MetricSpec(
    name="driftline_retrain_component_seconds",
    kind="gauge",
    labels=("model", "component"),
    help="How long each component of the latest retrain took.",
)
LIVE_VERSION = MetricSpec(
    name="driftline_live_version",
    kind="gauge",
    labels=("model",),
    help="The version that is live.",
)
CANARY_WEIGHT = MetricSpec(
    name="driftline_canary_weight_ratio",
    kind="gauge",
    labels=("model",),
    help="Share of the traffic that the canary gets.",
)
CANARY_VERDICTS = MetricSpec(
    name="driftline_canary_verdicts_total",
    kind="counter",
    labels=("model", "outcome"),
    help="Canary verdicts by outcome.",
)
ROLLOUT_PHASE = MetricSpec(
    name="driftline_rollout_phase",
    kind="gauge",
    labels=("model", "phase"),
    help="1 for the phase the rollout is in.",
)
APPROVAL_WAITING = MetricSpec(
    name="driftline_approval_waiting",
    kind="gauge",
    labels=("model",),
    help="1 while a person is asked.",
)
RECORDS_REFUSED = MetricSpec(
    name="driftline_records_refused_total",
    kind="counter",
    labels=("topic", "reason"),
    help="Records a part could not read.",
)
TICK_SECONDS = MetricSpec(
    name="driftline_tick_seconds",
    kind="histogram",
    labels=(),
    help="How long the daemon's tick took.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
SCHEMA_WINDOWS = MetricSpec(
    name="driftline_schema_windows_total",
    kind="counter",
    labels=("model", "outcome"),
    help="Windows held against the schema, by outcome.",
)
SCHEMA_FINDINGS = MetricSpec(
    name="driftline_schema_findings",
    kind="gauge",
    labels=("model", "kind", "outcome"),
    help="Columns that disagree with the schema in the latest window, by kind and outcome.",
)
SCHEMA_VERSION = MetricSpec(
    name="driftline_schema_version",
    kind="gauge",
    labels=("model",),
    help="Version of the schema that the latest window was held against; 0 = the model's file.",
)
SCHEMA_PROPOSAL_OPEN = MetricSpec(
    name="driftline_schema_proposal_open",
    kind="gauge",
    labels=("model",),
    help="1 while a proposed schema change awaits a decision.",
)

QUALITY_VERDICTS = MetricSpec(
    name="driftline_quality_verdicts_total",
    kind="counter",
    labels=("model", "outcome", "cause"),
    help="Windows of the live version whose labels were mature, by outcome and cause.",
)
QUALITY_VALUE = MetricSpec(
    name="driftline_quality_value_ratio",
    kind="gauge",
    labels=("model", "metric", "kind"),
    help="Quality of the live version's latest look: realised, or estimated before labels.",
)
QUALITY_LIMIT = MetricSpec(
    name="driftline_quality_limit_ratio",
    kind="gauge",
    labels=("model", "metric"),
    help="The value beyond which a metric counts against the version.",
)
QUALITY_WINDOW_END = MetricSpec(
    name="driftline_quality_window_end_seconds",
    kind="gauge",
    labels=("model",),
    help="End of the latest window with mature labels, seconds since 1970.",
)
PREDICTION_DRIFT = MetricSpec(
    name="driftline_prediction_drift_sd",
    kind="gauge",
    labels=("model",),
    help="Effect of the latest window's scores against the version's first ones.",
)
PREDICTIONS_READ = MetricSpec(
    name="driftline_predictions_total",
    kind="counter",
    labels=("model", "fate"),
    help="Served predictions by what became of them: joined, unlabelled, repeated, late, dead.",
)
LABELS_READ = MetricSpec(
    name="driftline_labels_total",
    kind="counter",
    labels=("model", "fate"),
    help="Labels by what became of them: matched, unmatched, repeated, corrected, late, dead.",
)
KEYS_WAITING = MetricSpec(
    name="driftline_keys_waiting",
    kind="gauge",
    labels=("model", "what"),
    help="Predictions that wait for a label, and labels that wait for a prediction.",
)
LABELS_MATURE = MetricSpec(
    name="driftline_labels_mature_seconds",
    kind="gauge",
    labels=("model",),
    help="How long after its end a window's labels are mature, as learnt by now.",
)
QUALITY_METRICS = (
    QUALITY_VERDICTS,
    QUALITY_VALUE,
    QUALITY_LIMIT,
    QUALITY_WINDOW_END,
    PREDICTION_DRIFT,
    PREDICTIONS_READ,
    LABELS_READ,
    KEYS_WAITING,
    LABELS_MATURE,
)
"""Of the label service alone."""

METRICS: tuple[MetricSpec, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, MetricSpec)
)
