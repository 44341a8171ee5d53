"""Applies `approve` and `reject`: the decision on the open request, and what it lets happen."""

from __future__ import annotations

from dataclasses import dataclass

from msgspec.structs import replace

from serving.approval_checks import against, forced_on, missing_evidence, unforced
from serving.approval_request import present_digest
from serving.approval_steps import end_approval
from serving.approvals import Ruling, decide
from serving.phase import Phase
from serving.rules import RolloutRules
from serving.state import OpenApproval, Rollout, RolloutState
from serving.transitions import add_cause, roll_back
from streaming.contracts.records import Command, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a decision comes to."""

    state: RolloutState
    accepted: bool
    reason: str
    records: tuple[Record, ...] = ()
    """The decision, and the outcome if it is the last one."""


def decide_approval(
    state: RolloutState, command: Command, *, rules: RolloutRules, now: float
) -> Decided:
    """The state after a person approved or rejected, or why that is refused.

    A yes without the evidence that is needed is refused too, unless it is forced with a reason.
    """
    opened, rollout = state.approval, state.rollout
    ruling = decide(
        opened.request if opened is not None else None,
        opened.decisions if opened is not None else (),
        command,
        present=present_digest(rollout) if rollout is not None else "",
        ended=state.ended_approvals,
        now=now,
    )
    if ruling.decision is None or opened is None or rollout is None:
        return Decided(state=state, accepted=False, reason=ruling.reason)
    missing = ""
    if ruling.result != "rejected":
        missing = missing_evidence(rollout, rules=rules, now=now)
        refusal = unforced(command, missing)
        if refusal:
            return Decided(state=state, accepted=False, reason=refusal)
    reason = f"{ruling.reason.rstrip()}{against(missing)}"
    decisions = (*opened.decisions, ruling.decision)
    state = replace(state, approval=replace(opened, decisions=decisions))
    if ruling.result == "counted":
        return Decided(state=state, accepted=True, reason=reason, records=(ruling.decision,))
    return _ended(state, rollout, command, ruling, reason, missing, now)


def _ended(
    state: RolloutState,
    rollout: Rollout,
    command: Command,
    ruling: Ruling,
    reason: str,
    missing: str,
    now: float,
) -> Decided:
    """The rollout goes on after the last yes, or back after a no."""
    assert ruling.decision is not None
    assert isinstance(state.approval, OpenApproval)
    approved = ruling.result == "approved"
    state, outcome = end_approval(state, "approved" if approved else "rejected", reason, now)
    if approved:
        after = forced_on(rollout, _next_phase(rollout), reason, missing, now)
        after = replace(after, approved_id=outcome.record_id)
    else:
        after = roll_back(rollout, reason, now, "person")
    after = add_cause(add_cause(after, outcome.record_id), command.record_id)
    return Decided(
        state=replace(state, rollout=after),
        accepted=True,
        reason=reason,
        records=(ruling.decision, outcome),
    )


def _next_phase(rollout: Rollout) -> Phase:
    """The phase that an approval leads to; the first version has no canary."""
    canary = rollout.approval == "before-canary" and rollout.champion
    return Phase.STEPPING if canary else Phase.PROMOTING
