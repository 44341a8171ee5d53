"""Critical p-values: closed form, known answers of a simulation, and monotonicity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from streaming.drift import DriftRules
from streaming.drift.thresholds.alarm_rules import (
    AlarmRule,
    alarm_rules,
    onset_rate,
    runs_probability,
)

MINUTES = 43_200


def rule(features: int, *, alarms: float = 1.0, block: float = 1440.0) -> AlarmRule:
    return AlarmRule(
        alarms=alarms, windows=MINUTES, features=features, block=block, sustained=3, of=5
    )


def critical_effect(
    n: int, between_day_sd: float, m: float = math.inf, *, block: float = 1440.0
) -> float:
    variance_ratio = n * (between_day_sd**2 + 1 / m)
    p = rule(50, block=block).critical_p(variance_ratio)
    return -float(special.ndtri(p / 2)) * math.sqrt((1 + variance_ratio) / n)


@pytest.mark.parametrize(
    ("features", "q"), [(5, 0.00926), (20, 0.00583), (50, 0.00428), (200, 0.00269)]
)
def test_without_a_persistent_error_the_limit_is_the_cube_root(features: int, q: float) -> None:
    assert rule(features).critical_p(0.0) == pytest.approx(q, rel=0.01)
    assert rule(features).critical_p(0.0) == pytest.approx(
        (1.0 / (6 * MINUTES * features)) ** (1 / 3), rel=0.02
    )


@pytest.mark.parametrize(
    ("n", "between_day_sd", "limit"),
    [
        (1_000, 0.0, 0.090),
        (200, 0.02, 0.216),
        (1_000, 0.02, 0.127),
        (10_000, 0.02, 0.086),
        (100_000, 0.02, 0.074),
        (200, 0.05, 0.300),
        (1_000, 0.05, 0.226),
        (10_000, 0.05, 0.187),
        (100_000, 0.05, 0.176),
    ],
)
def test_limits_with_a_between_day_variance(n: int, between_day_sd: float, limit: float) -> None:
    """Simulated with 50 features, 30 days of one-minute windows and a budget of 1."""
    assert critical_effect(n, between_day_sd) == pytest.approx(limit, abs=0.001)


@pytest.mark.parametrize(("n", "limit"), [(10_000, 0.039), (100_000, 0.0235)])
def test_limits_with_the_error_of_a_reference_of_20_000_rows(n: int, limit: float) -> None:
    assert critical_effect(n, 0.0, 20_000, block=MINUTES) == pytest.approx(limit, abs=0.0005)


@given(st.floats(0.0, 1e4), st.floats(0.0, 1e4), st.integers(1, 300))
def test_a_larger_variance_ratio_never_lowers_the_critical_effect(
    a: float, b: float, features: int
) -> None:
    low, high = sorted((a, b))

    def width(variance_ratio: float) -> float:
        p = rule(features).critical_p(variance_ratio)
        return -float(special.ndtri(p / 2)) * math.sqrt(1 + variance_ratio)

    assert width(low) <= width(high) * 1.03  # variance ratios are rounded in steps of 2 %


@given(st.floats(1e-3, 1e3), st.floats(1.01, 100.0), st.floats(0.0, 100.0))
def test_a_larger_budget_gives_a_laxer_limit(
    alarms: float, factor: float, variance_ratio: float
) -> None:
    small, large = (
        rule(20, alarms=a).critical_p(variance_ratio) for a in (alarms, alarms * factor)
    )
    assert 0 < small <= large <= 0.5


def test_every_rule_has_its_part_of_the_budget() -> None:
    rules = DriftRules()
    sustained, single, *cusum = alarm_rules(rules, features=20, window_seconds=60)
    cusum_alarms = sum(rule.alarms for rule in cusum)
    assert sustained.alarms + single.alarms + cusum_alarms == pytest.approx(rules.false_alarms)
    assert sustained.critical_p(0.0) == pytest.approx(
        (0.6 / (6 * MINUTES * 20)) ** (1 / 3), rel=0.02
    )
    assert single.critical_p(0.0) == pytest.approx(0.2 / (MINUTES * 20), rel=0.01)


def test_the_onset_rate_of_three_of_five_agrees_with_a_markov_chain() -> None:
    q = 0.2
    states = np.zeros(32)
    states[0] = 1.0
    for _ in range(400):
        following = np.zeros(32)
        for state in range(32):
            following[(state << 1) & 31] += states[state] * (1 - q)
            following[((state << 1) | 1) & 31] += states[state] * q
        states = following
    in_run = np.array([state.bit_count() >= 3 for state in range(32)])
    entering = sum(
        states[state] * (q if hit else 1 - q)
        for state in range(32)
        for hit in (0, 1)
        if not in_run[state] and in_run[((state << 1) | hit) & 31]
    )
    assert float(onset_rate(np.array([q]), 3, 5)[0]) == pytest.approx(entering)
    assert float(runs_probability(np.array([q]), 3, 5)[0]) == pytest.approx(states[in_run].sum())


def test_daily_windows_have_a_limit_too() -> None:
    for alarm_rule in alarm_rules(DriftRules(), features=3, window_seconds=86_400):
        assert 0 < alarm_rule.critical_p(5.0) <= 0.5
