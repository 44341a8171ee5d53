"""Commands about a rollout, and when they are refused."""

from __future__ import annotations

import pytest

from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from streaming.contracts.records import Action, Command
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

BEFORE_CANARY = quick_rules(
    steps=(5, 50), hold_seconds=10.0, bake_seconds=20.0, approval="before-canary"
)
BEFORE_PROMOTION = quick_rules(
    steps=(5, 50), hold_seconds=10.0, bake_seconds=20.0, approval="before-promotion"
)


def test_no_client_reaches_the_canary_before_the_approval() -> None:
    simulation = RolloutSimulation(rules=BEFORE_CANARY).start_canary().run(30)
    assert simulation.phase is Phase.AWAITING_APPROVAL
    assert simulation.canary == 0
    assert simulation.statuses[-1].waits_for == "approval before canary"
    assert simulation.let_on("approve").accepted
    simulation.until_live(2)
    assert any(cause.startswith("command-") for cause in simulation.promotions[-1].caused_by)


@pytest.mark.parametrize(
    ("number", "digest", "reason"),
    [
        (2, "digest-2", "changed"),  # that of the files alone
        (3, "shown", "about version 2"),
        (2, "", "needs the"),
        (0, "digest-1", "changed"),
    ],
)
def test_a_stale_approval_is_refused(number: int, digest: str, reason: str) -> None:
    simulation = RolloutSimulation(rules=BEFORE_CANARY).start_canary()
    opened = simulation.state.approval
    assert opened is not None
    digest = opened.request.digest if digest == "shown" else digest
    reply = simulation.send_command("approve", number, digest, subject=opened.request.record_id)
    assert not reply.accepted
    assert reply.reason.startswith("Conflict:")
    assert reason in reply.reason
    assert simulation.phase is Phase.AWAITING_APPROVAL


def test_a_rejected_version_is_not_rolled_out_again() -> None:
    simulation = RolloutSimulation(rules=BEFORE_CANARY).start_canary()
    assert simulation.let_on("reject").accepted
    simulation.run(4).send(version(2)).run(3)
    assert simulation.phase is Phase.IDLE
    assert simulation.live == 1


def test_a_newer_version_supersedes_one_that_awaits_its_first_approval() -> None:
    simulation = RolloutSimulation(rules=BEFORE_CANARY).start_canary().send(version(3)).run(4)
    assert simulation.state.rollout is not None
    assert simulation.state.rollout.candidate.version == 3
    assert not simulation.send_command("approve", 2, "digest-2").accepted


def test_a_slow_canary_is_ejected_while_its_approval_is_awaited() -> None:
    simulation = RolloutSimulation(rules=BEFORE_PROMOTION).start_canary()
    simulation.until_phase(Phase.AWAITING_APPROVAL)
    assert simulation.canary == 50
    simulation.serving.slow = {2: 1.0}
    simulation.until(lambda simulation: simulation.canary == 0, 10)
    simulation.until_phase(Phase.IDLE)
    assert simulation.live == 1
    assert simulation.verdicts[-1].outcome == "fail"


def test_waiting_for_an_approval_does_not_count_against_the_deadline() -> None:
    rules = quick_rules(
        steps=(50,), hold_seconds=5.0, deadline_seconds=60.0, approval="before-promotion"
    )
    simulation = RolloutSimulation(rules=rules).start_canary().until_phase(Phase.AWAITING_APPROVAL)
    simulation.run(120)
    assert simulation.let_on("approve").accepted
    simulation.until_live(2)


def test_pause_holds_the_weight_until_resume() -> None:
    simulation = RolloutSimulation().start_canary()
    assert simulation.send_command("pause").accepted
    simulation.run(120)
    assert (simulation.phase, simulation.canary) == (Phase.PAUSED, 5)
    assert simulation.send_command("resume").accepted
    simulation.until_live(2)


def test_a_paused_canary_that_turns_bad_is_rolled_back() -> None:
    simulation = RolloutSimulation(InMemoryServing(rate=400)).start_canary()
    simulation.send_command("pause")
    simulation.serving.errors = {2: 0.3}
    simulation.until_phase(Phase.IDLE, seconds=200)
    assert simulation.live == 1


def test_abort_removes_the_canary_from_the_traffic_at_once() -> None:
    simulation = RolloutSimulation().start_canary().run(5)
    assert simulation.send_command("abort").accepted
    simulation.tick()
    assert simulation.canary == 0
    simulation.until_phase(Phase.IDLE, seconds=5)
    assert [promotion.change for promotion in simulation.promotions] == ["initial"]


def test_promote_by_force_skips_the_gates_and_names_the_person() -> None:
    simulation = RolloutSimulation().start_canary().run(2)
    assert simulation.let_on("promote", force=True).accepted
    simulation.until_live(2, seconds=10)
    assert "ann promoted it by force" in simulation.promotions[-1].reason
    assert "because" in simulation.promotions[-1].reason


def test_rollback_after_the_bake_returns_to_the_previous_version() -> None:
    simulation = RolloutSimulation().start_canary().until_live(2).until_phase(Phase.IDLE)
    assert simulation.send_command("rollback").accepted
    simulation.until_phase(Phase.IDLE, seconds=10)
    assert (simulation.live, simulation.promotions[-1].change) == (1, "rolled-back")
    assert not simulation.send_command("rollback").accepted


@pytest.mark.parametrize("action", ["approve", "reject", "pause", "resume", "promote", "abort"])
def test_every_command_is_refused_without_a_rollout(action: Action) -> None:
    reply = RolloutSimulation().send_command(action)
    assert not reply.accepted
    assert "Nothing is being rolled out" in reply.reason


def test_a_retrain_command_is_ignored() -> None:
    simulation = RolloutSimulation()
    simulation.send(
        Command(record_id="c", model="m", at=0.0, action="retrain", reason="", who="ann")
    )
    assert simulation.records == []


@pytest.mark.parametrize(
    ("action", "phase"),
    [
        ("pause", Phase.PAUSED),
        ("abort", Phase.ROLLING_BACK),
        ("rollback", Phase.ROLLING_BACK),
    ],
)
def test_a_command_without_version_applies_to_the_version_in_the_rollout(
    action: Action, phase: Phase
) -> None:
    simulation = RolloutSimulation().start_canary().send(version(3))
    assert simulation.send_command(action).accepted
    assert simulation.state.rollout is not None
    assert simulation.state.rollout.candidate.version == 2
    assert simulation.phase is phase


def test_a_rejection_without_version_applies_to_the_version_in_the_rollout() -> None:
    simulation = RolloutSimulation(rules=BEFORE_CANARY).start_canary()
    opened = simulation.state.approval
    assert opened is not None
    request = opened.request
    other = simulation.send_command("reject", digest="digest-3", subject=request.record_id)
    assert not other.accepted
    reply = simulation.send_command("reject", digest=request.digest, subject=request.record_id)
    assert reply.accepted
    assert simulation.state.rollout is not None
    assert simulation.state.rollout.candidate.version == 2


def test_a_rollback_without_version_applies_to_the_live_version() -> None:
    simulation = RolloutSimulation().start_canary().until_live(2).until_phase(Phase.IDLE)
    assert not simulation.send_command("rollback", 1).accepted
    assert simulation.send_command("rollback").accepted
    simulation.until_live(1, seconds=10)
