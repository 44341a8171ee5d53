"""Prediction drift: the predictions of a window compared with the first ones of the same version.

The drift verdict of the inputs (`streaming.drift`) is applied to what the task names: the score's
logit (binary), the shares of the predicted classes and the top probability's logit (multiclass),
the prediction (regression), counted on the same grid, with their own part of the budget. The
reference is frozen from the version's first predictions after it went live; a new version starts a
new one. Predictions that move show that something is different, not that it is worse. So prediction
drift is shown and starts no retrain.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from streaming.contracts.ids import record_id
from streaming.contracts.model import ModelContract
from streaming.contracts.records import (
    DriftOutcome,
    FeatureVerdict,
    ReferenceSummary,
    WindowSummary,
)
from streaming.drift import (
    DriftHistory,
    DriftRules,
    PreparedReference,
    judge_drift,
    prepare_reference,
)
from streaming.quality.counts import Counts, add
from streaming.quality.settings import QualityRules
from streaming.quality.tasks import quality_of
from streaming.quality.tasks.strategy import TaskQuality

FEATURE = "prediction"
_MIN_ROWS = 100
_SEVERITY: tuple[DriftOutcome, ...] = ("drifted", "suspected", "inconclusive", "stable")
"""Drift outcomes, the worst first."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreDriftState:
    """State of the prediction drift of one version."""

    version: int
    baseline: Counts = field(default_factory=Counts)
    """Counts of the first predictions."""
    reference: PreparedReference | None = None
    """The reference made from `baseline`; None while that is incomplete."""
    history: DriftHistory = field(default_factory=DriftHistory)


def judge_scores(
    state: ScoreDriftState, counts: Counts, window: tuple[float, float], rules: QualityRules
) -> tuple[FeatureVerdict | None, ScoreDriftState]:
    """The drift verdict on a window's scores; None while the baseline is incomplete.

    `window` is its start and end in seconds. The same arguments give the same verdict.
    """
    task = quality_of(rules.task)
    if state.reference is None:
        baseline = add((state.baseline, counts))
        state = replace(state, baseline=baseline)
        if baseline.predictions >= rules.min_baseline_predictions:
            state = replace(state, reference=_reference(state, task))
        return None, state
    summary = WindowSummary(
        record_id=record_id("scores", str(state.version), *window),
        model=FEATURE,
        at=window[1],
        window_start=window[0],
        window_end=window[1],
        accepted=counts.predictions,
        dead_letters=0,
        late=0,
        offsets_read=counts.predictions,
        offsets=(),
        features=task.drift_summaries(counts),
    )
    drift_rules = DriftRules(
        false_alarms=rules.prediction_drift_share * rules.false_alarms,
        period_seconds=rules.period_seconds,
        sustained=rules.sustained,
        of=rules.of,
        min_rows=_MIN_ROWS,
    )
    reference_id = str(state.version)
    verdict, history = judge_drift(
        summary, state.reference, reference_id, state.history, drift_rules, _contract(task)
    )
    worst = min(
        verdict.features,
        key=lambda feature: (_SEVERITY.index(feature.outcome), -feature.effect),
        default=None,
    )
    return worst, replace(state, history=history)


def _reference(state: ScoreDriftState, task: TaskQuality) -> PreparedReference:
    summary = ReferenceSummary(
        record_id=str(state.version),
        model=FEATURE,
        at=0.0,
        version=state.version,
        window_start=0.0,
        window_end=0.0,
        rows=state.baseline.predictions,
        features=task.drift_summaries(state.baseline),
    )
    return prepare_reference(summary, _contract(task))


def _contract(task: TaskQuality) -> ModelContract:
    """A contract of the features that are judged."""
    return ModelContract(
        model=FEATURE,
        module="",
        events_topic="",
        labels_topic="",
        key="",
        time="",
        features=task.drift_features,
    )
