"""Moments: close to those of the doubles, and the same for every order of merging."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.summary.moments import NO_MOMENTS, Moments, add_moments, counted_moments, moments

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def moments_of(values: list[float]) -> Moments:
    return moments(np.array(values, np.float64))


def fields(moments_: Moments) -> tuple[object, ...]:
    extremes = (repr(moments_.low), repr(moments_.high))  # tells 0.0 from -0.0
    return (moments_.n, moments_.zeros, *extremes, moments_.sums.tolist())


@given(st.lists(st.lists(FINITE, max_size=6), max_size=5))
def test_the_order_of_merging_does_not_matter(parts: list[list[float]]) -> None:
    total = fields(moments_of([value for part in parts for value in part]))
    nested = NO_MOMENTS
    for part in reversed(parts):
        nested = add_moments([moments_of(part), nested])
    assert fields(add_moments([moments_of(part) for part in parts])) == total
    assert fields(nested) == total


@given(st.lists(st.floats(-1e9, 1e9).filter(lambda x: x == 0 or abs(x) > 1e-9), min_size=1))
def test_mean_and_deviation_are_close_to_those_of_the_doubles(values: list[float]) -> None:
    result, doubles = moments_of(values), np.array(values)
    tolerance = 4e-6 * float(np.abs(doubles).max())
    assert result.mean == pytest.approx(doubles.mean(), abs=tolerance)
    assert result.deviation == pytest.approx(doubles.std(), abs=tolerance)
    assert (result.low, result.high) == (doubles.min(), doubles.max())
    assert result.zeros == values.count(0.0)


@pytest.mark.parametrize(
    "values", [[0.0, -0.0], [-0.0, 0.0], [-0.0], [-0.0, 0.0, 1.0], [-1.0, -0.0]]
)
def test_the_sign_of_a_zero_does_not_matter(values: list[float]) -> None:
    unsigned = [value + 0.0 for value in values]
    assert fields(moments_of(values)) == fields(moments_of(unsigned))
    counts = np.arange(1, len(values) + 1)
    signed, positive = (counted_moments(np.array(some), counts) for some in (values, unsigned))
    assert fields(signed) == fields(positive)


@given(st.lists(st.lists(FINITE, min_size=1, max_size=30), min_size=2, max_size=4))
def test_sums_are_added_by_exponent(parts: list[list[float]]) -> None:
    by_exponent: dict[int, tuple[int, int]] = {}
    for part in parts:
        for exponent, total, squares in moments_of(part).sums.T.tolist():
            before = by_exponent.get(exponent, (0, 0))
            by_exponent[exponent] = (before[0] + total, before[1] + squares)
    added = add_moments([moments_of(part) for part in parts])
    expected = [[exponent, *by_exponent[exponent]] for exponent in sorted(by_exponent)]
    assert added.sums.T.tolist() == expected


def test_values_far_from_zero_keep_their_deviation() -> None:
    values = np.random.default_rng(1).normal(41.9, 0.03, 100_000)
    assert moments(values).deviation == pytest.approx(values.std(), rel=1e-4)
    assert moments(values).mean == pytest.approx(values.mean(), abs=1e-6)


def test_the_largest_doubles_do_not_overflow() -> None:
    largest = 1.7e308
    assert moments_of([largest, largest, 1.0]).mean == pytest.approx(largest * (2 / 3), rel=1e-5)
    assert moments_of([largest, -largest]).mean == 0.0
    assert moments_of([largest, -largest]).deviation == pytest.approx(largest, rel=1e-5)


@given(st.dictionaries(st.integers(-1000, 1000), st.integers(1, 9), min_size=1))
def test_counted_values_equal_repeated_values(counts: dict[int, int]) -> None:
    values = np.array(list(counts), np.float64)
    times = np.array(list(counts.values()))
    assert fields(counted_moments(values, times)) == fields(moments(np.repeat(values, times)))
