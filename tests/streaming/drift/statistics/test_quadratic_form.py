"""The saddlepoint against draws and against the chi-square where that is exact."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from streaming.drift.statistics.quadratic_form import weighted_chi_square_tail
from streaming.grid import Floats


@pytest.mark.parametrize("degrees", [3, 45, 300])
@pytest.mark.parametrize("level", [0.5, 1e-1, 1e-3, 1e-5, 1e-9])
def test_equal_weights_are_a_chi_square(degrees: int, level: float) -> None:
    at = float(stats.chi2.isf(level, degrees))
    found = weighted_chi_square_tail(7.0 * at, np.full(degrees, 7.0))
    assert found == pytest.approx(level, rel=0.03)


@pytest.mark.parametrize("fall", [0.5, 0.8, 0.95])
def test_unequal_weights_agree_with_draws(fall: float) -> None:
    weights: Floats = np.power(fall, np.arange(12.0)).astype(np.float64)
    rng = np.random.default_rng(1)
    drawn = np.sort(rng.chisquare(1.0, (400_000, 12)) @ weights)
    for level in (0.3, 1e-1, 1e-2, 1e-3, 1e-4):
        at = float(drawn[-round(level * len(drawn))])
        noise = 5.0 / np.sqrt(level * len(drawn))
        assert weighted_chi_square_tail(at, weights) == pytest.approx(level, rel=0.05 + noise)


def test_edges() -> None:
    one = np.ones(5)
    assert weighted_chi_square_tail(0.0, one) == 1.0
    assert weighted_chi_square_tail(3.0, np.zeros(3)) == 1.0
    assert 0.0 <= weighted_chi_square_tail(1e6, one) < 1e-200
    around = [weighted_chi_square_tail(5.0 + step, one) for step in np.linspace(-0.1, 0.1, 41)]
    assert all(a >= b - 0.002 for a, b in pairwise(around))  # no jump at the mean
    assert around[20] == pytest.approx(float(stats.chi2.sf(5.0, 5)), rel=0.01)
