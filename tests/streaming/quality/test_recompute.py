"""Quality verdicts are judged again from the counts that they carry, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from msgspec.structs import replace

from streaming.contracts.recomputed import Recomputed, rules_in_force
from streaming.contracts.records import QualityVerdict, RulesInForce
from streaming.quality.recompute import QualityReplay
from tests.streaming.quality.quality_world import World


@pytest.fixture(scope="module")
def world() -> World:
    """Two versions; the second one falls behind its own start after some windows."""
    world = World()
    world.monitor.rules_digest = rules_of(world).digest
    for _ in range(8):
        world.window()
    world.promote(2)
    for number in range(14):
        world.window("drifted" if number == 9 else "stable", keep=0.3 if number > 9 else 1.0)
    return world


def rules_of(world: World) -> RulesInForce:
    return rules_in_force("quality", world.rules, model="m", code="1.0+abc", at=0.0)


def again(world: World, verdicts: Sequence[QualityVerdict]) -> list[Recomputed]:
    record = rules_of(world)
    replay = QualityReplay(lambda digest: record if digest == record.digest else None, {})
    return [replay.add(verdict) for verdict in verdicts]


def test_each_verdict_is_equal(world: World) -> None:
    results = again(world, world.verdicts)
    assert [result for result in results if result.outcome != "equal"] == []
    assert {verdict.stage for verdict in world.verdicts} == {"estimated", "realised"}
    assert len(results) > 30
    assert any(verdict.estimated for verdict in world.verdicts)
    assert any(verdict.prediction_drift for verdict in world.verdicts)
    assert any("moved" in verdict.assumption for verdict in world.verdicts)


def test_a_changed_count_is_named_at_the_verdicts_that_follow_from_it(world: World) -> None:
    at = next(
        number
        for number, verdict in enumerate(world.verdicts)
        if verdict.stage == "realised" and verdict.version == 1
    )
    recorded = world.verdicts[at]
    positives = (recorded.counts.positives[0] + 1, *recorded.counts.positives[1:])
    forged = replace(recorded, counts=replace(recorded.counts, positives=positives))
    results = again(world, [*world.verdicts[:at], forged, *world.verdicts[at + 1 :]])
    assert results[at].outcome == "differs"
    assert "labelled" in {entry.field for entry in results[at].differences}
    later = {result.outcome for result in results[at + 1 :]}
    assert "missing" in later, "what follows was judged with another history"


def test_a_changed_outcome_is_named(world: World) -> None:
    forged = replace(world.verdicts[-1], outcome="degraded")
    *_, last = again(world, [*world.verdicts[:-1], forged])
    assert (last.outcome, [entry.field for entry in last.differences]) == ("differs", ["outcome"])


def test_verdicts_that_are_gone_or_old_cannot_be_computed_again(world: World) -> None:
    results = again(world, world.verdicts[6:])
    assert results[-1].outcome == "equal", "version 2 was promoted later: its history is complete"
    assert results[0].outcome == "missing"
    old = replace(world.verdicts[0], rules_digest="")
    assert "written before" in again(world, [old])[0].reason
