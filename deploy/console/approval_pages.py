"""The list of approvals, and the page on which one of them is decided."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.console import why
from deploy.console.context import Console
from deploy.console.pictures import Picture, picture
from deploy.console.why import Why
from deploy.projection.lineage import Step, steps
from deploy.projection.reader import Stored
from deploy.records.approvals import Approval, Review, checked_review
from serving.approvals import may_approve
from streaming.contracts.errors import Conflict, NotFoundError
from streaming.contracts.records import (
    Action,
    AnswerComparison,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    CanaryVerdict,
    ModelVersion,
)

LISTED = 100
_CHAIN_KINDS = frozenset(
    {
        "approval-request",
        "model-version",
        "retrain-request",
        "drift-verdict",
        "quality-verdict",
        "window-summary",
        "command",
        "schema-proposal",
        "schema-version",
        "answer-comparison",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPage:
    """What a person decides on, and whether it can still be decided."""

    approval: Approval
    review: Review | None
    """What the request is bound to; None when that has changed."""
    stale: str
    """Why it cannot be decided as it was asked; empty when it can."""
    barrier: str
    """Why the person may not say yes; empty when the person may."""
    barrier_to_no: str
    """Why the person may not say no."""
    who: str
    chain: tuple[Step, ...]
    """From the request back to the windows that caused it."""
    gates: tuple[Why, ...]
    checks: tuple[Why, ...]
    pictures: dict[str, Picture]
    overdue: bool

    @property
    def open(self) -> bool:
        """Whether the forms are shown."""
        return self.approval.outcome is None and not self.stale and not self.overdue


def find_approval(console: Console, request_id: str) -> Approval:
    """A request with what became of it.

    Raises
    ------
    NotFoundError
        When there is no such request.
    """
    request = console.reader.record(request_id, ApprovalRequest)
    if request is None or not console.sees(request.model):
        raise NotFoundError(f"There is no approval request {request_id}.")
    decisions = console.reader.of_subject(ApprovalDecision, request_id)
    outcomes = console.reader.of_subject(ApprovalOutcome, request_id)
    ended = console.reader.full(outcomes[-1:], ApprovalOutcome)
    return Approval(
        request=request,
        decisions=tuple(console.reader.full(decisions[::-1], ApprovalDecision)),
        outcome=ended[0] if ended else None,
    )


def _barrier(console: Console, approval: Approval, action: Action) -> str:
    """Why the person may not decide so: the role, or a rule about the approval's people."""
    barrier = console.identity.barrier(approval.request.model, action)
    if barrier:
        return f"Not allowed: {barrier}"
    if action == "reject":
        return ""
    return may_approve(approval.request, console.who, approved_by=approval.approved_by)


def approval_list(console: Console) -> tuple[list[Approval], list[Approval]]:
    """Open approvals, the most urgent first, and those that have ended, newest first."""
    rows = console.reader.newest(ApprovalRequest, count=LISTED)
    listed = [*console.reader.open_requests(), *rows]
    waiting = dict.fromkeys(row.record_id for row in listed if console.sees(row.model))
    entries = [find_approval(console, record_id) for record_id in waiting]
    opened = [entry for entry in entries if entry.outcome is None]
    ended = [entry for entry in entries if entry.outcome is not None]
    return sorted(opened, key=lambda entry: entry.request.deadline), ended


def decision_page(console: Console, request_id: str) -> DecisionPage:
    """Gather the page of one request; raises `NotFoundError`."""
    approval = find_approval(console, request_id)
    request, model = approval.request, approval.request.model
    stale, shown = "", None
    try:
        shown = review(console, approval)
    except Conflict as conflict:
        stale = str(conflict)
    verdict = shown.verdict if shown is not None else None
    comparison = shown.comparison if shown is not None else None
    row = console.reader.find(request_id)
    assert row is not None
    kinds = ("drift", "comparison") if comparison is not None else ("drift",)
    pictures = {kind: picture(console.reader, kind, model) for kind in kinds}  # type: ignore[arg-type]
    return DecisionPage(
        approval=approval,
        review=shown,
        stale=stale,
        barrier=_barrier(console, approval, "approve"),
        barrier_to_no=_barrier(console, approval, "reject"),
        who=console.who,
        chain=_chain(console, row),
        gates=tuple(why.of_gate(gate, model) for gate in verdict.gates) if verdict else (),
        checks=tuple(why.of_check(check, model) for check in comparison.comparison.checks)
        if comparison
        else (),
        pictures={kind: entry for kind, entry in pictures.items() if entry is not None},
        overdue=console.now() >= request.deadline,
    )


def review(console: Console, approval: Approval) -> Review:
    """What the request is bound to, from the projection; raises `Conflict` when it has changed."""
    request, reader = approval.request, console.reader
    versions = reader.full(
        reader.of_version(ModelVersion, request.model, request.version), ModelVersion
    )
    verdicts = reader.full(reader.of_subject(CanaryVerdict, request.rollout_id, 1), CanaryVerdict)
    comparison = reader.record(request.comparison_id, AnswerComparison)
    return checked_review(
        approval,
        version=versions[0] if versions else None,
        verdict=verdicts[0] if verdicts else None,
        comparison=comparison,
    )


def _chain(console: Console, row: Stored) -> tuple[Step, ...]:
    listed = steps(console.reader, row, "causes", depth=4, count=80)
    return tuple(step for step in listed if step.row.kind in _CHAIN_KINDS and not step.repeated)[
        :24
    ]
