"""A retrain that a person asked for: others approve it, and the log says who let it go live."""

from __future__ import annotations

from dataclasses import replace

from deploy.records.approvals import Approval, approvals, review
from deploy.records.lineage import Link, trace
from serving.approval_rules import ApprovalRules
from streaming.contracts.ids import record_id
from streaming.contracts.records import (
    AnyRecord,
    ApprovalDecision,
    ApprovalRequest,
    Approver,
    Command,
    CommandReply,
    DriftVerdict,
    ModelVersion,
    Promotion,
    RetrainRequest,
)
from tests.integration.control_loop import ControlLoop

APPROVERS = tuple(Approver(name=name, role="engineer") for name in ("ann", "ben", "eve"))


def give(loop: ControlLoop, action: str, who: str, subject: str = "", digest: str = "") -> str:
    """A person's command; returns its id."""
    command = Command(
        record_id=record_id("command", action, who, subject, loop.clock.now()),
        model=loop.contract.model,
        at=loop.clock.now(),
        action=action,  # type: ignore[arg-type]
        reason="because",
        who=who,
        subject=subject,
        digest=digest,
    )
    loop.log.append([command])
    return command.record_id


def open_request(loop: ControlLoop) -> Approval | None:
    entries = [e for e in approvals(loop.log, loop.contract.model, 9) if e.outcome is None]
    return entries[-1] if entries else None


def until_open(loop: ControlLoop) -> Approval:
    for _ in range(30):
        entry = open_request(loop)
        if entry is not None:
            return entry
        loop.window()
    raise AssertionError("Nobody was asked to approve anything.")


def replies_to(loop: ControlLoop, command: str) -> list[CommandReply]:
    return [reply for reply in loop.records(CommandReply) if reply.command_id == command]


def chain(link: Link) -> list[AnyRecord]:
    return [link.record, *(record for cause in link.causes for record in chain(cause))]


def test_two_others_than_the_proposer_let_a_version_go_live(loop: ControlLoop) -> None:
    rules = ApprovalRules(approvers=APPROVERS, people=2, by_proposer=False)
    loop.controller.rollout_rules = replace(
        loop.controller.rollout_rules, approval="before-canary", approvals=rules
    )
    first = until_open(loop)
    assert (first.request.version, first.request.champion) == (1, 0)
    assert loop.records(Promotion) == []
    for who in ("ann", "ben"):
        give(loop, "approve", who, first.request.record_id, first.request.digest)
        loop.second()
    while loop.controller.live_version != 1:
        loop.window()

    give(loop, "retrain", "ann")
    asked_of = until_open(loop)
    request = asked_of.request
    shown = review(loop.log, asked_of)
    assert (shown.version.version, shown.version.proposed_by) == (2, "ann")
    assert shown.comparison is not None
    assert request.barred == ("ann",)
    refused = give(loop, "approve", "ann", request.record_id, request.digest)
    loop.second()
    (reply,) = replies_to(loop, refused)
    assert not reply.accepted
    assert reply.reason.startswith("Not allowed: ann proposed it")
    stale = give(loop, "approve", "ben", first.request.record_id, first.request.digest)
    counted = give(loop, "approve", "ben", request.record_id, request.digest)
    loop.second()
    assert not replies_to(loop, stale)[0].accepted
    assert replies_to(loop, counted)[0].accepted
    assert loop.serving.router.split.canary == 0
    give(loop, "approve", "eve", request.record_id, request.digest)
    for _ in range(60):
        loop.window()
        if loop.controller.live_version == 2 and not open_request(loop):
            break
    promotion = next(entry for entry in loop.records(Promotion) if entry.version == 2)

    records = chain(trace(loop.log, promotion.record_id))
    people = {entry.who for entry in records if isinstance(entry, ApprovalDecision)}
    assert people == {"ben", "eve"}
    for kind in (ApprovalRequest, ModelVersion, RetrainRequest):
        assert any(isinstance(entry, kind) for entry in records)
    assert not any(isinstance(entry, DriftVerdict) for entry in records)  # a person asked for it
    entries = approvals(loop.log, loop.contract.model, 9)
    assert [(e.request.version, e.state) for e in entries] == [(1, "approved"), (2, "approved")]
