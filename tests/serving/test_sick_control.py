"""A sick control arm promotes no canary, and a pause hides no harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from serving.counts import MIRRORED
from serving.engines.memory import InMemoryServing
from serving.phase import Phase
from serving.ports import Arm, Role
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules


class ServingByRole(InMemoryServing):
    """Faults of a server, whatever version it has; they may grow by the second."""

    def __init__(self, faults: Mapping[Role, tuple[float, float]], *, grows: bool = False) -> None:
        super().__init__(rate=400.0)
        self.faults = dict(faults)
        self.grows = grows
        self.seconds = 0

    def advance_traffic(self, at: float, seconds: float = 1.0) -> None:
        self.seconds += 1
        super().advance_traffic(at, seconds)

    def _count(self, arm: Arm, role: Role, count: int) -> None:
        part = min(1.0, self.seconds / 120) if self.grows else 1.0
        errors, slow = self.faults.get(role, (0.0, 0.0))
        self.errors = {1: 0.002 + part * errors, 2: 0.002 + part * errors}
        self.slow = {1: 0.002 + part * slow, 2: 0.002 + part * slow}
        super()._count(arm, role, count)


RULES = quick_rules(steps=(5, 25, 50), hold_seconds=20.0, deadline_seconds=400.0)
SICK = [
    ((0.048, 0.0), (0.028, 0.0)),
    ((0.018, 0.0), (0.018, 0.0)),
    ((0.05, 0.0), (0.03, 0.0)),
    ((0.0, 0.05), (0.0, 0.05)),
    ((0.02, 0.05), (0.02, 0.05)),
    ((1.0, 0.0), (0.03, 0.0)),
    ((0.3, 0.3), (0.3, 0.3)),
]


@pytest.mark.parametrize("grows", [False, True])
@pytest.mark.parametrize(("control", "canary"), SICK)
def test_a_sick_control_never_promotes_a_sick_canary(
    control: tuple[float, float], canary: tuple[float, float], grows: bool
) -> None:
    serving = ServingByRole({"control": control, "canary": canary}, grows=grows)
    rollout = RolloutSimulation(serving=serving, rules=RULES).start_canary()
    rollout.until_phase(Phase.IDLE, seconds=700)
    assert rollout.live == 1
    sick = [
        gate
        for verdict in rollout.verdicts
        for gate in verdict.gates
        if gate.gate.startswith("control_") and gate.outcome == "error"
    ]
    assert sick or any(verdict.outcome == "fail" for verdict in rollout.verdicts)
    assert all("The control is sick" in gate.reason for gate in sick)


@pytest.mark.parametrize("control", [(0.05, 0.0), (0.0, 0.1), (1.0, 0.0)])
def test_a_control_that_was_replaced_is_judged_anew(control: tuple[float, float]) -> None:
    serving = ServingByRole({"control": control})
    rules = replace(RULES, control_replacements=0)  # a person does it
    rollout = RolloutSimulation(serving=serving, rules=rules).start_canary()
    rollout.until(lambda r: r.verdicts[-1].outcome == "error", seconds=120)
    assert rollout.canary == 5
    serving.servers.kill("control")
    serving.faults.clear()
    serving.servers.revive("control")
    rollout.until_live(2, seconds=600)
    assert all(verdict.outcome != "fail" for verdict in rollout.verdicts)


@pytest.mark.parametrize("steps", [(50,), (20, 50), (5, 25, 50)])
def test_a_control_that_gets_sick_only_without_stable_traffic(steps: tuple[int, ...]) -> None:
    """At 50 % the stable arm gets no requests."""
    rules = quick_rules(steps=steps, hold_seconds=10.0, deadline_seconds=300.0)
    serving = ServingByRole({})
    rollout = RolloutSimulation(serving=serving, rules=rules).start_canary()
    rollout.until(lambda r: r.canary == 50, seconds=600)
    serving.faults.update({"control": (0.03, 0.0), "canary": (0.03, 0.0)})
    rollout.until_phase(Phase.IDLE, seconds=800)
    assert rollout.live == 1


@pytest.mark.parametrize(("quiet", "excess"), [(0, 0.02), (600, 0.02), (800, 0.05)])
def test_quiet_time_before_the_harm_shields_nothing(quiet: int, excess: float) -> None:
    """Also at the same weight: a person pauses the last step for most of an hour."""
    rules = quick_rules(steps=(25, 50), hold_seconds=5_000.0, deadline_seconds=9_000.0)
    serving = ServingByRole({})
    serving.rate = 100.0
    rollout = RolloutSimulation(serving=serving, rules=rules).start_canary()
    rollout.run(quiet)
    serving.faults["canary"] = (excess, 0.0)
    began = rollout.now
    rollout.until_phase(Phase.ROLLING_BACK, Phase.IDLE, seconds=900)
    assert rollout.now - began <= 400
    assert rollout.verdicts[-1].outcome == "fail"
    assert rollout.live == 1


@pytest.mark.parametrize("dead", [3, 5])
def test_a_pause_does_not_forget_the_seconds_before_it(dead: int) -> None:
    rules = quick_rules(steps=(25, 50), hold_seconds=10.0, deadline_seconds=900.0)
    serving = ServingByRole({})
    serving.rate = 100.0
    rollout = RolloutSimulation(serving=serving, rules=rules).start_canary()
    rollout.until(lambda r: r.canary == 50, seconds=600).run(8)
    serving.faults["canary"] = (1.0, 0.0)
    rollout.run(dead)
    serving.faults.clear()
    rollout.until(lambda r: r.phase is Phase.IDLE or r.live == 2, seconds=1_500)
    if rollout.live != 2:
        return
    assert rollout.state.rollout is not None
    blocks = rollout.state.rollout.counts.blocks
    exposed = [block for block in blocks if block.step != MIRRORED and block.n0]
    share = sum(b.errors1 for b in exposed) / sum(b.n1 for b in exposed)
    assert share <= 0.002 + 0.006
