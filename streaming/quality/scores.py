"""Prediction drift: the scores of a window against the first scores of the same version.

The judge of the inputs (`streaming.drift`) does it, on one feature: the score's logit, counted on
the same grid, with a part of the budget of its own. The yardstick is frozen from the version's
first predictions after it went live; a new version starts a new one. Scores that move say that
something is different, not that it is worse: prediction drift is shown and raises no retrain.
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
_LEAST_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreWatch:
    """What is remembered of one version's scores."""

    version: int
    baseline: Counts = field(default_factory=Counts)
    reference: PreparedReference | None = None
    history: DriftHistory = field(default_factory=DriftHistory)


def judge_scores(
    watch: ScoreWatch, counts: Counts, window: tuple[float, float], rules: QualityRules
) -> tuple[FeatureVerdict | None, ScoreWatch]:
    """The verdict on a window's scores; None while the baseline is being made.

    `window` is start and end, seconds; the same arguments give the same verdict.
    """
    if watch.reference is None:
        baseline = add((watch.baseline, counts))
        watch = replace(watch, baseline=baseline)
        if baseline.predictions >= rules.scores_baseline:
            watch = replace(watch, reference=_reference(watch))
        return None, watch
    summary = WindowSummary(
        record_id=record_id("scores", str(watch.version), *window),
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
    judge = DriftRules(
        false_alarms=rules.scores_share * rules.false_alarms,
        period_seconds=rules.period_seconds,
        sustained=rules.sustained,
        of=rules.of,
        min_rows=_LEAST_ROWS,
    )
    identity = str(watch.version)
    verdict, history = judge_drift(
        summary, watch.reference, identity, watch.history, judge, _CONTRACT
    )
    found = verdict.features[0] if verdict.features else None
    return found, replace(watch, history=history)


def _summary(counts: Counts) -> FeatureSummary:
    there = counts.served > 0
    return FeatureSummary(
        name=FEATURE,
        rows=counts.predictions,
        missing=0,
        grid=NumericGrid(
            pivot=0.0,
            buckets=tuple(counts.buckets[there].tolist()),
            counts=tuple(counts.served[there].tolist()),
        ),
    )


def _reference(watch: ScoreWatch) -> PreparedReference:
    summary = ReferenceSummary(
        record_id=str(watch.version),
        model=FEATURE,
        at=0.0,
        version=watch.version,
        window_start=0.0,
        window_end=0.0,
        rows=watch.baseline.predictions,
        features=(_summary(watch.baseline),),
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
