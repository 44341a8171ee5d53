"""One decision at a time: what counts, what is refused, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from serving.approval_rules import ApprovalRules, person
from serving.approvals import Ruling, decide, may_approve, outcome_record
from streaming.contracts.approval_digests import approval_digest
from streaming.contracts.codec import decode, encode, with_text_id
from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import (
    Action,
    ApprovalDecision,
    ApprovalRequest,
    Approver,
    Command,
)

DIGEST = approval_digest(artifact="files", evaluation="metrics")
ANN, BEN = Approver(name="ann", role="lead"), Approver(name="ben")


def request(**changes: object) -> ApprovalRequest:
    record = ApprovalRequest(
        record_id="",
        model="m",
        at=100.0,
        rollout_id="rollout",
        version=2,
        champion=1,
        stage="before-canary",
        artifact="files",
        evaluation="metrics",
        digest=DIGEST,
        deadline=1_000.0,
        reason="The servers are ready.",
        on_yes="It goes on.",
        on_no="It does not.",
        on_deadline="It does not.",
    )
    return with_text_id(replace(record, **changes), "approval-request")


def command(
    asked_of: ApprovalRequest, who: str = "ann", action: Action = "approve", **changes: object
) -> Command:
    given_command = Command(
        record_id=f"{action}-{who}",
        model="m",
        at=200.0,
        action=action,
        reason="I looked",
        who=who,
        version=2,
        subject=asked_of.record_id,
        digest=asked_of.digest,
    )
    return replace(given_command, **changes)


def decided(
    asked_of: ApprovalRequest,
    *commands: Command,
    now: float = 200.0,
    present: str = DIGEST,
) -> list[Ruling]:
    """The rulings on commands, one after the other."""
    decisions: list[ApprovalDecision] = []
    rulings = []
    for entry in commands:
        ruling = decide(asked_of, decisions, entry, present=present, now=now)
        rulings.append(ruling)
        if ruling.result == "counted" and ruling.decision is not None:
            decisions.append(ruling.decision)
    return rulings


def test_one_yes_over_what_was_shown_is_enough() -> None:
    asked_of = request()
    (ruling,) = decided(asked_of, command(asked_of))
    assert ruling.result == "approved"
    assert ruling.reason == "ann approved: I looked"
    decision = ruling.decision
    assert decision is not None
    assert (decision.request_id, decision.who, decision.answer) == (
        asked_of.record_id,
        "ann",
        "yes",
    )
    assert decision.caused_by == (asked_of.record_id, "approve-ann")
    assert (decision.digest, decision.at) == (DIGEST, 200.0)


def test_two_different_people_are_needed_where_the_request_says_so() -> None:
    asked_of = request(people=2, approvers=(ANN, BEN))
    first, again, second = decided(
        asked_of, command(asked_of), command(asked_of, " ANN "), command(asked_of, "ben")
    )
    assert (first.result, again.result, second.result) == ("counted", "refused", "approved")
    assert "ann (lead) approved, 1 of 2: I looked. One more person must approve" in first.reason
    assert "`driftline rollout approve m`" in first.reason
    assert "has approved already" in again.reason
    assert second.approved_by == ("ann", "ben")
    assert second.reason.endswith("Approved before by ann.")


def test_one_no_ends_it_also_after_a_yes_and_by_the_same_person() -> None:
    asked_of = request(people=2)
    _, ruling = decided(asked_of, command(asked_of), command(asked_of, action="reject"))
    assert ruling.result == "rejected"
    assert ruling.decision is not None
    assert ruling.decision.answer == "no"


STALE = [
    ({"subject": "another"}, {}, "is not the request that is open"),
    ({"subject": ""}, {}, "needs the id of the request"),
    ({"digest": ""}, {}, "needs the id of the request"),
    ({"digest": "files"}, {}, "has changed since it was shown"),
    ({"version": 3}, {}, "is about version 2"),
    ({}, {"present": "other bytes"}, "has changed since it was shown"),
    ({}, {"now": 1_000.0}, "deadline of the approval has passed"),
]


@pytest.mark.parametrize("action", ["approve", "reject"])
@pytest.mark.parametrize(("changes", "world", "words"), STALE)
def test_a_decision_on_something_else_is_refused_with_the_next_command(
    action: Action, changes: dict[str, object], world: dict[str, object], words: str
) -> None:
    asked_of = request()
    (ruling,) = decided(asked_of, command(asked_of, action=action, **changes), **world)  # type: ignore[arg-type]
    assert (ruling.result, ruling.decision) == ("refused", None)
    assert ruling.reason.startswith("Conflict:")
    assert words in ruling.reason
    assert "`driftline rollout " in ruling.reason


@pytest.mark.parametrize("end", ["approved", "rejected", "expired", "void"])
def test_an_ended_request_is_used_up_and_the_reason_says_how_it_ended(end: str) -> None:
    asked_of = request()
    outcome = outcome_record(asked_of, (), end, "The canary was ejected.", 300.0)  # type: ignore[arg-type]
    for opened in (None, request(at=400.0)):
        ruling = decide(opened, (), command(asked_of), present=DIGEST, ended=(outcome,), now=500.0)
        assert ruling.result == "refused"
        assert f"has ended ({end}) and is used up: The canary was ejected." in ruling.reason


def test_without_a_request_there_is_nothing_to_decide() -> None:
    ruling = decide(None, (), command(request()), present="", now=200.0)
    assert ruling.reason.startswith("Conflict: no approval is awaited.")


NOT_ALLOWED = [
    ("eve", {"approvers": (ANN, BEN)}, "not among those who may decide (ann, ben"),
    ("ann", {"barred": ("Ann",)}, "proposed it, so somebody else must approve"),
    ("  ", {}, "needs the name of the person"),
]


@pytest.mark.parametrize(("who", "changes", "words"), NOT_ALLOWED)
def test_who_may_not_decide_is_told_who_may(
    who: str, changes: dict[str, object], words: str
) -> None:
    asked_of = request(**changes)
    (ruling,) = decided(asked_of, command(asked_of, who))
    assert ruling.result == "refused"
    assert ruling.reason.startswith("Not allowed:")
    assert words in ruling.reason
    assert may_approve(asked_of, who) == ruling.reason


def test_a_proposer_who_may_not_approve_may_still_reject() -> None:
    asked_of = request(barred=("ann",))
    (ruling,) = decided(asked_of, command(asked_of, action="reject"))
    assert ruling.result == "rejected"
    assert may_approve(asked_of, "ben") == ""


def test_the_same_command_gives_the_same_decision_whenever_it_is_decided() -> None:
    asked_of = request(people=2)
    (early,) = decided(asked_of, command(asked_of), now=200.0)
    (late,) = decided(asked_of, command(asked_of), now=900.0)
    assert early.decision == late.decision
    assert early.decision is not None
    assert decode(encode(early.decision)) == early.decision


def test_another_text_is_another_request() -> None:
    assert request().record_id == request().record_id
    for changes in ({"deadline": 2_000.0}, {"people": 2}, {"artifact": "x"}, {"on_yes": "x"}):
        assert request(**changes).record_id != request().record_id
    assert decode(encode(request(approvers=(ANN, BEN)))) == request(approvers=(ANN, BEN))


@pytest.mark.parametrize(
    "rules",
    [
        {"people": 0},
        {"people": 3, "approvers": (ANN, BEN)},
        {"people": 2, "approvers": (ANN, BEN), "by_proposer": False},
        {"approvers": (ANN, Approver(name="Ann"))},
        {"approvers": (Approver(name=" "),)},
    ],
)
def test_rules_under_which_no_approval_could_succeed_are_refused(rules: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        ApprovalRules(**rules)  # type: ignore[arg-type]


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["approve", "approve", "approve", "reject"]),
            st.sampled_from(["ann", "Ann", "ben", "eve", "max", ""]),
            st.sampled_from(["open", "open", "open", "old", "none"]),
            st.sampled_from(["shown", "shown", "shown", "other"]),
        ),
        st.tuples(st.just("time"), st.floats(0.0, 300.0)),
        st.tuples(st.just("bytes"), st.sampled_from(["files", "files", "other files"])),
    ),
    max_size=30,
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(events=EVENTS, people=st.integers(1, 3), named=st.booleans(), barred=st.booleans())
def test_nothing_is_approved_without_enough_valid_decisions_over_the_present_bytes(
    events: Sequence[tuple[object, ...]], people: int, named: bool, barred: bool
) -> None:
    """Any order of commands, clock and changes of bytes; the model counts by itself."""
    names = tuple(Approver(name=name) for name in ("ann", "ben", "max")) if named else ()
    asked_of = request(people=people, approvers=names, barred=("max",) if barred else ())
    old = request(at=1.0)
    now, artifact, opened = 100.0, "files", True
    decisions: list[ApprovalDecision] = []
    supporters: set[str] = set()
    approvals = 0
    for event in events:
        if event[0] == "time":
            now += float(event[1])  # type: ignore[arg-type]
            continue
        if event[0] == "bytes":
            artifact = str(event[1])
            continue
        action, who, which, digest = map(str, event)
        subject = {"open": asked_of.record_id, "old": old.record_id, "none": ""}[which]
        given_command = command(
            asked_of,
            who,
            action,  # type: ignore[arg-type]
            subject=subject,
            digest=DIGEST if digest == "shown" else "other",
        )
        present = approval_digest(artifact=artifact, evaluation="metrics")
        ended = () if opened else (outcome_record(asked_of, decisions, "void", "Over.", now),)
        ruling = decide(
            asked_of if opened else None,
            decisions,
            given_command,
            present=present,
            ended=ended,
            now=now,
        )
        valid = (
            opened
            and which == "open"
            and digest == "shown"
            and artifact == "files"
            and now < 1_000.0
            and (not named or person(who) in ("ann", "ben", "max"))
            and person(who) != ""
        )
        may_say_yes = valid and not (barred and who == "max") and person(who) not in supporters
        if action == "reject":
            assert (ruling.result == "rejected") == valid
        else:
            assert (ruling.result in ("counted", "approved")) == may_say_yes
            supporters |= {person(who)} if may_say_yes else set()
            assert (ruling.result == "approved") == (may_say_yes and len(supporters) == people)
        approvals += ruling.result == "approved"
        assert approvals <= 1
        if ruling.result == "counted" and ruling.decision is not None:
            decisions.append(ruling.decision)
        opened = opened and ruling.result not in ("approved", "rejected")
