"""The bake judges the promoted version against the replaced one; without data it ends badly."""

from __future__ import annotations

import pytest

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import TrafficSplit
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules

RULES = quick_rules(steps=(5, 50), hold_seconds=5.0, bake_seconds=60.0, bake_deadline_seconds=900.0)


def baking(rate: float = 300.0, seed: int = 0, **changes: object) -> RolloutSimulation:
    """Version 2 was promoted a moment ago."""
    rules = quick_rules(
        **{
            "steps": (5, 50),
            "hold_seconds": 5.0,
            "bake_seconds": 60.0,
            "bake_deadline_seconds": 900.0,
            **changes,
        }
    )
    serving = InMemoryServing(rate=300.0, seed=seed, errors={1: 0.002, 2: 0.002})
    simulation = RolloutSimulation(serving=serving, rules=rules).start_canary()
    simulation.until_phase(Phase.BAKING)
    serving.rate = rate
    return simulation


@pytest.mark.parametrize(
    ("kind", "share", "seconds"),
    [
        ("errors", 1.0, 5),
        ("slow", 1.0, 5),
        ("errors", 0.5, 60),
        ("errors", 0.45, 60),
        ("errors", 0.1, 90),
        ("errors", 0.03, 200),
        ("slow", 0.45, 60),
        ("slow", 0.1, 90),
    ],
)
def test_harm_that_begins_with_the_bake_is_rolled_back(
    kind: str, share: float, seconds: int
) -> None:
    simulation = baking()
    setattr(simulation.serving, kind, {1: 0.002, 2: share})
    simulation.until(lambda simulation: simulation.phase is not Phase.BAKING, seconds)
    assert simulation.phase is Phase.ROLLING_BACK
    simulation.until_phase(Phase.IDLE, seconds=10)
    back = simulation.promotions[-1]
    assert (back.change, back.version, back.replaced) == ("rolled-back", 1, 2)
    assert simulation.verdicts[-1].outcome in ("fail", "error")


@pytest.mark.parametrize("seed", range(4))
def test_one_percentage_point_more_errors_in_the_bake_are_rolled_back(seed: int) -> None:
    simulation = baking(rate=200.0, seed=seed, bake_seconds=600.0, bake_deadline_seconds=3600.0)
    simulation.serving.errors = {1: 0.002, 2: 0.0125}
    simulation.until_phase(Phase.IDLE, seconds=3600)
    assert simulation.live == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_version_that_does_no_harm_stays_live_after_the_bake(seed: int) -> None:
    simulation = baking(seed=seed)
    weight = simulation.rules.bake_weight
    simulation.run(2)
    assert simulation.serving.router.split == TrafficSplit(
        stable=100 - 2 * weight, control=weight, canary=weight
    )
    assert simulation.statuses[-1].weight == 100 - weight
    simulation.until_phase(Phase.IDLE, seconds=600)
    assert simulation.live == 2
    assert simulation.verdicts[-1].outcome == "pass"
    assert simulation.serving.router.split == TrafficSplit()


def test_a_bake_without_counts_does_not_end_well() -> None:
    simulation = baking(bake_deadline_seconds=200.0)
    simulation.serving.metrics.down = True
    simulation.run(150)  # longer than the bake
    assert simulation.phase is Phase.BAKING
    assert simulation.verdicts[-1].outcome == "error"
    simulation.until_phase(Phase.IDLE, seconds=80)
    assert simulation.live == 1
    assert simulation.promotions[-1].change == "rolled-back"


def test_a_bake_without_traffic_does_not_end_well() -> None:
    simulation = baking(rate=0.0, bake_deadline_seconds=200.0)
    simulation.run(150)
    assert simulation.phase is Phase.BAKING
    simulation.until_phase(Phase.IDLE, seconds=80)
    assert simulation.live == 1
    assert simulation.verdicts[-1].outcome == "insufficient"


def test_a_bake_without_the_replaced_version_compares_nothing_and_does_not_end_well() -> None:
    simulation = baking(bake_deadline_seconds=100.0)
    simulation.serving.servers.kill("control")
    simulation.run(90)
    assert simulation.phase is Phase.BAKING
    assert simulation.serving.router.split == TrafficSplit()
    simulation.until_phase(Phase.IDLE, seconds=30)
    assert simulation.live == 1


def test_little_traffic_keeps_a_version_that_it_shows_no_large_harm_of() -> None:
    """2 requests a second and arm: too few for half a percentage point, enough for 2.5."""
    simulation = baking(rate=20.0, bake_deadline_seconds=200.0)
    simulation.until_phase(Phase.IDLE, seconds=300)
    assert simulation.live == 2
    assert simulation.verdicts[-1].outcome == "insufficient"
    assert "no large harm" in simulation.verdicts[-1].reason


@pytest.mark.parametrize("down", [True, False])
def test_a_version_that_a_person_forced_is_kept_when_nothing_could_be_proven(down: bool) -> None:
    simulation = RolloutSimulation(rules=RULES).start_canary()
    assert simulation.let_on("promote", force=True).accepted
    simulation.until_phase(Phase.BAKING)
    simulation.serving.metrics.down = down
    simulation.serving.rate = 0.0
    simulation.until_phase(Phase.IDLE, seconds=1000)
    assert simulation.live == 2
    assert "ann promoted it by force" in simulation.verdicts[-1].reason


def test_a_forced_version_that_does_harm_is_rolled_back_all_the_same() -> None:
    simulation = RolloutSimulation(rules=RULES).start_canary()
    simulation.let_on("promote", force=True)
    simulation.until_phase(Phase.BAKING)
    simulation.serving.errors = {2: 0.45}
    simulation.until_phase(Phase.IDLE, seconds=120)
    assert simulation.live == 1


def test_a_canary_server_that_dies_in_the_bake_takes_nothing_back() -> None:
    simulation = baking(bake_seconds=120.0)
    simulation.serving.servers.kill("canary")
    simulation.run(10)
    assert simulation.serving.router.split == TrafficSplit()
    simulation.serving.servers.revive("canary")
    simulation.run(5)
    assert simulation.serving.router.split.canary == simulation.rules.bake_weight
    simulation.until_phase(Phase.IDLE, seconds=600)
    assert simulation.live == 2


def test_a_stable_server_that_restarts_in_the_bake_loses_no_traffic_to_the_old_version() -> None:
    simulation = baking(bake_seconds=120.0)
    simulation.serving.servers.kill("stable")
    simulation.run(2)
    assert simulation.serving.router.split == TrafficSplit(stable=0, canary=100)
    simulation.serving.servers.revive("stable")
    simulation.until_phase(Phase.IDLE, seconds=600)
    assert simulation.live == 2


def test_trouble_of_both_versions_is_not_blamed_on_the_new_one() -> None:
    simulation = baking()
    simulation.serving.errors = {1: 0.6, 2: 0.6}
    simulation.run(60)
    assert simulation.phase is Phase.BAKING
    simulation.serving.errors = {1: 0.002, 2: 0.002}
    simulation.run(5)
    assert simulation.live == 2


def test_a_person_ends_a_bake_by_force_only() -> None:
    simulation = baking()
    assert not simulation.let_on("promote").accepted
    assert simulation.let_on("promote", force=True).accepted
    assert simulation.phase is Phase.IDLE
    assert simulation.live == 2
