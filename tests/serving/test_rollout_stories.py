"""Whole rollouts in memory, told as sentences."""

from __future__ import annotations

import pytest

from serving.engines.memory import MemoryWorld
from serving.ports import ALL_STABLE, Split
from serving.rules import RolloutRules
from tests.serving.serving_builders import QUICK, Story, version


def test_the_first_version_goes_live_directly_with_its_reference() -> None:
    story = Story().send(version(1)).run(5)
    (first,) = story.promotions
    assert (first.change, first.version, first.replaced) == ("initial", 1, 0)
    assert first.reference is not None
    assert first.reference.digest == "r1"
    assert story.phase == "idle"


def test_a_good_version_climbs_every_step_and_is_promoted() -> None:
    story = Story().canarying().until(lambda story: story.live == 2)
    weights = [split.canary for split in story.world.splitter.history]
    assert weights == [5, 25, 50, 100, 0]
    promoted = story.promotions[-1]
    assert (promoted.change, promoted.version, promoted.replaced) == ("promoted", 2, 1)
    assert "version-2" in promoted.caused_by
    passed = [verdict.weight for verdict in story.verdicts if verdict.outcome == "pass"]
    assert passed == [0, 5, 25, 50]
    story.until(lambda story: story.phase == "idle")
    assert story.world.servers.loaded["stable"] == 2


def test_equal_traffic_for_control_at_every_weight() -> None:
    story = Story().canarying().until(lambda story: story.live == 2)
    for split in story.world.splitter.history[:3]:
        assert split.control == split.canary


@pytest.mark.parametrize("seed", range(3))
def test_one_percentage_point_more_errors_is_rolled_back(seed: int) -> None:
    world = MemoryWorld(errors={1: 0.002, 2: 0.014}, rate=400, seed=seed)
    story = Story(world=world).canarying()
    story.until(lambda story: story.phase == "idle")
    assert story.live == 1
    assert story.verdicts[-1].outcome == "fail"
    assert story.world.splitter.split == ALL_STABLE
    story.send(version(2)).run(5)
    assert story.phase == "idle"


def test_a_slow_canary_is_out_in_seconds_and_then_failed_on_copies() -> None:
    story = Story(world=MemoryWorld(slow={2: 1.0})).canarying()
    began = story.now
    story.until(lambda story: story.phase == "guarded")
    assert story.now - began <= 8
    assert story.world.splitter.split == Split(mirror=QUICK.watch.mirror_weight)
    story.until(lambda story: story.phase == "idle")
    assert story.live == 1
    assert story.verdicts[-1].outcome == "fail"
    assert "slow answers" in story.verdicts[-1].reason
    assert story.statuses[-1].phase == "idle"
    ids = [status.record_id for status in story.statuses]
    assert len(set(ids)) == len(ids)
    assert all(v.outcome != "pass" for v in story.verdicts if v.weight == 0 and v.requests)


def test_a_killed_canary_comes_back_and_is_promoted() -> None:
    story = Story().canarying().run(5)
    story.world.servers.kill("canary")
    story.until(lambda story: story.phase == "guarded", 10)
    story.world.servers.revive("canary")
    story.until(lambda story: story.live == 2)
    assert all(verdict.outcome != "fail" for verdict in story.verdicts)


def test_a_canary_that_keeps_dying_is_rolled_back_as_an_error() -> None:
    story = Story(rules=RolloutRules(steps=(5, 50), hold_seconds=300.0)).canarying()
    for _ in range(story.rules.watch.most + 1):
        story.run(8)
        story.world.servers.kill("canary")
        story.until(lambda story: story.phase in ("guarded", "idle"), 15)
        story.world.servers.revive("canary")
        story.until(lambda story: story.phase != "guarded", 60)
    assert story.phase == "idle"
    assert story.live == 1
    assert story.verdicts[-1].outcome == "error"


def test_without_prometheus_nothing_moves_and_the_deadline_rolls_back() -> None:
    rules = RolloutRules(steps=(5, 50), hold_seconds=10.0, deadline_seconds=120.0)
    story = Story(rules=rules).canarying()
    story.world.metrics.down = True
    story.run(100)
    assert story.canary == 5
    assert story.verdicts[-1].outcome == "error"
    story.until(lambda story: story.phase == "idle", 60)
    assert story.live == 1
    assert story.verdicts[-1].outcome == "error"


def test_without_traffic_it_is_insufficient_until_the_deadline() -> None:
    rules = RolloutRules(steps=(5, 50), hold_seconds=10.0, deadline_seconds=90.0)
    story = Story(world=MemoryWorld(rate=0.0), rules=rules).canarying()
    story.until(lambda story: story.phase == "idle", 200)
    assert story.live == 1
    assert {verdict.outcome for verdict in story.verdicts[1:]} == {"insufficient"}


def test_a_short_absence_of_prometheus_changes_nothing() -> None:
    story = Story().canarying().run(4)
    story.world.metrics.down = True
    story.run(8)
    story.world.metrics.down = False
    story.until(lambda story: story.live == 2)


def test_a_restart_of_envoy_is_repaired_and_judged_on() -> None:
    story = Story().canarying().run(7)
    story.world.restart_router(story.now)
    story.world.splitter.split = ALL_STABLE
    story.tick()
    assert story.canary == 5
    story.until(lambda story: story.live == 2)


def test_a_restarted_model_server_gets_its_version_back() -> None:
    story = Story().canarying().run(3)
    for role in ("stable", "control"):
        story.world.servers.kill(role)
        story.world.servers.revive(role)
    story.run(5)
    assert story.world.servers.loaded == {"stable": 1, "control": 1, "canary": 2}


def test_unblessed_and_older_versions_are_left_alone() -> None:
    story = Story().send(version(2)).run(5).send(version(1)).send(version(3, blessed=False)).run(5)
    assert story.phase == "idle"
    assert story.live == 2


def test_a_newer_version_waits_and_follows() -> None:
    story = Story().canarying().send(version(3))
    assert story.state.waiting is not None
    story.until(lambda story: story.live == 3)
    assert [promotion.version for promotion in story.promotions] == [1, 2, 3]


def test_a_version_that_takes_too_long_to_load_is_refused() -> None:
    story = Story().send(version(1)).run(5)
    story.world.servers.load_seconds = 6.0
    story.send(version(2)).until(lambda story: story.phase == "idle" and story.verdicts != [])
    assert story.verdicts[-1].outcome == "fail"
    assert story.verdicts[-1].gates[0].gate == "startup"
    assert story.world.splitter.history == []


def test_a_canary_is_loaded_once_its_twin_is_there() -> None:
    """Two loads at once would compete, and how long the canary's takes is judged."""
    story = Story()
    story.send(version(1)).until(lambda story: story.live == 1)
    servers = story.world.servers
    servers.kill("control")
    story.send(version(2)).run(5)
    assert (story.phase, servers.loaded.get("canary")) == ("preparing", None)
    servers.revive("control")
    story.until(lambda story: servers.loaded.get("control") == 1)
    assert servers.loaded.get("canary") is None
    story.until(lambda story: servers.loaded.get("canary") == 2, seconds=3)
    story.until(lambda story: story.phase == "stepping", seconds=3)


def test_servers_that_never_get_ready_end_the_rollout_as_an_error() -> None:
    story = Story().send(version(1)).run(5)
    story.world.servers.kill("canary")
    story.send(version(2)).run(3)
    story.until(lambda story: story.phase == "idle", 200)
    assert story.verdicts[-1].outcome == "error"


def test_a_bad_promotion_is_taken_back_in_the_bake() -> None:
    story = Story().canarying().until(lambda story: story.phase == "baking")
    story.world.errors = {2: 1.0}
    story.until(lambda story: story.phase == "idle", 30)
    back = story.promotions[-1]
    assert (back.change, back.version, back.replaced) == ("rolled-back", 1, 2)
    assert back.reference == story.promotions[0].reference
    assert story.world.servers.loaded["stable"] == 1
    assert story.world.splitter.history[-2:] == [Split(stable=0, control=100), ALL_STABLE]


def test_records_of_a_repeated_tick_have_the_same_ids() -> None:
    story = Story().canarying().run(14)
    again = Story().canarying().run(14)
    assert [record.record_id for record in story.records] == [
        record.record_id for record in again.records
    ]
