"""Alert drills on a real stack: each fault must bring its alert, and only that one, to a receiver.

    python -m tests.e2e.alert_drills [--port-offset N] [--only NAME ...] [--folder FOLDER]

It starts the stack of the demonstration's profile in a folder of its own; `quiet` watches its
start, and the other drills break what `demonstration` leaves running. The local receiver of the
notifier takes what Slack would get. The exit code is 0 when every drill passed, else 1.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.e2e.conftest import COMMAND, PROFILE, Machine
from tests.e2e.drill_stack import RETRAIN_DEADLINE, DrillStack, until
from tests.e2e.told_alerts import fired, problem

QUIET_SECONDS = 90.0
"""A start is watched for so long once everything is ready."""
AFTERWARDS_SECONDS = 60.0
"""What follows from a fault by itself has fired and was told by then."""
FAULTS = (
    AssertionError, OSError, RuntimeError, ValueError, httpx.HTTPError, psutil.Error,
    subprocess.SubprocessError,
)  # fmt: skip
"""What may go wrong in a drill; the others are carried out all the same."""
FLOOD = 500
"""Unreadable events in a second, beside 400 good ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """A fault, and what must be told of it."""

    name: str
    expected: tuple[str, ...]
    """The alerts of its one cause in their order; each replaces the one before it."""
    play: Callable[[DrillStack, Callable[[], bool]], None]
    """Makes the fault until the second argument says that everything was told, and undoes it."""
    resolves: bool = False
    """Whether the message that it is over comes soon; where a counter is told, after half an
    hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One line of the table."""

    drill: Drill
    carried_out: bool
    problem: str
    messages: str
    held_back: str


def quiet(stack: DrillStack, told: Callable[[], bool]) -> None:
    """A start, and a minute and a half of nothing."""
    stack.machine.run("up")
    time.sleep(QUIET_SECONDS)


def demonstration(stack: DrillStack, told: Callable[[], bool]) -> None:
    """From an empty stack to a live version and twenty windows that are judged as stable."""
    process = stack.machine.demo("--scenario", "quiet")
    try:
        if process.wait(timeout=1800) != 0:
            raise RuntimeError(f"the demonstration failed: {stack.machine.report()['why']}")
    finally:
        process.terminate()  # nothing where it has ended
        process.wait()


def stall(stack: DrillStack, told: Callable[[], bool]) -> None:
    """The daemon is stopped and does not answer."""
    with stack.stalled("daemon"):
        until("its alert", told)


def kill(stack: DrillStack, told: Callable[[], bool]) -> None:
    """The retrain worker is killed as often as it starts, so that it never gets ready."""

    def killed_and_told() -> bool:
        stack.kill("worker")
        return told()

    until("its alert", killed_and_told)


def dead_letters(stack: DrillStack, told: Callable[[], bool]) -> None:
    """A producer floods the topic with events that nothing can read."""

    def sent_and_told() -> bool:
        stack.unreadable_events(FLOOD // 2)  # twice a second
        return told()

    until("its alert", sent_and_told)


def approval(stack: DrillStack, told: Callable[[], bool]) -> None:
    """Nobody decides on a version within two minutes."""
    with stack.changed_rollout(approval="before-canary", approval_deadline="2m"):
        stack.retrain("The drill wants a version that nobody approves.")
        until("its alerts", told, RETRAIN_DEADLINE)
        until("the end of the rollout", stack.idle)


def canary(stack: DrillStack, told: Callable[[], bool]) -> None:
    """A new version answers 300 ms late."""
    with stack.slow_canary(300):
        stack.retrain("The drill wants a version whose server is slow.")
        until("its alert", told, RETRAIN_DEADLINE)


DRILLS = (
    Drill(name="quiet", expected=(), play=quiet),
    Drill(name="demonstration", expected=(), play=demonstration),
    Drill(
        name="stall", expected=("DriftlineProcessUnresponsive",), play=stall, resolves=True
    ),
    Drill(name="kill", expected=("DriftlineProcessMissing",), play=kill, resolves=True),
    Drill(
        name="approval",
        expected=(
            "DriftlineApprovalWaiting", "DriftlineApprovalEndsSoon", "DriftlineApprovalExpired",
        ),
        play=approval,
    ),
    Drill(name="canary", expected=("DriftlineCanaryRolledBack",), play=canary),
    Drill(name="dead-letters", expected=("DriftlineDeadLetters",), play=dead_letters),
)  # fmt: skip
NEEDED = "demonstration"
"""The drill that the later ones need."""


def carry_out(drill: Drill, stack: DrillStack) -> Result:
    """Play a drill, wait for what follows from it, and compare."""
    since, earlier = time.time(), set[str]()
    with suppress(httpx.HTTPError):  # there is no stack yet
        earlier = stack.active()

    def told() -> bool:
        return bool(drill.expected) and set(drill.expected) <= set(fired(stack.told(since)))

    wrong, carried_out = "", False
    try:
        drill.play(stack, told)
        if drill.resolves:
            until("the message that it is over", lambda: stack.told(since)[-1].resolved)
        time.sleep(AFTERWARDS_SECONDS if drill.expected else 0.0)
        carried_out = True
        unexpected = stack.active() - set(drill.expected) - earlier
        if unexpected:
            wrong = f"fires and was not told: {', '.join(sorted(unexpected))}"
    except FAULTS as why:
        wrong = f"{type(why).__name__}: {why}"
    heard = stack.told(since)
    wrong = "; ".join(
        filter(None, (problem(heard, expected=drill.expected, earlier=earlier), wrong))
    )
    names = fired(entry for entry in heard if entry.alert not in earlier)
    first = {entry.alert: entry.at - since for entry in reversed(heard) if not entry.resolved}
    held_back: set[str] = set()
    with suppress(*FAULTS):
        held_back = stack.fired(since) - set(names) - earlier
    return Result(
        drill=drill,
        carried_out=carried_out,
        problem=wrong,
        messages=", ".join(f"{name} after {first[name]:.0f} s" for name in names) or "nothing",
        held_back=", ".join(sorted(held_back)) or "nothing",
    )


def selected(names: Sequence[str]) -> tuple[Drill, ...]:
    """The named drills in their order, with the demonstration where one needs it."""
    later = set(names) - {"quiet"}
    return tuple(
        drill for drill in DRILLS if drill.name in names or (later and drill.name == NEEDED)
    )


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def show(results: Sequence[Result]) -> None:
    """Print the table: a line for each drill, what it told, and what was held back."""
    for result in results:
        state = "FAILED" if result.problem else "passed"
        say(f"{state:7} {result.drill.name:14} told: {result.messages}")
        say(f"{'':22} held back: {result.held_back}")
        if result.problem:
            say(f"{'':22} PROBLEM: {result.problem}")


@contextmanager
def stack_in(folder: Path) -> Iterator[DrillStack]:
    """A stack that has nothing to do with any other; stopped at the end."""
    machine = Machine(folder)
    shutil.copy(PROFILE, machine.profile)
    try:
        yield DrillStack(machine)
    finally:
        machine.traffic_ends()
        subprocess.run(
            [COMMAND, "-c", machine.profile, "down", "--yes"],
            env=machine.environment, timeout=300, check=False, stdout=subprocess.DEVNULL,
        )  # fmt: skip


def main() -> int:
    """Carry the drills out; returns 1 when one of them failed."""
    names = [drill.name for drill in DRILLS]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port-offset", type=int, default=0, help="moves every port of the stack")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--folder", type=Path, help="keep the stack's files here")
    options = parser.parse_args()
    chosen = selected(options.only)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="drills") as scratch:
        folder = (options.folder or Path(scratch)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["DRIFTLINE_HOME"] = str(folder)
        os.environ["DRIFTLINE__LOCAL__PORT_OFFSET"] = str(options.port_offset)
        with stack_in(folder) as stack:
            for drill in chosen:
                say(f"        {drill.name}: {drill.play.__doc__}")
                results.append(carry_out(drill, stack))
                show(results[-1:])
                if drill.name == NEEDED and not results[-1].carried_out:
                    break  # nothing is left that the others could break
    say(f"\n{sum(not r.problem for r in results)} of {len(chosen)} drills passed\n")
    show(results)
    return int(len(results) < len(chosen) or any(result.problem for result in results))


if __name__ == "__main__":
    sys.exit(main())
