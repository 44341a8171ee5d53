from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from retrain.policy import RetrainRules
from retrain.selection import WindowNote, condense, merge, select, subtract
from streaming.contracts.records import OffsetRange


def note(number: int, rows: int = 100, *, usable: bool = True, partitions: int = 1) -> WindowNote:
    share = rows // partitions
    return WindowNote(
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


def test_a_shift_is_mixed_seventy_to_thirty_and_becomes_the_reference() -> None:
    chosen = select([note(n) for n in range(20)], RetrainRules(), shift_start=130.0)
    assert chosen.rows_after_shift == 700
    assert chosen.rows == 1000
    assert offsets(chosen.after_shift) == {(0, n) for n in range(1300, 2000)}
    assert (chosen.window_start, chosen.window_end) == (130.0, 200.0)
    assert chosen.oldest < 130.0


def test_without_a_shift_the_newest_windows_are_taken_up_to_the_bound() -> None:
    chosen = select([note(n) for n in range(20)], RetrainRules(max_rows=250))
    assert chosen.rows == 250
    assert chosen.events == (OffsetRange(topic="t", partition=0, start=1750, stop=2000),)
    assert chosen.after_shift == ()


def test_history_is_spread_over_all_that_there_is() -> None:
    chosen = select([note(n) for n in range(101)], RetrainRules(), shift_start=1000.0)
    assert chosen.rows_after_shift == 100
    history = select([note(n) for n in range(200)], RetrainRules(), shift_start=1800.0)
    oldest = min(r.start for r in history.events)
    assert oldest < 5_000
    assert history.rows - history.rows_after_shift == 857


def test_broken_windows_are_never_trained_on() -> None:
    windows = [note(0), note(1, usable=False), note(2)]
    assert offsets(select(windows, RetrainRules()).events) == {
        (0, n) for n in (*range(100), *range(200, 300))
    }


def test_a_person_may_name_the_windows() -> None:
    chosen = select([note(n) for n in range(10)], RetrainRules(), between=(20.0, 50.0))
    assert (chosen.window_start, chosen.window_end) == (20.0, 50.0)


def test_nothing_to_choose_from_gives_nothing() -> None:
    assert select([], RetrainRules()).events == ()
    assert select([note(1)], RetrainRules(), shift_start=500.0).rows == 0


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
def test_merge_keeps_every_offset_once(spans: list[OffsetRange]) -> None:
    merged = merge(spans)
    assert offsets(merged) == offsets(spans)
    assert sum(r.stop - r.start for r in merged) == len(offsets(spans))
    assert merge(reversed(merged)) == merged


@given(ranges, ranges)
def test_subtract_is_set_difference(spans: list[OffsetRange], holes: list[OffsetRange]) -> None:
    left = subtract(spans, holes)
    assert offsets(left) == offsets(spans) - offsets(holes)
    assert sum(r.stop - r.start for r in left) == len(offsets(left))


notes = st.lists(
    st.builds(
        note,
        st.integers(0, 40),
        st.integers(0, 90),
        usable=st.booleans(),
        partitions=st.integers(1, 3),
    ),
    max_size=40,
)


@given(notes, st.integers(0, 400), st.one_of(st.none(), st.floats(0, 400)))
def test_a_selection_is_bounded_without_overlap_and_repeats(
    windows: list[WindowNote], most: int, shift: float | None
) -> None:
    rules = RetrainRules(max_rows=most)
    chosen = select(windows, rules, shift_start=shift)
    replayed = offsets(chosen.events)
    assert len(replayed) == sum(r.stop - r.start for r in chosen.events) <= most
    assert offsets(chosen.after_shift) <= replayed
    assert replayed <= offsets([r for w in windows if w.usable for r in w.offsets])
    assert chosen == select(windows[::-1], rules, shift_start=shift)


@given(notes, st.integers(2, 20))
def test_condensing_forgets_nothing_that_still_fits(windows: list[WindowNote], most: int) -> None:
    kept = condense(windows, most)
    assert len(kept) <= max(most, 0)
    if len(windows) <= most:
        assert kept == tuple(windows)
    assert sum(w.rows for w in kept) <= sum(w.rows for w in windows)
