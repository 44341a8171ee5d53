"""A version that an outage ended can be tried again; what it was ended for decides."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serving.phase import Phase
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

RULES = quick_rules(steps=(5, 50), hold_seconds=10.0, deadline_seconds=200.0, prepare_seconds=30.0)


def no_prometheus(simulation: RolloutSimulation) -> None:
    simulation.start_canary().serving.metrics.down = True


def no_traffic(simulation: RolloutSimulation) -> None:
    simulation.start_canary().run(6).serving.rate = 0.0


def dead_canary(simulation: RolloutSimulation) -> None:
    simulation.start_canary().serving.servers.kill("canary")


def no_server(simulation: RolloutSimulation) -> None:
    simulation.send(version(1)).until_live(1)
    simulation.serving.servers.kill("canary")
    simulation.send(version(2)).run(1)


def heal(simulation: RolloutSimulation) -> RolloutSimulation:
    serving = simulation.serving
    serving.metrics.down, serving.rate = False, 200.0
    serving.errors, serving.slow = {}, {}
    for role in list(serving.servers.down):
        serving.servers.revive(role)
    return simulation


@pytest.mark.parametrize("outage", [no_prometheus, no_traffic, dead_canary, no_server])
def test_after_an_outage_a_version_is_tried_again(
    outage: Callable[[RolloutSimulation], None],
) -> None:
    simulation = RolloutSimulation(rules=RULES)
    outage(simulation)
    first = simulation.state.rollout
    assert first is not None
    simulation.until_phase(Phase.IDLE, seconds=1_000)
    heal(simulation).send(version(2)).run(5)
    assert simulation.phase is Phase.IDLE  # not by itself
    assert simulation.send_command("retry", 2, "digest-2").accepted
    again = simulation.state.rollout
    assert again is not None
    assert again.rollout_id != first.rollout_id
    assert "ann retries version 2: because" in again.reason
    simulation.until_live(2)
    assert simulation.promotions[-1].version == 2


def failed(simulation: RolloutSimulation) -> None:
    simulation.serving.errors = {2: 0.2}
    simulation.start_canary()


def rejected(simulation: RolloutSimulation) -> None:
    simulation.start_canary().send_command("abort")


def loads_slowly(simulation: RolloutSimulation) -> None:
    simulation.send(version(1)).until_live(1)
    simulation.serving.servers.load_seconds = 9.0
    simulation.send(version(2))


@pytest.mark.parametrize("end", [failed, rejected, loads_slowly])
def test_a_version_that_was_given_up_for_what_it_did_needs_force(
    end: Callable[[RolloutSimulation], None],
) -> None:
    simulation = RolloutSimulation(rules=RULES)
    end(simulation)
    simulation.until_phase(Phase.IDLE, seconds=1_000)
    heal(simulation).serving.servers.load_seconds = 0.2
    refused = simulation.send_command("retry", 2, "digest-2")
    assert not refused.accepted
    assert "not for an outage" in refused.reason
    assert not simulation.send_command("retry", 2, force=True, reason=" ").accepted
    assert simulation.send_command("retry", 2, "digest-2", force=True).accepted
    simulation.until_live(2)  # with all its gates
    passed = [verdict.weight for verdict in simulation.verdicts if verdict.outcome == "pass"]
    assert passed[-3:] == [0, 5, 50]


def test_a_version_that_fails_again_is_rolled_back_again() -> None:
    simulation = RolloutSimulation(rules=RULES)
    failed(simulation)
    simulation.until_phase(Phase.IDLE, seconds=1_000)
    assert simulation.send_command("retry", 2, force=True).accepted
    simulation.run(3).until_phase(Phase.IDLE, seconds=300)
    assert simulation.live == 1
    assert not simulation.send_command("retry", 2).accepted


@pytest.mark.parametrize(
    ("number", "digest", "reason"),
    [
        (0, "", "needs the version"),
        (7, "", "not given up"),
        (1, "", "not given up"),
        (2, "digest-9", "changed"),
    ],
)
def test_a_retry_of_something_else_is_refused(number: int, digest: str, reason: str) -> None:
    simulation = RolloutSimulation(rules=RULES)
    no_prometheus(simulation)
    simulation.until_phase(Phase.IDLE, seconds=1_000)
    reply = simulation.send_command("retry", number, digest)
    assert not reply.accepted
    assert reason in reply.reason


def test_a_retry_waits_for_no_rollout() -> None:
    simulation = RolloutSimulation(rules=RULES)
    no_prometheus(simulation)
    simulation.until_phase(Phase.IDLE, seconds=1_000)
    heal(simulation).send(version(3))
    reply = simulation.send_command("retry", 2)
    assert not reply.accepted
    assert "version 3 is being rolled out" in reply.reason.lower()


def test_an_older_version_than_the_live_one_can_be_retried() -> None:
    simulation = RolloutSimulation(rules=RULES)
    no_prometheus(simulation)
    simulation.until_phase(Phase.IDLE, seconds=1_000)
    heal(simulation).send(version(3)).until_live(3).until_phase(Phase.IDLE)
    assert simulation.send_command("retry", 2).accepted
    simulation.until_live(2)
    assert simulation.promotions[-1].replaced == 3


def test_a_superseded_version_can_be_retried() -> None:
    rules = quick_rules(steps=(5, 50), hold_seconds=10.0, approval="before-canary")
    simulation = RolloutSimulation(rules=rules).start_canary().send(version(3)).run(4)
    simulation.send_command("abort")
    simulation.until_phase(Phase.IDLE)
    assert simulation.send_command("retry", 2).accepted
