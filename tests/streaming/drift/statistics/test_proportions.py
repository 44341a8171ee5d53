"""Effects and p-values of shares on the probit scale."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
from scipy import special

from streaming.drift.day_variance import BetweenDaySd
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.proportions import share_effect, share_test


@pytest.mark.parametrize(
    ("reference", "window", "effect"),
    [
        (0.01, 0.03, 0.45),
        (0.01, 0.04, 0.58),
        (0.05, 0.07, 0.17),
        (0.50, 0.52, 0.05),
        (0.0, 0.005, 0.25),
        (0.0, 0.01, 0.50),
        (0.0, 0.001, 0.0),
        (0.04, 0.01, -0.58),
        (0.0, 1.0, 5.65),
    ],
)
def test_the_effect_of_a_share_is_its_difference_on_the_probit_scale(
    reference: float, window: float, effect: float
) -> None:
    assert share_effect(window, reference, DriftRules()) == pytest.approx(effect, abs=0.01)


@pytest.mark.parametrize("share", [0.3, 0.05, 1e-3])
def test_p_values_are_uniform_when_the_probit_of_a_share_varies_between_days(share: float) -> None:
    rng, n, m = np.random.default_rng(8), 10_000, 10**9
    rules = DriftRules(estimated_day_sd=replace(BetweenDaySd.uniform(0.0), missing=0.05))
    probits = special.ndtri(share) + rng.normal(0.0, 0.05, 20_000)
    counts = rng.binomial(n, special.ndtr(probits))
    tests = [
        share_test("x", int(count), n, reference_count=share * m, m=m, rules=rules)
        for count in counts
    ]
    p = np.array([test.p for test in tests])
    assert all(test.m == m for test in tests)
    for level in (0.1, 0.01, 0.001):
        noise = 4.0 * sqrt(level / len(p))
        assert np.mean(p <= level) == pytest.approx(level, rel=0.3, abs=noise)
