"""The quality monitor over time: no change, concept drift, missing labels, restarts."""

from __future__ import annotations

from collections import Counter

import pytest

from streaming.contracts.codec import decode, encode
from streaming.contracts.quality_records import QualityVerdict
from streaming.quality.monitor import MAX_VERSIONS
from tests.streaming.quality.quality_world import RULES, World, feed


def outcomes(verdicts: list[QualityVerdict]) -> list[str]:
    return [verdict.outcome for verdict in verdicts]


def stable_world(world: World, windows: int = 16) -> World:
    for _ in range(windows):
        world.window()
    return world


def test_a_version_without_change_gets_a_baseline_and_is_then_stable() -> None:
    world = stable_world(World())
    verdicts = world.realised()
    assert outcomes(verdicts[:3]) == ["inconclusive"] * 3
    assert "baseline" in verdicts[0].reason
    assert set(outcomes(verdicts[3:])) == {"stable"}
    assert len(verdicts) > 8
    assert verdicts[-1].metrics[0].name == "auc"
    assert verdicts[-1].metrics[0].baseline == pytest.approx(0.8, abs=0.05)


def test_windows_are_judged_at_the_horizon_until_the_curve_is_known_and_earlier_afterwards() -> (
    None
):
    world = stable_world(World())
    verdicts = world.realised()
    assert verdicts[0].at - verdicts[0].window_end >= RULES.horizon_seconds
    assert verdicts[-1].at - verdicts[-1].window_end < 20.0
    assert verdicts[-1].matures_after == pytest.approx(12.0, abs=4.0)  # 95 % of exponential(4)
    shares = [point.share for point in verdicts[-1].maturity]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_every_window_is_estimated_first_and_never_stable_before_its_labels() -> None:
    world = stable_world(World())
    estimated = world.of_stage("estimated")
    assert set(outcomes(estimated)) == {"inconclusive"}
    last = estimated[-1]
    assert last.assumption_holds
    assert "no concept drift" in last.assumption
    auc = {metric.name: metric.value for metric in last.estimated}["auc"]
    assert auc == pytest.approx(0.8, abs=0.04)


def test_a_fall_under_stable_inputs_is_concept_drift() -> None:
    world = stable_world(World())
    change_at = world.at
    for _ in range(6):
        world.window(keep=-1.0)
    degraded = world.degraded()
    assert degraded
    assert {verdict.cause for verdict in degraded} == {"concept"}
    assert degraded[0].shift_start == pytest.approx(change_at + 10.0)
    assert "concept drift" in degraded[0].reason
    last = world.of_stage("estimated")[-1]
    assert not last.assumption_holds
    assert "contradicted" in last.assumption


def test_a_fall_while_the_inputs_drift_is_attributed_to_the_inputs() -> None:
    world = stable_world(World())
    for _ in range(6):
        world.window("drifted", keep=-1.0)
    estimated = world.of_stage("estimated")[-5:]
    assert not any(verdict.assumption_holds for verdict in estimated)
    assert "inputs have moved" in estimated[0].assumption
    assert {verdict.cause for verdict in world.degraded()} == {"inputs"}


def test_a_fall_with_unjudged_inputs_has_no_known_cause() -> None:
    world = stable_world(World())
    for _ in range(10):
        world.window(None, keep=-1.0)
    assert {verdict.cause for verdict in world.degraded()} == {"unknown"}


def test_windows_whose_inputs_moved_form_no_baseline() -> None:
    world = World()
    for _ in range(12):
        world.window("drifted")
    assert set(outcomes(world.realised())) == {"inconclusive"}
    assert "inputs moved" in world.realised()[-1].reason


def test_missing_labels_are_inconclusive() -> None:
    world = stable_world(World())
    for _ in range(4):
        world.window(labelled=0.3)
    world.wait(30.0)
    assert world.realised()[-1].outcome == "inconclusive"
    assert "missing" in world.realised()[-1].reason


def test_windows_with_few_predictions_are_judged_together() -> None:
    world = stable_world(World(rows=150), windows=30)
    verdicts = world.realised()
    assert "so far" in verdicts[0].reason
    stable = [verdict for verdict in verdicts if verdict.outcome == "stable"]
    assert stable
    assert {verdict.window_end - verdict.since for verdict in stable} == {30.0}


def test_a_new_version_starts_with_a_new_baseline() -> None:
    world = stable_world(World())
    world.promote(2)
    for _ in range(4):
        world.window(keep=0.5)
    world.wait(20.0)
    verdicts = [verdict for verdict in world.realised() if verdict.version == 2]
    assert outcomes(verdicts)[:3] == ["inconclusive"] * 3
    assert outcomes(verdicts)[3:] == ["stable"]


def test_prediction_drift_is_recorded_and_degrades_nothing() -> None:
    world = stable_world(World())
    for _ in range(4):
        world.window(middle=-0.5)
    drift = [v.prediction_drift.outcome for v in world.verdicts if v.prediction_drift is not None]
    assert set(drift[:-4]) == {"stable"}
    assert drift[-1] == "drifted"
    assert "degraded" not in outcomes(world.verdicts)


def test_a_restart_at_any_time_gives_the_same_remaining_verdicts() -> None:
    world = stable_world(World())
    for _ in range(6):
        world.window(keep=-1.0)
    for cut in (len(world.log) // 3, len(world.log) // 2, len(world.log) - 40):
        restarted = world.new_monitor()
        for entry in world.log[:cut]:
            if isinstance(entry, QualityVerdict):
                feed(restarted, decode(encode(entry)))
        for entry in world.log[:cut]:
            if not isinstance(entry, QualityVerdict):
                feed(restarted, entry)
        known = {entry.record_id for entry in world.log[:cut] if isinstance(entry, QualityVerdict)}
        verdicts: list[QualityVerdict] = []
        for entry in world.log[cut:]:
            if isinstance(entry, QualityVerdict):
                verdicts += restarted.poll(entry.at)
            else:
                feed(restarted, entry)
        expected = [entry for entry in world.log[cut:] if isinstance(entry, QualityVerdict)]
        assert not known & {verdict.record_id for verdict in verdicts}, "no verdict comes twice"
        assert [(v.record_id, v.outcome, v.reason) for v in verdicts] == [
            (v.record_id, v.outcome, v.reason) for v in expected
        ]


def test_verdicts_stay_small() -> None:
    world = stable_world(World(rows=5000), windows=8)
    assert max(len(encode(verdict)) for verdict in world.verdicts) < 60_000


def send_invented_versions(world: World, count: int) -> None:
    """One prediction each of versions that no one ever promoted, in the next window."""
    first = 10**12 + world.predictions * 10
    feed(
        world.monitor,
        [(f"invented-{first + n}", world.at + 0.5, first + n, 3) for n in range(count)],
    )


def test_versions_that_producers_invent_neither_flood_nor_hide_the_live_one() -> None:
    clean, invaded = World(seed=9), World(seed=9)
    for number in range(14):
        keep = -1.0 if number >= 8 else 1.0
        clean.window(keep=keep)
        send_invented_versions(invaded, 40)
        invaded.window(keep=keep)
    for world in (clean, invaded):
        world.wait(60)
    live = [verdict for verdict in invaded.realised() if verdict.version == 1]
    assert [verdict.outcome for verdict in live] == [
        verdict.outcome for verdict in clean.realised()
    ]
    assert "degraded" in {verdict.outcome for verdict in live}
    verdicts = Counter((verdict.window_start, verdict.stage) for verdict in invaded.verdicts)
    assert max(verdicts.values()) <= MAX_VERSIONS


def test_thousands_of_invented_versions_in_a_window_are_judged_once() -> None:
    world = World()
    send_invented_versions(world, 6_000)
    world.window()
    world.wait(80)
    assert len(world.verdicts) == len({verdict.record_id for verdict in world.verdicts})
    assert len(world.verdicts) <= 2 * MAX_VERSIONS
    assert {verdict.stage for verdict in world.verdicts if verdict.live} == {
        "estimated",
        "realised",
    }
