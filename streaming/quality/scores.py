"""Prediction drift: the scores of a window compared with the first scores of the same version.

The drift verdict of the inputs (`streaming.drift`) is applied to one feature: the score's logit,
counted on the same grid, with its own part of the budget. The reference is frozen from the
version's first predictions after it went live; a new version starts a new one. Scores that move
show that something is different, not that it is worse. So prediction drift is shown and starts no
retrain.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from streaming.contracts.ids import record_id
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    FeatureSummary,
    FeatureVerdict,
    NumericGrid,
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

FEATURE = "prediction"
_MIN_ROWS = 100


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
    if state.reference is None:
        baseline = add((state.baseline, counts))
        state = replace(state, baseline=baseline)
        if baseline.predictions >= rules.min_baseline_predictions:
            state = replace(state, reference=_reference(state))
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
        features=(_summary(counts),),
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
        summary, state.reference, reference_id, state.history, drift_rules, _CONTRACT
    )
    feature = verdict.features[0] if verdict.features else None
    return feature, replace(state, history=history)


def _summary(counts: Counts) -> FeatureSummary:
    nonempty = counts.served > 0
    return FeatureSummary(
        name=FEATURE,
        rows=counts.predictions,
        missing=0,
        grid=NumericGrid(
            buckets=tuple(counts.buckets[nonempty].tolist()),
            counts=tuple(counts.served[nonempty].tolist()),
        ),
    )


def _reference(state: ScoreDriftState) -> PreparedReference:
    summary = ReferenceSummary(
        record_id=str(state.version),
        model=FEATURE,
        at=0.0,
        version=state.version,
        window_start=0.0,
        window_end=0.0,
        rows=state.baseline.predictions,
        features=(_summary(state.baseline),),
    )
    return prepare_reference(summary, _CONTRACT)


_CONTRACT = ModelContract(
    model=FEATURE,
    module="",
    events_topic="",
    labels_topic="",
    key="",
    time="",
    features=(FeatureSpec(name=FEATURE, kind="number"),),
)
"""The contract of the one feature, the score."""
