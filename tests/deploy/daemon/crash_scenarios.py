"""Courses of a rollout, and what holds after a crash at each step of them.

``python -m tests.deploy.daemon.crash_scenarios`` kills at every step of every course, with every
loss, order of topics and command at the restart: the nightly length.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise, product

from serving.approval_rules import ApprovalRules
from serving.rules import RolloutRules
from streaming.contracts.records import Action
from tests.deploy.daemon.crashing import Kill, Loss, World, broken_invariants
from tests.serving.random_trial import TRIAL_RULES

LOSSES: tuple[Loss, ...] = ("nothing", "table", "places", "both")
Script = Callable[[int, World], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What people, versions and traffic do in the course of it."""

    script: Script
    seconds: int = 80
    """By then everything is at rest, also after a crash."""
    rules: RolloutRules = TRIAL_RULES
    failed: tuple[int, ...] = ()
    """Versions that must not be live in the end."""


def _versions(second: int, world: World, *, newest: int = 2) -> None:
    if second == 0:
        world.publish(1)
    if second == 6:
        world.publish(2)
    if second == 14 and newest > 2:
        world.publish(3)


def _promoted(second: int, world: World) -> None:
    _versions(second, world)


def _sick(second: int, world: World) -> None:
    _versions(second, world)
    world.serving.errors = {2: 0.5}


def _sick_in_the_bake(second: int, world: World) -> None:
    _versions(second, world)
    if world.serving.servers.loaded.get("stable") == 2:
        world.serving.errors = {2: 1.0}


def _superseded(second: int, world: World) -> None:
    _versions(second, world, newest=3)


def _aborted_at_the_promotion(second: int, world: World) -> None:
    _versions(second, world)
    if second == 31:
        world.give("abort")


def _rolled_back_after_it(second: int, world: World) -> None:
    _versions(second, world)
    if second == 45:
        world.give("rollback")


def _approved_by_two(second: int, world: World) -> None:
    _versions(second, world)
    world.approve("ann", *(["ben"] if second % 4 == 0 else []))


APPROVED_BY_TWO = replace(TRIAL_RULES, approval="before-canary", approvals=ApprovalRules(people=2))

SCENARIOS = {
    "promoted": Scenario(script=_promoted),
    "sick": Scenario(script=_sick, failed=(2,)),
    "sick in the bake": Scenario(script=_sick_in_the_bake, failed=(2,)),
    "a newer version": Scenario(script=_superseded, seconds=140),
    "aborted at the promotion": Scenario(script=_aborted_at_the_promotion),
    "rolled back afterwards": Scenario(script=_rolled_back_after_it),
    "approved by two": Scenario(script=_approved_by_two, rules=APPROVED_BY_TWO, seconds=110),
}


def play(
    scenario: Scenario,
    kill: Kill,
    *,
    loss: Loss = "nothing",
    reverse: bool = False,
    at_restart: tuple[Action, ...] = (),
) -> World:
    """Run a scenario to its end."""
    world = World(
        rules=scenario.rules, kill=kill, loss=loss, reverse=reverse, at_restart=at_restart
    )
    asyncio.run(world.run(scenario.seconds, scenario.script))
    return world


def problems_of(scenario: Scenario, kill: Kill, **restart: object) -> list[str]:
    """What does not hold after a crash, with where it was."""
    world = play(scenario, kill, **restart)  # type: ignore[arg-type]
    where = f"{'after' if kill.after else 'before'} step {kill.at} ({kill.names[kill.at - 1]})"
    return [f"{where}: {problem}" for problem in broken_invariants(world, scenario.failed)]


def telling_steps(scenario: Scenario) -> list[int]:
    """The steps to kill after, without repetitions: one for each step and the one before it."""
    kill = Kill()
    play(scenario, kill)
    known: set[tuple[str, str]] = set()
    steps = []
    for number, pair in enumerate(pairwise(["start", *kill.names]), start=1):
        if pair not in known:
            known.add(pair)
            steps.append(number)
    return steps


def every_crash(stride: int = 1) -> Iterator[list[str]]:
    """The problems of each crash there is; a stride leaves out steps."""
    restarts: tuple[tuple[Action, ...], ...] = ((), ("abort",), ("rollback",), ("promote",))
    for scenario in SCENARIOS.values():
        last = max(telling_steps(scenario))
        for loss, reverse, at_restart, after in product(
            LOSSES, (False, True), restarts, (False, True)
        ):
            for at in range(1, last + 1, stride):
                kill = Kill(at=at, after=after)
                yield problems_of(scenario, kill, loss=loss, reverse=reverse, at_restart=at_restart)


if __name__ == "__main__":
    crashes = [*every_crash()]
    broken = [problem for problems in crashes for problem in problems]
    sys.stdout.write("\n".join([f"{len(crashes)} crashes, {len(broken)} problems", *broken, ""]))
