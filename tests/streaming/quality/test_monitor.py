"""The book of a model: what it says of quiet days, of concept drift, and after a restart."""

from __future__ import annotations

import pytest

from streaming.contracts.codec import decode, encode
from streaming.contracts.quality import QualityVerdict
from tests.streaming.quality.quality_world import RULES, World, feed


def outcomes(verdicts: list[QualityVerdict]) -> list[str]:
    return [one.outcome for one in verdicts]


def settled(world: World, windows: int = 16) -> World:
    for _ in range(windows):
        world.window()
    return world


def test_a_quiet_version_gets_a_baseline_and_then_is_stable() -> None:
    world = settled(World())
    found = world.realised()
    assert outcomes(found[:3]) == ["inconclusive"] * 3
    assert "baseline" in found[0].reason
    assert set(outcomes(found[3:])) == {"stable"}
    assert len(found) > 8
    assert found[-1].metrics[0].name == "auc"
    assert found[-1].metrics[0].baseline == pytest.approx(0.8, abs=0.05)


def test_windows_are_judged_at_the_horizon_until_the_curve_is_known_and_sooner_then() -> None:
    world = settled(World())
    found = world.realised()
    assert found[0].at - found[0].window_end >= RULES.horizon_seconds
    assert found[-1].at - found[-1].window_end < 20.0
    assert found[-1].matures_after == pytest.approx(12.0, abs=4.0)  # 95 % of exponential(4)
    shares = [point.share for point in found[-1].maturity]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_every_window_is_first_estimated_and_never_good_before_its_labels() -> None:
    world = settled(World())
    estimated = [one for one in world.given if one.stage == "estimated"]
    assert set(outcomes(estimated)) == {"inconclusive"}
    last = estimated[-1]
    assert last.founded
    assert "no concept drift" in last.assumption
    area = {metric.name: metric.value for metric in last.estimated}["auc"]
    assert area == pytest.approx(0.8, abs=0.04)


def test_a_change_of_meaning_under_still_inputs_is_concept_drift() -> None:
    world = settled(World())
    began = world.at
    for _ in range(6):
        world.window(keep=-1.0)
    bad = [one for one in world.realised() if one.outcome == "degraded"]
    assert bad
    assert {one.cause for one in bad} == {"concept"}
    assert bad[0].shift_start == pytest.approx(began + 10.0)
    assert "concept drift" in bad[0].reason
    late = [one for one in world.given if one.stage == "estimated"][-1]
    assert not late.founded
    assert "contradicted" in late.assumption


def test_a_fall_while_the_inputs_move_is_left_to_the_inputs_trigger() -> None:
    world = settled(World())
    for _ in range(6):
        world.window("drifted", keep=-1.0)
    moved = [one for one in world.given if one.stage == "estimated"][-5:]
    assert not any(one.founded for one in moved)
    assert "inputs have moved" in moved[0].assumption
    bad = [one for one in world.realised() if one.outcome == "degraded"]
    assert {one.cause for one in bad} == {"inputs"}


def test_a_fall_with_unjudged_inputs_has_no_known_cause() -> None:
    world = settled(World())
    for _ in range(10):
        world.window(None, keep=-1.0)
    bad = [one for one in world.realised() if one.outcome == "degraded"]
    assert {one.cause for one in bad} == {"unknown"}


def test_windows_whose_inputs_moved_make_no_baseline() -> None:
    world = World()
    for _ in range(12):
        world.window("drifted")
    assert set(outcomes(world.realised())) == {"inconclusive"}
    assert "inputs moved" in world.realised()[-1].reason


def test_labels_that_stay_away_are_inconclusive() -> None:
    world = settled(World())
    for _ in range(4):
        world.window(labelled=0.3)
    world.waits(30.0)
    assert world.realised()[-1].outcome == "inconclusive"
    assert "missing" in world.realised()[-1].reason


def test_few_predictions_are_judged_together() -> None:
    world = settled(World(rows=150), windows=30)
    found = world.realised()
    assert "so far" in found[0].reason
    judged = [one for one in found if one.outcome == "stable"]
    assert judged
    assert {one.window_end - one.since for one in judged} == {30.0}


def test_a_new_version_starts_afresh() -> None:
    world = settled(World())
    world.promote(2)
    for _ in range(4):
        world.window(keep=0.5)
    world.waits(20.0)
    found = [one for one in world.realised() if one.version == 2]
    assert outcomes(found)[:3] == ["inconclusive"] * 3
    assert outcomes(found)[3:] == ["stable"]


def test_prediction_drift_is_said_and_asks_for_nothing() -> None:
    world = settled(World())
    for _ in range(4):
        world.window(middle=-0.5)
    said = [one.scores.outcome for one in world.given if one.scores is not None]
    assert set(said[:-4]) == {"stable"}
    assert said[-1] == "drifted"
    assert "degraded" not in outcomes(world.given)


def test_a_restart_at_any_time_goes_on_where_it_stood() -> None:
    world = settled(World())
    for _ in range(6):
        world.window(keep=-1.0)
    for cut in (len(world.log) // 3, len(world.log) // 2, len(world.log) - 40):
        again = world.fresh()
        for what in world.log[:cut]:
            if isinstance(what, QualityVerdict):
                feed(again, decode(encode(what)))
        for what in world.log[:cut]:
            if not isinstance(what, QualityVerdict):
                feed(again, what)
        known = {one.record_id for one in world.log[:cut] if isinstance(one, QualityVerdict)}
        given: list[QualityVerdict] = []
        for what in world.log[cut:]:
            if isinstance(what, QualityVerdict):
                given += again.tick(what.at)
            else:
                feed(again, what)
        expected = [one for one in world.log[cut:] if isinstance(one, QualityVerdict)]
        assert not known & {one.record_id for one in given}, "no verdict comes twice"
        assert [(o.record_id, o.outcome, o.reason) for o in given] == [
            (o.record_id, o.outcome, o.reason) for o in expected
        ]


def test_verdicts_stay_small() -> None:
    world = settled(World(rows=5000), windows=8)
    assert max(len(encode(one)) for one in world.given) < 60_000
