"""When a reader makes a step: triggers that queue up during long steps, pauses and shards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.errors import ConfigurationError
from streaming.job.polling import PollSchedule, TriggerReads
from streaming.job.read_events import restored_positions
from streaming.windowing.positions import Positions, write_positions

INTERVAL_MS = 500


@given(lengths=st.lists(st.integers(1, 4_000), min_size=1, max_size=30), workers=st.integers(1, 3))
def test_with_more_to_read_steps_follow_each_other_and_old_triggers_are_dropped(
    lengths: list[int], workers: int
) -> None:
    schedule = PollSchedule(INTERVAL_MS / 1000, pause_seconds=1.0)
    now = triggered = 0
    for length in lengths:
        step_end = now
        while not schedule.due("shard", triggered):  # triggers that came during the step before
            triggered += INTERVAL_MS // workers
        now = max(now, triggered) + length
        assert max(step_end, triggered) - step_end <= INTERVAL_MS
        assert step_end - triggered <= INTERVAL_MS  # older ones were dropped at once
        triggered += INTERVAL_MS // workers
        schedule.step_ended("shard", now, more=True)


@given(intervals=st.integers(1, 8), ended=st.integers(0, 10**6))
def test_a_reader_that_found_nothing_more_pauses(intervals: int, ended: int) -> None:
    schedule = PollSchedule(INTERVAL_MS / 1000, intervals * INTERVAL_MS / 1000)
    schedule.step_ended("shard", ended, more=False)
    due = next(at for at in range(0, 10**8, INTERVAL_MS) if schedule.due("shard", at))
    assert (intervals - 1) * INTERVAL_MS <= due - ended < (intervals + 1) * INTERVAL_MS
    assert schedule.due("another", 0)


def test_control_topics_are_read_less_often_than_the_impulse() -> None:
    every_time, rarely = TriggerReads(["a", "b"]), TriggerReads(["a"], min_seconds=60.0)
    for trigger in (every_time, rarely):
        trigger.setup()
    assert [key for _ in range(3) for key, _ in every_time.process(b"")] == ["a", "b"] * 3
    assert [key for _ in range(3) for key, _ in rarely.process(b"")] == ["a"]


def test_a_savepoint_keeps_its_number_of_shards() -> None:
    assert restored_positions(None, 4).shards == 4
    assert restored_positions(write_positions(Positions(shards=4)), 4).shards == 4
    with pytest.raises(ConfigurationError, match=r"set stream\.shards: 2, or submit"):
        restored_positions(write_positions(Positions(shards=2)), 4)
