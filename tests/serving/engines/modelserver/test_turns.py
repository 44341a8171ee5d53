"""Turns of Python's lock are short beside loads and long requests only."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from serving.engines.modelserver.turns import SHORT_SECONDS, USUAL_SECONDS, ShortTurns
from serving.engines.modelserver.workers import Workers
from tests.waiting import wait_for


@pytest.fixture(autouse=True)
def _usual() -> Iterator[None]:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def test_the_last_of_several_users_ends_short_turns() -> None:
    turns, other = ShortTurns(), ShortTurns()
    with turns:
        other.begin()
        other.begin()
        assert sys.getswitchinterval() == pytest.approx(SHORT_SECONDS)
    assert sys.getswitchinterval() == pytest.approx(SHORT_SECONDS)
    other.end()
    other.end()
    assert sys.getswitchinterval() == pytest.approx(USUAL_SECONDS)


def test_turns_are_short_while_a_request_takes_long() -> None:
    workers, hold = Workers(1), threading.Event()
    try:
        long = workers.submit(hold.wait)
        wait_for(lambda: sys.getswitchinterval() < USUAL_SECONDS / 2)
        hold.set()
        long.result()
        wait_for(lambda: sys.getswitchinterval() > USUAL_SECONDS / 2)
    finally:
        hold.set()
        workers.shutdown()
