"""Rollouts wait for memory, get all of it or nothing, and each is served in the end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from serving.engines.memory import InMemoryServing
from serving.memory_budget import Claim, decide, demand
from serving.phase import Phase
from serving.ports import (
    ALL_STABLE,
    Action,
    LoadState,
    MemoryAnswer,
    MemoryDemand,
    Observation,
    ServerStatus,
    UnloadVersions,
    VersionStatus,
)
from serving.reconcile import reconcile
from serving.state import RolloutState
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

BUDGET = 100


@pytest.mark.parametrize(
    ("others", "rollout", "outcome", "reason"),
    [
        ({}, 100, "granted", "of 0.0001 MB"),
        ({}, 101, "impossible", "local.model_memory"),
        ({"b": Claim(at_rest=60)}, 40, "granted", "beside 6e-05 MB of other models"),
        ({"b": Claim(at_rest=60)}, 41, "impossible", "at rest take 6e-05 MB"),
        ({"b": Claim(at_rest=20, rollout=80, granted=True)}, 40, "waits", "the rollout of b"),
        ({"b": Claim(at_rest=20, rollout=50, since=1.0)}, 40, "waits", "of b waits longer"),
        ({"b": Claim(at_rest=20, rollout=50, since=9.0)}, 40, "granted", "has its memory"),
        ({"b": Claim(at_rest=20, rollout=120, since=1.0)}, 40, "granted", "has its memory"),
    ],
)
def test_a_rollout_gets_its_memory_waits_or_never_can(
    others: dict[str, Claim], rollout: int, outcome: str, reason: str
) -> None:
    claims = {"a": Claim(at_rest=20, rollout=rollout, since=5.0), **others}
    answer = decide("a", claims, BUDGET)
    assert answer.outcome == outcome
    assert reason in answer.reason


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 120)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
)
def test_the_limit_is_kept_and_everybody_who_fits_is_served(
    sizes: list[tuple[int, int]], random: object
) -> None:
    """Rollouts that are granted end one after the other; in the end nobody waits."""
    claims = {
        f"m{number}": Claim(at_rest=rest, rollout=max(rest, wanted), since=float(number))
        for number, (rest, wanted) in enumerate(sizes)
    }
    fits_at_rest = sum(claim.at_rest for claim in claims.values()) <= BUDGET
    for _ in range(2 * len(claims)):
        for name in sorted(claims, key=lambda _: random.random()):  # type: ignore[attr-defined]
            claim = claims[name]
            if not claim.waits:
                continue
            outcome = decide(name, claims, BUDGET).outcome
            if outcome == "granted":
                claims[name] = replace(claim, granted=True)
            elif outcome == "impossible":
                claims[name] = Claim(at_rest=claim.at_rest)
        if fits_at_rest:
            assert sum(claim.held for claim in claims.values()) <= BUDGET
        for name, claim in claims.items():
            if claim.granted:
                claims[name] = Claim(at_rest=claim.at_rest)
                break
    assert not any(claim.waits for claim in claims.values())


class Memory:
    """A budget that answers what the test says."""

    def __init__(self) -> None:
        self.answer = MemoryAnswer(outcome="waits", reason="It waits for 2 GB of memory.")
        self.demands: list[MemoryDemand] = []

    def ask(self, model: str, demand: MemoryDemand, *, now: float) -> MemoryAnswer:
        self.demands.append(demand)
        return self.answer


GRANTED = MemoryAnswer(outcome="granted", reason="The rollout has its memory.")


def limited(memory: Memory, **rules: object) -> RolloutSimulation:
    """Version 1 is live, and version 2 is to replace it, while memory is limited."""
    simulation = RolloutSimulation(
        serving=InMemoryServing(rate=200.0, memory_budget=memory),
        rules=quick_rules(memory_limited=True, **rules),
    )
    waiting, memory.answer = memory.answer, GRANTED
    simulation.send(version(1)).until_live(1).until_phase(Phase.IDLE)
    memory.answer = waiting
    return simulation.send(version(2))


def test_nothing_is_loaded_before_there_is_memory_for_it() -> None:
    memory = Memory()
    rollout = limited(memory).run(300)
    assert rollout.state.phase is Phase.PREPARING
    assert rollout.state.rollout is not None
    assert rollout.state.rollout.reason == "It waits for 2 GB of memory."
    assert "canary" not in rollout.serving.servers.loaded
    assert memory.demands[-1] == MemoryDemand(at_rest=(1, 1), rollout=(1, 1, 2, 2))
    memory.answer = GRANTED
    rollout.until_phase(Phase.STEPPING)
    assert memory.demands[-1].granted


def test_a_rollout_that_can_never_fit_is_given_up_with_the_reason() -> None:
    memory = Memory()
    memory.answer = MemoryAnswer(outcome="impossible", reason="The rollout needs 9 GB.")
    rollout = limited(memory).until_phase(Phase.IDLE)
    (rejection,) = rollout.state.rejections
    assert (rejection.reason, rejection.cause) == ("The rollout needs 9 GB.", "outage")
    assert rollout.serving.servers.loaded == {"stable": 1}
    assert demand(rollout.state).rollout == ()


def test_the_wait_for_memory_ends() -> None:
    rollout = limited(Memory(), memory_seconds=60.0).run(50)
    assert rollout.phase is Phase.PREPARING
    rollout.until_phase(Phase.IDLE)
    assert rollout.state.rejections[-1].reason == "It waits for 2 GB of memory."


def test_a_canary_whose_versions_have_ended_is_not_asked_again() -> None:
    def unloads(state: LoadState) -> list[Action]:
        version = VersionStatus(version=2, state=state)
        servers = (ServerStatus(role="canary", reachable=True, versions=(version,)),)
        observed = Observation(at=1.0, split=ALL_STABLE, servers=servers)
        rules = quick_rules(memory_limited=True)
        return list(reconcile(RolloutState(model="m"), observed, rules, 1.0)[1])

    assert unloads("available") == unloads("loading") == [UnloadVersions(role="canary")]
    assert unloads("ended") == []


def test_an_idle_canary_gives_its_version_up_where_memory_is_limited() -> None:
    memory = Memory()
    memory.answer = GRANTED
    rollout = limited(memory).run(1).until_phase(Phase.IDLE).run(3)
    assert rollout.serving.servers.loaded == {"stable": 2, "control": 1}
    assert demand(rollout.state).at_rest == (2, 1)
