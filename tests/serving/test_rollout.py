"""Whole rollouts on in-memory engines."""

from __future__ import annotations

import pytest

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import ALL_STABLE, TrafficSplit
from tests.serving.rollout_simulation import QUICK, RolloutSimulation, quick_rules, version


def test_the_first_version_goes_live_directly_with_its_reference() -> None:
    simulation = RolloutSimulation().send(version(1)).run(5)
    (first,) = simulation.promotions
    assert (first.change, first.version, first.replaced) == ("initial", 1, 0)
    assert first.reference is not None
    assert first.reference.digest == "r1"
    assert simulation.phase is Phase.IDLE


def test_a_good_version_climbs_every_step_and_is_promoted() -> None:
    simulation = RolloutSimulation().start_canary().until_live(2)
    weights = [split.canary for split in simulation.serving.router.history]
    assert weights == [5, 25, 50, 10]
    promoted = simulation.promotions[-1]
    assert (promoted.change, promoted.version, promoted.replaced) == ("promoted", 2, 1)
    assert "version-2" in promoted.caused_by
    passed = [verdict.weight for verdict in simulation.verdicts if verdict.outcome == "pass"]
    assert passed == [0, 0, 5, 25, 50]  # the start-up and the paired comparison come first
    simulation.until_phase(Phase.IDLE)
    assert simulation.serving.servers.loaded["stable"] == 2


def test_the_control_gets_the_same_traffic_as_the_canary_at_every_weight() -> None:
    simulation = RolloutSimulation().start_canary().until_live(2)
    for split in simulation.serving.router.history[:3]:
        assert split.control == split.canary


@pytest.mark.parametrize("seed", range(3))
def test_a_version_with_one_percentage_point_more_errors_is_rolled_back(seed: int) -> None:
    serving = InMemoryServing(errors={1: 0.002, 2: 0.014}, rate=400, seed=seed)
    simulation = RolloutSimulation(serving=serving).start_canary()
    simulation.until_phase(Phase.IDLE)
    assert simulation.live == 1
    assert simulation.verdicts[-1].outcome == "fail"
    assert simulation.serving.router.split == ALL_STABLE
    simulation.send(version(2)).run(5)
    assert simulation.phase is Phase.IDLE


def test_a_slow_canary_is_ejected_within_seconds_and_then_fails_on_copies() -> None:
    simulation = RolloutSimulation(serving=InMemoryServing(slow={2: 1.0})).start_canary()
    started = simulation.now
    simulation.until_phase(Phase.EJECTED)
    assert simulation.now - started <= 8
    assert simulation.serving.router.split == TrafficSplit(mirror=QUICK.ejection.mirror_weight)
    simulation.until_phase(Phase.IDLE)
    assert simulation.live == 1
    assert simulation.verdicts[-1].outcome == "fail"
    assert "slow responses" in simulation.verdicts[-1].reason
    assert simulation.statuses[-1].phase == Phase.IDLE
    ids = [status.record_id for status in simulation.statuses]
    assert len(set(ids)) == len(ids)
    assert all(
        verdict.outcome != "pass"
        for verdict in simulation.verdicts
        if verdict.weight == 0 and verdict.requests
    )


def test_a_killed_canary_returns_after_its_restart_and_is_promoted() -> None:
    simulation = RolloutSimulation().start_canary().run(5)
    simulation.serving.servers.kill("canary")
    simulation.until_phase(Phase.EJECTED, seconds=10)
    simulation.serving.servers.revive("canary")
    simulation.until_live(2)
    assert all(verdict.outcome != "fail" for verdict in simulation.verdicts)


def test_a_canary_that_keeps_dying_is_rolled_back_as_an_error() -> None:
    simulation = RolloutSimulation(
        rules=quick_rules(steps=(5, 50), hold_seconds=300.0)
    ).start_canary()
    for _ in range(simulation.rules.ejection.max_ejections + 1):
        simulation.run(8)
        simulation.serving.servers.kill("canary")
        simulation.until_phase(Phase.EJECTED, Phase.IDLE, seconds=15)
        simulation.serving.servers.revive("canary")
        simulation.until(lambda simulation: simulation.phase is not Phase.EJECTED, 60)
    assert simulation.phase is Phase.IDLE
    assert simulation.live == 1
    assert simulation.verdicts[-1].outcome == "error"


def test_without_prometheus_nothing_moves_and_the_deadline_rolls_back() -> None:
    rules = quick_rules(steps=(5, 50), hold_seconds=10.0, deadline_seconds=120.0)
    simulation = RolloutSimulation(rules=rules).start_canary()
    simulation.serving.metrics.down = True
    simulation.run(100)
    assert simulation.canary == 5
    assert simulation.verdicts[-1].outcome == "error"
    simulation.until_phase(Phase.IDLE, seconds=480)  # the traffic before it was measured
    assert simulation.live == 1
    assert simulation.verdicts[-1].outcome == "error"


def test_without_traffic_it_is_insufficient_until_the_deadline() -> None:
    rules = quick_rules(steps=(5, 50), hold_seconds=10.0, deadline_seconds=90.0)
    simulation = RolloutSimulation(serving=InMemoryServing(rate=0.0), rules=rules).start_canary()
    simulation.until_phase(Phase.IDLE, seconds=200)
    assert simulation.live == 1
    assert {verdict.outcome for verdict in simulation.verdicts[2:]} == {"insufficient"}


def test_a_short_outage_of_prometheus_changes_nothing() -> None:
    simulation = RolloutSimulation().start_canary().run(4)
    simulation.serving.metrics.down = True
    simulation.run(8)
    simulation.serving.metrics.down = False
    simulation.until_live(2)


def test_a_restart_of_envoy_is_reconciled_and_judging_continues() -> None:
    simulation = RolloutSimulation().start_canary().run(7)
    simulation.serving.restart_router(simulation.now)
    simulation.serving.router.split = ALL_STABLE
    simulation.tick()
    assert simulation.canary == 5
    simulation.until_live(2)


def test_a_restarted_model_server_gets_its_version_back() -> None:
    simulation = RolloutSimulation().start_canary().run(3)
    for role in ("stable", "control"):
        simulation.serving.servers.kill(role)
        simulation.serving.servers.revive(role)
    simulation.run(5)
    assert simulation.serving.servers.loaded == {"stable": 1, "control": 1, "canary": 2}


def test_unblessed_and_older_versions_are_not_rolled_out() -> None:
    simulation = (
        RolloutSimulation()
        .send(version(2))
        .run(5)
        .send(version(1))
        .send(version(3, blessed=False))
        .run(5)
    )
    assert simulation.phase is Phase.IDLE
    assert simulation.live == 2


def test_a_newer_version_is_queued_and_rolled_out_next() -> None:
    simulation = RolloutSimulation().start_canary().send(version(3))
    assert simulation.state.queued_version is not None
    simulation.until_live(3)
    assert [promotion.version for promotion in simulation.promotions] == [1, 2, 3]


def test_a_version_that_takes_too_long_to_load_is_rolled_back() -> None:
    simulation = RolloutSimulation().send(version(1)).run(5)
    simulation.serving.servers.load_seconds = 6.0
    simulation.send(version(2)).until(
        lambda simulation: simulation.phase is Phase.IDLE and simulation.verdicts != []
    )
    assert simulation.verdicts[-1].outcome == "fail"
    assert simulation.verdicts[-1].gates[0].gate == "startup"
    assert simulation.serving.router.history == []


def test_a_canary_is_loaded_only_after_its_control() -> None:
    """Two concurrent loads would compete, and the canary's load time is judged."""
    simulation = RolloutSimulation()
    simulation.send(version(1)).until_live(1)
    servers = simulation.serving.servers
    servers.kill("control")
    simulation.send(version(2)).run(5)
    assert (simulation.phase, servers.loaded.get("canary")) == (Phase.PREPARING, None)
    servers.revive("control")
    simulation.until(lambda simulation: servers.loaded.get("control") == 1)
    assert servers.loaded.get("canary") is None
    simulation.until(lambda simulation: servers.loaded.get("canary") == 2, seconds=3)
    simulation.until_phase(Phase.STEPPING, seconds=4)


def test_servers_that_never_become_ready_end_the_rollout_with_an_error() -> None:
    simulation = RolloutSimulation().send(version(1)).run(5)
    simulation.serving.servers.kill("canary")
    simulation.send(version(2)).run(3)
    simulation.until_phase(Phase.IDLE, seconds=200)
    assert simulation.verdicts[-1].outcome == "error"


def test_a_bad_promotion_is_rolled_back_while_baking() -> None:
    simulation = RolloutSimulation().start_canary().until_phase(Phase.BAKING)
    simulation.serving.errors = {2: 1.0}
    simulation.until_phase(Phase.IDLE, seconds=30)
    back = simulation.promotions[-1]
    assert (back.change, back.version, back.replaced) == ("rolled-back", 1, 2)
    assert back.reference == simulation.promotions[0].reference
    assert simulation.serving.servers.loaded["stable"] == 1
    assert simulation.serving.router.history[-2:] == [
        TrafficSplit(stable=0, control=100),
        ALL_STABLE,
    ]


def test_records_of_a_repeated_tick_have_the_same_ids() -> None:
    simulation = RolloutSimulation().start_canary().run(14)
    repeated = RolloutSimulation().start_canary().run(14)
    assert [record.record_id for record in simulation.records] == [
        record.record_id for record in repeated.records
    ]


def test_a_promotion_waits_until_the_reference_is_published() -> None:
    simulation = RolloutSimulation().start_canary()
    simulation.serving.references.down = True
    simulation.until_phase(Phase.PROMOTING).run(20)
    assert simulation.live == 1
    failed_requests = simulation.publish_requests
    simulation.serving.references.down = False
    simulation.until_live(2, seconds=5)
    assert simulation.promotions[-1].reference is not None
    simulation.until_phase(Phase.IDLE)
    assert simulation.publish_requests == failed_requests + 1


def test_a_published_reference_is_not_published_again() -> None:
    simulation = RolloutSimulation().start_canary().until_live(2).until_phase(Phase.IDLE)
    assert simulation.publish_requests == len(simulation.promotions) == 2


def test_a_version_without_windows_is_promoted_without_a_reference() -> None:
    simulation = RolloutSimulation()
    simulation.serving.references.without_windows = {1}
    simulation.send(version(1)).until_live(1, seconds=5)
    assert simulation.promotions[0].reference is None


def test_a_promotion_waits_for_its_reference_for_a_limited_time() -> None:
    simulation = RolloutSimulation().start_canary()
    simulation.serving.references.down = True
    simulation.until_live(2, seconds=900)
    assert simulation.promotions[-1].reference is None
