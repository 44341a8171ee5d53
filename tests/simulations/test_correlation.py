"""Short versions of the simulations of the correlation test and of the estimated day variance."""

from __future__ import annotations

import numpy as np

from tests.simulations.correlation import (
    MIXED,
    NORMAL,
    Population,
    delays,
    false_alarm_days,
    flip,
    reaction,
    shift,
)
from tests.simulations.day_variation import estimated, ratio


def test_a_flipped_correlation_is_found_as_soon_as_exceedances_are_sustained() -> None:
    assert delays(Population(NORMAL, 0.6), flip, runs=2, seed=1) == [3, 3]


def test_a_shift_of_a_single_feature_is_no_change_of_correlations() -> None:
    significant, effect = reaction(Population(MIXED, 0.6), shift, draws=20, seed=1)
    assert significant <= 0.2
    assert effect < 0.25


def test_quiet_days_rarely_have_an_alarm() -> None:
    seen, allowed = false_alarm_days(Population(NORMAL[:4], 0.6), days=10, seed=3)
    assert allowed == 2.0
    assert seen <= 6


def test_the_upper_bound_of_the_day_variance_keeps_the_budget_and_the_estimate_does_not() -> None:
    rng = np.random.default_rng(1)
    estimates = [estimated(rng, 7, 10, 0.02) for _ in range(100)]
    pooled_ratio = np.mean([ratio(pooled, 0.02, 10_000) for pooled, _ in estimates])
    upper_ratio = np.mean([ratio(upper, 0.02, 10_000) for _, upper in estimates])
    assert upper_ratio < 1.1
    assert pooled_ratio > 1.3
