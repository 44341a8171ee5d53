"""The daemon is killed at every kind of step; in the end log and servers agree."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from streaming.contracts.records import (
    Action,
    CanaryVerdict,
    Command,
    CommandReply,
    Promotion,
    SchemaVersion,
)
from tests.deploy.daemon.crash_scenarios import (
    LOSSES,
    SCENARIOS,
    play,
    problems_of,
    telling_steps,
)
from tests.deploy.daemon.crashing import Crash, Kill, Loss, World, broken_invariants

DAY = 86_400.0


@pytest.mark.parametrize("name", SCENARIOS)
def test_without_a_crash_everything_holds(name: str) -> None:
    world = play(SCENARIOS[name], Kill())
    assert world.crashes == 0
    assert broken_invariants(world, SCENARIOS[name].failed) == []


@pytest.mark.parametrize("name", SCENARIOS)
def test_after_a_crash_at_any_kind_of_step_log_and_servers_agree(name: str) -> None:
    """Losses, the order of topics and a command at the restart take turns."""
    scenario = SCENARIOS[name]
    turns: list[tuple[Action, ...]] = [(), ("abort",), ("rollback",)]
    problems: list[str] = []
    for number, step in enumerate(telling_steps(scenario)):
        problems += problems_of(
            scenario,
            Kill(at=step, after=True),
            loss=LOSSES[number % 4],
            reverse=number % 8 > 3,
            at_restart=turns[number % 3],
        )
    assert problems == []


@pytest.mark.parametrize("action", ["abort", "rollback"])
def test_a_kill_between_sending_a_promotion_and_what_follows_and_then_a_command(
    action: Action,
) -> None:
    scenario, kill = SCENARIOS["promoted"], Kill()
    play(scenario, kill)
    last = [number for number, name in enumerate(kill.names, 1) if name == "send promotions"][-1]
    for step in range(last - 3, last + 4):
        for reverse in (False, True):
            world = play(scenario, Kill(at=step, after=True), reverse=reverse, at_restart=(action,))
            assert world.crashes == 1
            assert broken_invariants(world) == []


@pytest.mark.parametrize("loss", ["table", "both"])
@pytest.mark.parametrize("reverse", [False, True])
def test_no_version_goes_live_unjudged_after_a_loss_of_the_table(loss: Loss, reverse: bool) -> None:
    scenario, kill = SCENARIOS["promoted"], Kill()
    play(scenario, kill)
    for step in (len(kill.names) - 2, kill.names.index("split 25") + 1):
        world = play(scenario, Kill(at=step, after=True), loss=loss, reverse=reverse)
        assert world.crashes == 1
        changes = [
            (record.version, record.change)
            for record in world.records()
            if isinstance(record, Promotion)
        ]
        assert changes.count((1, "initial")) == len({*changes} & {(1, "initial")}) == 1
        assert world.serving.servers.loaded["stable"] == 2
        assert broken_invariants(world) == []


def test_a_rejected_version_is_not_tried_again_after_a_loss_of_everything() -> None:
    scenario, kill = SCENARIOS["sick"], Kill()
    play(scenario, kill)
    world = play(scenario, Kill(at=len(kill.names) - 2, after=True), loss="both")
    assert world.crashes == 1
    verdicts = [record for record in world.records() if isinstance(record, CanaryVerdict)]
    assert len({record.rollout_id for record in verdicts}) == 1


@pytest.mark.parametrize("age", [3_700.0, DAY, 30 * DAY, -7_200.0])
@pytest.mark.parametrize("action", ["abort", "rollback", "retrain", "accept-schema"])
def test_a_command_that_is_out_of_date_is_refused_with_a_record(action: Action, age: float) -> None:
    world = World()

    def script(second: int, world: World) -> None:
        if second == 0:
            world.publish(1)
        if second == 6:
            world.publish(2)
        if second == 10:
            world.give(action, age=age)

    asyncio.run(world.run(60, script))
    (reply,) = [record for record in world.records() if isinstance(record, CommandReply)]
    assert not reply.accepted
    assert "out of date" in reply.reason.lower()
    assert world.newest_promotion().version == 2


def test_commands_that_were_answered_are_not_obeyed_again_after_a_loss_of_everything() -> None:
    """The rollback is minutes old: its age alone would not stop it."""
    scenario, kill = SCENARIOS["rolled back afterwards"], Kill()
    play(scenario, kill)
    world = play(scenario, Kill(at=len(kill.names) - 2, after=True), loss="both")
    replies = [record for record in world.records() if isinstance(record, CommandReply)]
    assert len({record.record_id for record in replies}) == len(replies) == 1
    assert broken_invariants(world) == []


def test_an_accepted_schema_survives_a_loss_of_the_table() -> None:
    from deploy.daemon.log_history import LogHistory
    from tests.deploy.daemon.doubles import counting_controller

    text = 'feature { name: "a" }'
    controller = counting_controller()
    (filed,) = controller_with(controller, text)
    accepted = replace(filed, record_id="accepted", version=2, proposal_id="p", digest="other")
    fresh = counting_controller()
    for step in fresh.catch_up(LogHistory(schema_versions=(filed, accepted)), now=2.0):
        fresh.adopt(step)
    assert controller_with(fresh, text) == ()
    assert fresh.state.schema.current == accepted


def controller_with(controller: object, text: str) -> tuple[SchemaVersion, ...]:
    """The versions that the schema's file leads to."""
    from deploy.daemon.controller import ModelController

    assert isinstance(controller, ModelController)
    controller.schema_text = lambda: text
    step = ModelController.decide_tick(controller, "schema", now=1.0)
    controller.adopt(step)
    return tuple(record for record in step.records if isinstance(record, SchemaVersion))


def test_a_crash_is_seen_by_no_handler_of_errors() -> None:
    """The harness kills; it does not only fail."""
    assert not issubclass(Crash, Exception)
    assert isinstance(Command, type)
