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
from streaming.grid import FRACTION_BITS, bucket_of, count_ids, fine_bucket_of
from streaming.summary.sample import (
    FINE_BITS,
    MAX_ROWS,
    MISSING,
    NON_FINITE,
    NOT_ON_GRID,
    SampledRows,
    code_of_value,
    code_of_zero,
    pack,
)
from streaming.summary.sample_records import merge_sample_records, read_sample
from tests.streaming.statistics_data import contract, integer, number, text

CONTRACT = contract(
    number("fare"),
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
        bucket = int(bucket_of([1.02 ** (at % 900)])[0])
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


NARROW = contract(number("narrow"), number("wide"), text("kind"))


def narrow(count: int, seed: int, sd: float = 0.04) -> summary.Partial:
    rng = np.random.default_rng(seed)
    batch = pa.RecordBatch.from_pydict(
        {
            "narrow": pa.array(rng.normal(41.8, sd, count)),
            "wide": pa.array(rng.lognormal(2.0, 1.0, count)),
            "kind": pa.array([f"v{at % 7}" for at in range(count)]),
        }
    )
    return summary.add(summary.start(NARROW), batch, summary.row_keys("t", seed, range(count)))


def test_a_record_has_as_few_bits_as_tell_the_sampled_values_apart() -> None:
    large = record(narrow(5_000, 1))
    assert large.fraction_bits[1:] == (FRACTION_BITS, NOT_ON_GRID)
    assert 10 <= large.fraction_bits[0] <= 16
    assert len(set(read_sample(large).codes[:, 0].tolist())) > 60
    few = record(narrow(50, 2))
    assert few.fraction_bits == (FINE_BITS, FINE_BITS, NOT_ON_GRID)


column_bits = st.sampled_from([NOT_ON_GRID, FRACTION_BITS, 9, 17, FINE_BITS])
values = st.sampled_from([0.0, 5e-324, 1e-9, -3.3, 41.8, 41.81, -1e300, 1.7e308, None, np.inf])


@given(
    st.lists(st.tuples(column_bits, column_bits), min_size=1, max_size=4),
    st.lists(st.lists(values, min_size=4, max_size=4), max_size=9),
)
def test_columns_are_coarsened_and_counted_each_by_itself(
    bits: list[tuple[int, int]], table: list[list[float | None]]
) -> None:
    def code(value: float | None, before: int) -> int:
        if value is None or not np.isfinite(value):
            return MISSING if value is None else NON_FINITE
        if before == NOT_ON_GRID:
            return code_of_value(repr(value))
        return int(fine_bucket_of([value], before)[0]) + code_of_zero(before)

    before, to = zip(*bits, strict=True)
    codes = [
        [code(value, before[at]) for at, value in enumerate(row[: len(bits)])] for row in table
    ]
    sample = SampledRows(
        np.arange(len(table), dtype=np.uint64),
        np.array(codes, np.uint64).reshape(len(table), len(bits)),
        fraction_bits=before,
    )
    coarser = sample.at(to)
    assert coarser.fraction_bits == tuple(map(min, before, to))
    for at, (own, other) in enumerate(bits):
        on_grid = NOT_ON_GRID not in (own, other)
        at_bits = min(own, other) if on_grid else own
        expected = [code(row[at], at_bits) for row in table]
        assert coarser.codes[:, at].tolist() == expected
        numbers = coarser.numbers(at)
        assert (numbers is None) == (min(own, other) == NOT_ON_GRID)
        if numbers is not None:
            finite = [row[at] for row in table if row[at] not in (None, np.inf)]
            ids, counts = count_ids(fine_bucket_of(np.array(finite, float), at_bits))
            assert (numbers.ids.tolist(), numbers.counts.tolist()) == (
                ids.tolist(),
                counts.tolist(),
            )


def test_a_union_has_the_fewest_bits_of_its_samples() -> None:
    finer, coarser = record(narrow(2_000, 3, sd=0.001)), record(narrow(2_000, 4))
    assert finer.fraction_bits[0] > coarser.fraction_bits[0]
    union = merge_sample_records([finer, coarser])
    assert union is not None
    assert union.fraction_bits == coarser.fraction_bits
    assert union == merge_sample_records([coarser, finer])
    sampled, kept = read_sample(union), read_sample(coarser)
    at = np.isin(sampled.keys, kept.keys)
    expected = kept.codes[np.isin(kept.keys, sampled.keys)]
    assert sampled.codes[at].tolist() == expected.tolist()


def test_samples_of_an_older_release_are_read_as_six_bits() -> None:
    codes = np.array([[bucket_of([3.0])[0] + 2**17, code_of_value("a")], [MISSING, 5]], np.uint64)
    keys = np.array([1, 2], np.uint64)
    data = pack(SampledRows(keys, codes))
    old = RowSample(features=("x", "kind"), rows=2, below=9, data=data)
    assert read_sample(old).codes.tolist() == codes.tolist()
    assert merge_sample_records([old, old]) is not None
    for bits in ((6,), (6, 99), (5, 0)):
        wrong = RowSample(features=("x", "kind"), rows=2, below=9, data=data, fraction_bits=bits)
        with pytest.raises(DecodeError):
            read_sample(wrong)
