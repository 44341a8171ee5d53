"""A sick control is replaced by a fresh server of the same version."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serving.engines.memory import InMemoryModelServers, InMemoryServing
from serving.phase import Phase
from serving.ports import ALL_STABLE, Role
from streaming.contracts.errors import UnavailableError
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules

RULES = quick_rules(steps=(5, 25, 50), hold_seconds=20.0, deadline_seconds=400.0)
HEALTHY = 0.002


def sick_rollout(*, canary: float = HEALTHY, control: float = 0.05) -> RolloutSimulation:
    """A canary at its first weight, beside a control that fails more often than its version."""
    serving = InMemoryServing(rate=400.0, errors={1: HEALTHY, 2: canary})
    simulation = RolloutSimulation(serving=serving, rules=RULES).start_canary()
    serving.servers.sick["control"] = control
    return simulation


@pytest.mark.parametrize("control", [0.05, 0.3, 1.0])
def test_beside_a_fresh_control_a_healthy_canary_goes_on(control: float) -> None:
    simulation = sick_rollout(control=control).until_live(2, seconds=1_200)
    assert simulation.serving.servers.replaced == ["control"]
    assert all(verdict.outcome != "fail" for verdict in simulation.verdicts)
    errors = [verdict for verdict in simulation.verdicts if "is replaced" in verdict.reason]
    assert len(errors) == 1
    assert errors[0].outcome == "error"
    phases = [status.phase for status in simulation.statuses]
    assert Phase.REPLACING in phases
    assert max(status.control_replacements for status in simulation.statuses) == 1


@pytest.mark.parametrize("canary", [0.03, 0.05])
def test_beside_a_fresh_control_a_canary_that_was_sick_like_it_fails(canary: float) -> None:
    simulation = sick_rollout(canary=canary).until_phase(Phase.ROLLING_BACK, seconds=600)
    assert simulation.serving.servers.replaced == ["control"]
    assert simulation.verdicts[-1].outcome == "fail"
    assert simulation.until_phase(Phase.IDLE).live == 1


def test_a_control_that_stays_sick_is_replaced_a_limited_number_of_times() -> None:
    simulation = sick_rollout()
    servers = simulation.serving.servers

    def fall_ill(rollout: RolloutSimulation) -> bool:
        servers.sick["control"] = 0.05  # what makes it sick is not its server
        return rollout.phase is Phase.IDLE

    simulation.until(fall_ill, seconds=1_200)
    assert simulation.live == 1
    assert servers.replaced == ["control"] * RULES.control_replacements
    assert "The control is sick" in simulation.verdicts[-1].reason
    assert not any(verdict.outcome == "fail" for verdict in simulation.verdicts)


def test_no_client_is_sent_to_the_control_that_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = sick_rollout()
    splits = []
    replace_server = InMemoryModelServers.replace

    def noted(servers: InMemoryModelServers, role: Role) -> None:
        splits.append(simulation.serving.router.split)
        replace_server(servers, role)

    monkeypatch.setattr(InMemoryModelServers, "replace", noted)
    simulation.until_phase(Phase.REPLACING, seconds=300)
    simulation.until_phase(Phase.STEPPING, seconds=60)
    assert splits == [ALL_STABLE]
    assert simulation.state.rollout is not None
    assert simulation.state.rollout.step == 0


def test_a_replacement_that_could_not_be_requested_is_requested_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    simulation = sick_rollout()
    refused: list[Role] = []
    replace_server = InMemoryModelServers.replace

    def refuse_twice(servers: InMemoryModelServers, role: Role) -> None:
        if len(refused) < 2:
            refused.append(role)
            raise UnavailableError("The control model server does not answer.")
        replace_server(servers, role)

    monkeypatch.setattr(InMemoryModelServers, "replace", refuse_twice)
    simulation.until_phase(Phase.REPLACING, seconds=300)
    simulation.until_phase(Phase.STEPPING, seconds=60)
    assert len(refused) == 2
    assert simulation.serving.servers.replaced == ["control"]


def test_a_fresh_control_that_gets_no_version_ends_the_rollout() -> None:
    simulation = sick_rollout().until_phase(Phase.REPLACING, seconds=300)
    simulation.serving.servers.store.discard(1)
    simulation.until_phase(Phase.IDLE, seconds=200)
    assert "the control was to be replaced" in simulation.verdicts[-1].reason
    assert simulation.verdicts[-1].outcome == "error"
    assert simulation.live == 1


def test_the_evidence_of_the_sick_control_is_discarded() -> None:
    simulation = sick_rollout().until_phase(Phase.REPLACING, seconds=300)
    assert simulation.state.rollout is not None
    counts = simulation.state.rollout.counts
    assert counts.discarded == len(counts.blocks) > 0
    simulation.until_phase(Phase.STEPPING, seconds=60).run(12)
    (gate,) = (gate for gate in simulation.verdicts[-1].gates if gate.gate == "control_errors")
    assert gate.outcome != "error"


def test_without_replacements_the_weight_is_held() -> None:
    simulation = sick_rollout()
    simulation.rules = replace(RULES, control_replacements=0)
    simulation.until(lambda r: r.verdicts[-1].outcome == "error", seconds=300).run(30)
    assert simulation.canary == 5
    assert not simulation.serving.servers.replaced
