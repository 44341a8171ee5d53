"""What must hold of each approval, and of each change of routes, in a random trial."""

from __future__ import annotations

from collections.abc import Sequence

from serving.approval_rules import person
from serving.desired import serves
from serving.ports import Observation, Role, TrafficSplit
from serving.rules import RolloutRules
from serving.state import RolloutState
from streaming.contracts.records import ApprovalDecision, ApprovalOutcome, ApprovalRequest, Record


def check_approval(
    outcome: ApprovalOutcome, records: Sequence[Record], rules: RolloutRules
) -> None:
    """Enough different people said yes to this request, over what it is about; it is used."""
    (request,) = {
        entry.record_id: entry
        for entry in records
        if isinstance(entry, ApprovalRequest) and entry.record_id == outcome.request_id
    }.values()
    decisions = [
        entry
        for entry in records
        if isinstance(entry, ApprovalDecision)
        and entry.request_id == request.record_id
        and entry.answer == "yes"
    ]
    people = {person(decision.who) for decision in decisions}
    assert len(people) >= rules.approvals.people, f"only {people} approved"
    assert all(decision.digest == request.digest for decision in decisions)
    names = {approver.name for approver in rules.approvals.approvers}
    assert not names or people <= names, f"{people} may not decide"
    assert not people & set(request.barred), f"{people} approved their own proposal"
    used = [
        entry
        for entry in records
        if isinstance(entry, ApprovalOutcome)
        and entry.request_id == request.record_id
        and entry.outcome == "approved"
    ]
    assert not used, "a request was used twice"


def check_gains(
    state: RolloutState, observed: Observation, *, before: TrafficSplit, after: TrafficSplit
) -> None:
    """Who gains requests is held healthy by Envoy, as far as it was observed."""
    healthy, rollout = observed.healthy or (), state.rollout
    gains = [
        role
        for role in ("stable", "control", "canary")
        if getattr(after, role) > getattr(before, role) and role not in healthy
    ]
    if gains == ["stable"] and not any(server.versions for server in observed.servers[:1]):
        gains = [role for role in ("control",) if role not in healthy]  # its arm falls back
    if gains:
        number = rollout.candidate.version if rollout is not None else 0
        roles: tuple[Role, ...] = ("stable", "canary")
        arms = [role for role in roles if serves(observed, role, number)] or ["canary"]
        shares = [sum(getattr(split, arm) for arm in arms) for split in (after, before)]
        assert shares[0] < shares[1], f"{gains} gained requests before it was healthy: {after}"
