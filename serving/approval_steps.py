"""Keeps the request of a rollout in step with its phase: one is open while a person is awaited.

A request is written when the rollout begins to wait, and ends with an outcome however the rollout
goes on. What it is bound to is compared at every step: when a byte of it changes, or the settings
do, the request is void with every decision on it, and people are asked anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from serving.approval_request import approval_request, changed_terms
from serving.approvals import outcome_record
from serving.phase import Phase
from serving.rules import RolloutRules
from serving.state import OpenApproval, RolloutState
from streaming.contracts.records import ApprovalEnd, ApprovalOutcome, ApprovalRequest, Record

_REMEMBERED_OUTCOMES = 8
"""So that the person who decides on an ended request is told what became of it."""


def follow_approval(
    state: RolloutState, rules: RolloutRules, now: float
) -> tuple[RolloutState, tuple[Record, ...]]:
    """Open the request that the rollout waits for, and end one that it waits for no more.

    Parameters
    ----------
    state:
        The state after a step of the rollout.
    rules:
        How the model is rolled out, and who may let a version on.
    now:
        Seconds since 1970.
    """
    opened, rollout = state.approval, state.rollout
    waiting = rollout is not None and rollout.phase is Phase.AWAITING_APPROVAL
    records: list[Record] = []
    if opened is not None:
        why_void = _why_void(state, opened.request, rules, waiting=waiting)
        if why_void:
            state, outcome = end_approval(state, "void", why_void, now)
            records.append(outcome)
    if waiting and state.approval is None:
        assert rollout is not None
        request = approval_request(rollout, model=state.model, rules=rules, at=now)
        state = replace(state, approval=OpenApproval(request=request))
        records.append(request)
    return state, tuple(records)


def _why_void(
    state: RolloutState, request: ApprovalRequest, rules: RolloutRules, *, waiting: bool
) -> str:
    """Why the request stands no more; empty if it does."""
    rollout = state.rollout
    if rollout is None or rollout.rollout_id != request.rollout_id:
        reasons = [
            rejection.reason
            for rejection in state.rejections
            if rejection.candidate.version == request.version
        ]
        why = f": {reasons[-1]}" if reasons else "."
        return f"The rollout of version {request.version} ended without it{why}"
    if not waiting:
        return f"The rollout is {rollout.phase}: {rollout.reason}"
    present = approval_request(
        rollout, model=state.model, rules=rules, at=request.at, caused_by=request.caused_by
    )
    if present == request:
        return ""
    return f"Changed since it was asked: {changed_terms(request, present)}. It is asked anew."


def end_approval(
    state: RolloutState, outcome: ApprovalEnd, reason: str, now: float
) -> tuple[RolloutState, ApprovalOutcome]:
    """End the open request; there is one.

    Returns
    -------
        The state without it, which remembers its outcome, and the outcome.
    """
    assert state.approval is not None
    record = outcome_record(state.approval.request, state.approval.decisions, outcome, reason, now)
    ended = (*state.ended_approvals[1 - _REMEMBERED_OUTCOMES :], record)
    return replace(state, approval=None, ended_approvals=ended), record


def lost_approvals(
    state: RolloutState,
    requests: Sequence[ApprovalRequest],
    outcomes: Sequence[ApprovalOutcome],
    now: float,
) -> tuple[ApprovalOutcome, ...]:
    """The end of requests that the log has open and the state does not know: it was lost.

    Parameters
    ----------
    requests, outcomes:
        What the log has of this model.
    """
    known = state.approval.request.record_id if state.approval is not None else ""
    ended = {outcome.request_id for outcome in outcomes}
    reason = "The daemon lost what it knew of this rollout, so it starts again and is asked anew."
    return tuple(
        outcome_record(request, (), "void", reason, now)
        for request in requests
        if request.record_id not in ended and request.record_id != known
    )
