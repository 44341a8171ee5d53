"""What holds of approvals after any crash, and a person's yes to a request."""

from __future__ import annotations

from collections.abc import Sequence

from serving.rules import RolloutRules
from streaming.contracts.records import (
    AnyRecord,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    Command,
    Promotion,
)


def yes(request: ApprovalRequest, who: str, number: int, now: float) -> Command:
    return Command(
        record_id=f"command-{number}",
        model="m",
        at=now,
        action="approve",
        reason="because",
        who=who,
        version=request.version,
        subject=request.record_id,
        digest=request.digest,
    )


def misused_approvals(records: Sequence[AnyRecord], rules: RolloutRules) -> list[str]:
    """Requests that ended twice, and approvals or promotions without enough people."""
    problems: list[str] = []
    ends: dict[str, ApprovalOutcome] = {}
    supporters: dict[str, set[str]] = {}
    for record in records:
        if isinstance(record, ApprovalDecision) and record.answer == "yes":
            supporters.setdefault(record.request_id, set()).add(record.who)
    for record in records:
        if isinstance(record, ApprovalOutcome):
            first = ends.setdefault(record.request_id, record)
            if first != record:
                problems.append(f"A request ended twice: {first.outcome} and {record.outcome}.")
    approved = {end.version for end in ends.values() if end.outcome == "approved"}
    for end in ends.values():
        people = supporters.get(end.request_id, set())
        if end.outcome == "approved" and len(people) < rules.approvals.people:
            problems.append(f"Version {end.version} was approved by {people} only.")
    if rules.approval == "never":
        return problems
    problems += [
        f"Request {record.record_id} is open in the end."
        for record in records
        if isinstance(record, ApprovalRequest) and record.record_id not in ends
    ]
    live = [record for record in records if isinstance(record, Promotion)]
    return problems + [
        f"Version {record.version} went live without an approval."
        for record in live
        if record.change in ("initial", "promoted") and record.version not in approved
    ]
