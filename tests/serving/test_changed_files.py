"""A version whose files change goes nowhere, whatever was measured, approved or promoted before."""

from __future__ import annotations

import pytest

from serving.phase import Phase
from tests.serving.recomputing import computed_again
from tests.serving.rollout_simulation import RolloutSimulation, quick_rules, version

RULES = quick_rules(steps=(5, 50), approval="before-canary")


def approved() -> RolloutSimulation:
    """At the first weight, after a person has approved it."""
    simulation = RolloutSimulation(rules=RULES).start_canary()
    simulation.until_phase(Phase.AWAITING_APPROVAL)
    assert simulation.let_on("approve").accepted
    return simulation.until_phase(Phase.STEPPING)


def is_rolled_back(simulation: RolloutSimulation) -> None:
    simulation.tick()
    assert simulation.phase in (Phase.ROLLING_BACK, Phase.IDLE)
    assert "have changed since they were published" in simulation.verdicts[-1].reason
    assert simulation.until_phase(Phase.IDLE).run(60).live == 1
    assert simulation.canary == 0
    assert all(promotion.version == 1 for promotion in simulation.promotions)
    log = [version(1), version(2), *simulation.records]
    assert {result.outcome for result in computed_again(log)} == {"equal"}


@pytest.mark.parametrize("seconds", [0, 3, 40])
def test_files_that_change_after_the_approval_end_the_rollout(seconds: int) -> None:
    simulation = approved().run(seconds)
    simulation.serving.files.changed.add(2)
    is_rolled_back(simulation)


def test_files_that_change_while_a_person_holds_it_end_the_rollout() -> None:
    simulation = approved().run(5)
    assert simulation.send_command("pause").accepted
    simulation.run(5).serving.files.changed.add(2)
    is_rolled_back(simulation)


@pytest.mark.parametrize("load_seconds", [0.2, 4.0])
def test_files_that_change_before_the_stable_server_loads_them_do_not_go_live(
    load_seconds: float,
) -> None:
    simulation = approved()
    simulation.serving.servers.load_seconds = load_seconds
    simulation.until_phase(Phase.PROMOTING)
    simulation.serving.files.changed.add(2)
    is_rolled_back(simulation)


def test_a_person_who_promotes_by_force_promotes_no_other_bytes() -> None:
    simulation = approved().run(5)
    assert simulation.let_on("promote", force=True).accepted
    simulation.serving.files.changed.add(2)
    is_rolled_back(simulation)


def test_files_of_a_live_version_that_change_take_nothing_back() -> None:
    """Its servers have what was judged; a server that restarts refuses other bytes."""
    simulation = approved().until_phase(Phase.BAKING)
    simulation.serving.files.changed.add(2)
    assert simulation.until_phase(Phase.IDLE).live == 2
