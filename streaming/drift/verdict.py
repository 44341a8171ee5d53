"""The judgement on a window: the worst of its features, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
from streaming.drift import history as memory
from streaming.drift import messages
from streaming.drift.budget import Limits
from streaming.drift.correlation.statistic import TOGETHER
from streaming.drift.correlation_verdict import judge_together
from streaming.drift.feature_cusum import FeatureSums
from streaming.drift.feature_verdict import Before, is_lost, judge_feature
from streaming.drift.history import DriftHistory, Past
from streaming.drift.prepared_reference import PreparedReference, prepare_reference
from streaming.drift.settings import DriftRules

HOUR = 3600.0


def judge_drift(
    window: WindowSummary,
    reference: ReferenceSummary | PreparedReference | None,
    reference_id: str,
    history: DriftHistory,
    rules: DriftRules,
    contract: ModelContract,
) -> tuple[DriftVerdict, DriftHistory]:
    """The verdict on `window`, and the history to pass with the next one.

    The same arguments give the same record, so a replay repeats its id. A window that cannot be
    judged is `inconclusive`, never `stable`, and leaves the history as it was.

    Parameters
    ----------
    window:
        What the window held.
    reference:
        The yardstick, best prepared once with `prepare_reference`; None when there is none yet.
    reference_id:
        `record_id` of the promotion that brought the reference; the history starts afresh when
        it changes.
    history:
        From the previous window of this model; `DriftHistory()` at the beginning.
    rules, contract:
        Of this model.
    """
    past = history.for_reference(reference_id)
    if isinstance(reference, ReferenceSummary):
        reference = prepare_reference(reference, contract)
    judged = tuple(spec for spec in contract.features if spec.judged)
    problem = messages.unusable(window, rules)
    if reference is None:
        problem = "There is no reference yet; the first promotion brings it."
    if problem or reference is None:
        return _verdict(window, reference, reference_id, "inconclusive", problem, ()), past
    allowed = rules.with_wobble(reference.wobble)
    features, after = _judge_features(window, reference, past, allowed, judged)
    outcome = _worst(features)
    singles = [one for one in features if one.feature != TOGETHER]
    if _worst(singles) == "inconclusive":
        outcome = "inconclusive"  # that features move together as before says nothing of each
    reason = messages.of_window(outcome, singles if outcome == "stable" else features)
    broken = _broken(window, reference, rules)
    if broken and outcome == "stable":
        outcome = "inconclusive"
        reason = f"{', '.join(broken)} went missing against the schema; see the anomalies."
    verdict = _verdict(window, reference, reference_id, outcome, reason, features)
    return replace_struct(verdict, wobble=messages.of_wobble(allowed, reference)), after


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a window lies in time."""

    start: float
    seconds: float


def _judge_features(
    window: WindowSummary,
    reference: PreparedReference,
    past: DriftHistory,
    rules: DriftRules,
    judged: Sequence[FeatureSpec],
) -> tuple[tuple[FeatureVerdict, ...], DriftHistory]:
    place = _Place(window.window_start, max(1e-3, window.window_end - window.window_start))
    if reference.season:
        # an hour has an offset of its own, so it lasts for an hour only
        rules = replace(rules, wobble_seconds=min(rules.wobble_seconds, HOUR))
    members = len(judged) + (reference.together is not None)
    limits = Limits.of(rules, features=members, window_seconds=place.seconds)
    oldest = memory.oldest(window_start=place.start, window_seconds=place.seconds, of=rules.of)
    summaries = {summary.name: summary for summary in window.features}
    complaints = {anomaly.feature for anomaly in window.anomalies}
    verdicts = []
    after, sums, missing = dict(past.features), dict(past.sums), dict(past.missing)
    for spec in judged:
        own = past.features.get(spec.name, ())
        verdict, level, summed = judge_feature(
            spec.name,
            summaries.get(spec.name),
            reference.features.get(spec.name),
            Before(
                past=memory.before(own, window_start=place.start, oldest=oldest, of=rules.of),
                sums=FeatureSums(past.sums.get(spec.name, ()), past.missing.get(spec.name)),
                window_start=place.start,
                oldest=oldest,
            ),
            limits,
            schema_complains=spec.name in complaints,
        )
        verdicts.append(verdict)
        if level is not None:
            after[spec.name] = memory.remember(own, Past(place.start, int(level)), of=rules.of)
        if summed.location:
            sums[spec.name] = summed.location
        if summed.missing:
            missing[spec.name] = summed.missing
    if reference.together is not None:
        own = past.features.get(TOGETHER, ())
        counted = memory.before(own, window_start=place.start, oldest=oldest, of=rules.of)
        verdict, level = judge_together(
            window, reference.together, counted, rules, limits.sustained
        )
        verdicts.append(verdict)
        if level is not None:
            after[TOGETHER] = memory.remember(own, Past(place.start, int(level)), of=rules.of)
    remembered = DriftHistory(
        reference_id=past.reference_id, features=after, sums=sums, missing=missing
    )
    return tuple(verdicts), remembered


def _broken(
    window: WindowSummary, reference: PreparedReference, rules: DriftRules
) -> tuple[str, ...]:
    """Judged features that most rows lost, against the schema."""
    complaints = {anomaly.feature for anomaly in window.anomalies}
    return tuple(
        summary.name
        for summary in window.features
        if summary.name in complaints
        and summary.name in reference.features
        and is_lost(summary, reference.features[summary.name], rules)
    )


def _worst(features: Sequence[FeatureVerdict]) -> DriftOutcome:
    outcomes = {one.outcome for one in features}
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
    together = reference.together if reference else None
    return DriftVerdict(
        record_id=record_id(
            "drift-verdict", window.model, window.window_start, window.window_end, reference_id
        ),
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
        accepted=window.accepted,
        dead_letters=window.dead_letters,
        late=window.late,
        offsets_read=window.offsets_read,
        season=reference.season if reference else "",
        correlation=round(together.mean_correlation, 4) if together else 0.0,
        effective_features=round(together.effective_features, 2) if together else 0.0,
    )
