"""From what was seen to the report."""

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
from deploy.demo.timeline import Story
from deploy.demo.view import View


def summed(view: View, *, data: str, outcome: Outcome, why: str) -> Report:
    """The report of a run that ends now."""
    story = view.story
    shift = view.shift_at
    drifted = [
        verdict
        for verdict in story.verdicts
        if shift is not None and verdict.outcome == "drifted" and verdict.window_end > shift
    ]
    first = drifted[0] if drifted else None
    before = view.now if shift is None else shift
    accounts = story.accounts
    return Report(
        scenario=view.scenario,
        data=data,
        started_at=round(view.started_at, 3),
        finished_at=round(view.now, 3),
        outcome=outcome,
        why=why,
        timeline=tuple(sorted(story.timeline, key=lambda moment: moment.at_seconds)),
        events=Events(
            sent=view.traffic.sent if view.traffic else 0,
            accepted=accounts.accepted,
            dead_letters=accounts.dead_letters,
            late=accounts.late,
            offsets_read=accounts.offsets_read,
        ),
        windows=windows(story),
        false_alarms_before_shift=len(story.alarms(until=before)),
        seconds_shift_to_drifted=(
            round(_judged_at(view, first.record_id, first.window_end) - shift, 3)
            if first is not None and shift is not None
            else None
        ),
        windows_shift_to_drifted=_windows_until(view, first.window_end) if first else None,
        retrains=len(story.retrains),
        retrain_seconds=_retrain_seconds(story),
        versions=versions(story),
        canary=canary(view),
        promoted_version=story.live or None,
        windows_after_promotion_stable=_stable_after(story),
        quality=quality(view),
    )


def windows(story: Story) -> Windows:
    """Verdicts by outcome."""
    outcomes = [verdict.outcome for verdict in story.verdicts]
    return Windows(
        judged=len(outcomes),
        stable=outcomes.count("stable"),
        suspected=outcomes.count("suspected"),
        drifted=outcomes.count("drifted"),
        inconclusive=outcomes.count("inconclusive"),
    )


def quality(view: View) -> Quality:
    """Looks at mature labels by outcome."""
    outcomes = [verdict.outcome for verdict in view.story.quality]
    turned = view.turned_at
    found = [verdict.at for verdict in view.story.quality if verdict.outcome == "degraded"]
    late = found[0] - turned if found and turned is not None else None
    return Quality(
        stable=outcomes.count("stable"),
        suspected=outcomes.count("suspected"),
        degraded=outcomes.count("degraded"),
        inconclusive=outcomes.count("inconclusive"),
        seconds_turn_to_degraded=round(late, 3) if late is not None else None,
    )


def versions(story: Story) -> tuple[Version, ...]:
    """Each version with its AUC; the champion's on the shift is its challenger's to measure."""
    made = []
    for number in sorted(story.versions):
        version = story.versions[number]
        overall, _ = checks.auc(version, "")
        on_shift, _ = checks.auc(version, checks.AFTER_SHIFT)
        challengers = [v for v in story.versions.values() if v.base_version == number]
        if challengers and on_shift is None:
            on_shift = checks.auc(challengers[0], checks.AFTER_SHIFT)[1]
        made.append(
            Version(version=number, auc=overall, auc_on_shift=on_shift, blessed=version.blessed)
        )
    return tuple(made)


def canary(view: View) -> Canary:
    """The rollout of the newest version that had one; the initial one has no canary."""
    story = view.story
    later = [number for number in story.versions if number > 1]
    if not later:
        return Canary()
    version = max(later)
    last = {v.step: v for v in story.canary if v.version == version}
    steps = tuple(
        CanaryStep(
            weight=verdict.weight,
            verdict=verdict.outcome,
            seconds=round(verdict.seconds_in_step, 3),
            requests=verdict.requests,
        )
        for verdict in sorted(last.values(), key=lambda verdict: verdict.at)
    )
    requests, errors = view.rollout_clients(version)
    promotion = story.promotion_of(version)
    statuses = story.rollout_of(version)
    began = statuses[0].at if statuses else story.versions[version].at
    return Canary(
        steps=steps,
        client_requests=requests,
        client_errors=errors,
        seconds_to_promote=round(promotion.at - began, 3) if promotion else None,
    )


def _judged_at(view: View, record_id: str, window_end: float) -> float:
    """When the verdict was seen; a verdict's own time is the end of its window."""
    return view.marks.get(f"seen:{record_id}", window_end)


def _windows_until(view: View, window_end: float) -> int:
    shift = view.shift_at
    return sum(
        shift is not None and shift < verdict.window_end <= window_end
        for verdict in view.story.verdicts
    )


def _retrain_seconds(story: Story) -> float | None:
    if not story.retrains:
        return None
    version = story.version_of(story.retrains[0].record_id)
    return round(version.at - story.retrains[0].at, 3) if version else None


def _stable_after(story: Story) -> int:
    if story.live < 2:
        return 0
    return sum(verdict.outcome == "stable" for verdict in story.against(story.live))
