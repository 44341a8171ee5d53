"""Rank correlations do not depend on margins, and their error follows from the influences."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

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


def by_formula(codes: Integers) -> tuple[Floats, Floats, Floats]:
    """Scores, mid-ranks and slopes, each column by its distinct values."""
    scores, ranks, slopes = np.zeros(codes.shape), np.zeros(codes.shape), np.zeros(codes.shape)
    for column in range(codes.shape[1]):
        known = codes[:, column] >= 0
        distinct, place, counts = np.unique(
            codes[known, column], return_inverse=True, return_counts=True
        )
        if len(distinct) < 2:
            continue
        rank = (np.cumsum(counts) - counts / 2.0) / counts.sum()
        raw = special.ndtri(rank)
        mean = float(counts / counts.sum() @ raw)
        sd = float(np.sqrt(counts / counts.sum() @ (raw - mean) ** 2))
        scores[known, column] = ((raw - mean) / sd)[place]
        ranks[known, column] = rank[place]
        slopes[known, column] = (np.sqrt(2.0 * np.pi) * np.exp(raw**2 / 2.0) / sd)[place]
    return scores, ranks, slopes


@pytest.mark.parametrize("rows", [1, 2, 7, 512, 4_096])
def test_ranks_are_those_of_the_formula_to_the_last_bit(rows: int) -> None:
    rng = np.random.default_rng(rows)
    values = [rng.integers(-1, 10**digits, rows) for digits in (0, 1, 2, 9, 15)]
    gaps = np.where(rng.random(rows) < 0.5, -1, rng.integers(0, 2**50, rows))
    codes = np.column_stack((*values, gaps, np.full(rows, -1)))
    ranked, scores_only = rank_rows(codes), rank_rows(codes, with_slopes=False)
    for ours, formula in zip(
        (ranked.scores, ranked.ranks, ranked.slopes), by_formula(codes), strict=True
    ):
        varying = np.array([len(np.unique(column[column >= 0])) > 1 for column in codes.T])
        assert np.array_equal(ours[:, varying], formula[:, varying])
    assert np.array_equal(ranked.scores, scores_only.scores)
    assert np.array_equal(ranked.present, scores_only.present)


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
