"""A promotion that went without its drift reference gets it later, and only then."""

from __future__ import annotations

import msgspec
import pytest

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.state import RolloutState
from streaming.contracts.records import Artifact
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version


def without_reference(*, bake_seconds: float = 20.0) -> RolloutSimulation:
    """Version 2 live; its reference could not be built in time."""
    rules = quick_rules(reference_seconds=30.0, bake_seconds=bake_seconds)
    simulation = RolloutSimulation(serving=InMemoryServing(), rules=rules)
    simulation.send(version(1)).until_live(1)
    simulation.serving.references.down = True
    return simulation.send(version(2)).until_live(2)


@pytest.mark.parametrize("bake_seconds", [0.0, 20.0])
@pytest.mark.parametrize("wait", [0, 10, 200])
def test_a_reference_that_is_built_late_is_published(wait: int, bake_seconds: float) -> None:
    simulation = without_reference(bake_seconds=bake_seconds)
    promoted = simulation.promotions[-1]
    assert promoted.reference is None
    assert "still being built" in promoted.reason
    simulation.run(wait)
    assert simulation.promotions[-1] == promoted
    simulation.serving.references.down = False
    simulation.run(3)
    late = simulation.promotions[-1]
    assert (late.version, late.replaced, late.change) == (2, 1, "referenced")
    assert late.reference == Artifact(uri="memory:reference/2", digest="r2")
    assert promoted.record_id in late.caused_by
    assert late.at > promoted.at
    requests = simulation.publish_requests
    simulation.run(60)
    assert simulation.promotions[-1] == late  # once
    assert simulation.publish_requests == requests
    assert simulation.phase is Phase.IDLE


def test_a_version_without_windows_is_not_asked_for_again() -> None:
    simulation = without_reference()
    simulation.serving.references.without_windows.add(2)
    simulation.serving.references.down = False
    simulation.run(5)
    assert simulation.promotions[-1].change == "promoted"
    requests = simulation.publish_requests
    simulation.run(60)
    assert simulation.publish_requests == requests


def test_the_next_promotion_ends_the_wait() -> None:
    simulation = without_reference(bake_seconds=0.0)
    simulation.send(version(3)).until_phase(Phase.PROMOTING)
    simulation.serving.references.down = False
    simulation.until_live(3).run(30)
    assert [(p.version, p.change) for p in simulation.promotions[-2:]] == [
        (2, "promoted"),
        (3, "promoted"),
    ]


def test_a_rollback_ends_the_wait_and_returns_to_the_earlier_reference() -> None:
    simulation = without_reference()
    simulation.send_command("rollback")
    simulation.until_live(1)
    simulation.serving.references.down = False
    simulation.run(30)
    assert simulation.promotions[-1].change == "rolled-back"
    assert simulation.promotions[-1].reference == Artifact(uri="memory:reference/1", digest="r1")


def test_a_crash_before_the_state_is_stored_repeats_the_record_and_keeps_the_way_back() -> None:
    simulation = without_reference().run(30)
    simulation.serving.references.down = False
    simulation.run(2)
    before = msgspec.json.encode(simulation.state)
    simulation.tick()
    late = simulation.promotions[-1]
    assert late.change == "referenced"
    simulation.state = msgspec.json.decode(before, type=RolloutState)
    simulation.send(late)  # it is in the log
    assert simulation.live == 2
    assert simulation.state.previous is not None
    assert simulation.state.missing_reference is None
    assert simulation.state.live == late
    simulation.state = msgspec.json.decode(before, type=RolloutState)
    simulation.tick()
    assert simulation.promotions[-1] == late
