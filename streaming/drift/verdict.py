"""The verdict on a window: the worst outcome of its features, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from msgspec.structs import replace as replace_struct

from streaming.contracts.ids import record_id
from streaming.contracts.model import FeatureSpec, ModelContract
from streaming.contracts.records import (
    DriftOutcome,
    DriftVerdict,
    FeatureVerdict,
    ReferenceSummary,
    WindowSummary,
)
from streaming.drift import messages
from streaming.drift.budget import BudgetAllocation
from streaming.drift.correlation.statistic import CORRELATION
from streaming.drift.correlation_verdict import judge_correlation
from streaming.drift.feature_verdict import is_lost, judge_feature
from streaming.drift.history import (
    CusumStates,
    DriftHistory,
    FeatureHistory,
    JudgedWindow,
    Level,
    earlier_windows,
    oldest_counted,
    remember,
)
from streaming.drift.prepared_reference import PreparedReference, prepare_reference
from streaming.drift.settings import DriftRules
from streaming.drift.thresholds.cusum import CusumState

HOUR = 3600.0
_MIN_SECONDS = 1e-3
"""Windows count as at least this long."""


def judge_drift(
    window: WindowSummary,
    reference: ReferenceSummary | PreparedReference | None,
    reference_id: str,
    history: DriftHistory,
    rules: DriftRules,
    contract: ModelContract,
) -> tuple[DriftVerdict, DriftHistory]:
    """Judge a window; returns the verdict and the history to pass with the next window.

    The same arguments give the same record, so a replay repeats its id. A window that cannot be
    judged is `inconclusive`, never `stable`, and leaves the history unchanged.

    Parameters
    ----------
    window:
        Summary of the window.
    reference:
        The reference to compare with, best prepared once with `prepare_reference`; None when there
        is none yet.
    reference_id:
        `record_id` of the promotion that brought the reference. When it changes, the history starts
        afresh.
    history:
        From the previous window of this model; `DriftHistory()` at the beginning.
    rules, contract:
        Drift rules and contract of this model.
    """
    history = history.for_reference(reference_id)
    if isinstance(reference, ReferenceSummary):
        reference = prepare_reference(reference, contract)
    problem = messages.unusable_window(window, rules)
    if reference is None:
        problem = (
            "The live version's reference is missing or cannot be read."
            if reference_id
            else "There is no reference yet; the first promotion brings it."
        )
    if problem or reference is None:
        return _verdict(window, reference, reference_id, "inconclusive", problem, ()), history
    effective_rules = rules.with_day_variance(reference.day_variance)
    specs = tuple(spec for spec in contract.features if spec.judged)
    features, next_history = _judge_features(window, reference, history, effective_rules, specs)
    outcome = _worst(features)
    # unchanged correlations carry no information about any single feature
    without_correlation = [feature for feature in features if feature.feature != CORRELATION]
    if _worst(without_correlation) == "inconclusive":
        outcome = "inconclusive"
    reason = messages.window_reason(
        outcome, without_correlation if outcome == "stable" else features
    )
    lost = _lost_features(window, reference, rules)
    if lost and outcome == "stable":
        outcome = "inconclusive"
        reason = f"{', '.join(lost)} went missing against the schema; see the anomalies."
    verdict = _verdict(window, reference, reference_id, outcome, reason, features)
    day_variation = messages.day_variation(effective_rules, reference)
    return replace_struct(verdict, day_variation=day_variation), next_history


@dataclass(slots=True, kw_only=True)
class _HistoryUpdate:
    """Reads a feature's earlier windows and collects the history after the present window."""

    previous: DriftHistory
    start: float
    oldest: float
    of: int
    levels: dict[str, tuple[JudgedWindow, ...]] = field(default_factory=dict)
    cusum: dict[str, tuple[CusumState, ...]] = field(default_factory=dict)
    missing_cusum: dict[str, CusumState] = field(default_factory=dict)

    def earlier(self, name: str) -> tuple[JudgedWindow, ...]:
        windows = self.previous.features.get(name, ())
        return earlier_windows(windows, window_start=self.start, oldest=self.oldest, of=self.of)

    def feature(self, name: str) -> FeatureHistory:
        return FeatureHistory(
            earlier=self.earlier(name),
            cusum=CusumStates(
                self.previous.cusum.get(name, ()), self.previous.missing_cusum.get(name)
            ),
            window_start=self.start,
            oldest=self.oldest,
        )

    def add(self, name: str, level: Level | None, cusum: CusumStates | None = None) -> None:
        if level is not None:
            new = JudgedWindow(self.start, int(level))
            self.levels[name] = remember(self.previous.features.get(name, ()), new, of=self.of)
        if cusum is not None and cusum.location:
            self.cusum[name] = cusum.location
        if cusum is not None and cusum.missing:
            self.missing_cusum[name] = cusum.missing

    def result(self) -> DriftHistory:
        return DriftHistory(
            reference_id=self.previous.reference_id,
            features={**self.previous.features, **self.levels},
            cusum={**self.previous.cusum, **self.cusum},
            missing_cusum={**self.previous.missing_cusum, **self.missing_cusum},
        )


def _judge_features(
    window: WindowSummary,
    reference: PreparedReference,
    history: DriftHistory,
    rules: DriftRules,
    specs: Sequence[FeatureSpec],
) -> tuple[tuple[FeatureVerdict, ...], DriftHistory]:
    start = window.window_start
    seconds = max(_MIN_SECONDS, window.window_end - start)
    if reference.season:
        # an hour has an offset of its own, so it persists for an hour only
        rules = replace(rules, offset_seconds=min(rules.offset_seconds, HOUR))
    tested = len(specs) + (reference.correlation is not None)
    budget = BudgetAllocation.of(rules, features=tested, window_seconds=seconds)
    oldest = oldest_counted(window_start=start, window_seconds=seconds, of=rules.of)
    update = _HistoryUpdate(previous=history, start=start, oldest=oldest, of=rules.of)
    summaries = {summary.name: summary for summary in window.features}
    with_anomaly = {anomaly.feature for anomaly in window.anomalies}
    verdicts = []
    for spec in specs:
        judgement = judge_feature(
            spec.name,
            summaries.get(spec.name),
            reference.features.get(spec.name),
            update.feature(spec.name),
            budget,
            schema_anomaly=spec.name in with_anomaly,
        )
        verdicts.append(judgement.verdict)
        update.add(spec.name, judgement.level, judgement.cusum)
    if reference.correlation is not None:
        verdict, level = judge_correlation(
            window, reference.correlation, update.earlier(CORRELATION), rules, budget.sustained
        )
        verdicts.append(verdict)
        update.add(CORRELATION, level)
    return tuple(verdicts), update.result()


def _lost_features(
    window: WindowSummary, reference: PreparedReference, rules: DriftRules
) -> tuple[str, ...]:
    """Judged features with a schema anomaly that are now missing in most rows."""
    with_anomaly = {anomaly.feature for anomaly in window.anomalies}
    return tuple(
        summary.name
        for summary in window.features
        if summary.name in with_anomaly
        and summary.name in reference.features
        and is_lost(summary, reference.features[summary.name], rules)
    )


def _worst(features: Sequence[FeatureVerdict]) -> DriftOutcome:
    outcomes = {feature.outcome for feature in features}
    for outcome in ("drifted", "suspected", "stable"):
        if outcome in outcomes:
            return outcome
    return "inconclusive"


def _verdict(
    window: WindowSummary,
    reference: PreparedReference | None,
    reference_id: str,
    outcome: DriftOutcome,
    reason: str,
    features: tuple[FeatureVerdict, ...],
) -> DriftVerdict:
    correlation = reference.correlation if reference else None
    return DriftVerdict(
        record_id=record_id("drift-verdict", window.model, window.window_start, window.window_end),
        model=window.model,
        at=window.window_end,
        caused_by=(window.record_id, reference_id) if reference_id else (window.record_id,),
        window_start=window.window_start,
        window_end=window.window_end,
        outcome=outcome,
        reason=reason,
        rows=window.accepted,
        offsets=window.offsets,
        reference_id=reference_id,
        reference_version=reference.version if reference else 0,
        features=features,
        anomalies=window.anomalies,
        rejected_fields=window.rejected_fields,
        accepted=window.accepted,
        dead_letters=window.dead_letters,
        late=window.late,
        offsets_read=window.offsets_read,
        season=reference.season if reference else "",
        correlation=round(correlation.mean_correlation, 4) if correlation else 0.0,
        effective_features=round(correlation.effective_features, 2) if correlation else 0.0,
    )
