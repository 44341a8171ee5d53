"""A control that is neither sick nor known to be well at 50 %: the stable arm has no requests."""

from __future__ import annotations

import pytest

from serving.engines.memory import InMemoryServing
from serving.gates import judge_gates
from serving.margins import CONTROL_RETURNS, suspect_seconds
from serving.phase import Phase
from serving.rules import RolloutRules
from serving.state import Block
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

RULES = quick_rules(steps=(5, 25, 50), slow_gate="compare")
BUSY = {1: 0.03, 2: 0.03}
"""Slow responses of both versions while the machine is busy: more than any margin."""


def at_half(serving: InMemoryServing) -> RolloutSimulation:
    rollout = RolloutSimulation(serving=serving, rules=RULES).start_canary()
    return rollout.until(lambda r: r.canary == 50)


def test_a_rollout_that_begins_at_half_of_the_traffic_can_pass() -> None:
    """The steps before are left out at little traffic, so nothing is known of the stable arm."""
    blocks = [Block(1, 4, 25, 25, 0, 0, 25, 25, 0, 0)] * 60
    results = judge_gates(blocks, run=1, step=4, rules=RolloutRules())
    assert {gate.outcome for gate in results} == {"pass"}


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_a_control_that_is_bad_by_itself_is_not_known_to_be_well_there(share: float) -> None:
    bad = round(2_000 * share)
    blocks = [Block(1, 4, 2_000, 2_000, bad, bad, 2_000, 2_000, bad, bad)] * 60
    results = judge_gates(blocks, run=1, step=4, rules=RolloutRules(slow_gate="compare"))
    outcomes = {gate.gate: gate.outcome for gate in results}
    assert outcomes["control_errors"] == outcomes["control_slow"] == "insufficient"


def test_a_control_server_that_restarts_at_half_of_the_traffic_stops_no_rollout() -> None:
    rollout = at_half(InMemoryServing(rate=200.0)).run(5)
    rollout.serving.servers.kill("control")
    rollout.serving.servers.revive("control")
    rollout.until_live(2, seconds=300)


def test_on_a_machine_that_becomes_busier_the_control_is_compared_anew() -> None:
    serving = InMemoryServing(rate=400.0)
    rollout = at_half(serving)
    serving.slow = BUSY
    held = RULES.warm_seconds + suspect_seconds(RULES)
    rollout.until(lambda r: r.canary == 25, seconds=int(held) + 30)
    assert rollout.state.rollout is not None
    assert "compared with the stable arm anew" in rollout.state.rollout.reason
    assert "The control is not known to be well" in rollout.verdicts[-1].reason
    rollout.until_live(2, seconds=600)
    assert not any(verdict.outcome == "fail" for verdict in rollout.verdicts)
    log = [version(1), version(2), *rollout.records]
    assert {result.outcome for result in computed_again(log)} == {"equal"}


def test_a_control_that_no_return_shows_to_be_well_ends_the_rollout_with_that_reason() -> None:
    serving = InMemoryServing(rate=400.0)
    rollout = at_half(serving)
    weights = [50]

    def busy_at_half(rollout: RolloutSimulation) -> bool:
        serving.slow = BUSY if rollout.canary == 50 else {}
        if rollout.canary != weights[-1]:
            weights.append(rollout.canary)
        return rollout.phase is Phase.IDLE

    began = rollout.now
    rollout.until(busy_at_half, seconds=1_200)
    assert rollout.live == 1
    assert weights[:-1] == [50] + [25, 50] * CONTROL_RETURNS
    assert rollout.now - began < RULES.deadline_seconds / 2
    (last,) = {
        verdict.reason for verdict in rollout.verdicts if "cannot be judged" in verdict.reason
    }
    assert "the control is not known to be well at 50 %" in last
    assert rollout.verdicts[-1].outcome == "error"
    assert not any(verdict.outcome == "fail" for verdict in rollout.verdicts)
