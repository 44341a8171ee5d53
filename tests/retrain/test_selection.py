from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrain.policy import RetrainRules
from retrain.selection import RecordedWindow, condense, merge_ranges, select, subtract_ranges
from streaming.contracts.records import OffsetRange

ALL_HISTORY = RetrainRules(history_choice=1.0)


def window(
    number: int, rows: int = 100, *, usable: bool = True, partitions: int = 1
) -> RecordedWindow:
    share = rows // partitions
    return RecordedWindow(
        start=number * 10.0,
        end=number * 10.0 + 10.0,
        rows=rows,
        usable=usable,
        offsets=tuple(
            OffsetRange(topic="t", partition=p, start=number * share, stop=(number + 1) * share)
            for p in range(partitions)
        ),
    )


def offsets(ranges: tuple[OffsetRange, ...] | list[OffsetRange]) -> set[tuple[int, int]]:
    return {(r.partition, n) for r in ranges for n in range(r.start, r.stop)}


def test_rows_after_a_shift_are_mixed_seventy_to_thirty_and_become_the_reference() -> None:
    selection = select([window(n) for n in range(20)], ALL_HISTORY, shift_start=130.0)
    assert selection.rows_after_shift == 700
    assert selection.rows == 1000
    assert offsets(selection.after_shift) == {(0, n) for n in range(1300, 2000)}
    assert (selection.window_start, selection.window_end) == (130.0, 200.0)
    assert selection.oldest < 130.0


def test_without_a_shift_the_newest_windows_are_taken_up_to_the_bound() -> None:
    selection = select([window(n) for n in range(20)], RetrainRules(max_rows=250))
    assert selection.rows == 250
    assert selection.events == (OffsetRange(topic="t", partition=0, start=1750, stop=2000),)
    assert selection.after_shift == ()


def test_history_is_spread_over_all_older_windows() -> None:
    selection = select([window(n) for n in range(101)], ALL_HISTORY, shift_start=1000.0)
    assert selection.rows_after_shift == 100
    history = select([window(n) for n in range(200)], ALL_HISTORY, shift_start=1800.0)
    oldest = min(r.start for r in history.events)
    assert oldest < 5_000
    assert history.rows - history.rows_after_shift == 857


def test_broken_windows_are_never_trained_on() -> None:
    windows = [window(0), window(1, usable=False), window(2)]
    assert offsets(select(windows, RetrainRules()).events) == {
        (0, n) for n in (*range(100), *range(200, 300))
    }


def test_only_windows_inside_the_given_range_are_selected() -> None:
    selection = select([window(n) for n in range(10)], RetrainRules(), window_range=(20.0, 50.0))
    assert (selection.window_start, selection.window_end) == (20.0, 50.0)


def test_without_windows_the_selection_is_empty() -> None:
    assert select([], RetrainRules()).events == ()
    assert select([window(1)], RetrainRules(), shift_start=500.0).rows == 0


ranges = st.lists(
    st.builds(
        lambda p, a, n: OffsetRange(topic="t", partition=p, start=a, stop=a + n),
        st.integers(0, 2),
        st.integers(0, 50),
        st.integers(0, 20),
    ),
    max_size=8,
)


@given(ranges)
def test_merging_keeps_every_offset_once(spans: list[OffsetRange]) -> None:
    merged = merge_ranges(spans)
    assert offsets(merged) == offsets(spans)
    assert sum(r.stop - r.start for r in merged) == len(offsets(spans))
    assert merge_ranges(reversed(merged)) == merged


@given(ranges, ranges)
def test_subtracting_ranges_is_set_difference(
    spans: list[OffsetRange], holes: list[OffsetRange]
) -> None:
    left = subtract_ranges(spans, holes)
    assert offsets(left) == offsets(spans) - offsets(holes)
    assert sum(r.stop - r.start for r in left) == len(offsets(left))


window_lists = st.lists(
    st.builds(
        window,
        st.integers(0, 40),
        st.integers(0, 90),
        usable=st.booleans(),
        partitions=st.integers(1, 3),
    ),
    max_size=40,
)


@given(window_lists, st.integers(0, 400), st.one_of(st.none(), st.floats(0, 400)))
def test_a_selection_is_bounded_without_overlap_and_reproducible(
    windows: list[RecordedWindow], limit: int, shift: float | None
) -> None:
    rules = RetrainRules(max_rows=limit)
    selection = select(windows, rules, shift_start=shift)
    replayed = offsets(selection.events)
    assert len(replayed) == sum(r.stop - r.start for r in selection.events) <= limit
    assert offsets(selection.after_shift) <= replayed
    assert replayed <= offsets([r for w in windows if w.usable for r in w.offsets])
    assert selection == select(windows[::-1], rules, shift_start=shift)


@given(window_lists, st.integers(2, 20))
def test_condensing_drops_no_window_that_still_fits(
    windows: list[RecordedWindow], limit: int
) -> None:
    kept = condense(windows, limit)
    assert len(kept) <= max(limit, 0)
    if len(windows) <= limit:
        assert kept == tuple(windows)
    assert sum(w.rows for w in kept) <= sum(w.rows for w in windows)


def test_more_history_is_replayed_than_is_taken() -> None:
    windows = [window(n) for n in range(200)]
    taken = select(windows, ALL_HISTORY, shift_start=1800.0)
    offered = select(windows, RetrainRules(history_choice=2.0), shift_start=1800.0)
    assert offered.rows_after_shift == taken.rows_after_shift
    old, more = (s.rows - s.rows_after_shift for s in (taken, offered))
    assert 1.7 * old < more < 2.1 * old
