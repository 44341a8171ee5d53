"""Tail probabilities agree with exact ones, also far out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import signal, special, stats

from streaming.drift.statistics.pvalues import chi_square_tail, mean_score_z, share_z, two_sided


@given(st.integers(1, 400), st.integers(0, 400), st.floats(0.001, 0.999))
def test_a_share_has_the_exact_binomial_tail(n: int, count: int, share: float) -> None:
    count = min(count, n)
    z = share_z(count, n, share)
    tail = float(
        stats.binom.sf(count - 1, n, share)
        if count > n * share
        else stats.binom.cdf(count, n, share)
    )
    if z != 0.0 and tail > 1e-200:
        assert float(special.ndtr(-abs(z))) == pytest.approx(tail, rel=1e-6)
        assert (z > 0) == (count > n * share)


@pytest.mark.parametrize(("count", "sign"), [(20_000, 1), (0, -1)])
def test_a_share_whose_p_underflows_has_a_finite_z(count: int, sign: int) -> None:
    z = share_z(count, 20_000, 0.5)
    assert math.isfinite(z)
    assert z * sign > 100


def test_shares_of_0_and_1() -> None:
    assert share_z(0, 10, 0.0) == 0.0
    assert share_z(1, 10, 0.0) == math.inf
    assert share_z(9, 10, 1.0) == -math.inf
    assert share_z(10, 10, 1.0) == 0.0


def _exact_tail(values: list[int], shares: list[float], n: int, total: int) -> float:
    """P(sum of n draws >= total) by convolution."""
    single = np.zeros(max(values) + 1)
    single[values] = shares
    law = np.ones(1)
    for _ in range(n):
        law = signal.convolve(law, single, method="direct")
    return float(law[total:].sum())


@pytest.mark.parametrize(("n", "sigmas"), [(60, 3.0), (60, 5.0), (120, 6.0)])
def test_the_saddlepoint_agrees_with_the_exact_tail(n: int, sigmas: float) -> None:
    values, shares = [0, 1, 2, 3, 5, 9], [0.3, 0.25, 0.2, 0.1, 0.1, 0.05]
    mean = float(np.dot(values, shares))
    sd = math.sqrt(float(np.dot(np.square(values), shares)) - mean**2)
    total = math.ceil(n * mean + sigmas * sd * math.sqrt(n))
    scores = (np.array(values) - mean) / sd
    # Minus half a step: the sum has a lattice distribution, the saddlepoint a continuous one.
    z = mean_score_z(scores, np.array(shares), ((total - 0.5) / n - mean) / sd, n)
    assert float(special.ndtr(-z)) == pytest.approx(_exact_tail(values, shares, n, total), rel=0.05)


def test_the_saddlepoint_is_more_accurate_than_the_normal_limit_for_squares() -> None:
    points = np.asarray(np.linspace(-8, 8, 4001), np.float64)
    shares = np.asarray(np.exp(-(points**2) / 2), np.float64)
    shares = np.asarray(shares / shares.sum(), np.float64)
    scores = np.asarray((points**2 - 1) / math.sqrt(2), np.float64)
    n = 200
    total = float(stats.chi2.isf(1e-6, n))  # a sum of 200 squares is chi-square
    mean = (total / n - 1) / math.sqrt(2)
    z = mean_score_z(scores, shares, mean, n)
    assert float(special.ndtr(-z)) == pytest.approx(1e-6, rel=0.05)
    assert float(special.ndtr(-mean * math.sqrt(n))) < 1e-7  # the normal limit: 10 times off


@given(st.floats(-1.3, 3.2), st.integers(100, 5_000))
def test_a_higher_mean_has_a_higher_z(mean: float, n: int) -> None:
    scores, shares = np.array([-1.0, 0.0, 3.0]), np.array([0.6, 0.2, 0.2])
    scores = (scores - scores @ shares) / np.sqrt((scores - scores @ shares) ** 2 @ shares)
    low, high = (mean_score_z(scores, shares, m, n) for m in (mean, mean + 0.1))
    assert math.isfinite(low)
    assert math.isfinite(high)
    assert low <= high + 1e-6 or abs(abs(low) - 2.0) < 0.7  # the switch to the saddlepoint


def test_all_rows_in_the_last_bucket_have_a_finite_z() -> None:
    scores, shares = np.array([-1.0, 1.0]), np.array([0.5, 0.5])
    assert mean_score_z(scores, shares, 1.0, 100) == pytest.approx(math.sqrt(200 * math.log(2)))
    assert mean_score_z(scores, shares, -5.0, 100) == pytest.approx(-math.sqrt(200 * math.log(2)))


def test_persistent_error_increases_p() -> None:
    assert two_sided(3.0, 0.0) < two_sided(3.0, 1.0) == two_sided(-3.0, 1.0)
    assert chi_square_tail(20.0, 4, 0.0) < chi_square_tail(20.0, 4, 1.0)
    assert chi_square_tail(20.0, 4, 1.0) == pytest.approx(chi_square_tail(10.0, 4, 0.0))
