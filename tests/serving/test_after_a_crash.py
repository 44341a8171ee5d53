"""The log is the truth after a crash or a loss of state, whatever is read or commanded first."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from serving import handlers
from serving.phase import Phase
from serving.ports import ServingPorts
from serving.state import RolloutState
from streaming.contracts.codec import encode
from streaming.contracts.errors import UnavailableError
from streaming.contracts.records import Action, Promotion
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

RULES = quick_rules(steps=(5, 50), hold_seconds=10.0)


def killed_after_sending() -> tuple[RolloutSimulation, Promotion]:
    """The promotion of version 2 is in the log, and the state does not know it."""
    simulation = RolloutSimulation(rules=RULES).start_canary()
    while True:
        before = simulation.state
        simulation.tick()
        if simulation.live == 2:
            break
    simulation.state = before
    return simulation, simulation.promotions[-1]


@pytest.mark.parametrize("action", ["abort", "rollback", "pause"])
@pytest.mark.parametrize("ticks", [0, 1, 8])
@pytest.mark.parametrize("replayed_first", [True, False])
def test_a_command_after_a_kill_at_the_promotion_leaves_log_and_servers_agreed(
    action: Action, ticks: int, replayed_first: bool
) -> None:
    simulation, promoted = killed_after_sending()
    if replayed_first:
        simulation.send(promoted)
    simulation.send_command(action)
    simulation.run(ticks)
    if not replayed_first:
        simulation.send(promoted)
    simulation.until_phase(Phase.IDLE)
    assert simulation.promotions[-1].version == simulation.live
    assert simulation.serving.servers.loaded["stable"] == simulation.live


def test_the_promotion_is_written_again_in_the_same_words() -> None:
    simulation, promoted = killed_after_sending()
    simulation.now += 100.0
    simulation.tick()
    assert encode(simulation.promotions[-1]) == encode(promoted)


def test_the_end_of_a_rollback_is_written_again_in_the_same_words() -> None:
    simulation = RolloutSimulation(rules=RULES).start_canary().until_phase(Phase.BAKING)
    simulation.send_command("rollback")
    while simulation.live == 2:
        before = simulation.state
        simulation.tick()
    back = simulation.promotions[-1]
    simulation.state = before
    simulation.now += 50.0
    simulation.tick()
    assert encode(simulation.promotions[-1]) == encode(back)
    assert simulation.live == 1


def test_no_id_stands_for_two_verdicts() -> None:
    simulation = RolloutSimulation(rules=RULES).start_canary().run(3)
    simulation.serving.metrics.down = True
    simulation.run(120)  # the same outcome again and again, without a new block
    texts: dict[str, bytes] = {}
    for record in simulation.records:
        assert texts.setdefault(record.record_id, encode(record)) == encode(record)
    assert len(simulation.verdicts) > 5


@dataclass
class Log:
    """What the log says is live, or that it does not answer."""

    promotion: Promotion | None
    down: bool = False

    def newest(self) -> Promotion | None:
        if self.down:
            raise UnavailableError("The log is down.")
        return self.promotion


@pytest.mark.parametrize("newest", [1, 2, 3])
@pytest.mark.parametrize("down", [True, False])
def test_after_the_loss_of_the_table_no_old_version_goes_live_unjudged(
    newest: int, down: bool
) -> None:
    """`model-versions` is read before `promotions`."""
    simulation = RolloutSimulation(rules=RULES).start_canary().until_live(2)
    simulation.until_phase(Phase.IDLE)
    log = Log(simulation.promotions[-1], down=down)
    ports: ServingPorts = replace(simulation.serving.ports, promotions=log)
    state, now = RolloutState(model="m"), simulation.now
    for number in range(1, newest + 1):
        state = handlers.handle(state, version(number), rules=RULES, now=now).state
    for second in range(1, 20):
        if second == 12:
            log.down = False
        observed = handlers.observe(ports, state, now=now + second)
        step = handlers.tick(state, observed, rules=RULES, now=now + second)
        handlers.perform(step.actions, ports)
        assert not any(isinstance(record, Promotion) for record in step.records)
        assert simulation.serving.servers.loaded["stable"] == 2
        state = step.state
    assert state.live is not None
    assert state.live.version == 2
    assert (state.rollout is not None) == (newest == 3)


def test_a_version_of_a_model_without_promotions_is_the_first_one() -> None:
    simulation = RolloutSimulation(rules=RULES)
    ports: ServingPorts = replace(simulation.serving.ports, promotions=Log(None))
    state = handlers.handle(simulation.state, version(1), rules=RULES, now=simulation.now).state
    for second in range(1, 8):
        observed = handlers.observe(ports, state, now=simulation.now + second)
        step = handlers.tick(state, observed, rules=RULES, now=simulation.now + second)
        handlers.perform(step.actions, ports)
        state = step.state
    assert state.live is not None
    assert state.live.change == "initial"
