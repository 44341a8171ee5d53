"""No server gains requests before Envoy itself holds it healthy."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from serving import handlers
from serving.counts import blocks_before
from serving.phase import Phase
from serving.ports import (
    ALL_STABLE,
    ArmShare,
    ExperimentSplit,
    Observation,
    Role,
    ServerStatus,
    TrafficSplit,
    VersionStatus,
)
from serving.routable import next_split, unready
from serving.rules import RolloutRules
from serving.state import RolloutState
from tests.serving.rollout_simulation import QUICK, RolloutSimulation, version

STATE = RolloutState(model="m")
FIVE = TrafficSplit(stable=90, control=5, canary=5)
ALL: tuple[Role, ...] = ("stable", "control", "canary")


def seen(split: TrafficSplit | None, healthy: tuple[Role, ...] | None) -> Observation:
    return Observation(at=1.0, split=split, healthy=healthy)


@pytest.mark.parametrize("healthy", [None, (), ("canary",), ("control", "stable")])
def test_a_server_that_is_not_known_to_be_healthy_never_gains(
    healthy: tuple[Role, ...] | None,
) -> None:
    assert next_split(FIVE, STATE, seen(ALL_STABLE, healthy), QUICK) == ALL_STABLE


def test_servers_that_envoy_holds_healthy_gain() -> None:
    assert next_split(FIVE, STATE, seen(ALL_STABLE, ALL), QUICK) == FIVE


def test_the_arm_of_an_empty_stable_server_falls_back_on_the_control() -> None:
    """Otherwise the next version could not go live after the champion was deleted."""
    carried = TrafficSplit(stable=0, control=100)
    observed = seen(carried, ("control", "canary"))
    assert next_split(FIVE, STATE, observed, QUICK) == FIVE
    available = VersionStatus(version=1, state="available")
    loaded = ServerStatus(role="stable", reachable=True, versions=(available,))
    assert next_split(FIVE, STATE, replace(observed, servers=(loaded,)), QUICK) == carried


def test_a_server_in_use_gains_no_more_while_it_is_unhealthy() -> None:
    more = TrafficSplit(stable=50, control=25, canary=25)
    observed = seen(FIVE, ("stable", "control"))
    assert next_split(more, STATE, observed, QUICK) == FIVE
    assert unready(more, STATE, observed, QUICK) == ("canary",)


def test_without_an_answer_the_split_that_was_set_last_stays() -> None:
    state = replace(STATE, split=FIVE)
    more = TrafficSplit(stable=50, control=25, canary=25)
    assert next_split(more, state, seen(None, None), QUICK) == FIVE


def test_a_model_that_is_not_served_here_has_no_envoy_to_wait_for() -> None:
    rules = RolloutRules(served=False)
    carried = TrafficSplit(stable=0, control=100)
    assert next_split(carried, STATE, seen(ALL_STABLE, None), rules) == carried


def test_users_meet_an_arm_once_its_server_is_healthy_and_leave_it_at_once() -> None:
    arms = (
        ArmShare(name="champion", version=1, share=5_000, arm="stable"),
        ArmShare(name="7", version=7, share=5_000, arm="canary"),
    )
    users = TrafficSplit(experiment=ExperimentSplit(salt="e", header="x-user-id", arms=arms))
    assert next_split(users, STATE, seen(ALL_STABLE, ("stable",)), QUICK) == ALL_STABLE
    assert next_split(users, STATE, seen(ALL_STABLE, ALL), QUICK) == users
    assert next_split(ALL_STABLE, STATE, seen(users, None), QUICK) == ALL_STABLE


def test_a_first_version_is_not_live_before_envoy_can_reach_it() -> None:
    simulation = RolloutSimulation()
    simulation.serving.router.unhealthy.add("stable")
    simulation.send(version(1)).run(20)
    assert (simulation.live, simulation.phase) == (0, Phase.PROMOTING)
    simulation.serving.router.unhealthy.clear()
    assert simulation.run(3).live == 1


def test_a_first_version_that_envoy_never_reaches_is_given_up_and_says_so() -> None:
    simulation = RolloutSimulation()
    simulation.serving.router.unhealthy.add("stable")
    simulation.send(version(1)).until(lambda s: 1 in s.state.rejected_versions)
    assert "Envoy does not hold it healthy" in simulation.statuses[-2].reason + str(
        [verdict.reason for verdict in simulation.verdicts]
    )


def test_the_first_weight_waits_for_envoy_and_time_without_it_proves_nothing() -> None:
    simulation = RolloutSimulation()
    simulation.send(version(1)).until_live(1)
    simulation.serving.router.unhealthy.add("canary")
    simulation.send(version(2)).until_phase(Phase.STEPPING).run(30)
    assert (simulation.canary, simulation.phase) == (0, Phase.STEPPING)
    assert simulation.state.rollout is not None
    blocks = simulation.state.rollout.counts.blocks
    assert len(blocks) == blocks_before(blocks), "nothing is judged yet"
    simulation.serving.router.unhealthy.clear()
    assert simulation.run(2).canary == 5
    simulation.until_live(2)


def test_a_canary_that_never_becomes_healthy_is_rolled_back_at_the_deadline() -> None:
    simulation = RolloutSimulation()
    simulation.send(version(1)).until_live(1)
    simulation.serving.router.unhealthy.add("canary")
    simulation.send(version(2)).until(lambda s: 2 in s.state.rejected_versions, seconds=2_400)
    assert simulation.live == 1


@pytest.mark.parametrize("down", [True, False])
def test_a_rollback_waits_for_no_health(down: bool) -> None:
    """Also while Envoy's view of the servers is not known at all."""
    simulation = RolloutSimulation().start_canary()
    simulation.until(lambda s: s.canary == 50)
    simulation.serving.router.unhealthy |= set(ALL)
    observed = handlers.observe(simulation.serving.ports, simulation.state, now=simulation.now)
    observed = replace(observed, healthy=None) if down else observed
    assert simulation.state.rollout is not None
    simulation.let_on("abort")
    (action,) = handlers.react(simulation.state, observed, rules=QUICK)
    assert action.split == ALL_STABLE
    assert simulation.run(2).canary == 0


def test_a_stable_server_that_comes_back_gets_requests_once_it_is_healthy() -> None:
    simulation = RolloutSimulation()
    simulation.send(version(1)).until_live(1).send(version(2)).until_live(2)
    simulation.until_phase(Phase.IDLE)
    simulation.serving.servers.kill("stable")
    simulation.until(lambda s: s.serving.router.split != ALL_STABLE)
    carried = simulation.serving.router.split
    simulation.serving.router.unhealthy.add("stable")
    simulation.serving.servers.revive("stable")
    assert simulation.run(10).serving.router.split == carried
    simulation.serving.router.unhealthy.clear()
    assert simulation.run(2).serving.router.split == ALL_STABLE
