"""A rollout and its request: asked once, bound to its bytes, ended however the rollout goes on."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from serving.approval_rules import ApprovalRules
from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.recovery import RolloutHistory, catch_up
from serving.rules import RolloutRules
from serving.shadow_rules import ShadowRules
from serving.state import RolloutState
from streaming.contracts.approval_digests import comparison_digest, evaluation_digest
from streaming.contracts.records import (
    AnswerComparison,
    ApprovalDecision,
    ApprovalOutcome,
    ApprovalRequest,
    Approver,
    Metric,
    ModelVersion,
)
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

TWO = ApprovalRules(people=2)
FIRST = quick_rules(steps=(5, 50), hold_seconds=10.0, approval="before-canary")
FINAL = quick_rules(steps=(5, 50), hold_seconds=10.0, approval="before-promotion")


def waiting(rules: RolloutRules = FIRST) -> RolloutSimulation:
    """Version 1 live, version 2 awaits an approval."""
    simulation = RolloutSimulation(rules=rules).start_canary()
    return simulation.until_phase(Phase.AWAITING_APPROVAL)


def requests(simulation: RolloutSimulation, number: int = 2) -> list[ApprovalRequest]:
    return [
        record
        for record in simulation.records
        if isinstance(record, ApprovalRequest) and record.version == number
    ]


def outcomes(simulation: RolloutSimulation, number: int = 2) -> list[ApprovalOutcome]:
    return [
        record
        for record in simulation.records
        if isinstance(record, ApprovalOutcome) and record.version == number
    ]


def opened(simulation: RolloutSimulation) -> ApprovalRequest:
    assert simulation.state.approval is not None
    return simulation.state.approval.request


def test_a_request_is_asked_once_and_says_what_it_is_bound_to() -> None:
    simulation = waiting().run(30)
    (request,) = requests(simulation)
    (comparison,) = [
        record for record in simulation.records if isinstance(record, AnswerComparison)
    ]
    assert (request.version, request.champion, request.stage) == (2, 1, "before-canary")
    assert request.artifact == "digest-2"
    assert request.evaluation == evaluation_digest(version(2))
    assert request.comparison == comparison_digest(comparison.comparison)
    assert comparison.record_id in request.caused_by
    assert request.deadline == simulation.statuses[-1].ends_at
    assert "starts its canary with 5 % of the traffic of m, then 50 %" in request.on_yes
    assert "version 1 serves all traffic of m" in request.on_no
    assert "rollout retry m 2" in request.on_deadline


def test_the_last_yes_lets_it_on_and_the_promotion_names_the_chain() -> None:
    simulation = waiting(dataclasses.replace(FIRST, approvals=TWO))
    request = opened(simulation)
    reply = simulation.let_on("approve", who="ann")
    assert reply.accepted
    assert "1 of 2" in reply.reason
    assert simulation.run(20).phase is Phase.AWAITING_APPROVAL
    assert not simulation.let_on("approve", who="Ann").accepted
    assert simulation.let_on("approve", who="ben").accepted
    assert simulation.state.rollout is not None
    assert simulation.state.rollout.phase is Phase.STEPPING
    (outcome,) = outcomes(simulation)
    decisions = [
        record
        for record in simulation.records
        if isinstance(record, ApprovalDecision) and record.version == 2
    ]
    assert outcome.outcome == "approved"
    assert outcome.approved_by == ("ann", "ben")
    assert outcome.caused_by == (request.record_id, *(each.record_id for each in decisions))
    simulation.until_live(2)
    assert outcome.record_id in simulation.promotions[-1].caused_by


def test_an_approved_request_cannot_be_used_again() -> None:
    simulation = waiting(FINAL)
    request = opened(simulation)
    assert simulation.let_on("approve").accepted
    for who in ("ann", "ben"):
        reply = simulation.send_command(
            "approve", 2, request.digest, subject=request.record_id, who=who
        )
        assert not reply.accepted
        assert "has ended (approved) and is used up" in reply.reason
    assert [entry.outcome for entry in outcomes(simulation)] == ["approved"]


def test_a_no_ends_the_rollout() -> None:
    simulation = waiting()
    assert simulation.let_on("reject", who="eve").accepted
    (outcome,) = outcomes(simulation)
    assert (outcome.outcome, outcome.approved_by) == ("rejected", ())
    simulation.until_phase(Phase.IDLE)
    assert simulation.live == 1


@pytest.mark.parametrize("approvals", [0, 1])
def test_at_the_deadline_the_request_expires_and_the_rollout_ends(approvals: int) -> None:
    rules = dataclasses.replace(FIRST, approvals=TWO, approval_seconds=60.0)
    simulation = waiting(rules)
    deadline = opened(simulation).deadline
    for _ in range(approvals):
        assert simulation.let_on("approve").accepted
    simulation.until(lambda each: each.phase is not Phase.AWAITING_APPROVAL, seconds=70)
    assert deadline <= simulation.now <= deadline + 2
    (outcome,) = outcomes(simulation)
    words = "Only 1 of 2 people (ann) approved version 2" if approvals else "Nobody approved"
    assert outcome.outcome == "expired"
    assert words in outcome.reason
    assert words in simulation.verdicts[-1].reason
    assert simulation.until_phase(Phase.IDLE).live == 1
    reply = simulation.send_command("retry", 2)
    assert reply.accepted
    simulation.until_phase(Phase.AWAITING_APPROVAL)
    assert len(requests(simulation)) == 2


def republished(**changes: object) -> ModelVersion:
    return replace(version(2), record_id="again", **changes)


CHANGED = [
    republished(artifact=replace(version(2).artifact, digest="other")),
    republished(evaluation=(Metric(name="auc", slice="", value=0.5),)),
    republished(blessed=False),
]


@pytest.mark.parametrize("record", CHANGED)
@pytest.mark.parametrize("rules", [FIRST, FINAL])
def test_when_a_byte_changes_the_request_is_void_and_nothing_goes_on(
    record: ModelVersion, rules: RolloutRules
) -> None:
    simulation = waiting(rules)
    request = opened(simulation)
    simulation.send(record)
    (outcome,) = outcomes(simulation)
    assert outcome.outcome == "void"
    assert "published again" in outcome.reason
    reply = simulation.send_command("approve", 2, request.digest, subject=request.record_id)
    assert not reply.accepted
    assert "has ended (void)" in reply.reason
    assert simulation.until_phase(Phase.IDLE).live == 1


@pytest.mark.parametrize("rules", [FIRST, FINAL])
def test_when_the_files_in_the_store_change_the_request_is_void(rules: RolloutRules) -> None:
    simulation = waiting(dataclasses.replace(rules, approvals=TWO))
    assert simulation.let_on("approve").accepted
    simulation.serving.files.changed.add(2)
    simulation.tick()
    (outcome,) = outcomes(simulation)
    assert (outcome.outcome, outcome.approved_by) == ("void", ("ann",))
    assert "have changed since they were published" in outcome.reason
    assert not simulation.let_on("approve", who="ben").accepted
    assert simulation.until_phase(Phase.IDLE).live == 1


def test_the_same_bytes_again_change_nothing() -> None:
    simulation = waiting()
    before = simulation.state.rollout
    simulation.send(republished(load_seconds=3.0))
    assert simulation.state.rollout == before
    assert outcomes(simulation) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"approvals": ApprovalRules(approvers=(Approver(name="ben"),))}, "who may decide"),
        ({"approvals": ApprovalRules(people=1)}, "how many people"),
        ({"approval_seconds": 7_200.0}, "the deadline"),
        ({"steps": (10, 50)}, "what happens on a yes"),
    ],
)
def test_other_settings_make_a_new_request_and_earlier_decisions_void(
    changes: dict[str, object], words: str
) -> None:
    simulation = waiting(dataclasses.replace(FIRST, approvals=TWO))
    assert simulation.let_on("approve").accepted
    simulation.rules = dataclasses.replace(simulation.rules, **changes)  # type: ignore[arg-type]
    simulation.run(3)
    first, second = requests(simulation)
    (outcome,) = outcomes(simulation)
    assert outcome.request_id == first.record_id
    assert (outcome.outcome, outcome.approved_by) == ("void", ("ann",))
    assert words in outcome.reason
    assert opened(simulation) == second
    assert simulation.state.approval is not None
    assert simulation.state.approval.decisions == ()


def test_an_ejection_makes_the_request_void_and_the_return_asks_anew() -> None:
    simulation = waiting(dataclasses.replace(FINAL, approvals=TWO))
    assert simulation.let_on("approve").accepted
    simulation.serving.servers.kill("canary")
    simulation.until_phase(Phase.EJECTED)
    (outcome,) = outcomes(simulation)
    assert outcome.outcome == "void"
    assert "ejected" in outcome.reason
    simulation.serving.servers.revive("canary")
    simulation.until_phase(Phase.AWAITING_APPROVAL)
    assert len(requests(simulation)) == 2
    assert simulation.state.approval is not None
    assert simulation.state.approval.decisions == ()


def test_a_newer_version_makes_the_request_of_the_older_one_void() -> None:
    simulation = waiting().send(version(3)).run(10)
    (outcome,) = outcomes(simulation)
    assert outcome.outcome == "void"
    assert len(requests(simulation, 3)) == 1


def test_a_command_that_ends_the_rollout_ends_the_request_with_it() -> None:
    simulation = waiting()
    assert simulation.send_command("abort").accepted
    (outcome,) = outcomes(simulation)
    assert outcome.outcome == "void"
    assert "ann aborted" in outcome.reason


# ------------------------------------------------------------- what is asked


@pytest.mark.parametrize("rules", [FIRST, FINAL])
def test_the_first_version_of_a_model_is_asked_about_before_any_server_loads_it(
    rules: RolloutRules,
) -> None:
    simulation = RolloutSimulation(rules=rules).send(version(1)).run(20)
    (request,) = requests(simulation, 1)
    assert (request.champion, request.comparison) == (0, "")
    assert "the first one of m, goes live" in request.on_yes
    assert "no version is served" in request.on_no
    assert simulation.serving.servers.loaded.get("stable") != 1
    assert simulation.let_on("approve").accepted
    simulation.until_live(1, seconds=20)
    (outcome,) = outcomes(simulation, 1)
    assert outcome.record_id in simulation.promotions[-1].caused_by


def test_a_first_version_that_is_rejected_makes_way_for_the_next() -> None:
    simulation = RolloutSimulation(rules=FIRST).send(version(1)).run(3)
    assert simulation.let_on("reject").accepted
    simulation.until_phase(Phase.IDLE, seconds=20)
    assert (simulation.live, simulation.promotions) == (0, [])
    simulation.send(version(2)).approve_first(2)


def test_a_first_version_that_nobody_approves_ends() -> None:
    rules = dataclasses.replace(FIRST, approval_seconds=30.0)
    simulation = RolloutSimulation(rules=rules).send(version(1)).run(60)
    assert simulation.phase is Phase.IDLE
    assert outcomes(simulation, 1)[-1].outcome == "expired"


def test_what_a_comparison_left_undecided_is_asked_about_also_without_approvals() -> None:
    undecided = quick_rules(shadow=ShadowRules(deadline_seconds=10.0))
    simulation = RolloutSimulation(rules=undecided).send(version(1)).until_live(1)
    simulation.serving.answers.outcomes[2] = "insufficient"
    simulation.send(version(2)).until_phase(Phase.AWAITING_APPROVAL)
    (request,) = requests(simulation)
    assert request.comparison != ""
    assert "goes live by itself after the last step" in request.on_yes
    assert simulation.let_on("approve").accepted
    simulation.until_live(2)


def test_a_version_without_a_champion_to_compare_with_says_that_there_is_no_way_back() -> None:
    simulation = RolloutSimulation(rules=quick_rules(prepare_seconds=30.0))
    simulation.send(version(1)).until_live(1)
    simulation.serving.servers.store.discard(1)
    simulation.send(version(2)).until_phase(Phase.AWAITING_APPROVAL, seconds=60)
    (request,) = requests(simulation)
    assert request.stage == "before-promotion"
    assert "there is no way back" in request.on_yes
    assert simulation.let_on("approve").accepted
    simulation.until_live(2, seconds=30)


def test_before_the_promotion_it_says_what_share_it_has() -> None:
    request = opened(waiting(FINAL))
    assert "goes from 50 % to 100 % of the traffic of m; version 1 stays loaded" in request.on_yes


# --------------------------------------------------------------- lost states


def test_a_request_that_the_state_does_not_know_any_more_ends_at_the_restart() -> None:
    simulation = waiting()
    request = opened(simulation)
    history = RolloutHistory(
        promotions=simulation.promotions,
        statuses=simulation.statuses,
        versions=[version(1), version(2)],
        approval_requests=[
            each for each in simulation.records if isinstance(each, ApprovalRequest)
        ],
        approval_outcomes=[
            each for each in simulation.records if isinstance(each, ApprovalOutcome)
        ],
    )
    known = catch_up(simulation.state, history, rules=FIRST, now=simulation.now)
    assert [each for each in known.records if isinstance(each, ApprovalOutcome)] == []
    lost = catch_up(RolloutState(model="m"), history, rules=FIRST, now=simulation.now)
    (outcome,) = [each for each in lost.records if isinstance(each, ApprovalOutcome)]
    assert (outcome.request_id, outcome.outcome) == (request.record_id, "void")


def test_a_clock_that_goes_back_puts_no_deadline_off() -> None:
    rules = dataclasses.replace(FIRST, approval_seconds=120.0)
    simulation = RolloutSimulation(serving=InMemoryServing(), rules=rules).start_canary()
    simulation.until_phase(Phase.AWAITING_APPROVAL).run(10)
    simulation.now -= 4_000.0
    simulation.serving.started -= 4_000.0
    simulation.serving.metrics.taken.clear()
    simulation.run(2)
    assert opened(simulation).deadline <= simulation.now + 120.0
    assert [each.outcome for each in outcomes(simulation)] == ["void"]
    simulation.until_phase(Phase.IDLE, seconds=200)
