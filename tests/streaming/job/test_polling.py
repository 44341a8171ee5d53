"""Who reads when: ticks that pile up during long steps, rests, shards that a savepoint fixed."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.errors import ConfigurationError
from streaming.job.polling import Ask, Rests
from streaming.job.read_events import ReadEvents
from streaming.windowing.positions import Positions, write_positions
from tests.streaming.job.test_submit import settings

TICK_MS = 500


@given(lengths=st.lists(st.integers(1, 4_000), min_size=1, max_size=30), workers=st.integers(1, 3))
def test_with_more_to_read_steps_follow_each_other_and_no_tick_waits_long(
    lengths: list[int], workers: int
) -> None:
    rests, now, steps, asked = Rests(TICK_MS / 1000, 1.0), 0, iter(lengths), 0
    while (length := next(steps, None)) is not None:
        gap = now
        while not rests.due("shard", asked):  # those that came during the step before
            asked += TICK_MS // workers
        now = max(now, asked) + length
        assert max(gap, asked) - gap <= TICK_MS
        assert gap - asked <= TICK_MS  # older ones were dropped at once
        asked += TICK_MS // workers
        rests.ended("shard", now, more=True)


@given(rest=st.integers(1, 8), ended=st.integers(0, 10**6))
def test_a_reader_that_found_no_more_rests_for_about_its_time(rest: int, ended: int) -> None:
    rests = Rests(TICK_MS / 1000, rest * TICK_MS / 1000)
    rests.ended("shard", ended, more=False)
    heeded = next(at for at in range(0, 10**8, TICK_MS) if rests.due("shard", at))
    assert (rest - 1) * TICK_MS <= heeded - ended < (rest + 1) * TICK_MS
    assert rests.due("another", 0)


def test_quiet_topics_are_asked_more_rarely_than_ticks_come() -> None:
    often, rarely = Ask(["a", "b"]), Ask(["a"], every_seconds=60.0)
    for one in (often, rarely):
        one.setup()
    assert [key for _ in range(3) for key, _ in often.process(b"")] == ["a", "b"] * 3
    assert [key for _ in range(3) for key, _ in rarely.process(b"")] == ["a"]


def test_a_savepoint_keeps_the_number_of_its_shards() -> None:
    source = ReadEvents(dataclasses.replace(settings(), shards=4))
    assert source._positions(None).shards == 4
    assert source._positions(write_positions(Positions(shards=4))).shards == 4
    with pytest.raises(ConfigurationError, match=r"set stream\.shards: 2, or submit"):
        source._positions(write_positions(Positions(shards=2)))
