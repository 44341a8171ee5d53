"""Moments: close to the doubles' own, and the same in whatever order parts are added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.summary.moments import NONE, Moments, add_moments, counted_moments, moments

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def of(values: list[float]) -> Moments:
    return moments(np.array(values, np.float64))


def same(one: Moments, other: Moments) -> bool:
    plain = (one.n, one.zeros, one.low, one.high) == (other.n, other.zeros, other.low, other.high)
    return plain and one.sums.tolist() == other.sums.tolist()


@given(st.lists(st.lists(FINITE, max_size=6), max_size=5))
def test_the_order_of_parts_changes_nothing(parts: list[list[float]]) -> None:
    whole = of([value for part in parts for value in part])
    one_by_one = NONE
    for part in reversed(parts):
        one_by_one = add_moments([of(part), one_by_one])
    assert same(add_moments([of(part) for part in parts]), whole)
    assert same(one_by_one, whole)


@given(st.lists(st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=1))
def test_mean_and_deviation_are_those_of_the_doubles(values: list[float]) -> None:
    found, doubles = of(values), np.array(values)
    near = 4e-6 * float(np.abs(doubles).max())
    assert found.mean == pytest.approx(doubles.mean(), abs=near)
    assert found.deviation == pytest.approx(doubles.std(), abs=near)
    assert (found.low, found.high) == (doubles.min(), doubles.max())
    assert found.zeros == values.count(0.0)


def test_values_far_from_zero_keep_their_deviation() -> None:
    values = np.random.default_rng(1).normal(41.9, 0.03, 100_000)
    assert moments(values).deviation == pytest.approx(values.std(), rel=1e-4)
    assert moments(values).mean == pytest.approx(values.mean(), abs=1e-6)


def test_the_largest_numbers_do_not_break_it() -> None:
    largest = 1.7e308
    assert of([largest, largest, 1.0]).mean == pytest.approx(largest * (2 / 3), rel=1e-5)
    assert of([largest, -largest]).mean == 0.0
    assert of([largest, -largest]).deviation == pytest.approx(largest, rel=1e-5)


@given(st.dictionaries(st.integers(-1000, 1000), st.integers(1, 9), min_size=1))
def test_counted_values_are_repeated_values(counts: dict[int, int]) -> None:
    values = np.array(list(counts), np.float64)
    times = np.array(list(counts.values()))
    assert same(counted_moments(values, times), moments(np.repeat(values, times)))
