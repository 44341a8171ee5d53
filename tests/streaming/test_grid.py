"""The universal grid: order, width, and one bucket for each number."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from streaming.grid import (
    MAX_BUCKET,
    RELATIVE_WIDTH,
    add_counts,
    bucket_middle,
    bucket_of,
    count_ids,
    lower,
    upper,
)

finite = st.floats(allow_nan=False, allow_infinity=False)
normal = finite.filter(lambda x: abs(x) >= sys.float_info.min)
ids = st.integers(-MAX_BUCKET, MAX_BUCKET)


@given(finite, finite)
def test_buckets_keep_the_order_of_values(x: float, y: float) -> None:
    low_bucket, high_bucket = bucket_of(sorted((x, y))).tolist()
    assert low_bucket <= high_bucket


@given(normal)
def test_a_bucket_is_at_most_1_6_percent_wide_and_holds_its_value(x: float) -> None:
    bucket = bucket_of([x])
    low, high = lower(bucket)[0], upper(bucket)[0]
    assert low <= x <= high
    assert (high / 2 - low / 2) * 2 <= RELATIVE_WIDTH * abs(x) * 1.0000001 or abs(x) > 1e308
    assert RELATIVE_WIDTH <= 0.016


@given(finite)
def test_the_bucket_of_minus_x_is_the_negated_bucket_of_x(x: float) -> None:
    assert bucket_of([-x])[0] == -bucket_of([x])[0]


@given(ids)
def test_the_middle_of_a_bucket_lies_in_it(bucket: int) -> None:
    middle = bucket_middle([bucket])
    assert np.isfinite(middle).all()
    assert bucket_of(middle).tolist() == [bucket]


@given(ids.filter(lambda bucket: 0 <= bucket < MAX_BUCKET))
def test_edges_of_neighbours_meet(bucket: int) -> None:
    assert upper([bucket])[0] == (lower([bucket + 1])[0] if bucket else 0.0)


@given(hnp.arrays(np.float64, st.integers(0, 50), elements=finite))
def test_a_bucket_does_not_depend_on_the_other_values(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    buckets = bucket_of(values).tolist()
    assert buckets == [int(bucket_of([x])[0]) for x in values]
    assert buckets[::2] == bucket_of(values[::2]).tolist()  # strided input too


@pytest.mark.parametrize(
    ("value", "bucket"),
    [
        (0.0, 0),
        (-0.0, 0),
        (5e-324, 0),
        (sys.float_info.min, 1),
        (1.0, 65409),
        (sys.float_info.max, MAX_BUCKET),
        (-sys.float_info.max, -MAX_BUCKET),
    ],
)
def test_known_buckets(value: float, bucket: int) -> None:
    assert bucket_of([value]).tolist() == [bucket]
    assert bucket_of([value]).dtype == np.int32


pairs = st.dictionaries(st.integers(-99, 99), st.integers(1, 9), max_size=20).map(
    lambda counts: (
        np.array(sorted(counts), np.int64),
        np.array([counts[key] for key in sorted(counts)], np.int64),
    )
)


@given(st.lists(pairs, max_size=5), st.randoms())
def test_sums_of_counts_do_not_depend_on_order(parts, random) -> None:  # type: ignore[no-untyped-def]
    total = add_counts(parts)
    shuffled = list(parts)
    random.shuffle(shuffled)
    nested = add_counts([add_counts(shuffled[:2]), add_counts(shuffled[2:])])
    assert [x.tolist() for x in total] == [x.tolist() for x in nested]


@given(hnp.arrays(np.int32, st.integers(0, 60), elements=st.integers(-5, 5)))
def test_count_ids_agrees_with_numpy(values: np.ndarray[tuple[int], np.dtype[np.int32]]) -> None:
    distinct, counts = count_ids(values)
    expected, expected_counts = np.unique(values, return_counts=True)
    assert distinct.tolist() == expected.tolist()
    assert counts.tolist() == expected_counts.tolist()


int64 = st.integers(-(2**63), 2**63 - 1)
near = st.builds(lambda centre, step: max(-(2**63), centre - step), int64, st.integers(0, 90))


@given(st.lists(int64 | near | st.integers(-300, 300), max_size=60), int64, st.booleans())
def test_ids_of_any_range_are_counted_alike(values: list[int], centre: int, narrow: bool) -> None:
    if narrow:  # a counter for each id of the range; a wide range is sorted
        values = [max(-(2**63), centre - abs(value) % 100) for value in values]
    distinct, counts = count_ids(np.array(values, np.int64))
    expected, expected_counts = np.unique(np.array(values, np.int64), return_counts=True)
    assert (distinct.tolist(), counts.tolist()) == (expected.tolist(), expected_counts.tolist())
    assert distinct.dtype == counts.dtype == np.int64
