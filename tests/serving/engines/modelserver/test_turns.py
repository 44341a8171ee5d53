"""Turns of Python's lock are short beside loads and long requests only."""

from __future__ import annotations

import subprocess
import sys
import threading

from serving.engines.modelserver.turns import SHORT_SECONDS, USUAL_SECONDS, ShortTurns, Turns
from serving.engines.modelserver.workers import Workers
from tests.waiting import wait_for


def test_the_last_of_several_users_ends_short_turns() -> None:
    lengths: list[float] = []
    shared = Turns(lengths.append)
    turns, other = ShortTurns(shared), ShortTurns(shared)
    with turns:
        other.begin()
        other.begin()
    assert set(lengths) == {SHORT_SECONDS}
    other.end()
    other.end()
    assert lengths[-1] == USUAL_SECONDS


def test_the_length_is_that_of_the_interpreter() -> None:
    """In a process of its own: other tests' servers have the same interpreter."""
    code = (
        "import sys\n"
        "from serving.engines.modelserver.turns import ShortTurns\n"
        "with ShortTurns():\n"
        "    print(round(sys.getswitchinterval(), 6))\n"
        "print(round(sys.getswitchinterval(), 6))\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert shown.stdout.split() == [str(SHORT_SECONDS), str(USUAL_SECONDS)]


def test_turns_are_short_while_a_request_takes_long() -> None:
    workers, hold = Workers(1), threading.Event()
    try:
        long = workers.submit(hold.wait)
        wait_for(lambda: workers._turns.begun)
        hold.set()
        long.result()
        wait_for(lambda: not workers._turns.begun)
    finally:
        hold.set()
        workers.shutdown()


def test_an_executor_that_ends_beside_a_long_request_needs_no_short_turns() -> None:
    workers, hold = Workers(1), threading.Event()
    try:
        workers.submit(hold.wait)
        wait_for(lambda: workers._turns.begun)
        workers.shutdown()
        wait_for(lambda: not workers._turns.begun)
    finally:
        hold.set()
