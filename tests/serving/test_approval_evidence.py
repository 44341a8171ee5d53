"""Approve and promote need the version, the digest and the evidence, or force with a reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from streaming.contracts.records import Action
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules

FINAL = quick_rules(steps=(5, 50), hold_seconds=10.0, approval="before-promotion")
FIRST = quick_rules(steps=(5, 50), hold_seconds=10.0, approval="before-canary")


def waiting(rules: object = FINAL) -> RolloutSimulation:
    simulation = RolloutSimulation(rules=rules).start_canary()  # type: ignore[arg-type]
    return simulation.until_phase(Phase.AWAITING_APPROVAL).run(5)


def stepping() -> RolloutSimulation:
    return RolloutSimulation(rules=quick_rules(steps=(5, 50), hold_seconds=600.0)).start_canary()


NAMES = [(0, ""), (2, ""), (0, "digest-2"), (3, "digest-2"), (2, "digest-1"), (1, "digest-1")]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(("number", "digest"), NAMES)
@pytest.mark.parametrize(("action", "start"), [("approve", waiting), ("promote", stepping)])
def test_a_command_that_does_not_name_what_is_rolled_out_is_refused_also_by_force(
    action: Action, start: Callable[[], RolloutSimulation], number: int, digest: str, force: bool
) -> None:
    simulation = start()
    before = simulation.state.rollout
    reply = simulation.send_command(action, number, digest, force=force)
    assert not reply.accepted
    assert reply.reason.startswith("Conflict:")
    assert simulation.state.rollout == before


def silence(simulation: RolloutSimulation) -> None:
    simulation.serving.metrics.down = True
    simulation.run(20)


def slow(simulation: RolloutSimulation) -> None:
    simulation.serving.slow = {2: 1.0}
    simulation.run(2)


def failing(simulation: RolloutSimulation) -> None:
    simulation.serving.errors = {2: 1.0}
    simulation.run(2)


def ejected(simulation: RolloutSimulation) -> None:
    simulation.serving.slow = {2: 1.0}
    simulation.until_phase(Phase.EJECTED)


@pytest.mark.parametrize("trouble", [silence, slow, failing, ejected])
@pytest.mark.parametrize(("action", "start"), [("approve", waiting), ("promote", stepping)])
def test_in_trouble_nothing_is_let_on_without_force(
    action: Action,
    start: Callable[[], RolloutSimulation],
    trouble: Callable[[RolloutSimulation], None],
) -> None:
    simulation = start()
    simulation.run(30)
    trouble(simulation)
    reply = simulation.let_on(action)
    assert not reply.accepted
    assert simulation.phase is not Phase.PROMOTING
    assert simulation.live == 1


def test_an_unjudged_canary_is_not_promoted_without_force() -> None:
    simulation = stepping().run(3)
    reply = simulation.let_on("promote")
    assert not reply.accepted
    assert "has not passed" in reply.reason
    assert "--force" in reply.reason
    assert simulation.phase is Phase.STEPPING


def test_a_promotion_skips_steps_only_on_what_the_last_step_has_to_prove() -> None:
    """At 5 % the step passes with five times the final tolerance; that is not enough for all."""
    rules = quick_rules(steps=(5, 10, 50), hold_seconds=600.0)
    simulation = RolloutSimulation(rules=rules).start_canary().run(40)
    assert simulation.verdicts[-1].outcome == "pass"
    assert not simulation.let_on("promote").accepted
    simulation.run(400)
    assert simulation.let_on("promote").accepted
    simulation.until_live(2, seconds=10)
    assert "ann promoted it: because" in simulation.promotions[-1].reason


@pytest.mark.parametrize("action", ["promote", "approve"])
def test_force_is_recorded_with_the_reason_and_what_was_missing(action: Action) -> None:
    simulation = waiting() if action == "approve" else stepping().run(3)
    if action == "approve":
        silence(simulation)
    reply = simulation.let_on(action, force=True)
    assert reply.accepted
    assert "by force" in reply.reason
    simulation.serving.metrics.down = False
    simulation.until_live(2, seconds=10)
    reason = simulation.promotions[-1].reason
    assert "ann" in reason
    assert "by force" in reason
    assert "because" in reason


@pytest.mark.parametrize("reason", ["", "  "])
def test_force_without_a_reason_is_refused(reason: str) -> None:
    simulation = stepping().run(3)
    reply = simulation.send_command("promote", 2, "digest-2", force=True, reason=reason)
    assert not reply.accepted
    assert "needs a reason" in reply.reason


def test_before_the_canary_an_approval_needs_prometheus_but_no_requests() -> None:
    simulation = waiting(FIRST)
    silence(simulation)
    assert not simulation.let_on("approve").accepted
    simulation.serving.metrics.down = False
    simulation.run(2)
    assert simulation.let_on("approve").accepted
    simulation.until_live(2)


def test_promote_does_not_stand_in_for_an_approval_of_an_unjudged_version() -> None:
    simulation = waiting(FIRST)
    reply = simulation.let_on("promote")
    assert not reply.accepted
    assert "nothing was judged" in reply.reason


@pytest.mark.parametrize("action", ["pause", "abort", "rollback"])
def test_what_takes_a_version_out_needs_neither_name_nor_evidence(action: Action) -> None:
    simulation = RolloutSimulation(serving=InMemoryServing()).start_canary().run(2)
    silence(simulation)
    assert simulation.send_command(action).accepted


DAY = 86_400.0


@pytest.mark.parametrize("action", ["promote", "approve", "abort", "rollback", "pause", "retry"])
@pytest.mark.parametrize("age", [30 * DAY, DAY, 7200.0, -7200.0, -30 * DAY])
def test_a_command_of_another_time_is_refused(action: Action, age: float) -> None:
    simulation = waiting() if action == "approve" else stepping().run(60)
    before = simulation.state.rollout
    given_at = simulation.now - age
    reply = simulation.send_command(action, 2, "digest-2", force=True, at=given_at)
    assert not reply.accepted
    assert reply.reason.startswith("Out of date: ")
    assert simulation.state.rollout == before
