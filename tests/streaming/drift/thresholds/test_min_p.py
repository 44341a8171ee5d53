"""The familywise size of a feature's tests is the probability that a quiet window looks as bad."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from streaming.drift import DriftRules
from streaming.drift.statistics.proportions import share_test
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.drift.thresholds.min_p import MinPTest, attained_size, familywise_size

MINUTES = 43_200
RULE = AlarmRule(alarms=1.0, windows=MINUTES, features=20, block=1_440.0, sustained=3, of=5)


def continuous(name: str, p: float, weight: float, variance_ratio: float = 0.0) -> TestStatistic:
    return TestStatistic(
        name=name,
        statistic=0.0,
        p=p,
        effect=0.1,
        n=1_000,
        variance_ratio=variance_ratio,
        weight=weight,
    )


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(20, 3_000),
    reference_count=st.integers(0, 5_000),
    level=st.floats(1e-6, 0.2),
    one_sided=st.booleans(),
)
def test_the_size_of_a_share_test_is_that_of_its_discrete_distribution(
    n: int, reference_count: int, level: float, one_sided: bool
) -> None:
    rules = DriftRules(between_day_sd=0.0)

    def share(count: int) -> TestStatistic:
        return share_test(
            "zero",
            count,
            n,
            reference_count=reference_count,
            m=10**9,
            rules=rules,
            one_sided=one_sided,
        )

    (null_share,) = share(0).shares
    counts = np.arange(n + 1)
    likely = counts[np.abs(counts - n * null_share) < 12 * np.sqrt(n * null_share) + 20]
    significant = [count for count in likely.tolist() if share(count).p <= level * (1 - 1e-9)]
    truth = float(np.sum(stats.binom.pmf(significant, n, null_share)))
    assert attained_size(share(0), level) == pytest.approx(min(level, truth), rel=0.02, abs=1e-9)


@pytest.mark.parametrize("variance_ratio", [0.0, 0.4, 25.0, 250.0])
def test_a_single_continuous_test_has_the_critical_p_of_the_rule(variance_ratio: float) -> None:
    single = MinPTest.of(RULE, [continuous("location", 0.5, 1.0, variance_ratio)], 1.0)
    assert single.critical_level == pytest.approx(RULE.critical_p(variance_ratio), rel=0.12)


def test_the_level_that_a_discrete_test_cannot_attain_goes_to_the_other_tests() -> None:
    never = TestStatistic(
        name="non_finite",
        statistic=0.0,
        p=1.0,
        effect=0.0,
        n=1_000,
        variance_ratio=0.0,
        weight=0.5,
        shares=(1e-9,),
        one_sided=True,
    )
    level = MinPTest.of(RULE, [continuous("location", 0.5, 0.5), never], 1.0).critical_level
    near = continuous("location", 0.9 * level, 0.5)
    assert near.p / near.weight > level
    assert MinPTest.of(RULE, [near, never], 1.0).significant() == [near]
    assert not MinPTest.of(RULE, [near, continuous("shape", 0.5, 0.5)], 1.0).significant()


@given(x=st.floats(1e-9, 0.3), y=st.floats(1e-9, 0.3))
def test_the_familywise_size_grows_with_the_level(x: float, y: float) -> None:
    tests = [
        continuous("location", 0.5, 0.6),
        share_test("missing", 3, 500, reference_count=90, m=20_000, rules=DriftRules()),
    ]
    low, high = sorted((x, y))
    assert familywise_size(tests, low, 0.9) <= familywise_size(tests, high, 0.9) * (1.0 + 1e-9)


def test_a_persistent_error_in_one_test_limits_only_its_part_of_the_level() -> None:
    """The part of the test with the error is limited by days, the other part by windows."""
    both = MinPTest.of(
        RULE, [continuous("location", 0.5, 0.5, 25.0), continuous("dispersion", 0.5, 0.5)], 1.0
    ).critical_level
    assert RULE.critical_p(25.0) < both < RULE.critical_p(0.0)
