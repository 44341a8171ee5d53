"""While the stable server changes over, traffic is compared and the status is true."""

from __future__ import annotations

import pytest

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import ALL_STABLE, TrafficSplit
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

COMPARED = TrafficSplit(stable=0, control=50, canary=50)
PATIENT = quick_rules(steps=(5, 50), hold_seconds=5.0, prepare_seconds=600.0)


def changing_over(steps: tuple[int, ...] = (5, 50)) -> RolloutSimulation:
    """Version 2 is being promoted, and the stable server cannot load it: the store lost it."""
    rules = quick_rules(steps=steps, hold_seconds=5.0, prepare_seconds=600.0)
    simulation = RolloutSimulation(rules=rules).start_canary()
    simulation.serving.servers.store.discard(2)
    simulation.until_phase(Phase.PROMOTING)
    return simulation.run(3)


@pytest.mark.parametrize("steps", [(5, 50), (5, 25), (10,), (1, 5, 10, 25, 50, 100)])
def test_the_change_over_is_a_comparison_of_equal_arms(steps: tuple[int, ...]) -> None:
    simulation = changing_over(steps)
    assert simulation.serving.router.split == COMPARED
    assert simulation.statuses[-1].phase == Phase.PROMOTING
    assert simulation.statuses[-1].weight == 50
    assert simulation.state.weight == 50
    before = len(simulation.verdicts)
    simulation.run(40)
    assert len(simulation.verdicts) > before  # it is judged on


@pytest.mark.parametrize(
    ("kind", "share", "seconds"),
    [("errors", 1.0, 6), ("slow", 1.0, 6), ("errors", 0.45, 60), ("slow", 0.2, 90)],
)
def test_harm_in_the_change_over_takes_the_version_out(
    kind: str, share: float, seconds: int
) -> None:
    simulation = changing_over()
    setattr(simulation.serving, kind, {2: share})
    simulation.until(lambda simulation: simulation.canary == 0, seconds)
    simulation.until_phase(Phase.IDLE, seconds=30)
    assert simulation.live == 1
    assert [promotion.version for promotion in simulation.promotions] == [1]
    assert simulation.serving.router.split == ALL_STABLE


def test_a_canary_that_dies_in_the_change_over_is_out_at_once() -> None:
    simulation = changing_over()
    simulation.serving.servers.kill("canary")
    simulation.run(2)
    assert simulation.canary == 0
    assert simulation.serving.servers.loaded["stable"] == 1
    assert simulation.serving.router.split.stable == 100


def test_a_canary_server_that_lost_the_version_is_out_at_once() -> None:
    simulation = changing_over()
    simulation.serving.servers.kill("canary")
    simulation.serving.servers.revive("canary")
    simulation.run(2)
    assert simulation.phase in (Phase.ROLLING_BACK, Phase.IDLE)
    assert simulation.canary == 0
    assert "lost version 2" in simulation.verdicts[-1].reason


def test_a_version_that_the_stable_server_never_gets_is_given_up() -> None:
    rules = quick_rules(steps=(5, 50), hold_seconds=5.0, prepare_seconds=20.0)
    simulation = RolloutSimulation(rules=rules).start_canary()
    simulation.serving.servers.store.discard(2)
    simulation.until_phase(Phase.PROMOTING).until_phase(Phase.IDLE, seconds=40)
    assert simulation.live == 1
    assert simulation.verdicts[-1].outcome == "error"


def test_the_stable_server_changes_over_only_when_it_gets_no_request() -> None:
    simulation = RolloutSimulation(rules=PATIENT).start_canary()
    loaded = simulation.serving.servers.loaded
    while loaded["stable"] == 1:
        split = simulation.serving.router.split
        simulation.tick()
    assert split == COMPARED


def test_without_the_router_the_stable_server_keeps_the_champion() -> None:
    rules = quick_rules(steps=(5, 25), hold_seconds=5.0, prepare_seconds=20.0)
    simulation = RolloutSimulation(rules=rules).start_canary()
    simulation.until(lambda simulation: simulation.phase is Phase.PROMOTING)
    simulation.serving.router.split = TrafficSplit(stable=50, control=25, canary=25)
    simulation.serving.router.down = True
    simulation.run(30)
    assert simulation.serving.servers.loaded["stable"] == 1
    simulation.serving.router.down = False
    simulation.until_phase(Phase.IDLE, seconds=10)
    assert simulation.live == 1


def test_while_the_reference_is_awaited_the_new_version_is_watched() -> None:
    simulation = RolloutSimulation(rules=PATIENT).start_canary()
    simulation.serving.references.down = True
    simulation.until_phase(Phase.PROMOTING).run(10)
    weight = simulation.rules.bake_weight
    assert simulation.serving.router.split == TrafficSplit(
        stable=100 - 2 * weight, control=weight, canary=weight
    )
    assert simulation.statuses[-1].weight == 100 - weight
    simulation.serving.errors = {2: 0.45}
    simulation.until_phase(Phase.IDLE, seconds=120)
    assert simulation.live == 1
    assert simulation.serving.servers.loaded["stable"] == 1


def test_the_status_keeps_the_latest_known_weight_while_envoy_does_not_answer() -> None:
    simulation = RolloutSimulation(serving=InMemoryServing(rate=400)).start_canary().run(3)
    assert simulation.statuses[-1].weight == 5
    simulation.serving.router.down = True
    assert simulation.send_command("abort").accepted
    simulation.run(3)
    assert simulation.statuses[-1].phase == Phase.ROLLING_BACK
    assert simulation.statuses[-1].weight == 5  # clients still reach it
    simulation.serving.router.down = False
    simulation.run(4)
    assert simulation.statuses[-1].weight == 0


def test_a_split_that_is_not_applied_is_not_reported_as_if_it_were() -> None:
    """The route file is written, and Envoy refuses it: what Envoy has in force counts."""
    simulation = RolloutSimulation().send(version(1)).until_live(1)
    router = simulation.serving.router
    applied = type(router).apply
    try:
        type(router).apply = lambda self, split: None  # type: ignore[method-assign]
        simulation.send(version(2)).until_phase(Phase.STEPPING).run(4)
        assert simulation.state.weight == 0
        assert simulation.statuses[-1].weight == 0
    finally:
        type(router).apply = applied  # type: ignore[method-assign]
