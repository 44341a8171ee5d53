"""A rollout waits for the paired comparison: nothing reaches clients before it has passed."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from serving.phase import Phase
from serving.ports import CompareAnswers
from serving.rules import RolloutRules
from serving.shadow_rules import ShadowRules, Undecided
from streaming.contracts.records import AnswerComparison, GateOutcome
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

DEADLINE = 30.0


def rules(undecided: Undecided = "approve", **changes: Any) -> RolloutRules:
    shadow = ShadowRules(deadline_seconds=DEADLINE, undecided=undecided)
    return quick_rules(**{"shadow": shadow, **changes})


def started(outcome: GateOutcome | None, shown: RolloutRules) -> RolloutSimulation:
    """Version 1 live, version 2 loaded; its comparison has this outcome, None = it never ends."""
    simulation = RolloutSimulation(rules=shown)
    simulation.send(version(1)).approve_first(1)
    simulation.serving.answers.silent = outcome is None
    if outcome is not None:
        simulation.serving.answers.outcomes[2] = outcome
    return simulation.send(version(2)).until_phase(Phase.COMPARING)


def comparisons(simulation: RolloutSimulation) -> list[AnswerComparison]:
    return [record for record in simulation.records if isinstance(record, AnswerComparison)]


def test_a_pass_leads_to_the_first_weight_and_is_recorded() -> None:
    simulation = started("pass", rules()).until_phase(Phase.STEPPING, seconds=5)
    (record,) = comparisons(simulation)
    assert (record.version, record.champion, record.caused_by) == (2, 1, ("version-2",))
    simulation.until_live(2)
    assert record.record_id in simulation.promotions[-1].caused_by
    assert len(comparisons(simulation)) == 1


def test_a_fail_rolls_back_and_no_client_ever_reached_the_version() -> None:
    simulation = started("fail", rules()).until_phase(Phase.IDLE)
    assert simulation.live == 1
    assert all(split.canary == 0 for split in simulation.serving.router.history)
    assert 2 in simulation.state.rejected_versions
    (gate,) = simulation.verdicts[-1].gates
    assert (gate.gate, gate.outcome) == ("paired", "fail")


@pytest.mark.parametrize("outcome", ["insufficient", "error", None])
@pytest.mark.parametrize("undecided", get_args(Undecided))
def test_without_a_decision_it_holds_until_the_deadline_and_then_follows_the_setting(
    outcome: GateOutcome | None, undecided: Undecided
) -> None:
    simulation = started(outcome, rules(undecided)).run(int(DEADLINE) - 2)
    assert simulation.phase is Phase.COMPARING
    assert comparisons(simulation) == []
    simulation.until(lambda simulation: simulation.phase is not Phase.COMPARING, seconds=5)
    expected = {
        "approve": Phase.AWAITING_APPROVAL,
        "roll-back": Phase.IDLE,
        "continue": Phase.STEPPING,
    }
    assert simulation.phase is expected[undecided]
    assert (2 in simulation.state.rejected_versions) == (undecided == "roll-back")
    (record,) = comparisons(simulation)
    assert record.comparison.outcome == (outcome or "error")


def test_an_engineer_can_approve_what_could_not_be_decided() -> None:
    simulation = started("insufficient", rules()).until_phase(Phase.AWAITING_APPROVAL)
    assert simulation.canary == 0
    assert simulation.statuses[-1].waits_for == "approval before canary"
    assert simulation.let_on("approve").accepted
    simulation.until_live(2)


def test_a_comparison_that_decides_later_is_enough() -> None:
    simulation = started("error", rules()).run(10)
    simulation.serving.answers.outcomes[2] = "pass"
    simulation.until_phase(Phase.STEPPING, seconds=4)


def test_an_engineer_still_approves_before_the_canary_where_that_is_set() -> None:
    simulation = started("pass", rules(approval="before-canary"))
    simulation.until_phase(Phase.AWAITING_APPROVAL, seconds=4)


def test_it_can_be_switched_off() -> None:
    off = quick_rules(shadow=ShadowRules(enabled=False))
    simulation = RolloutSimulation(rules=off).start_canary().until_live(2)
    assert comparisons(simulation) == []
    assert simulation.serving.answers.results == {}


def test_the_first_version_has_nothing_to_be_compared_with() -> None:
    simulation = RolloutSimulation(rules=rules()).send(version(1)).until_live(1)
    assert comparisons(simulation) == []


def test_it_can_be_aborted_and_not_promoted_while_it_waits() -> None:
    simulation = started(None, rules())
    assert not simulation.send_command("promote", 2).accepted
    assert simulation.send_command("abort", 2).accepted
    simulation.until_phase(Phase.IDLE)
    assert simulation.live == 1


def test_a_restart_in_the_middle_starts_the_comparison_again() -> None:
    simulation = started(None, rules()).run(3)
    simulation.serving.answers.silent = False
    simulation.serving.answers.results.clear()  # the new process knows of none
    simulation.until_phase(Phase.STEPPING, seconds=4)


def test_the_action_names_both_versions() -> None:
    simulation = started(None, rules())
    from serving import handlers

    observed = handlers.observe(simulation.serving.ports, simulation.state, now=simulation.now)
    step = handlers.tick(simulation.state, observed, rules=simulation.rules, now=simulation.now)
    (action,) = [action for action in step.actions if isinstance(action, CompareAnswers)]
    assert (action.version.version, action.champion) == (2, 1)
