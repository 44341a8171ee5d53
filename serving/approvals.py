"""Decides on an approval: one request, the decisions so far, one command, the time.

Pure. A decision is bound to the request it names and to the digest that the person was shown: on a
request that has ended, or over bytes that have changed, it is refused. A person counts once. One no
ends it. Each refusal says what to do next; one that another state of the rollout explains begins
with ``Conflict:``, one that a rule about people explains with ``Not allowed:``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from serving.approval_rules import person
from streaming.contracts.codec import with_text_id
from streaming.contracts.records import (
    ApprovalAnswer,
    ApprovalDecision,
    ApprovalEnd,
    ApprovalOutcome,
    ApprovalRequest,
    Command,
)

Result = Literal["approved", "rejected", "counted", "refused"]
"""What a command comes to: the last yes, a no, a yes to which others are still needed, or
nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What a command comes to, why, and the decision that it makes."""

    result: Result
    reason: str
    decision: ApprovalDecision | None = None
    """The decision; None for a refused command."""
    approved_by: tuple[str, ...] = ()
    """Everybody who has said yes, in order."""


def decide(
    request: ApprovalRequest | None,
    decisions: Sequence[ApprovalDecision],
    command: Command,
    *,
    present: str,
    ended: Sequence[ApprovalOutcome] = (),
    now: float,
) -> Ruling:
    """What a person's approval or rejection comes to.

    Parameters
    ----------
    request:
        The open request; None if nothing awaits an approval.
    decisions:
        The decisions on it so far, each a yes.
    command:
        The command `approve` or `reject`; its `subject` is the request's id, its `digest` what the
        person was shown.
    present:
        Digest of what the version is at this moment.
    ended:
        The latest requests of the model that have ended, to say what became of one.
    now:
        Seconds since 1970.
    """
    refusal = _stale(request, command, present, ended, now)
    if refusal or request is None:
        return Ruling(result="refused", reason=refusal)
    approved_by = tuple(decision.who for decision in decisions)
    answer: ApprovalAnswer = "no" if command.action == "reject" else "yes"
    refusal = _may_not(request, approved_by, command, answer)
    if refusal:
        return Ruling(result="refused", reason=refusal, approved_by=approved_by)
    decision = _decision(request, command, answer)
    who = f"{command.who} ({decision.role})" if decision.role else command.who
    if answer == "no":
        reason = f"{who} rejected: {command.reason}"
        return Ruling(result="rejected", reason=reason, decision=decision, approved_by=approved_by)
    approved_by = (*approved_by, command.who)
    missing = request.people - len(approved_by)
    so_far = f", {len(approved_by)} of {request.people}" if request.people > 1 else ""
    reason = f"{who} approved{so_far}: {command.reason}"
    if missing > 0:
        others = "One more person" if missing == 1 else f"{missing} more people"
        reason = (
            f"{reason.rstrip('. ')}. {others} must approve, with `driftline rollout approve "
            f"{request.model}`."
        )
        return Ruling(result="counted", reason=reason, decision=decision, approved_by=approved_by)
    if len(approved_by) > 1:
        reason = f"{reason.rstrip('. ')}. Approved before by {', '.join(approved_by[:-1])}."
    return Ruling(result="approved", reason=reason, decision=decision, approved_by=approved_by)


def _stale(
    request: ApprovalRequest | None,
    command: Command,
    present: str,
    ended: Sequence[ApprovalOutcome],
    now: float,
) -> str:
    """Why the command is about nothing that can be decided now; empty if it is not."""
    review = f"`driftline rollout approve {command.model}` shows what is open now."
    for outcome in ended:
        if command.subject and outcome.request_id == command.subject:
            return (
                f"Conflict: this request has ended ({outcome.outcome}) and is used up: "
                f"{outcome.reason} {review}"
            )
    if request is None:
        return (
            "Conflict: no approval is awaited. "
            f"`driftline rollout status {command.model}` shows the rollout."
        )
    if not command.subject or not command.digest:
        return (
            f"Conflict: {command.action} needs the id of the request and the digest that was "
            f"shown. {review}"
        )
    if command.subject != request.record_id:
        return f"Conflict: {command.subject} is not the request that is open. {review}"
    if command.version not in (0, request.version):
        return f"Conflict: the request is about version {request.version}. {review}"
    if request.digest != present or command.digest != request.digest:
        return f"Conflict: the version or its evaluation has changed since it was shown. {review}"
    if now >= request.deadline:
        return (
            f"Conflict: the deadline of the approval has passed. `driftline rollout retry "
            f"{command.model} {request.version}` tries the version again."
        )
    return ""


def _may_not(
    request: ApprovalRequest, approved_by: Sequence[str], command: Command, answer: ApprovalAnswer
) -> str:
    """Why this person's decision does not count; empty if it does."""
    name = person(command.who)
    if not name:
        return "Not allowed: a decision needs the name of the person who gives it."
    names = [approver.name for approver in request.approvers]
    if names and name not in map(person, names):
        return (
            f"Not allowed: {command.who} is not among those who may decide ({', '.join(names)}; "
            "rollout.approvers). Ask one of them."
        )
    if answer == "no":
        return ""
    if name in map(person, request.barred):
        return (
            f"Not allowed: {command.who} proposed it, so somebody else must approve "
            "(rollout.approval_by_proposer)."
        )
    if name in map(person, approved_by):
        return (
            f"Conflict: {command.who} has approved already, and counts once: "
            f"{len(approved_by)} of {request.people}. Somebody else must approve."
        )
    return ""


def may_approve(request: ApprovalRequest, name: str, *, approved_by: Sequence[str] = ()) -> str:
    """Why a person may not say yes to a request; empty if the person may.

    Parameters
    ----------
    approved_by:
        Who has said yes already.
    """
    command = Command(
        record_id="", model=request.model, at=0.0, action="approve", reason="", who=name
    )
    return _may_not(request, approved_by, command, "yes")


def _decision(
    request: ApprovalRequest, command: Command, answer: ApprovalAnswer
) -> ApprovalDecision:
    """The record; the same command on the same request always gives the same one."""
    roles = {person(approver.name): approver.role for approver in request.approvers}
    record = ApprovalDecision(
        record_id="",
        model=request.model,
        at=command.at,
        caused_by=(request.record_id, command.record_id),
        request_id=request.record_id,
        version=request.version,
        who=command.who,
        role=roles.get(person(command.who), ""),
        answer=answer,
        reason=command.reason,
        digest=request.digest,
        force=command.force,
    )
    return with_text_id(record, "approval-decision", request.record_id)


def outcome_record(
    request: ApprovalRequest,
    decisions: Sequence[ApprovalDecision],
    outcome: ApprovalEnd,
    reason: str,
    now: float,
) -> ApprovalOutcome:
    """The record of how a request ended."""
    record = ApprovalOutcome(
        record_id="",
        model=request.model,
        at=now,
        caused_by=(request.record_id, *(decision.record_id for decision in decisions)),
        request_id=request.record_id,
        rollout_id=request.rollout_id,
        version=request.version,
        outcome=outcome,
        reason=reason,
        approved_by=tuple(decision.who for decision in decisions if decision.answer == "yes"),
    )
    return with_text_id(record, "approval-outcome", request.record_id)
