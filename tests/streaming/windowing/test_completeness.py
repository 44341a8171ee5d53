"""When a window may close, and what becomes of rows that come after it has."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from streaming import summary
from streaming.drift import DriftRules
from streaming.engines.artifact_store import ArtifactStore
from streaming.job.close_windows import ModelSteps
from streaming.job.schema_step import SchemaKept
from streaming.job.settings import ModelJob
from streaming.windowing.accumulator import WindowPartial
from streaming.windowing.completeness import (
    MAX_PARTS,
    Arrival,
    Progress,
    Stray,
    closing,
    crossed,
    pack,
    packed,
    unpacked,
)
from tests.streaming.statistics_data import contract, number

CONTRACT = contract(number("fare"), key="id", time="at")


def told(watermarks: dict[int, int], partitions: int = 2) -> Arrival:
    return Arrival({}, watermarks, partitions)


def test_a_partition_that_was_not_heard_of_holds_every_window() -> None:
    progress = Progress().after(told({0: 90_000}))
    assert progress.closed_ms == 0
    progress = progress.after(told({1: 7_000}))
    assert progress.closed_ms == 7_000
    # a third partition appears: nothing closes until it has been read
    progress = progress.after(told({1: 60_000}, 3))
    assert progress.closed_ms == 7_000
    assert progress.after(told({2: 50_000}, 3)).closed_ms == 50_000


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**6), st.integers(1, 4))))
def test_what_is_closed_stays_closed_and_never_passes_a_partition(
    steps: list[tuple[int, int, int]],
) -> None:
    progress, highest = Progress(), 0
    for partition, watermark, partitions in steps:
        after = progress.after(told({partition: watermark}, partitions))
        assert after.closed_ms >= progress.closed_ms
        highest = max(highest, watermark)
        assert after.closed_ms <= highest
        progress = after


def test_windows_close_in_order_with_all_their_parts() -> None:
    kept = [pack(10_000, b"b"), pack(5_000, b"a"), pack(15_000, b"d"), pack(10_000, b"c")]
    done, still = closing(kept, 10_000)
    assert done == [(5_000, [b"a"]), (10_000, [b"b", b"c"])]
    assert still == [pack(15_000, b"d")]


def test_only_a_window_end_matters() -> None:
    assert not crossed(5_000, 9_999, 5_000)
    assert crossed(9_999, 10_000, 5_000)


def test_an_arrival_is_told_from_a_record() -> None:
    arrival = Arrival({5_000: b"x"}, {3: 4_000}, 4)
    assert unpacked(packed(arrival)) == arrival
    assert unpacked(b'{"kind":"promotion"}') is None


@given(st.lists(st.integers(1, 3), min_size=1, max_size=300))
def test_kept_parts_are_bounded_by_the_open_windows(steps: list[int]) -> None:
    """Each step brings parts of some windows; three at most are open."""
    progress, open_parts = Progress(), 0
    for at, windows in enumerate(steps):
        ends = {(at // 7 + one) * 5_000 + 5_000: b"" for one in range(windows)}
        progress = progress.after(Arrival(ends, {0: at // 7 * 5_000}, 1))
        open_parts = progress.parts
        if at % 7 == 6:
            progress = progress.left(progress.parts - progress.parts // 3)
        if progress.full:
            progress = progress.left(3, merged=True)
        assert open_parts <= MAX_PARTS + 3 + windows


def test_merging_the_parts_of_open_windows_changes_no_summary(tmp_path: Path) -> None:
    steps = ModelSteps(ModelJob(contract=CONTRACT, rules=DriftRules()), ArtifactStore(tmp_path))
    partials = steps.reading.partials

    def part(end: int, start: int) -> bytes:
        batch = pa.RecordBatch.from_arrays([pa.array([float(start), 2.5, None])], ["fare"])
        keys = summary.row_keys("e", 0, range(start, start + 3))
        whole = WindowPartial(rows=summary.add(summary.start(CONTRACT), batch, keys))
        whole.accepted, whole.hulls = 3, {0: (start, start + 3)}
        return pack(end, partials.to_bytes(whole))

    kept = [part(5_000 * (1 + number % 3), 3 * number) for number in range(30)]
    merged = steps.merged(kept)
    assert len(merged) == 3
    assert steps.merged(merged) == merged
    for (end, many), (same, (one,)) in zip(
        closing(kept, 20_000)[0], closing(merged, 20_000)[0], strict=True
    ):
        assert end == same
        assert steps.summary(end, [one], SchemaKept()) == steps.summary(end, many, SchemaKept())


def test_rows_of_a_closed_window_are_counted_as_late_in_the_oldest_open_one(
    tmp_path: Path,
) -> None:
    steps = ModelSteps(ModelJob(contract=CONTRACT, rules=DriftRules()), ArtifactStore(tmp_path))
    partials = steps.reading.partials

    def part(rows: int, dead: int = 0) -> bytes:
        batch = pa.RecordBatch.from_arrays([pa.array([1.0] * rows)], ["fare"])
        whole = WindowPartial(rows=summary.add(summary.start(CONTRACT), batch))
        whole.accepted, whole.dead, whole.hulls = rows, dead, {0: (0, rows)}
        return partials.to_bytes(whole)

    arrival = Arrival({5_000: part(3, dead=1), 15_000: part(2)}, {0: 20_000}, 1)
    parts, stray = steps.settled(arrival, closed_ms=10_000)
    assert list(parts) == [15_000]
    found = partials.from_bytes(parts[15_000])
    assert (found.accepted, found.late, found.dead, found.rows.rows) == (2, 3, 1, 2)
    assert stray == Stray((5_000,), {0: (0, 3)}, 3)
    assert steps.settled(arrival, closed_ms=4_000) == (arrival.parts, None)
