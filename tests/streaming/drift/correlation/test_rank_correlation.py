"""Correlations of normal scores: blind to margins, with the error that influences say."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.drift.correlation.rank_correlation import (
    correlations,
    effective_features,
    fisher,
    influence,
    mean_correlation,
    rank_rows,
)
from streaming.grid import Floats, Integers


def pair(rng: np.random.Generator, rows: int, rho: float) -> Floats:
    one = rng.standard_normal(rows)
    return np.column_stack((one, rho * one + np.sqrt(1 - rho**2) * rng.standard_normal(rows)))


def install_paths(values: Floats) -> Integers:
    return (np.floor(values * 50.0) + 10_000).astype(np.int64)


def test_a_correlation_does_not_depend_on_margins() -> None:
    drawn = pair(np.random.default_rng(1), 3_000, 0.7)
    plain = correlations(rank_rows(install_paths(drawn)))
    moved = correlations(rank_rows(install_paths(drawn) + 777))
    spread = correlations(rank_rows(install_paths(drawn) ** 3))
    assert plain[0, 1] == pytest.approx(0.7, abs=0.03)
    assert np.allclose(plain, moved)
    assert np.allclose(plain, spread)


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("coarse", [False, True])
def test_influences_say_the_error_of_fishers_transform(rho: float, coarse: bool) -> None:
    rng = np.random.default_rng(2)

    def draw(rows: int) -> Integers:
        drawn = pair(rng, rows, rho)
        return (np.floor(drawn) + 10).astype(np.int64) if coarse else install_paths(drawn)

    large = rank_rows(draw(20_000))
    added = influence(large, correlations(large), np.array([[0, 1]]))
    said = float(added.std())
    seen = np.std([fisher(correlations(rank_rows(draw(500))))[0, 1] for _ in range(600)])
    assert said / np.sqrt(500) == pytest.approx(float(seen), rel=0.1)
    if not coarse:
        assert said == pytest.approx(1.0, abs=0.05)  # of a Gaussian pair, whatever its correlation


def test_missing_values_are_left_out_by_pairs() -> None:
    drawn = install_paths(pair(np.random.default_rng(3), 4_000, 0.8))
    lost = drawn.copy()
    lost[:2_000, 0] = -1
    ranked = rank_rows(lost)
    assert ranked.shared.tolist() == [[2_000, 2_000], [2_000, 4_000]]
    assert correlations(ranked)[0, 1] == pytest.approx(0.8, abs=0.03)


def test_a_feature_that_never_varies_has_no_correlation() -> None:
    drawn = np.column_stack((np.full(200, 4), np.arange(200)))
    assert correlations(rank_rows(drawn))[0, 1] == 0.0


def test_what_is_said_about_all_pairs() -> None:
    equal = np.full((10, 10), 0.5) + 0.5 * np.eye(10)
    assert mean_correlation(equal) == pytest.approx(0.5)
    assert mean_correlation(np.eye(1)) == 0.0
    assert effective_features(np.eye(10)) == 10.0
    assert 1.0 < effective_features(equal) < 10.0
