"""Who lets a version on: proposers, several people, and what `promote` does not get round."""

from __future__ import annotations

import dataclasses

import pytest
from msgspec.structs import replace

from serving.approval_rules import ApprovalRules
from serving.phase import Phase
from serving.rules import RolloutRules
from streaming.contracts.records import Approver
from tests.serving.rollout_simulation import RolloutSimulation, version
from tests.serving.test_approval_steps import FINAL, FIRST, TWO, opened, outcomes, waiting


def proposed(rules: ApprovalRules) -> RolloutSimulation:
    """A version that ann asked for awaits an approval."""
    simulation = RolloutSimulation(rules=dataclasses.replace(FIRST, approvals=rules))
    simulation.send(version(1)).approve_first(1)
    simulation.send(replace(version(2), proposed_by="ann"))
    return simulation.until_phase(Phase.AWAITING_APPROVAL)


def test_a_proposer_can_be_barred() -> None:
    simulation = proposed(ApprovalRules(by_proposer=False))
    assert opened(simulation).barred == ("ann",)
    reply = simulation.let_on("approve", who="ann")
    assert not reply.accepted
    assert reply.reason.startswith("Not allowed:")
    assert not simulation.let_on("promote", who="ann", force=True).accepted
    assert simulation.let_on("approve", who="ben").accepted


def test_a_proposer_may_approve_where_the_settings_do_not_say_otherwise() -> None:
    assert proposed(ApprovalRules()).let_on("approve", who="ann").accepted


def test_who_retries_a_version_is_its_proposer_too() -> None:
    rules = dataclasses.replace(FIRST, approvals=ApprovalRules(by_proposer=False))
    simulation = waiting(rules)
    simulation.let_on("reject")
    simulation.until_phase(Phase.IDLE)
    assert simulation.send_command("retry", 2, "digest-2", force=True, who="ben").accepted
    simulation.until_phase(Phase.AWAITING_APPROVAL).run(5)
    assert opened(simulation).barred == ("ben",)
    assert not simulation.let_on("approve", who="ben").accepted
    assert simulation.let_on("approve", who="ann").accepted


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("rules", [FIRST, FINAL])
def test_promote_stands_in_for_no_two_people(rules: RolloutRules, force: bool) -> None:
    simulation = waiting(dataclasses.replace(rules, approvals=TWO)).run(30)
    reply = simulation.let_on("promote", force=force)
    assert not reply.accepted
    assert "2 people must approve" in reply.reason
    assert simulation.phase is Phase.AWAITING_APPROVAL


def test_promote_stands_in_for_the_one_approval_of_a_first_version() -> None:
    simulation = RolloutSimulation(rules=FIRST).send(version(1)).run(3)
    assert simulation.let_on("promote").accepted
    assert outcomes(simulation, 1)[-1].outcome == "void"
    simulation.until_live(1, seconds=20)


def test_promote_in_a_step_is_for_those_who_may_approve() -> None:
    named = ApprovalRules(approvers=(Approver(name="ben"),))
    simulation = waiting(dataclasses.replace(FIRST, approvals=named))
    assert simulation.let_on("approve", who="ben").accepted
    simulation.run(5)
    assert not simulation.let_on("promote", who="ann", force=True).accepted
    assert simulation.let_on("promote", who="ben", force=True).accepted


def test_each_yes_needs_the_evidence_or_force_with_a_reason() -> None:
    simulation = waiting(dataclasses.replace(FINAL, approvals=TWO)).run(30)
    assert simulation.let_on("approve", who="ann").accepted
    simulation.serving.metrics.down = True
    simulation.run(20)
    assert not simulation.let_on("approve", who="ben").accepted
    assert simulation.let_on("approve", who="ben", force=True).accepted
    assert "by force" in outcomes(simulation)[-1].reason
