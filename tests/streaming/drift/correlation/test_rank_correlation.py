"""Rank correlations do not depend on margins, and their error follows from the influences."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.drift.correlation.rank_correlation import (
    correlations,
    effective_features,
    fisher_z,
    influence,
    mean_correlation,
    rank_rows,
)
from streaming.grid import Floats, Integers


def pair(rng: np.random.Generator, rows: int, rho: float) -> Floats:
    first = rng.standard_normal(rows)
    second = rho * first + np.sqrt(1 - rho**2) * rng.standard_normal(rows)
    return np.column_stack((first, second))


def codes_of(values: Floats) -> Integers:
    return (np.floor(values * 50.0) + 10_000).astype(np.int64)


def test_a_correlation_does_not_depend_on_margins() -> None:
    drawn = pair(np.random.default_rng(1), 3_000, 0.7)
    plain = correlations(rank_rows(codes_of(drawn)))
    shifted = correlations(rank_rows(codes_of(drawn) + 777))
    cubed = correlations(rank_rows(codes_of(drawn) ** 3))
    assert plain[0, 1] == pytest.approx(0.7, abs=0.03)
    assert np.allclose(plain, shifted)
    assert np.allclose(plain, cubed)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("coarse", [False, True])
def test_the_influences_give_the_error_of_fishers_transform(rho: float, coarse: bool) -> None:
    rng = np.random.default_rng(2)

    def draw(rows: int) -> Integers:
        drawn = pair(rng, rows, rho)
        return (np.floor(drawn) + 10).astype(np.int64) if coarse else codes_of(drawn)

    large = rank_rows(draw(20_000))
    influences = influence(large, correlations(large), np.array([[0, 1]]))
    error = float(influences.std())
    drawn_error = np.std([fisher_z(correlations(rank_rows(draw(500))))[0, 1] for _ in range(600)])
    assert error / np.sqrt(500) == pytest.approx(float(drawn_error), rel=0.1)
    if not coarse:
        assert error == pytest.approx(1.0, abs=0.05)  # for every correlation of a Gaussian pair


def test_a_pair_uses_the_rows_with_both_values() -> None:
    drawn = codes_of(pair(np.random.default_rng(3), 4_000, 0.8))
    with_gaps = drawn.copy()
    with_gaps[:2_000, 0] = -1
    ranked = rank_rows(with_gaps)
    assert ranked.pair_rows.tolist() == [[2_000, 2_000], [2_000, 4_000]]
    assert correlations(ranked)[0, 1] == pytest.approx(0.8, abs=0.03)


def test_a_constant_feature_has_no_correlation() -> None:
    drawn = np.column_stack((np.full(200, 4), np.arange(200)))
    assert correlations(rank_rows(drawn))[0, 1] == 0.0


def test_mean_correlation_and_effective_features() -> None:
    equal = np.full((10, 10), 0.5) + 0.5 * np.eye(10)
    assert mean_correlation(equal) == pytest.approx(0.5)
    assert mean_correlation(np.eye(1)) == 0.0
    assert effective_features(np.eye(10)) == 10.0
    assert 1.0 < effective_features(equal) < 10.0
