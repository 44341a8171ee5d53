"""When a window is complete, and what happens to rows that come after it has closed."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streaming import summary
from streaming.contracts.records import WindowSummary
from streaming.windowing.accumulator import WindowAccumulator
from streaming.windowing.completeness import (
    MAX_ACCUMULATORS,
    LateRange,
    ShardUpdate,
    WindowProgress,
    complete_windows,
    decode_update,
    encode_update,
    passed_window_end,
    state_entry,
)
from streaming.windowing.event_reader import EventReader
from streaming.windowing.open_windows import merge_entries, split_late
from tests.streaming.statistics_data import contract, number

CONTRACT = contract(number("fare"), key="id", time="at")
READER = EventReader(CONTRACT)
COMBINER = READER.combiner


def update_of(watermarks: dict[int, int], partitions: int = 2) -> ShardUpdate:
    return ShardUpdate({}, watermarks, partitions)


def test_a_partition_without_a_watermark_holds_every_window_open() -> None:
    progress = WindowProgress().after(update_of({0: 90_000}))
    assert progress.closed_ms == 0
    progress = progress.after(update_of({1: 7_000}))
    assert progress.closed_ms == 7_000
    # a third partition appears: nothing closes until it has been read
    progress = progress.after(update_of({1: 60_000}, 3))
    assert progress.closed_ms == 7_000
    assert progress.after(update_of({2: 50_000}, 3)).closed_ms == 50_000


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 4))))
def test_closed_windows_stay_closed_and_never_pass_the_watermarks(
    steps: list[tuple[int, int, int]],
) -> None:
    progress, highest = WindowProgress(), 0
    for partition, watermark, partitions in steps:
        after = progress.after(update_of({partition: watermark}, partitions))
        assert after.closed_ms >= progress.closed_ms
        highest = max(highest, watermark)
        assert after.closed_ms <= highest
        progress = after


def test_windows_close_in_order_with_all_their_accumulators() -> None:
    entries = [
        state_entry(10_000, b"b"),
        state_entry(5_000, b"a"),
        state_entry(15_000, b"d"),
        state_entry(10_000, b"c"),
    ]
    complete, still_open = complete_windows(entries, 10_000)
    assert complete == [(5_000, [b"a"]), (10_000, [b"b", b"c"])]
    assert still_open == [state_entry(15_000, b"d")]


def test_a_watermark_passes_a_window_end_at_multiples_of_the_size() -> None:
    assert not passed_window_end(5_000, 9_999, 5_000)
    assert passed_window_end(9_999, 10_000, 5_000)


def test_an_update_is_distinguished_from_a_record() -> None:
    update = ShardUpdate({5_000: b"x"}, {3: 4_000}, 4)
    assert decode_update(encode_update(update)) == update
    assert decode_update(b'{"kind":"promotion"}') is None


@given(st.lists(st.integers(1, 3), min_size=1, max_size=300))
def test_the_number_of_kept_accumulators_is_bounded(steps: list[int]) -> None:
    """Each step brings accumulators of some windows; three windows at most are open."""
    progress = WindowProgress()
    for at, windows in enumerate(steps):
        first = at // 7 * 5_000 + 5_000
        accumulators = {first + 5_000 * window: b"" for window in range(windows)}
        progress = progress.after(ShardUpdate(accumulators, {0: at // 7 * 5_000}, 1))
        assert progress.accumulators <= MAX_ACCUMULATORS + 3 + windows
        if at % 7 == 6:
            progress = progress.with_kept(progress.accumulators - progress.accumulators // 3)
        if progress.should_merge:
            progress = progress.with_kept(3, merged=True)


def accumulator(rows: list[float | None], start: int = 0, dead: int = 0) -> WindowAccumulator:
    """An accumulator of rows with these fares, at offsets from `start` on."""
    batch = pa.RecordBatch.from_arrays([pa.array(rows, pa.float64())], ["fare"])
    stop = start + len(rows)
    keys = summary.row_keys("e", 0, range(start, stop))
    return WindowAccumulator(
        counts=summary.add(summary.start(CONTRACT), batch, keys),
        accepted=len(rows),
        dead=dead,
        offset_spans={0: (start, stop)},
    )


def summary_of(end_ms: int, encoded: list[bytes]) -> WindowSummary:
    merged = COMBINER.merge(map(COMBINER.from_bytes, encoded))
    return COMBINER.extract(merged, end_ms, statistics=None, anomalies=())


def test_merging_the_accumulators_of_open_windows_changes_no_summary() -> None:
    def entry(end: int, start: int) -> bytes:
        rows = [float(start), 2.5, None]
        return state_entry(end, COMBINER.to_bytes(accumulator(rows, start)))

    entries = [entry(5_000 * (1 + number % 3), 3 * number) for number in range(30)]
    merged = merge_entries(READER, entries)
    assert len(merged) == 3
    assert merge_entries(READER, merged) == merged
    before, _ = complete_windows(entries, 20_000)
    after, _ = complete_windows(merged, 20_000)
    for (end, (merged_one,)), (same_end, many) in zip(after, before, strict=True):
        assert end == same_end
        assert summary_of(end, [merged_one]) == summary_of(end, many)
        assert merged_one == COMBINER.to_bytes(COMBINER.merge(map(COMBINER.from_bytes, many)))


def test_rows_of_a_closed_window_count_as_late_in_the_oldest_open_window() -> None:
    encoded = {
        5_000: COMBINER.to_bytes(accumulator([1.0] * 3, dead=1)),
        15_000: COMBINER.to_bytes(accumulator([1.0] * 2)),
    }
    update = ShardUpdate(encoded, {0: 20_000}, 1)
    accumulators, late = split_late(READER, update, closed_ms=10_000)
    assert list(accumulators) == [15_000]
    kept = COMBINER.from_bytes(accumulators[15_000])
    assert (kept.accepted, kept.late, kept.dead, kept.counts.rows) == (2, 3, 1, 2)
    assert late == LateRange((5_000,), {0: (0, 3)}, 3)
    assert split_late(READER, update, closed_ms=4_000) == (update.accumulators, None)
