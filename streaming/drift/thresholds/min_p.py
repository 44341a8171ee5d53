"""Weighted min-p test: one decision from all tests of a feature, at the level its budget allows.

A feature is tested in several ways, test i at `weight_i` of the feature's level. If all tests were
continuous and disjoint, the feature would exceed its limit as often as its level states. They are
not: a share has a discrete distribution (non-finite values cannot be fewer than zero), a test may
need more rows than there are, and tests overlap. An exceedance is therefore decided by the size of
the whole family (Westfall & Young 1993). With x the smallest p_i / weight_i,

    size(x) = union ratio * sum of P(p_i <= weight_i x) over the dependent tests, plus the same sum
              over the other tests,

exact for shares, is the probability that a quiet window looks at least as bad. It is compared with
the critical level: the exceedance probability at which, given the persistent error of each test,
the rule's expected alarms are its budget::

    F (W / L) { a(Q) + sum_i ( E_theta_i[ a(Q - q_i + q_i(theta_i)) ] - a(Q) ) } = budget

with Q = sum q_i and a, the probability of an alarm in a block of L windows
(`alarm_rules.block_alarm_probability`); `_alarms` says what holds for large errors. With one test
this is the formula of `alarm_rules`. Without persistent errors it is a(Q) alone, for 3 of 5 windows
6 Q^3 W F = budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil, exp, floor, inf, log, sqrt
from typing import NamedTuple

import numpy as np
from scipy import special

from streaming.drift.statistics.pvalues import share_z_estimated
from streaming.drift.statistics.scalars import ndtr, ndtri
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.alarm_rules import AlarmRule, block_alarm_probability
from streaming.drift.thresholds.offsets import OffsetGrid, offset_average, solve_for_budget
from streaming.grid import Floats

MAX_SLACK = 10.0
"""Levels above this multiple of the critical level are not computed exactly."""
DEPENDENT_TESTS = frozenset({"location", "dispersion", "shape", "zero", "value", "category"})
"""Tests that respond to the same changes."""
_SMALLEST_LEVEL = 1e-12
"""At a smaller level a discrete test has the size of a continuous one."""
_RATIO_STEP, _ROWS_STEP, _PART_STEP = 0.1, 0.03, 0.02
"""Variance ratios are rounded to steps of 10 %, rows to steps of 3 % and a test's part of the level
to steps of 0.02, so that few levels are solved."""
_NEGLIGIBLE_RATIO = 1e-3
"""A smaller variance ratio changes no level."""
_MIN_LEVEL, _MAX_LEVEL = 1e-14, 0.5
"""Bounds of the critical level, whatever the budget is."""
_LEVEL_STEP = 1.5
"""Factor between the levels that are tried until the alarms reach the budget."""
_GRID = OffsetGrid.trapezoid(limit=8.0, count=161)


def familywise_size(tests: Sequence[TestStatistic], level: float, union_ratio: float) -> float:
    """Probability that a quiet window has some p_i <= weight_i * level.

    Parameters
    ----------
    tests:
        The tests that ran, with their weights.
    union_ratio:
        Size of the union of the dependent tests, divided by the sum of their sizes
        (`dependence.TestDependence`).
    """
    dependent = sum(
        attained_size(test, level * test.weight) for test in tests if test.name in DEPENDENT_TESTS
    )
    independent = sum(
        attained_size(test, level * test.weight)
        for test in tests
        if test.name not in DEPENDENT_TESTS
    )
    return union_ratio * dependent + independent


def attained_size(test: TestStatistic, level: float) -> float:
    """P(p <= level) of one test when nothing has changed; at most `level`.

    >>> coin = TestStatistic(
    ...     name="zero", statistic=0.5, p=1.0, effect=0.0, n=100, variance_ratio=0.0, shares=(0.5,)
    ... )
    >>> round(attained_size(coin, 0.05), 4), attained_size(coin, 1e-40)
    (0.0352, 1e-40)
    """
    return _attained_size(_null_law(test, exact=True), level)


class _NullLaw(NamedTuple):
    """What the distribution of a test's p depends on when nothing has changed."""

    weight: float
    shares: tuple[float, ...]
    one_sided: bool
    n: int
    variance_ratio: float
    m: float
    """Rows from which the null shares are known."""


def _null_law(test: TestStatistic, *, exact: bool = False) -> _NullLaw:
    """The null law of a test; without `exact`, its rows and variance ratio are rounded."""
    n = test.n if exact else _round_rows(test.n)
    ratio = test.variance_ratio if exact else _round_ratio(test.variance_ratio)
    return _NullLaw(test.weight, test.shares, test.one_sided, n, ratio, test.m or inf)


@lru_cache(maxsize=16_384)
def _round_rows(n: int) -> int:
    return round(exp(round(log(max(1, n)) / _ROWS_STEP) * _ROWS_STEP))


@lru_cache(maxsize=16_384)
def _round_ratio(variance_ratio: float) -> float:
    if variance_ratio < _NEGLIGIBLE_RATIO:
        return 0.0
    return exp(round(log(variance_ratio) / _RATIO_STEP) * _RATIO_STEP)


def _attained_size(null: _NullLaw, level: float) -> float:
    if not null.shares or level < _SMALLEST_LEVEL:
        return level
    share_level = level / len(null.shares)
    size = sum(
        _binomial_size(
            share,
            level=share_level,
            one_sided=null.one_sided,
            n=null.n,
            variance_ratio=null.variance_ratio,
            m=null.m,
        )
        for share in null.shares
    )
    return min(level, size)


@lru_cache(maxsize=32_768)
def _binomial_size(
    share: float, level: float, *, one_sided: bool, n: int, variance_ratio: float, m: float
) -> float:
    """Size of one binomial test at a two-sided `level`.

    The counts are discrete; the tails of their distribution include all errors.
    """
    if not 0.0 < share < 1.0 or level / 2.0 < _SMALLEST_LEVEL:
        return level
    spread = sqrt(max(1.0, (1.0 + variance_ratio) / (1.0 + n / m)))

    def tail(count: int) -> float:
        """P(a quiet count is at least as extreme on its side)."""
        return ndtr(-abs(share_z_estimated(count, n, share, m)) / spread)

    mean = n * share
    # where a normal count would be significant, skewness included (Cornish & Fisher)
    quantile = -ndtri(level / 2.0) * spread * sqrt(1.0 + n / m)
    sd, skew = sqrt(mean * (1.0 - share)), (1.0 - 2.0 * share) * (quantile * quantile - 1.0) / 6.0
    upper = _first_tail(tail, floor(mean) + 1, n, mean + quantile * sd + skew, level / 2.0)
    if one_sided:
        return upper
    return upper + _first_tail(tail, ceil(mean) - 1, 0, mean - quantile * sd + skew, level / 2.0)


def _first_tail(
    tail: Callable[[int], float], near: int, far: int, guess: float, max_tail: float
) -> float:
    """The largest tail that is at most `max_tail`; 0 without one.

    Parameters
    ----------
    tail:
        Decreases from the count `near`, beside the mean, to the count `far`.
    guess:
        Where the count with that tail is expected.
    """
    direction, last = (1, far - near) if far >= near else (-1, near - far)

    def small_enough(steps: int) -> bool:
        return tail(near + steps * direction) <= max_tail

    # the count is after `low` and not after `high`, in steps from `near`
    low, high, stride = -1, last, 1
    at = min(max(round((guess - near) * direction), 0), last)
    while low < at < high:
        if small_enough(at):
            high, at = at, at - stride
        else:
            low, at = at, at + stride
        stride *= 2
    while high - low > 1:
        at = (low + high) // 2
        low, high = (low, at) if small_enough(at) else (at, high)
    largest = tail(near + high * direction)
    return largest if largest <= max_tail else 0.0


@dataclass(frozen=True, slots=True)
class MinPTest:
    """The tests of one feature in one window, with the level that an alarm rule allows them."""

    tests: tuple[TestStatistic, ...]
    union_ratio: float
    """Union over sum of the sizes of the dependent tests."""
    critical_level: float
    """Exceedance probability at which the rule's expected alarms are its budget."""
    _laws: tuple[_NullLaw, ...] = ()
    """Null laws of the tests."""

    @classmethod
    def of(cls, rule: AlarmRule, tests: Sequence[TestStatistic], union_ratio: float) -> MinPTest:
        """The min-p test of these tests under `rule`."""
        laws = tuple([_null_law(test) for test in tests])
        return cls(tuple(tests), union_ratio, _critical_level(rule, laws), laws)

    def with_exact_tail(
        self, rule: AlarmRule, union_ratio: Callable[[Sequence[TestStatistic]], float]
    ) -> MinPTest:
        """The min-p test, under `rule`, of the tests whose far tail is exact."""
        tests = tuple([test for test in self.tests if test.exact_tail])
        pairs = zip(self.tests, self._laws, strict=True)
        laws = tuple([law for test, law in pairs if test.exact_tail])
        return MinPTest(tests, union_ratio(tests), _critical_level(rule, laws), laws)

    def p(self, test: TestStatistic) -> float:
        """Probability that a quiet window looks as bad as this test does.

        It is exact near the critical level and the upper bound p / weight far from it.
        """
        level = test.p / test.weight
        if not self.critical_level < level <= MAX_SLACK * self.critical_level or self._too_large(
            level
        ):
            return min(1.0, level)
        return familywise_size(self.tests, level, self.union_ratio)

    def _too_large(self, level: float) -> bool:
        """Whether the continuous tests alone have a larger size than the critical level."""
        continuous = (
            test.weight * (self.union_ratio if test.name in DEPENDENT_TESTS else 1.0)
            for test in self.tests
            if not test.shares
        )
        return level * sum(continuous) > self.critical_level

    def significant(self) -> list[TestStatistic]:
        """The significant tests.

        The familywise size grows with p / weight, so the search ends at the first test that is not
        significant.
        """
        names = set()
        for test in sorted(self.tests, key=lambda test: test.p / test.weight):
            if self.p(test) > self.critical_level:
                break
            names.add(test.name)
        return [test for test in self.tests if test.name in names]

    def critical_p(self, test: TestStatistic) -> float:
        """A p of the test at which it is certainly significant."""
        return test.weight * self.critical_level


@lru_cache(maxsize=16_384)
def _critical_level(rule: AlarmRule, laws: tuple[_NullLaw, ...]) -> float:
    """The critical level, divided over the tests in proportion to the size they can attain."""
    start = rule.critical_p(0.0)
    sizes = [(_attained_size(law, start * law.weight), law.variance_ratio) for law in laws]
    total = sum(size for size, _ in sizes)
    if total <= 0.0:
        return start
    parts = sorted((_PART_STEP * round(size / total / _PART_STEP), ratio) for size, ratio in sizes)
    return _solve_level(rule, tuple(part for part in parts if part[0] > 0.0))


@lru_cache(maxsize=16_384)
def _solve_level(rule: AlarmRule, parts: tuple[tuple[float, float], ...]) -> float:
    """The level at which the rule's alarms are its budget, for tests with these parts of it and
    these variance ratios."""
    persistent = [(part, variance_ratio) for part, variance_ratio in parts if variance_ratio]

    def alarms(level: float) -> float:
        return _alarms(level, persistent, rule)

    return solve_for_budget(
        alarms,
        rule.alarms,
        low=_MIN_LEVEL,
        high=_rising_until(alarms, rule),
        xtol=1e-4,
        log_scale=True,
    )


def _rising_until(alarms: Callable[[float], float], rule: AlarmRule) -> float:
    """A level below which the alarms rise with the level, and at which they are the budget if they
    reach it at all.

    Where the better of the two sums in `_alarms` changes they may fall a little.
    """
    level = min(rule.critical_p(0.0), _MAX_LEVEL)
    count = alarms(level)
    while count < rule.alarms and level < _MAX_LEVEL:
        higher = min(level * _LEVEL_STEP, _MAX_LEVEL)
        higher_count = alarms(higher)
        if higher_count <= count:
            break
        level, count = higher, higher_count
    return level


def _alarms(level: float, persistent: Sequence[tuple[float, float]], rule: AlarmRule) -> float:
    """False alarms in the period when a feature exceeds its limit with probability `level`.

    Each persistent test is averaged over its error while the others exceed as often as on average,
    or, where that gives more, as often as without an error. The first is right while alarms are
    rare. Where a large error makes a test alarm in whole blocks and hardly ever in others, averages
    of several tests no longer add up, and the second is.
    """

    def alarmed(q: Floats) -> Floats:
        """Probability of an alarm in a block."""
        return block_alarm_probability(np.minimum(1.0, q), rule)

    if not persistent:
        total = float(alarmed(np.array([level]))[0])
    else:
        parts, variance_ratios = np.array(persistent).T[:, :, None]
        sizes = parts * level
        c = -special.ndtri(sizes / 2.0) * np.sqrt(1.0 + variance_ratios)
        without_error = 2.0 * special.ndtr(-c)

        def above(base: float, usual: Floats) -> float:
            """Alarms when the tests exceed with probability `base` together, `usual` each."""

            def with_error(theta: Floats) -> Floats:
                return alarmed(base - usual + special.ndtr(theta - c) + special.ndtr(-theta - c))

            alone = float(alarmed(np.array([base]))[0])
            averages = offset_average(with_error, np.sqrt(variance_ratios), _GRID)
            return alone + float((averages - alone).sum())

        rarest = max(0.0, level - float(sizes.sum())) + float(without_error.sum())
        total = max(above(level, sizes), above(rarest, without_error))
    return rule.features * rule.windows / rule.block * total
