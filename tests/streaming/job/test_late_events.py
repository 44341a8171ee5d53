"""Rows of a partition that is added late: each counts once, and late ones have dead letters."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.clock import ManualClock
from streaming.contracts.log import MemoryLog
from streaming.contracts.records import DeadLetter, OffsetRange
from streaming.job.late_events import late_records
from streaming.windowing.accumulator import WindowAccumulator
from streaming.windowing.completeness import LateRange, ShardUpdate, WindowProgress
from streaming.windowing.event_clock import BLOCK_ROWS, BLOCKS, EventClock
from streaming.windowing.event_reader import EventReader, ReadResult, fetches
from streaming.windowing.open_windows import split_late
from tests.streaming.statistics_data import contract, number

NOW = 1_000.0
FOLLOWED = BLOCK_ROWS * BLOCKS
"""As many events of one time move the watermark of a new partition."""
CLOSED = 40_000
CONTRACT = contract(number("fare"), key="id", time="at", max_out_of_orderness_seconds=1.0)
READER = EventReader(CONTRACT)
COMBINER = READER.combiner


def event(at: float) -> bytes:
    return b'{"id":"a","at":%.2f,"fare":1.5}' % at


def log_of(values: list[bytes]) -> MemoryLog:
    log = MemoryLog(ManualClock(NOW - 900))
    log.append_raw("e", [(None, value) for value in values])
    return log


class NewPartition:
    """Partition 0, read step by step from its start, after windows up to `CLOSED` have closed."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.progress = WindowProgress().after(ShardUpdate({}, {1: CLOSED}, 1))
        self.clock = EventClock()
        self.accumulators: list[WindowAccumulator] = []
        self.dead_letters: list[DeadLetter] = []
        self.late_ranges: list[LateRange] = []

    def step(self, start: int, stop: int) -> None:
        result = ReadResult(clock=self.clock)
        span = OffsetRange(topic="e", partition=0, start=start, stop=stop)
        for fetch in fetches(self.log.read(span)):
            READER.add(result, fetch, now=NOW)
        self.clock = result.clock
        self.dead_letters += [*result.dead, *result.late]
        encoded = {end: COMBINER.to_bytes(window) for end, window in result.windows.items()}
        update = ShardUpdate(encoded, {0: result.clock.watermark_ms}, 2)
        accumulators, late = split_late(READER, update, self.progress.closed_ms)
        assert min(accumulators, default=CLOSED + 1) > CLOSED
        self.progress = self.progress.after(update)
        self.accumulators += map(COMBINER.from_bytes, accumulators.values())
        if late is not None:
            self.late_ranges.append(late)
            self.dead_letters += late_records(self.log, READER, late, now=NOW)


@given(
    st.lists(st.one_of(st.floats(0.0, 60.0).map(event), st.just(b"{")), min_size=1, max_size=40),
    st.integers(1, 8),
    st.lists(st.integers(1, 319), max_size=4),
)
def test_every_row_that_is_late_for_the_model_has_a_dead_letter(
    drawn: list[bytes], times: int, cuts: list[int]
) -> None:
    values = [value for value in drawn for _ in range(times)]
    partition = NewPartition(log_of(values))
    borders = sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})
    for start, stop in itertools.pairwise(borders):
        partition.step(start, stop)
    merged = COMBINER.merge(partition.accumulators)
    assert merged.accepted + merged.dead + merged.late == len(values)
    by_id = {letter.record_id: letter for letter in partition.dead_letters}
    assert all(by_id[letter.record_id] == letter for letter in partition.dead_letters)
    assert sum(letter.reason == "late" for letter in by_id.values()) == merged.late
    assert sum(letter.reason != "late" for letter in by_id.values()) == merged.dead
    assert all(values[letter.offset] == letter.payload for letter in by_id.values())


def test_a_row_that_is_late_after_reading_has_the_same_dead_letter_as_any_late_row() -> None:
    partition = NewPartition(log_of([event(12.0), b"{", *[event(50.0)] * FOLLOWED, event(13.0)]))
    partition.step(0, 2)
    partition.step(2, FOLLOWED + 3)
    assert partition.late_ranges == [LateRange((15_000,), {0: (0, 1)}, 1)]
    late = {letter.offset: letter for letter in partition.dead_letters if letter.reason == "late"}
    last = FOLLOWED + 2
    assert sorted(late) == [0, last]
    assert (late[0].detail, late[0].payload) == (late[last].detail, event(12.0))


def test_rows_that_the_log_no_longer_holds_have_no_dead_letter() -> None:
    gone = LateRange((15_000,), {0: (7, 9), 3: (0, 5)}, 7)
    assert not list(late_records(log_of([event(12.0)]), READER, gone, now=NOW))
