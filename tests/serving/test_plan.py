"""The plan of a rollout at its traffic."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from serving.engines.memory import InMemoryServing
from serving.margins import CONTROL_RETURNS, SUSPECT_BLOCKS
from serving.phase import Phase
from serving.plan import plan
from serving.rules import MAX_DEADLINE_SECONDS, RolloutRules
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

RATES = (0.5, 2.0, 20.0, 100.0, 1_000.0)


def test_less_traffic_takes_longer_and_finds_less() -> None:
    plans = [plan(RolloutRules(), rate) for rate in RATES]
    for slower, faster in pairwise(plans):
        assert slower.seconds >= faster.seconds
        assert slower.smallest_harm >= faster.smallest_harm
        assert slower.deadline_seconds >= faster.deadline_seconds
    assert plans[-1].seconds == 5 * 60


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("deadline", [300.0, 1_800.0, 7_200.0])
def test_the_deadline_leaves_the_time_that_the_traffic_needs(rate: float, deadline: float) -> None:
    planned = plan(RolloutRules(deadline_seconds=deadline), rate)
    needed = min(3 * planned.seconds, MAX_DEADLINE_SECONDS)
    assert planned.deadline_seconds == max(deadline, needed)
    assert planned.smallest_harm > 0.005  # what is tolerated is never found


@pytest.mark.parametrize("rate", [20.0, 100.0])
def test_one_percentage_point_is_found_within_the_deadline_of_the_traffic(rate: float) -> None:
    assert plan(RolloutRules(deadline_seconds=600.0), rate).smallest_harm <= 0.01


def test_a_rate_of_zero_is_said() -> None:
    planned = plan(RolloutRules(), 0.0)
    assert math.isinf(planned.seconds)
    assert planned.smallest_harm == 1.0
    assert planned.text.startswith("Without requests no gate can pass")


@pytest.mark.parametrize("approval", ["before-canary", "never"])
@pytest.mark.parametrize("rate", [20.0, 300.0])
def test_the_plan_is_shown_before_the_first_request(approval: str, rate: float) -> None:
    serving = InMemoryServing(rate=rate)
    rollout = RolloutSimulation(serving=serving, rules=quick_rules(approval=approval))
    rollout.send(version(1)).run(4)
    if approval == "before-canary":
        rollout.approve_first(1)
    serving.servers.kill("control")  # so that preparing takes some seconds
    rollout.send(version(2)).run(8)
    serving.servers.revive("control")
    rollout.until(lambda r: r.phase not in (Phase.PREPARING, Phase.COMPARING))
    assert f"At {rate:g} requests/s this takes about" in rollout.statuses[-1].reason


@pytest.mark.parametrize(("rate", "first"), [(20.0, 1), (1.5, 1), (1.0, 5), (0.4, 25), (0.05, 50)])
def test_steps_that_would_take_too_long_are_left_out_the_smallest_first(
    rate: float, first: int
) -> None:
    planned = plan(RolloutRules(), rate)
    assert planned.steps[0].weight == first
    weights = [step.weight for step in (*planned.left_out, *planned.steps)]
    assert tuple(weights) == RolloutRules().weights
    for step in planned.left_out:
        assert f"{step.weight} % (" in planned.text
    # a plan is decided before its deadline, or says that it is not
    assert planned.decides == (planned.seconds <= planned.deadline_seconds)
    assert planned.decides != ("The deadline comes first" in planned.text)


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 1.0])
def test_leaving_out_steps_finds_smaller_harm_with_no_more_clients_than_a_step_has(
    rate: float,
) -> None:
    planned = plan(RolloutRules(), rate)
    assert planned.seconds < sum(s.seconds for s in (*planned.left_out, *planned.steps))
    assert planned.smallest_harm < 0.01
    needed = planned.steps[0].requests
    met = rate * planned.steps[0].weight / 100 * planned.steps[0].seconds
    assert met == pytest.approx(needed, rel=0.02)


def test_a_rollout_at_little_traffic_begins_at_the_step_of_its_plan_and_ends() -> None:
    rules = quick_rules(steps=(1, 5, 50), errors_pp=5.0, slow_share=0.1, bake_deadline_seconds=60.0)
    rollout = RolloutSimulation(serving=InMemoryServing(rate=0.02), rules=rules)
    rollout.send(version(1)).until_live(1).run(60)
    rollout.serving.servers.kill("control")
    rollout.send(version(2)).run(100)
    rollout.serving.servers.revive("control")
    rollout.until_phase(Phase.STEPPING)
    assert rollout.state.rollout is not None
    assert rules.weights[rollout.state.rollout.step] == 50
    assert "Too few requests come for steps of 1 %" in rollout.statuses[-1].reason
    assert rollout.run(3).canary == 50


def test_a_slow_rollout_is_not_ended_before_its_traffic_can_decide() -> None:
    rules = quick_rules(steps=(5, 50), deadline_seconds=60.0)
    rollout = RolloutSimulation(serving=InMemoryServing(rate=20.0), rules=rules).start_canary()
    rollout.until_live(2, seconds=1_500)
    assert all(verdict.outcome != "fail" for verdict in rollout.verdicts)


@pytest.mark.parametrize(("block_seconds", "words"), [(4.0, "3 min"), (8.0, "6 min")])
@pytest.mark.parametrize("replacements", [0, 1, 3])
def test_the_plan_says_what_may_hold_a_step_and_how_long_it_takes_then(
    block_seconds: float, words: str, replacements: int
) -> None:
    rules = RolloutRules(block_seconds=block_seconds, control_replacements=replacements)
    planned = plan(rules, 1_000.0)
    hold = rules.warm_seconds + SUSPECT_BLOCKS * block_seconds
    loads = replacements * rules.prepare_seconds
    assert planned.longest_seconds == (5 + replacements + 2 * CONTROL_RETURNS) * hold + loads
    assert "not known to be well at 50 %" in planned.text
    assert f"proves nothing holds a step for up to {words}" in planned.text
    assert (f"replaced (at most {replacements})" in planned.text) == (replacements > 0)
    assert f"takes up to about {planned.longest_seconds / 60:.0f} min" in planned.text


def test_steps_that_are_longer_than_a_hold_are_not_said_to_be_held() -> None:
    rules = RolloutRules(steps=(10, 40), hold_seconds=200.0, control_replacements=0)
    planned = plan(rules, 1_000.0)
    assert planned.longest_seconds == planned.seconds
    assert "holds" not in planned.text


def test_the_time_in_steps_ends_at_the_deadline_with_every_hold() -> None:
    planned = plan(RolloutRules(deadline_seconds=300.0), 1_000.0)
    assert planned.longest_seconds == planned.deadline_seconds + 2 * 120.0


def test_a_rollout_that_replaces_its_control_is_over_in_the_time_that_its_plan_says() -> None:
    serving = InMemoryServing(rate=400.0, errors={1: 0.002, 2: 0.002})
    rules = quick_rules(steps=(5, 25, 50), hold_seconds=20.0)
    rollout = RolloutSimulation(serving=serving, rules=rules).start_canary()
    began, planned = rollout.now, plan(rules, 400.0)
    for times in (1, 2):
        serving.servers.sick["control"] = 0.3
        rollout.until(lambda r, times=times: serving.servers.replaced == ["control"] * times)  # type: ignore[misc]
    rollout.until_phase(Phase.PROMOTING)
    assert rollout.now - began <= planned.longest_seconds
