"""Takes over what the log knows and the state does not: after a loss of state, or a crash.

The log is the truth about what is live. A daemon that starts reads the promotions before any other
record, so that no version is taken for the first one of its model and goes live unjudged, and no
command is applied to a rollout that has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from serving.approval_steps import lost_approvals
from serving.experiment_control import resumed
from serving.handlers import handle
from serving.judging import bake_step
from serving.phase import Phase
from serving.rules import RolloutRules
from serving.state import Rollout, RolloutState, Transition
from serving.transitions import begin_counts, roll_back, switch_phase
from streaming.contracts.records import (
    ApprovalOutcome,
    ApprovalRequest,
    ExperimentStatus,
    ModelVersion,
    Promotion,
    RolloutStatus,
)

_AFTER_PROMOTION = (Phase.PROMOTING, Phase.BAKING, Phase.ROLLING_BACK)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutHistory:
    """What the log says about the rollouts of one model; each part oldest first."""

    promotions: Sequence[Promotion] = ()
    statuses: Sequence[RolloutStatus] = ()
    versions: Sequence[ModelVersion] = ()
    approval_requests: Sequence[ApprovalRequest] = ()
    approval_outcomes: Sequence[ApprovalOutcome] = ()
    experiments: Sequence[ExperimentStatus] = ()


def catch_up(
    state: RolloutState, history: RolloutHistory, *, rules: RolloutRules, now: float
) -> Transition:
    """The state after it has taken over what is newer on the log.

    A state that is empty, because it was lost or never stored, also gets the rejected versions, the
    target of a rollback, the bake of the live version, and the newest version that was not rolled
    out. A rollout before its promotion starts again: its evidence is lost. Approvals that the log
    has open and the state does not know are void.
    """
    transition = _catch_up(state, history, rules, now)
    lost = lost_approvals(
        transition.state, history.approval_requests, history.approval_outcomes, now
    )
    return Transition(state=transition.state, records=(*transition.records, *lost))


def _catch_up(
    state: RolloutState, history: RolloutHistory, rules: RolloutRules, now: float
) -> Transition:
    lost = state == RolloutState(model=state.model)
    if lost:
        state = replace(state, rejected_versions=_rejected(history))
    newest = max(history.promotions, key=lambda promotion: promotion.at, default=None)
    transition = Transition(state=state)
    if newest is not None:
        transition = handle(state, newest, rules=rules, now=now)
    if not lost:
        return transition
    state = resumed(_with_versions(transition.state, history), history.experiments)
    return Transition(state=_with_rollout(state, history, rules, now), records=transition.records)


def _rejected(history: RolloutHistory) -> tuple[int, ...]:
    """Versions whose latest end was a rollback; a promotion afterwards clears a version."""
    ends: dict[int, tuple[float, bool]] = {}

    def note(version: int, at: float, rejected: bool) -> None:
        if at >= ends.get(version, (0.0, False))[0]:
            ends[version] = (at, rejected)

    for status in history.statuses:
        if status.phase == Phase.ROLLING_BACK:
            note(status.version, status.at, True)
    for promotion in history.promotions:
        note(promotion.version, promotion.at, False)
        if promotion.change == "rolled-back":
            note(promotion.replaced, promotion.at, True)
    return tuple(sorted(version for version, (_, rejected) in ends.items() if rejected))


def _with_versions(state: RolloutState, history: RolloutHistory) -> RolloutState:
    """The live version's record, the one before it, and the newest version to be rolled out."""
    live = state.live
    number = live.version if live is not None else 0
    by_number = {version.version: version for version in history.versions}
    waiting = [
        version
        for version in history.versions
        if version.blessed
        and version.version > number
        and version.version not in state.rejected_versions
    ]
    newest = max(waiting, key=lambda version: version.version, default=None)
    state = replace(state, queued_version=newest)
    if live is None or live.change == "rolled-back":
        return state
    earlier = [promotion for promotion in history.promotions if promotion.version == live.replaced]
    return replace(
        state,
        live_candidate=by_number.get(number),
        previous=max(earlier, key=lambda promotion: promotion.at, default=None),
        missing_reference=by_number.get(number) if live.reference is None else None,
    )


def _with_rollout(
    state: RolloutState, history: RolloutHistory, rules: RolloutRules, now: float
) -> RolloutState:
    """The rest of a rollout whose version is live: its bake, or the way back from it."""
    live, candidate = state.live, state.live_candidate
    status = max(history.statuses, key=lambda status: status.at, default=None)
    if live is None or candidate is None or state.previous is None or status is None:
        return state
    if status.version != live.version or status.phase not in _AFTER_PROMOTION:
        return state
    rollout = Rollout(
        rollout_id=status.rollout_id,
        candidate=candidate,
        champion=state.previous.version,
        phase=Phase.PROMOTING,
        since=now,
        reason=status.reason,
        published=True,
        caused_by=live.caused_by,
    )
    if status.phase == Phase.ROLLING_BACK:
        return replace(state, rollout=roll_back(rollout, status.reason, now, "outage"))
    if not rules.served or rules.bake_seconds <= 0:
        return state
    reason = f"Version {live.version} is live; its bake starts again, because its state was lost."
    baking = begin_counts(rollout, step=bake_step(rules))
    return replace(state, rollout=switch_phase(baking, Phase.BAKING, reason, now))
