"""Every phase ends by itself, and a version that works can always go live."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serving.phase import Phase
from serving.ports import ALL_STABLE, TrafficSplit
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

LIMITS: dict[str, object] = {
    "steps": (5, 50),
    "hold_seconds": 10.0,
    "prepare_seconds": 30.0,
    "approval_seconds": 120.0,
    "pause_seconds": 90.0,
    "deadline_seconds": 200.0,
    "reference_seconds": 40.0,
    "bake_deadline_seconds": 100.0,
}


def simulated(**changes: object) -> RolloutSimulation:
    return RolloutSimulation(rules=quick_rules(**{**LIMITS, **changes}))


def preparing(simulation: RolloutSimulation) -> None:
    simulation.send(version(1)).until_live(1)
    simulation.serving.servers.kill("control")
    simulation.send(version(2)).run(2)


def awaiting(simulation: RolloutSimulation) -> None:
    simulation.start_canary().until_phase(Phase.AWAITING_APPROVAL)


def paused(simulation: RolloutSimulation) -> None:
    simulation.start_canary().send_command("pause")


def stepping(simulation: RolloutSimulation) -> None:
    simulation.start_canary().run(6).serving.rate = 0.0


def ejected(simulation: RolloutSimulation) -> None:
    simulation.start_canary().run(5).serving.servers.kill("canary")
    simulation.until_phase(Phase.EJECTED)


def promoting(simulation: RolloutSimulation) -> None:
    simulation.start_canary().serving.servers.store.discard(2)
    simulation.until_phase(Phase.PROMOTING)


def baking(simulation: RolloutSimulation) -> None:
    simulation.start_canary().until_phase(Phase.BAKING)
    simulation.serving.metrics.down = True


PHASES = [
    (Phase.PREPARING, preparing, {}),
    (Phase.AWAITING_APPROVAL, awaiting, {"approval": "before-canary"}),
    (Phase.AWAITING_APPROVAL, awaiting, {"approval": "before-promotion"}),
    (Phase.PAUSED, paused, {}),
    (Phase.STEPPING, stepping, {}),
    (Phase.EJECTED, ejected, {}),
    (Phase.PROMOTING, promoting, {}),
    (Phase.BAKING, baking, {}),
]


@pytest.mark.parametrize(("phase", "enter", "changes"), PHASES)
def test_a_phase_in_which_nothing_happens_ends_when_its_status_says(
    phase: Phase, enter: Callable[[RolloutSimulation], None], changes: dict[str, object]
) -> None:
    simulation = simulated(**changes)
    enter(simulation)
    simulation.tick()
    assert simulation.phase is phase
    status = simulation.statuses[-1]
    assert status.phase == phase
    assert status.ends_at is not None
    simulation.until(lambda simulation: simulation.phase is not phase, seconds=1_000)
    ends = [each.ends_at for each in simulation.statuses if each.phase == phase]
    assert ends[-1] is not None
    assert simulation.now <= ends[-1] + 3
    simulation.until_phase(Phase.IDLE, seconds=40)
    assert simulation.live == 1
    assert simulation.serving.router.split == ALL_STABLE
    assert simulation.statuses[-1].ends_at is None


def test_a_rollback_to_a_version_that_has_gone_from_the_store_ends() -> None:
    simulation = simulated().start_canary().until_phase(Phase.BAKING)
    simulation.serving.servers.store.discard(1)
    simulation.serving.servers.kill("control")
    simulation.serving.servers.revive("control")
    simulation.run(3)
    simulation.send_command("rollback")
    simulation.until_phase(Phase.IDLE, seconds=60)
    assert simulation.live == 2
    assert "stays live" in simulation.verdicts[-1].reason
    assert simulation.serving.router.split == ALL_STABLE
    assert simulation.serving.servers.loaded["stable"] == 2


def test_a_rollback_to_a_version_that_only_the_control_still_has_ends_on_the_control() -> None:
    simulation = simulated().start_canary().until_phase(Phase.BAKING)
    simulation.serving.servers.store.discard(1)
    simulation.serving.errors = {2: 1.0}
    simulation.until_phase(Phase.IDLE, seconds=60)
    assert simulation.live == 1
    assert simulation.serving.router.split == TrafficSplit(stable=0, control=100)
    simulation.run(100)
    assert simulation.phase is Phase.IDLE
    simulation.serving.errors = {}
    simulation.send(version(3)).until_live(3)


@pytest.mark.parametrize("approval", ["never", "before-canary", "before-promotion"])
@pytest.mark.parametrize("published_before", [False, True])
def test_the_mending_version_goes_live_when_the_champion_is_gone_and_servers_are_empty(
    approval: str, published_before: bool
) -> None:
    simulation = simulated(approval=approval).send(version(1))
    simulation.approve_first(1)
    simulation.serving.servers.store.discard(1)
    if published_before:
        simulation.send(version(2)).run(1)
    for role in ("stable", "control", "canary"):
        simulation.serving.servers.kill(role)
        simulation.serving.servers.revive(role)
    if not published_before:
        simulation.run(200).send(version(2))
    if approval != "never":
        simulation.until_phase(Phase.AWAITING_APPROVAL, seconds=60)
        assert simulation.let_on("approve").accepted
    simulation.until_live(2, seconds=90).run(5)
    assert simulation.phase is Phase.IDLE
    assert simulation.serving.router.split == ALL_STABLE
    assert simulation.serving.servers.loaded["stable"] == 2
    assert not simulation.send_command("rollback").accepted  # there is nothing to go back to


def test_a_champion_that_only_the_stable_server_still_has_needs_a_person() -> None:
    simulation = simulated().send(version(1)).until_live(1)
    simulation.serving.servers.store.discard(1)
    simulation.send(version(2)).until_phase(Phase.AWAITING_APPROVAL, seconds=60)
    assert "only one server still has it" in simulation.state.rollout.reason  # type: ignore[union-attr]
    assert simulation.serving.router.split == ALL_STABLE
    assert simulation.let_on("approve").accepted
    simulation.until_live(2, seconds=30)


def test_a_champion_that_comes_back_is_compared_with_after_all() -> None:
    simulation = simulated(approval="before-promotion").send(version(1)).approve_first(1)
    simulation.serving.servers.store.discard(1)
    simulation.send(version(2)).until_phase(Phase.AWAITING_APPROVAL, seconds=60)
    simulation.serving.servers.store.add(1)
    simulation.until_phase(Phase.STEPPING, seconds=20)
    simulation.until_phase(Phase.AWAITING_APPROVAL)
    assert simulation.verdicts[-1].outcome == "pass"


def test_a_first_version_that_no_server_gets_makes_way_for_the_next() -> None:
    simulation = simulated()
    simulation.serving.servers.store.clear()
    simulation.send(version(1)).run(10)
    assert simulation.phase is Phase.PROMOTING
    simulation.until_phase(Phase.IDLE, seconds=40)
    simulation.serving.servers.store.add(2)
    simulation.send(version(2)).until_live(2, seconds=20)


def test_time_without_the_daemon_spends_no_limit_of_servers_and_steps() -> None:
    simulation = simulated().start_canary().run(2)
    simulation.now += 3600.0
    simulation.run(3)
    assert simulation.phase is Phase.STEPPING
    simulation.until_live(2)


@pytest.mark.parametrize("back", [5.0, 60.0, 86_400.0])
def test_a_clock_that_goes_back_stops_nothing(back: float) -> None:
    simulation = simulated().start_canary().run(2)
    simulation.now -= back
    simulation.serving.started -= back
    simulation.serving.metrics.taken.clear()
    simulation.until_live(2, seconds=300)
    assert simulation.promotions[-1].at > simulation.promotions[0].at


def test_a_live_version_that_the_stable_server_lost_is_carried_by_another_server() -> None:
    simulation = simulated().start_canary().until_live(2).until_phase(Phase.IDLE)
    simulation.serving.servers.kill("stable")
    simulation.run(2)
    assert simulation.serving.router.split == TrafficSplit(stable=0, canary=100)
    simulation.serving.servers.revive("stable")
    simulation.run(4)
    assert simulation.serving.router.split == ALL_STABLE
