"""A person asks: a canary that fails, and two requests at once."""

from __future__ import annotations

from dataclasses import replace

from serving.engines.memory import MemoryWorld
from serving.ports import ALL_STABLE
from streaming.contracts.records import ModelVersion, Promotion, RetrainRequest
from tests.integration.walk import Walk, ask, to_version_one


def test_a_bad_canary_is_rolled_back_and_the_reference_stays(walk: Walk) -> None:
    walk.world = replace_world(walk, errors={2: 0.3})
    to_version_one(walk)
    ask(walk, "first")
    for _ in range(60):
        walk.window()
        if len(walk.all(ModelVersion)) > 1 and walk.loop.state.rollout.rollout is None:
            break
    assert [promotion.version for promotion in walk.all(Promotion)] in ([1], [1, 1])
    assert walk.world.splitter.split == ALL_STABLE
    assert walk.world.servers.loaded["stable"] == 1
    assert 2 in walk.loop.state.rollout.tried


def test_two_requests_by_hand_at_once_run_once(walk: Walk) -> None:
    to_version_one(walk)
    ask(walk, "first")
    ask(walk, "second")
    for _ in range(3):
        walk.window()
    assert [request.cause for request in walk.all(RetrainRequest)] == ["initial", "manual"]


def replace_world(walk: Walk, *, errors: dict[int, float]) -> MemoryWorld:
    """The same world in which some versions fail."""
    world = replace(walk.world, errors=errors)
    walk.loop.serving = world.ports
    return world
