"""From budget to limit: closed form, known answers of a simulation, and monotony."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from streaming.contracts.errors import ConfigurationError
from streaming.drift import DriftRules
from streaming.drift.thresholds.alarm_rules import Lane, lanes, onset_rate, sustained_chance

MINUTES = 43_200


def lane(features: int, *, alarms: float = 1.0, block: float = 1440.0) -> Lane:
    return Lane(alarms, MINUTES, features, block, 3, 5)


def effect_limit(n: int, wobble: float, m: float = math.inf, *, block: float = 1440.0) -> float:
    persistence = n * (wobble**2 + 1 / m)
    p = lane(50, block=block).limit(persistence)
    return -float(special.ndtri(p / 2)) * math.sqrt((1 + persistence) / n)


@pytest.mark.parametrize(
    ("features", "q"), [(5, 0.00926), (20, 0.00583), (50, 0.00428), (200, 0.00269)]
)
def test_without_persistence_the_limit_is_the_cube_root(features: int, q: float) -> None:
    assert lane(features).limit(0.0) == pytest.approx(q, rel=0.01)
    assert lane(features).limit(0.0) == pytest.approx(
        (1.0 / (6 * MINUTES * features)) ** (1 / 3), rel=0.02
    )


@pytest.mark.parametrize(
    ("n", "wobble", "limit"),
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
def test_limits_under_a_daily_wobble(n: int, wobble: float, limit: float) -> None:
    """Simulated with 50 features, 30 days of one-minute windows and a budget of 1."""
    assert effect_limit(n, wobble) == pytest.approx(limit, abs=0.001)


@pytest.mark.parametrize(("n", "limit"), [(10_000, 0.039), (100_000, 0.0235)])
def test_limits_under_the_error_of_a_reference_of_20_000_rows(n: int, limit: float) -> None:
    assert effect_limit(n, 0.0, 20_000, block=MINUTES) == pytest.approx(limit, abs=0.0005)


@given(st.floats(0.0, 1e4), st.floats(0.0, 1e4), st.integers(1, 300))
def test_more_persistence_never_lowers_the_effect_limit(a: float, b: float, features: int) -> None:
    low, high = sorted((a, b))

    def width(persistence: float) -> float:
        p = lane(features).limit(persistence)
        return -float(special.ndtri(p / 2)) * math.sqrt(1 + persistence)

    assert width(low) <= width(high) * 1.03  # persistence is rounded in steps of 2 %


@given(st.floats(1e-3, 1e3), st.floats(1.01, 100.0), st.floats(0.0, 100.0))
def test_a_larger_budget_gives_a_laxer_limit(
    alarms: float, factor: float, persistence: float
) -> None:
    small, large = (lane(20, alarms=a).limit(persistence) for a in (alarms, alarms * factor))
    assert 0 < small <= large <= 0.5


def test_the_single_window_lane_spends_its_part() -> None:
    rules = DriftRules()
    sustained, single, *slow = lanes(rules, features=20, window_seconds=60)
    assert sustained.alarms + single.alarms + sum(one.alarms for one in slow) == pytest.approx(
        rules.false_alarms
    )
    assert sustained.limit(0.0) == pytest.approx((0.6 / (6 * MINUTES * 20)) ** (1 / 3), rel=0.02)
    assert single.limit(0.0) == pytest.approx(0.2 / (MINUTES * 20), rel=0.01)


def test_onsets_of_three_of_five_agree_with_a_chain() -> None:
    q = 0.2
    states = np.zeros(32)
    states[0] = 1.0
    for _ in range(400):
        moved = np.zeros(32)
        for state in range(32):
            moved[(state << 1) & 31] += states[state] * (1 - q)
            moved[((state << 1) | 1) & 31] += states[state] * q
        states = moved
    many = np.array([state.bit_count() >= 3 for state in range(32)])
    into = sum(
        states[state] * (q if hit else 1 - q)
        for state in range(32)
        for hit in (0, 1)
        if not many[state] and many[((state << 1) | hit) & 31]
    )
    assert float(onset_rate(np.array([q]), 3, 5)[0]) == pytest.approx(into)
    assert float(sustained_chance(np.array([q]), 3, 5)[0]) == pytest.approx(states[many].sum())


def test_daily_windows_have_a_limit_too() -> None:
    for one in lanes(DriftRules(), features=3, window_seconds=86_400):
        assert 0 < one.limit(5.0) <= 0.5


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"false_alarms": 0}, "above 0"),
        ({"sustained": 6}, "6 of 5"),
        ({"sustained": 0}, "0 of 5"),
        ({"suspected_sd": 0.6}, "must not exceed drifted_sd"),
        ({"share_floor": 0.7}, "between 0 and 0.5"),
        ({"single_share": 0.95}, "leave something"),
        ({"min_rows": 3}, "prove nothing"),
        ({"wobble_sd": math.nan}, "must be 0 or more"),
        ({"wobble_sd": -0.1}, "must be 0 or more"),
    ],
)
def test_impossible_rules_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        DriftRules(**settings)  # type: ignore[arg-type]
