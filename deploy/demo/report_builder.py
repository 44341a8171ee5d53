"""Builds the report from the state of a run."""

from __future__ import annotations

from deploy.demo import checks
from deploy.demo.report import (
    Canary,
    CanaryStep,
    Events,
    Outcome,
    Quality,
    Report,
    Version,
    Windows,
)
from deploy.demo.state import DemoState
from deploy.demo.timeline import RecordTimeline
from streaming.contracts.records import DriftVerdict


def build_report(state: DemoState, *, data: str, outcome: Outcome, why: str) -> Report:
    """The report of a run that ends at `state.now`."""
    timeline = state.timeline
    shift, drifted = state.shift_at, _first_drifted(state)
    return Report(
        scenario=state.scenario,
        data=data,
        started_at=round(state.started_at, 3),
        finished_at=round(state.now, 3),
        outcome=outcome,
        why=why,
        timeline=tuple(sorted(timeline.entries, key=lambda entry: entry.at_seconds)),
        events=Events(
            sent=state.traffic.sent if state.traffic else 0,
            accepted=timeline.counts.accepted,
            dead_letters=timeline.counts.dead_letters,
            late=timeline.counts.late,
            offsets_read=timeline.counts.offsets_read,
        ),
        windows=windows(timeline),
        false_alarms_before_shift=len(timeline.alarms(until=state.now if shift is None else shift)),
        seconds_shift_to_drifted=_seconds_shift_to_drifted(state, drifted),
        windows_shift_to_drifted=_windows_until(state, drifted.window_end) if drifted else None,
        retrains=len(timeline.retrains),
        retrain_seconds=_retrain_seconds(timeline),
        versions=versions(timeline),
        canary=canary(state),
        promoted_version=timeline.live or None,
        windows_after_promotion_stable=_stable_after_promotion(timeline),
        quality=quality(state),
    )


def windows(timeline: RecordTimeline) -> Windows:
    """Drift verdicts by outcome."""
    outcomes = [verdict.outcome for verdict in timeline.verdicts]
    return Windows(
        judged=len(outcomes),
        stable=outcomes.count("stable"),
        suspected=outcomes.count("suspected"),
        drifted=outcomes.count("drifted"),
        inconclusive=outcomes.count("inconclusive"),
    )


def quality(state: DemoState) -> Quality:
    """Realised quality verdicts by outcome."""
    outcomes = [verdict.outcome for verdict in state.timeline.quality]
    shift = state.concept_shift_at
    degraded = [verdict.at for verdict in state.timeline.quality if verdict.outcome == "degraded"]
    delay = degraded[0] - shift if degraded and shift is not None else None
    return Quality(
        stable=outcomes.count("stable"),
        suspected=outcomes.count("suspected"),
        degraded=outcomes.count("degraded"),
        inconclusive=outcomes.count("inconclusive"),
        seconds_concept_shift_to_degraded=round(delay, 3) if delay is not None else None,
    )


def versions(timeline: RecordTimeline) -> tuple[Version, ...]:
    """Each version with its AUC.

    The evaluation of a challenger also measures its champion on the shifted slice.
    """
    rows = []
    for number in sorted(timeline.versions):
        version = timeline.versions[number]
        overall, _ = checks.auc(version, "")
        on_shift, _ = checks.auc(version, checks.AFTER_SHIFT)
        challengers = [v for v in timeline.versions.values() if v.base_version == number]
        if challengers and on_shift is None:
            on_shift = checks.auc(challengers[0], checks.AFTER_SHIFT)[1]
        rows.append(
            Version(version=number, auc=overall, auc_on_shift=on_shift, blessed=version.blessed)
        )
    return tuple(rows)


def canary(state: DemoState) -> Canary:
    """The rollout of the newest version; the initial version has no canary."""
    timeline = state.timeline
    challengers = [number for number in timeline.versions if number > 1]
    if not challengers:
        return Canary()
    version = max(challengers)
    last_verdicts = {v.step: v for v in timeline.canary if v.version == version}
    steps = tuple(
        CanaryStep(
            weight=verdict.weight,
            verdict=verdict.outcome,
            seconds=round(verdict.seconds_in_step, 3),
            requests=verdict.requests,
        )
        for verdict in sorted(last_verdicts.values(), key=lambda verdict: verdict.at)
    )
    requests, errors = state.rollout_client_counts(version)
    promotion = timeline.promotion_of(version)
    statuses = timeline.rollout_of(version)
    started_at = statuses[0].at if statuses else timeline.versions[version].at
    return Canary(
        steps=steps,
        client_requests=requests,
        client_errors=errors,
        seconds_to_promote=round(promotion.at - started_at, 3) if promotion else None,
    )


def _first_drifted(state: DemoState) -> DriftVerdict | None:
    shift = state.shift_at
    if shift is None:
        return None
    verdicts = state.timeline.verdicts
    drifted = [v for v in verdicts if v.outcome == "drifted" and v.window_end > shift]
    return drifted[0] if drifted else None


def _seconds_shift_to_drifted(state: DemoState, drifted: DriftVerdict | None) -> float | None:
    """From the shift to the arrival of the verdict, whose own time is the end of its window."""
    if drifted is None or state.shift_at is None:
        return None
    seen_at = state.verdict_seen_at.get(drifted.record_id, drifted.window_end)
    return round(seen_at - state.shift_at, 3)


def _windows_until(state: DemoState, window_end: float) -> int:
    shift = state.shift_at
    return sum(
        shift is not None and shift < verdict.window_end <= window_end
        for verdict in state.timeline.verdicts
    )


def _retrain_seconds(timeline: RecordTimeline) -> float | None:
    if not timeline.retrains:
        return None
    version = timeline.version_of(timeline.retrains[0].record_id)
    return round(version.at - timeline.retrains[0].at, 3) if version else None


def _stable_after_promotion(timeline: RecordTimeline) -> int:
    if timeline.live < 2:
        return 0
    return sum(verdict.outcome == "stable" for verdict in timeline.judged_against(timeline.live))
