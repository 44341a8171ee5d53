"""Approvals for the commands' tests: version 2 was compared, and two people are asked."""

from __future__ import annotations

import time

from msgspec.structs import replace

from serving.approvals import decide, outcome_record
from streaming.contracts.approval_digests import (
    approval_digest,
    comparison_digest,
    evaluation_digest,
)
from streaming.contracts.codec import with_text_id
from streaming.contracts.records import (
    AnswerComparison,
    ApprovalDecision,
    ApprovalEnd,
    ApprovalOutcome,
    ApprovalRequest,
    Approver,
    Command,
    PairedComparison,
)
from tests.deploy.cli.builders import MODEL, version

NOW = time.time()
COMPARED = AnswerComparison(
    record_id="comparison-2",
    model=MODEL,
    at=18.0,
    version=2,
    champion=1,
    rollout_id="rollout-2",
    comparison=PairedComparison(
        outcome="pass", reason="Both order requests alike.", requested=200, rows=200
    ),
)


def request(number: int = 2, **changes: object) -> ApprovalRequest:
    """People are asked about a version now; it was compared before."""
    evaluation, compared = (
        evaluation_digest(version(number)),
        comparison_digest(COMPARED.comparison),
    )
    artifact = f"digest-{number}"
    record = ApprovalRequest(
        record_id="",
        model=MODEL,
        at=NOW - 60.0,
        caused_by=("version-2", "comparison-2"),
        rollout_id="rollout-2",
        version=number,
        champion=1,
        stage="before-canary",
        artifact=artifact,
        evaluation=evaluation,
        comparison=compared,
        comparison_id="comparison-2",
        digest=approval_digest(artifact=artifact, evaluation=evaluation, comparison=compared),
        approvers=(Approver(name="ann", role="lead"), Approver(name="ben")),
        people=2,
        deadline=NOW + 3_540.0,
        reason="The servers are ready. At 20 requests/s this takes about 31 min.",
        on_yes="Version 2 starts its canary with 1 %.",
        on_no="Version 2 is not rolled out.",
        on_deadline="The rollout ends as on a no.",
    )
    return with_text_id(replace(record, **changes), "approval-request")


def yes(asked_of: ApprovalRequest, who: str = "ben") -> ApprovalDecision:
    sent = Command(
        record_id=f"command-{who}",
        model=MODEL,
        at=NOW - 30.0,
        action="approve",
        reason="the slices look right",
        who=who,
        subject=asked_of.record_id,
        digest=asked_of.digest,
    )
    ruling = decide(asked_of, (), sent, present=asked_of.digest, now=NOW)
    assert ruling.decision is not None
    return ruling.decision


def ended(asked_of: ApprovalRequest, end: ApprovalEnd = "void") -> ApprovalOutcome:
    return outcome_record(asked_of, (), end, "The canary was ejected.", NOW - 10.0)
