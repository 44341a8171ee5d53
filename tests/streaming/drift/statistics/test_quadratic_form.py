"""The saddlepoint agrees with draws, and with the chi-square where that is exact."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from streaming.drift.statistics.quadratic_form import sum_of_squares_tail, weighted_chi_square_tail
from streaming.grid import Floats


@pytest.mark.parametrize("degrees", [3, 45, 300])
@pytest.mark.parametrize("level", [0.5, 1e-1, 1e-3, 1e-5, 1e-9])
def test_equal_weights_are_a_chi_square(degrees: int, level: float) -> None:
    quantile = float(stats.chi2.isf(level, degrees))
    tail = weighted_chi_square_tail(7.0 * quantile, np.full(degrees, 7.0))
    assert tail == pytest.approx(level, rel=0.03)


@pytest.mark.parametrize("decay", [0.5, 0.8, 0.95])
def test_unequal_weights_agree_with_draws(decay: float) -> None:
    weights: Floats = np.power(decay, np.arange(12.0)).astype(np.float64)
    rng = np.random.default_rng(1)
    drawn = np.sort(rng.chisquare(1.0, (400_000, 12)) @ weights)
    for level in (0.3, 1e-1, 1e-2, 1e-3, 1e-4):
        quantile = float(drawn[-round(level * len(drawn))])
        noise = 5.0 / np.sqrt(level * len(drawn))
        assert weighted_chi_square_tail(quantile, weights) == pytest.approx(level, rel=0.05 + noise)


@pytest.mark.parametrize("weights", [(26.0, 26.0, 1.0, 1.0), (14.0, 5.0, 1.0), (3.0, 1.0)])
def test_the_tail_of_few_unequal_squares_agrees_with_draws(weights: tuple[float, ...]) -> None:
    rng = np.random.default_rng(5)
    drawn = np.sort(rng.chisquare(1.0, (400_000, len(weights))) @ np.array(weights))
    for level in (0.5, 0.1, 1e-2, 1e-3):
        quantile = float(drawn[-round(level * len(drawn))])
        assert sum_of_squares_tail(quantile, weights) == pytest.approx(level, rel=0.15)


def test_edge_cases() -> None:
    equal = np.ones(5)
    assert weighted_chi_square_tail(0.0, equal) == 1.0
    assert weighted_chi_square_tail(3.0, np.zeros(3)) == 1.0
    assert 0.0 <= weighted_chi_square_tail(1e6, equal) < 1e-200
    near_mean = [weighted_chi_square_tail(5.0 + step, equal) for step in np.linspace(-0.1, 0.1, 41)]
    assert all(a >= b - 0.002 for a, b in pairwise(near_mean))  # no jump at the mean
    assert near_mean[20] == pytest.approx(float(stats.chi2.sf(5.0, 5)), rel=0.01)
