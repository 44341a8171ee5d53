"""The sample of rows: independent of fetches and merges, uniform, bounded, small when packed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming import summary
from streaming.contracts.errors import DecodeError
from streaming.contracts.records import RowSample
from streaming.grid import bucket_of
from streaming.summary.sample import MAX_ROWS, MISSING, NON_FINITE, code_of_value
from streaming.summary.sample_records import merge_sample_records, read_sample
from tests.streaming.statistics_data import contract, integer, number, text

CONTRACT = contract(
    number("fare", pivot=10.0),
    text("kind"),
    integer("seats", categorical=True),
    number("clock", judged=False),
)


def rows(first: int, count: int) -> pa.RecordBatch:
    """Rows whose values follow from their offset, so that a sampled row can be identified."""
    at = np.arange(first, first + count)
    return pa.RecordBatch.from_pydict(
        {
            "fare": pa.array(
                [None if offset % 50 == 7 else 1.02 ** (offset % 900) for offset in at]
            ),
            "kind": pa.array([f"v{offset % 7}" for offset in at.tolist()]),
            "seats": pa.array((at % 4).tolist(), pa.int64()),
            "clock": pa.array(at.astype(float)),
        }
    )


def partial(first: int, count: int, step: int = 10_000, partition: int = 0) -> summary.Partial:
    counts = summary.start(CONTRACT)
    for begin in range(first, first + count, step):
        size = min(step, first + count - begin)
        keys = summary.row_keys("rides", partition, np.arange(begin, begin + size))
        counts = summary.add(counts, rows(begin, size), keys)
    return counts


def record(counts: summary.Partial) -> RowSample:
    sample = summary.finish_sample(counts)
    assert sample is not None
    return sample


@given(cuts=st.lists(st.integers(1, 2999), max_size=5), step=st.integers(100, 3000))
def test_the_sample_does_not_depend_on_fetches_merges_and_replays(
    cuts: list[int], step: int
) -> None:
    borders = sorted({0, *cuts, 3000})
    parts = [partial(low, high - low, step) for low, high in pairwise(borders)]
    decoded = [summary.from_bytes(summary.to_bytes(part)) for part in reversed(parts)]
    merged = summary.merge([*decoded, parts[0]])  # one part is repeated
    assert record(merged) == record(partial(0, 3000))


def test_a_sample_holds_the_smallest_keys_and_their_rows() -> None:
    sample = read_sample(record(partial(0, 3000)))
    keys = summary.row_keys("rides", 0, np.arange(3000))
    smallest = np.argsort(keys)[:MAX_ROWS]
    assert sample.keys.tolist() == keys[smallest].tolist()
    assert sample.below == np.sort(keys)[MAX_ROWS]
    for codes, at in zip(sample.codes.tolist(), smallest.tolist(), strict=True):
        bucket = int(bucket_of([1.02 ** (at % 900) - 10.0])[0])
        assert codes[0] == (MISSING if at % 50 == 7 else bucket + 2**17)
        assert codes[1:] == [code_of_value(f"v{at % 7}"), code_of_value(str(at % 4))]


def test_missing_and_non_finite_values_have_their_own_codes() -> None:
    batch = pa.RecordBatch.from_pydict(
        {"fare": pa.array([float("nan"), float("inf"), None]), "kind": pa.array([None, "", "é"])}
    )
    counts = summary.add(summary.start(CONTRACT), batch, np.arange(3, dtype=np.uint64))
    assert read_sample(record(counts)).codes.tolist() == [
        [NON_FINITE, MISSING, MISSING],
        [NON_FINITE, code_of_value(""), MISSING],
        [MISSING, code_of_value("é"), MISSING],
    ]


def test_a_union_gives_every_row_the_same_probability() -> None:
    small, large = partial(0, 600, partition=1), partial(0, 9_000)
    union = merge_sample_records([record(small), record(large)])
    assert union is not None
    sample = read_sample(union)
    from_small = int(np.isin(sample.keys, summary.row_keys("rides", 1, np.arange(600))).sum())
    # The parts hold 512 of 600 and 512 of 9,000 rows; equal probability keeps about 34 of the 600.
    assert 15 < from_small < 60
    assert sample.below == min(record(small).below, record(large).below)


def test_without_keys_nothing_is_sampled_and_a_union_skips_unusable_samples() -> None:
    counts = summary.add(summary.start(CONTRACT), rows(0, 10))
    assert summary.finish_sample(counts) is None
    good = record(partial(0, 100))
    broken = RowSample(features=good.features, rows=3, below=5, data=b"none")
    of_other_features = RowSample(features=("a",), rows=3, below=5, data=b"none")
    assert merge_sample_records([None, of_other_features, broken, good]) == good
    assert merge_sample_records([None]) is None
    with pytest.raises(DecodeError, match="cannot be read"):
        read_sample(broken)


def test_a_window_of_20_features_stays_below_20_kilobytes() -> None:
    numbers = contract(*(number(f"f{at}") for at in range(20)))
    values = np.random.default_rng(1).normal(50.0, 20.0, (20, 10_000))
    names = [spec.name for spec in numbers.features]
    batch = pa.RecordBatch.from_arrays([pa.array(column) for column in values], names)
    counts = summary.add(summary.start(numbers), batch, summary.row_keys("e", 0, range(10_000)))
    assert 5_000 < len(record(counts).data) < 20_000


def test_a_part_without_rows_is_neutral() -> None:
    counts = partial(0, 1000)
    assert record(summary.merge([counts, summary.start(CONTRACT)])) == record(counts)
