"""The table of metrics: name, kind, labels and help text of each.

Names follow Prometheus' conventions: prefix ``driftline_``, base units, ``_total`` for counters.
Labels are bounded: model, outcome, reason code, arm, and as many features as a setting allows;
never an id. Engines create their instruments from this table, so a metric that is not listed
cannot be exported.
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
    """Upper bounds of a histogram's buckets; empty for other kinds."""


def _counter(name: str, labels: str, text: str) -> MetricSpec:
    return MetricSpec(name=name, kind="counter", labels=tuple(labels.split()), help=text)


def _gauge(name: str, labels: str, text: str) -> MetricSpec:
    return MetricSpec(name=name, kind="gauge", labels=tuple(labels.split()), help=text)


def _histogram(name: str, labels: str, text: str, buckets: tuple[float, ...]) -> MetricSpec:
    names = tuple(labels.split())
    return MetricSpec(name=name, kind="histogram", labels=names, help=text, buckets=buckets)


# ------------------------------------------------------------------- stream and drift
# fmt: off
EVENTS_READ = _counter(
    "driftline_events_read_total", "model", "Offsets of the events topic in judged windows.")
EVENTS_ACCEPTED = _counter(
    "driftline_events_accepted_total", "model", "Events counted in a window.")
EVENTS_DEAD = _counter(
    "driftline_events_dead_total", "model", "Events that became dead letters.")
EVENTS_LATE = _counter(
    "driftline_events_late_total", "model", "Events that came after their window had closed.")
WINDOWS = _counter(
    "driftline_windows_total", "model outcome", "Judged windows, by outcome.")
DRIFT_EFFECT = _gauge(
    "driftline_drift_effect_sd", "model feature",
    "Effect of the latest window against the reference, in standard deviations.")
DRIFT_LIMIT = _gauge(
    "driftline_drift_limit_sd", "model feature",
    "The smallest effect that counts as a hit in the latest window, in standard deviations.")
DRIFT_P = _gauge(
    "driftline_drift_p_ratio", "model feature", "Combined p-value of the latest window.")
DRIFT_P_OVER_LIMIT = _gauge(
    "driftline_drift_p_over_limit_ratio", "model feature",
    "Combined p-value divided by its limit: at most 1 is significant.")
DRIFT_HITS = _gauge(
    "driftline_drift_hits", "model feature",
    "Number of recent windows in which the feature exceeded its limit.")
DRIFT_OUTCOME = _gauge(
    "driftline_drift_outcome", "model feature",
    "The feature's outcome: 2 drifted, 1 suspected, 0 stable, -1 inconclusive.")
DRIFT_DISTANCE = _gauge(
    "driftline_drift_distance", "model feature distance",
    "Drift distances of the latest window (psi and others), minus their expectation under no "
    "drift.")
DRIFT_CAPPED = _gauge(
    "driftline_drift_features_capped", "model",
    "Features that are not exported because drift.exported_features allows no more.")
WINDOW_ROWS = _gauge(
    "driftline_window_rows", "model", "Rows of the latest judged window.")
WINDOW_END = _gauge(
    "driftline_window_end_seconds", "model",
    "End of the latest judged window, seconds since 1970; stands still with a stalled watermark.")
VERDICT_DELAY = _histogram(
    "driftline_verdict_delay_seconds", "model", "Time from the end of a window to its verdict.",
    (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300))

# ----------------------------------------------------------------- retrain and rollout
RETRAINS = _counter(
    "driftline_retrains_total", "model outcome",
    "Retrains by outcome: requested, published, failed, insufficient (waits for more labels).")
RETRAIN_RUNNING = _gauge(
    "driftline_retrain_running", "model", "1 while a retrain is running.")
RETRAIN_STARTED = _gauge(
    "driftline_retrain_started_seconds", "model",
    "When the retrain in flight was requested, seconds since 1970; 0 while none is.")
RETRAIN_DEADLINE = _gauge(
    "driftline_retrain_deadline_seconds", "model",
    "When the retrain in flight counts as failed, seconds since 1970; 0 while none is.")
RETRAIN_PROGRESS = _gauge(
    "driftline_retrain_progress_seconds", "model",
    "When a worker last reported a step of a retrain, seconds since 1970.")
RETRAIN_BUDGET_LEFT = _gauge(
    "driftline_retrain_budget_left", "model",
    "Retrains that may still start within the period of retrain.budget.")
RETRAIN_SECONDS = _gauge(
    "driftline_retrain_component_seconds", "model component",
    "Duration of each component of the latest retrain.")
LIVE_VERSION = _gauge(
    "driftline_live_version", "model", "The live version.")
ROLLOUT_VERSION = _gauge(
    "driftline_rollout_version", "model",
    "The version in rollout, and after its end the one that was in rollout last; 0 = none so far.")
ROLLBACKS = _counter(
    "driftline_rollbacks_total", "model",
    "Rollouts that were rolled back; without those that ended with their approval request.")
CONTROL_SICK = _gauge(
    "driftline_canary_control_sick", "model",
    "1 while the control arm is proven to be worse than the stable arm with the same version.")
CONTROL_REPLACEMENTS = _gauge(
    "driftline_canary_control_replacements", "model",
    "How often the present rollout has replaced a sick control by a fresh server.")
CANARY_WEIGHT = _gauge(
    "driftline_canary_weight_ratio", "model",
    "Share of the requests that the version in rollout answers, as Envoy has it in force.")
CANARY_VERDICTS = _counter(
    "driftline_canary_verdicts_total", "model outcome", "Canary verdicts by outcome.")
CANARY_GATE = _gauge(
    "driftline_canary_gate", "model gate mode outcome",
    "1 for the outcome of a gate in the newest canary verdict that has it.")
ROLLOUT_PHASE = _gauge(
    "driftline_rollout_phase", "model phase", "1 for the current phase of the rollout.")
ROLLOUT_ENDS = _gauge(
    "driftline_rollout_phase_ends_seconds", "model",
    "When the phase of the rollout ends by itself, seconds since 1970; 0 without a rollout.")
MEMORY_WAITING = _gauge(
    "driftline_rollout_waits_for_memory", "model",
    "1 while a rollout waits for memory of the model servers.")
LABELS_WAITING = _gauge(
    "driftline_labels_waiting", "model",
    "Labels whose version is not in the store, or not loaded yet.")
APPROVAL_WAITING = _gauge(
    "driftline_approval_waiting", "model", "1 while an approval is pending.")
APPROVAL_ASKED = _gauge(
    "driftline_approval_asked_seconds", "model",
    "When the open approval was asked for, seconds since 1970; 0 while none is open.")
APPROVAL_DEADLINE = _gauge(
    "driftline_approval_deadline_seconds", "model",
    "Until when the open approval can be given, seconds since 1970; 0 while none is open.")
APPROVAL_PEOPLE = _gauge(
    "driftline_approval_missing_people", "model",
    "People who still have to approve; 0 while no approval is open.")
APPROVALS = _counter(
    "driftline_approvals_total", "model outcome",
    "Approval requests by outcome: asked, approved, rejected, expired, void.")
SETTING = _gauge(
    "driftline_setting", "model setting",
    "A setting that alert rules and dashboards compare with, in the unit that its name ends with.")
EXPERIMENTS = _counter(
    "driftline_experiments_total", "model outcome", "Experiments that have ended, by outcome.")
EXPERIMENT_PHASE = _gauge(
    "driftline_experiment_phase", "model phase",
    "1 for the current phase of the experiment; ended without one.")
EXPERIMENT_ENDS = _gauge(
    "driftline_experiment_phase_ends_seconds", "model",
    "When the phase of the experiment ends by itself, seconds since 1970; 0 without one.")
EXPERIMENT_EFFECT = _gauge(
    "driftline_experiment_effect", "model arm bound",
    "Difference of the metric between an arm and the champion with its interval (low, mean, high); "
    "positive is better. Arms are numbered from 1.")
EXPERIMENT_DELAYS = _gauge(
    "driftline_experiment_delays_version", "model",
    "1 while a new version waits for the end of the experiment.")
RECORDS_REFUSED = _counter(
    "driftline_records_refused_total", "topic reason", "Records that could not be decoded.")
TICK_SECONDS = _histogram(
    "driftline_tick_seconds", "", "Duration of the daemon's periodic step, each model by itself.",
    (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5))
MODEL_TICKED = _gauge(
    "driftline_model_tick_time_seconds", "model part",
    "When a part of a model's controller made its latest periodic step, seconds since 1970.")
STEPS_FAILED = _counter(
    "driftline_steps_failed_total", "model part",
    "Steps of a model's controller that ended with an error which is not temporary.")
RECORD_WAITING = _gauge(
    "driftline_record_waiting_seconds", "model",
    "For how long the daemon has tried the model's first record in vain; 0 while none waits.")
RECORDS_DEAD = _counter(
    "driftline_records_dead_total", "model reason",
    "Records that the daemon could not decide in time and made dead letters: unavailable, failed.")

# ----------------------------------------------------------------------------- schema
SCHEMA_WINDOWS = _counter(
    "driftline_schema_windows_total", "model outcome",
    "Windows validated against the schema, by outcome.")
SCHEMA_FINDINGS = _gauge(
    "driftline_schema_findings", "model kind outcome",
    "Columns that violate the schema in the latest window, by kind and outcome.")
SCHEMA_VERSION = _gauge(
    "driftline_schema_version", "model",
    "Schema version that the latest window was validated against; 0 = the model's file.")
SCHEMA_PROPOSAL_OPEN = _gauge(
    "driftline_schema_proposal_open", "model",
    "1 while a proposed schema change awaits a decision.")

# ---------------------------------------------------------------------------- quality
QUALITY_VERDICTS = _counter(
    "driftline_quality_verdicts_total", "model outcome cause",
    "Windows of the live version with mature labels, by outcome and cause.")
QUALITY_VALUE = _gauge(
    "driftline_quality_value_ratio", "model metric kind",
    "Latest quality of the live version: realised, or estimated before labels arrive; errors of a "
    "regression in the unit of its label.")
QUALITY_LIMIT = _gauge(
    "driftline_quality_limit_ratio", "model metric",
    "The value beyond which a metric counts against the version.")
QUALITY_WINDOW_END = _gauge(
    "driftline_quality_window_end_seconds", "model",
    "End of the latest window with mature labels, seconds since 1970.")
PREDICTION_DRIFT = _gauge(
    "driftline_prediction_drift_sd", "model",
    "Effect of the latest window's scores against the version's first scores.")
PREDICTIONS_READ = _counter(
    "driftline_predictions_total", "model outcome",
    "Served predictions by outcome: joined, unlabelled, repeated, late, dead.")
LABELS_READ = _counter(
    "driftline_labels_total", "model outcome",
    "Labels by outcome: matched, unmatched, repeated, corrected, late, dead.")
KEYS_WAITING = _gauge(
    "driftline_keys_waiting", "model kind",
    "Predictions that wait for a label, and labels that wait for a prediction.")
LABELS_MATURE = _gauge(
    "driftline_labels_mature_seconds", "model",
    "Estimated time from the end of a window until its labels are mature.")

# --------------------------------------------------------------- stream jobs and processes
JOB_EXPECTED = _gauge(
    "driftline_stream_job_expected", "group", "1 for a stream job that was submitted and not "
    "cancelled.")
JOB_RUNNING = _gauge(
    "driftline_stream_job_running", "group", "1 while every task of the stream job runs.")
JOB_RESUBMITS = _counter(
    "driftline_stream_job_resubmits_total", "group",
    "Submissions by the watchdog after which the stream job ran again.")
JOB_ATTEMPTS = _gauge(
    "driftline_stream_job_attempts", "group",
    "Submissions by the watchdog since the stream job last ran well.")
JOB_NEEDS_HELP = _gauge(
    "driftline_stream_job_needs_help", "group",
    "1 while the stream job cannot run again before somebody acts, or fails again and again.")
JOB_CHECKPOINT = _gauge(
    "driftline_stream_job_checkpoint_seconds", "group",
    "When the newest completed checkpoint was completed, seconds since 1970.")
PROCESS_ANSWERS = _gauge(
    "driftline_process_answers", "process",
    "1 while the process answers a request in its own protocol, 0 while it starts, does not answer "
    "or is down.")
PROCESS_UNRESPONSIVE = _gauge(
    "driftline_process_unresponsive", "process",
    "1 while the process runs and has answered before, but does not answer now.")
PARTITIONS_OFFLINE = _gauge(
    "driftline_kafka_partitions_offline", "",
    "Partitions of Kafka that have no leader: nobody can read or write them.")
PARTITIONS_UNDER_REPLICATED = _gauge(
    "driftline_kafka_partitions_under_replicated", "",
    "Partitions of Kafka of which a copy is missing or behind.")
NOTIFICATIONS = _counter(
    "driftline_notifications_total", "channel outcome",
    "Notifications by channel (slack, local, or the webhook's name) and outcome: delivered, "
    "or failed, which includes those that the receiver or the settings refuse.")
PROGRESS = _gauge(
    "driftline_progress_seconds", "process",
    "When the process last completed a step of its loop, seconds since 1970.")
# fmt: on

WATCHDOG_METRICS = (
    JOB_EXPECTED,
    JOB_RUNNING,
    JOB_RESUBMITS,
    JOB_ATTEMPTS,
    JOB_NEEDS_HELP,
    JOB_CHECKPOINT,
    PROCESS_ANSWERS,
    PROCESS_UNRESPONSIVE,
    PARTITIONS_OFFLINE,
    PARTITIONS_UNDER_REPLICATED,
    PROGRESS,
)
"""Metrics that the watchdog of the stream jobs exports."""

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
    PROGRESS,
)
"""Metrics that the label service exports; the others but the last it exports alone."""

NOTIFIER_METRICS = (NOTIFICATIONS, PROGRESS)
"""Metrics that the notifier exports."""

METRICS: tuple[MetricSpec, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, MetricSpec)
)
"""All metrics, in the order of this file."""
