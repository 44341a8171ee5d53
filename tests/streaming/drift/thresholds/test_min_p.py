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
from streaming.drift.thresholds.alarm_rules import AlarmRule, block_alarm_probability
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


@pytest.mark.parametrize("tests", [2, 3, 6])
@pytest.mark.parametrize("variance_ratio", [0.05, 0.5, 2.5, 10.0, 100.0])
@pytest.mark.parametrize("block", [1_440.0, 17_280.0])
def test_several_persistent_errors_leave_about_the_level_of_one(
    tests: int, variance_ratio: float, block: float
) -> None:
    """The level is shared by the tests, so it hardly matters how many of them there are."""
    rule = AlarmRule(alarms=0.9, windows=518_400.0, features=1, block=block, sustained=3, of=5)
    level = MinPTest.of(
        rule,
        [continuous(f"test {at}", 0.5, 1.0 / tests, variance_ratio) for at in range(tests)],
        1.0,
    ).critical_level
    alone = rule.critical_p(variance_ratio)
    assert 0.5 * alone <= level <= 2.0 * max(alone, rule.critical_p(0.0))


def test_a_small_test_beside_a_persistent_one_does_not_widen_the_level() -> None:
    """The four tests of a rare flag: the sum over their errors met the budget at two levels."""
    rule = AlarmRule(alarms=0.888, windows=518_400.0, features=1, block=17_280.0, sustained=3, of=5)
    tests = [
        continuous("missing", 0.5, 0.06, 0.05),
        continuous("unseen", 0.5, 0.06, 0.05),
        continuous("value", 0.5, 0.68, 2.46),
    ]
    three = MinPTest.of(rule, tests, 1.0).critical_level
    four = MinPTest.of(rule, [*tests, continuous("new", 0.5, 0.2, 2.46)], 1.0).critical_level
    assert four == pytest.approx(three, rel=0.25)


@pytest.mark.parametrize(
    ("features", "windows", "block"),
    [(5, 720.0, 24.0), (5, 43_200.0, 1_440.0), (1, 518_400.0, 17_280.0)],
)
@pytest.mark.parametrize("variance_ratio", [0.5, 2.5, 12.0, 60.0])
def test_the_level_spends_the_budget_when_several_tests_have_persistent_errors(
    features: int, windows: float, block: float, variance_ratio: float
) -> None:
    """Simulated errors of three tests beside one without. The former sum spent up to eight times
    the budget where the variance of the errors is several times that of the sampling."""
    budget = 1.66 * features
    rule = AlarmRule(
        alarms=budget, windows=windows, features=features, block=block, sustained=3, of=5
    )
    parts = (0.4, 0.2, 0.2)
    tests = [continuous(f"test {part}", 0.5, part, variance_ratio) for part in parts[:2]]
    tests += [continuous("third", 0.5, 0.2, variance_ratio), continuous("quiet", 0.5, 0.2)]
    level = MinPTest.of(rule, tests, 1.0).critical_level
    errors = np.random.default_rng(1).standard_normal((3, 100_000)) * np.sqrt(variance_ratio)
    q = np.full(errors.shape[1], 0.2 * level)
    for part, error in zip(parts, errors, strict=True):
        c = stats.norm.isf(part * level / 2.0) * np.sqrt(1.0 + variance_ratio)
        q += stats.norm.sf(c - error) + stats.norm.sf(c + error)
    alarms = float(np.mean(block_alarm_probability(np.minimum(q, 1.0), rule)))
    assert features * windows / block * alarms == pytest.approx(budget, rel=0.15)
