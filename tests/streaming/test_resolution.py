"""The kept fraction bits: a rule of the rows alone; and which bits tell values apart."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streaming.grid import (
    FRACTION_BITS,
    MAX_FRACTION_BITS,
    bucket_middle,
    count_ids,
    fine_bucket_of,
    lower,
    upper,
)
from streaming.resolution import (
    MAX_BUCKETS,
    RESOLVED,
    GridCounts,
    add_grids,
    count_numbers,
    first_true,
    resolving_bits,
    shared_pairs,
)
from tests.simulations.kinds import KINDS

Numbers = npt.NDArray[np.float64]
finite = st.floats(allow_nan=False, allow_infinity=False)
special_values = st.sampled_from([0.0, -0.0, 5e-324, -5e-324, 2.3e-308, -2.3e-308, 1.0, -1.0])
clusters = st.builds(
    lambda seed, rows, centre, sd: np.random.default_rng(seed).normal(centre, sd, rows),
    st.integers(0, 99),
    st.integers(0, 900),
    st.sampled_from([0.0, 41.8, -87.6, 1e6, 1.7e9]),
    st.sampled_from([1e-6, 0.05, 1.0, 1e3]),
)
numbers = st.lists(
    st.one_of(clusters, st.lists(finite | special_values, max_size=20).map(np.array)),
    min_size=1,
    max_size=4,
).map(lambda parts: np.concatenate([np.asarray(part, np.float64) for part in parts]))


def plain(grid: GridCounts) -> tuple[list[int], list[int], int]:
    return grid.ids.tolist(), grid.counts.tolist(), grid.fraction_bits


def by_definition(values: Numbers) -> tuple[list[int], list[int], int]:
    """The most bits with at most `MAX_BUCKETS` buckets, found by counting at all of them."""
    for bits in range(MAX_FRACTION_BITS, FRACTION_BITS - 1, -1):
        ids, counts = count_ids(fine_bucket_of(values, bits))
        if len(ids) <= MAX_BUCKETS or bits == FRACTION_BITS:
            return ids.tolist(), counts.tolist(), bits
    raise AssertionError("the fewest bits are always kept")


@given(numbers)
@settings(max_examples=60)
def test_counts_have_the_most_bits_that_fill_at_most_512_buckets(values: Numbers) -> None:
    assert plain(count_numbers(values)) == by_definition(values)


@given(numbers, st.lists(st.integers(0, 3_600), max_size=4), st.randoms())
@settings(max_examples=60)
def test_any_split_and_order_of_merging_gives_the_same_counts(
    values: Numbers,
    cuts: list[int],
    chance: random.Random,
) -> None:
    borders = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [count_numbers(values[low:high]) for low, high in pairwise(borders)]
    chance.shuffle(parts)
    nested = parts[0]
    for part in parts[1:]:
        nested = add_grids([part, nested])
    assert plain(add_grids(parts)) == plain(nested) == plain(count_numbers(values))


def test_parts_that_together_fill_too_many_buckets_keep_six_bits() -> None:
    """Each part has up to 512 buckets at seven bits; all together have 768 at six."""
    rng = np.random.default_rng(0)
    parts = [scale * rng.uniform(1.0, 16.0, 4_000) for scale in (1.0, -1.0, 1e6)]
    counted = [count_numbers(part) for part in parts]
    assert [part.fraction_bits for part in counted] == [7, 7, 7]
    union = add_grids(counted)
    assert union.fraction_bits == FRACTION_BITS
    assert plain(union) == plain(count_numbers(np.concatenate(parts)))


@given(numbers, st.integers(FRACTION_BITS, MAX_FRACTION_BITS))
@settings(max_examples=60)
def test_coarser_counts_are_those_of_the_values(values: Numbers, bits: int) -> None:
    ids, counts = count_ids(fine_bucket_of(values))
    coarse = GridCounts(ids, counts).at(bits)
    expected_ids, expected_counts = count_ids(fine_bucket_of(values, bits))
    assert plain(coarse) == (expected_ids.tolist(), expected_counts.tolist(), bits)


@given(numbers)
@settings(max_examples=60)
def test_the_resolving_bits_are_the_fewest_that_tell_values_apart(values: Numbers) -> None:
    grid = count_numbers(values)
    bits = resolving_bits(grid)
    assert shared_pairs(grid, bits) <= RESOLVED
    if len(grid.ids) < 2:
        assert bits == grid.fraction_bits
    elif 2 * np.count_nonzero(grid.counts == 1) > len(grid.ids):  # no codes
        assert bits == FRACTION_BITS or shared_pairs(grid, bits - 1) > RESOLVED


@pytest.mark.parametrize(
    ("codes", "bits"),
    [
        ([0.0, 1.0], 6),
        ([200.0, 404.0], 8),
        ([2023.0, 2024.0], 10),
        ([60601.0, 0.0], 15),
        ([50.2, 0.0], 40),
        ([0.25, 0.5, 41.8], 40),
    ],
)
def test_codes_are_told_from_every_neighbour(codes: list[float], bits: int) -> None:
    assert resolving_bits(count_numbers(np.repeat(codes, 50))) == bits


@pytest.mark.parametrize("rows", [1_000, 10_000, 100_000])
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.values])
def test_the_kinds_of_the_studies_are_judged_at_six_bits(name: str, rows: int) -> None:
    kind = KINDS[name]
    z = np.random.default_rng(rows).standard_normal(rows).astype(np.float32)
    values = values_of(name, kind.buckets[kind.positions(z)], z)
    assert resolving_bits(count_numbers(values)) == FRACTION_BITS


def values_of(name: str, buckets: npt.NDArray[np.int64], z: npt.NDArray[np.float32]) -> Numbers:
    """Values of these buckets: continuous kinds fill them."""
    if name in ("poisson", "rare counts", "small integers"):
        return lower(buckets)
    inside = np.random.default_rng(len(z)).uniform(size=len(z))
    filled = lower(buckets) + (upper(buckets) - lower(buckets)) * inside
    return np.where(buckets == 0, bucket_middle(buckets), filled)


@pytest.mark.parametrize(
    ("centre", "sd"),
    [(41.8, 0.04), (50.0, 0.02), (-87.6, 0.02), (1e6, 1.0), (1.7e9, 900.0), (1e9, 0.01)],
)
def test_a_narrow_feature_far_from_zero_gets_many_buckets(centre: float, sd: float) -> None:
    for rows in (300, 5_000, 100_000):
        grid = count_numbers(np.random.default_rng(rows).normal(centre, sd, rows))
        assert 60 <= len(grid.at(resolving_bits(grid)).ids) <= MAX_BUCKETS


def test_a_cluster_among_a_few_spread_values_gets_buckets_and_among_many_it_does_not() -> None:
    rng = np.random.default_rng(5)
    cluster = rng.normal(41.8, 0.04, 20_000)
    few = count_numbers(np.concatenate((cluster, rng.lognormal(0, 3, 300))))
    assert shared_pairs(count_numbers(cluster), few.fraction_bits) < 0.1
    many = count_numbers(np.concatenate((cluster, rng.lognormal(0, 3, 5_000))))
    assert many.fraction_bits == FRACTION_BITS
    assert shared_pairs(count_numbers(cluster), FRACTION_BITS) > 0.9


@given(st.integers(0, 40), st.integers(0, 40), st.integers(-60, 99), st.data())
def test_the_guess_of_a_search_does_not_matter(
    first: int, more: int, likely: int, data: st.DataObject
) -> None:
    begins = data.draw(st.integers(first, first + more))
    tried: list[int] = []

    def holds(number: int) -> bool:
        tried.append(number)
        return number >= begins

    assert first_true(holds, first, first + more, likely) == begins
    assert all(first <= number < first + more for number in tried)
    if likely == begins < first + more:
        assert len(tried) <= 2


@pytest.mark.parametrize("rows", [2_000, 5_000])
@pytest.mark.parametrize(
    "name", ["wide", "narrow", "negative", "both signs", "zeros", "cents", "codes", "tiny", "huge"]
)
def test_many_numbers_have_the_counts_of_their_parts(name: str, rows: int) -> None:
    """Many numbers are counted in another way than few; the counts do not show it."""
    rng = np.random.default_rng(rows)
    values = {
        "wide": rng.lognormal(2.0, 1.0, rows),
        "narrow": rng.normal(41.8, 0.04, rows),
        "negative": rng.normal(-87.6, 0.04, rows),
        "both signs": rng.normal(0.0, 1.0, rows),
        "zeros": np.where(rng.random(rows) < 0.3, 0.0, rng.normal(50.0, 0.1, rows)),
        "cents": np.round(rng.lognormal(2.0, 0.5, rows), 2),
        "codes": rng.integers(100, 120, rows).astype(float),
        "tiny": rng.normal(0.0, 1e-308, rows),
        "huge": rng.uniform(1e307, 1.7e308, rows),
    }[name]
    together = count_numbers(values)
    by_parts = add_grids([count_numbers(part) for part in np.split(values, 10)])
    assert together.fraction_bits == by_parts.fraction_bits
    assert together.ids.tolist() == by_parts.ids.tolist()
    assert together.counts.tolist() == by_parts.counts.tolist()
    assert together.ids.dtype == together.counts.dtype == np.int64
