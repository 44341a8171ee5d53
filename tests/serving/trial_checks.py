"""What must hold of each approval in a random trial."""

from __future__ import annotations

from collections.abc import Sequence

from serving.approval_rules import person
from serving.rules import RolloutRules
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
