"""Allocates a feature's false-alarm budget to the alarm rules.

The allocation depends on how much of each test's error persists. Without a persistent error the
limit of 3 of 5 windows is proportional to the cube root of its budget, so a budget that is two
thirds smaller costs 3 % of the limit; a single window and the CUSUMs make better use of it. With a
persistent error every rule needs its own part, and the rules' false alarms coincide
(`alarm_rules.coincidence_gain`). The CUSUM of missing values has a fixed part, because no other
rule finds what it finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import sqrt

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.alarm_rules import (
    AlarmRule,
    alarm_rules,
    coincidence_gain,
    gain_step,
)
from streaming.drift.thresholds.cusum import has_second_cusum
from streaming.drift.thresholds.cusum_missing import has_missing_cusum

_SPARED = 2.0 / 3.0
"""Part of the sustained rule's budget that other rules use better where no error persists."""
_TO_SINGLE, _TO_RAMPS = 0.25, 0.25
"""Parts of the spared budget for single windows and for the CUSUM for ramps; the CUSUM for steps
has the remaining part. Of the splits that were tried, none finds a step or a ramp later than
without that CUSUM."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetAllocation:
    """The alarm rules of a feature, each with its part of the false-alarm budget."""

    rules: DriftRules
    sustained: AlarmRule
    single: AlarmRule
    cusum: tuple[AlarmRule, ...]
    """Rules of the location CUSUMs: for ramps and, where no error persists, for steps."""
    missing_cusum: AlarmRule
    _gains: dict[int | None, float] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """Results of `gain`."""

    @classmethod
    def of(cls, rules: DriftRules, *, features: int, window_seconds: float) -> BudgetAllocation:
        """The allocation before it is known which tests a feature has."""
        return _allocation(rules, features, window_seconds)

    def for_tests(self, tests: Sequence[TestStatistic]) -> BudgetAllocation:
        """The allocation for a feature with these tests.

        Budgets grow where false alarms of different rules coincide (`coincidence_gain`). They also
        grow for a feature without a location or without missing values, because the CUSUM that it
        does not need leaves its part to the other rules. A test without an exact tail runs under
        the sustained rule only, so its alarms coincide with no other rule.
        """
        location = location_test(tests)
        allocation, least = self, 1.0
        if location is not None and has_second_cusum(
            self.cusum[0], location.n, location.variance_ratio, self.rules.suspected_sd
        ):
            allocation, least = (
                _reallocated(self),
                1.0 / coincident_fraction(self.sustained, self.rules),
            )
        cusum = _combined(allocation.cusum)
        gain = sum(
            test.weight * max(least, allocation.gain(test.variance_ratio))
            if test.exact_tail
            else test.weight
            for test in tests
        ) / sum(test.weight for test in tests)
        used = allocation.sustained.alarms + allocation.single.alarms
        unused = 0.0
        if location is None:
            unused += cusum.alarms
        else:
            used += cusum.alarms
        if not has_missing_cusum(tests):
            unused += allocation.missing_cusum.alarms
        return _scaled(allocation, round(gain * (1.0 + unused / used), 2))

    def gain(self, variance_ratio: float) -> float:
        """Factor by which all budgets may grow for a test with this variance ratio."""
        step = gain_step(variance_ratio)
        if step not in self._gains:
            self._gains[step] = coincidence_gain(
                self.sustained, self.single, _combined(self.cusum), variance_ratio
            )
        return self._gains[step]


def coincident_fraction(sustained: AlarmRule, rules: DriftRules) -> float:
    """Distinct alarms over all alarms of the rules of one location, with both CUSUMs.

    Several rules respond to a large or persistent error, and two alarms on one day count as one.
    This is a fit to simulations, accurate to 0.02, by the alarms allowed for a feature and day.

    >>> rule = AlarmRule(alarms=0.6, windows=720.0, features=20, block=24.0, sustained=3, of=5)
    >>> for alarms in (1.0, 10.0, 60.0):
    ...     round(coincident_fraction(rule, DriftRules(false_alarms=alarms)), 2)
    0.88
    0.82
    0.75
    """
    a_day = rules.false_alarms * sustained.block / (sustained.features * sustained.windows)
    relative = a_day / 0.02
    return 0.74 + 0.14 / (1.0 + relative * sqrt(relative))


def location_test(tests: Sequence[TestStatistic]) -> TestStatistic | None:
    """The test of the location, if there is one."""
    return next((test for test in tests if test.name == "location"), None)


@lru_cache(maxsize=256)
def _allocation(rules: DriftRules, features: int, window_seconds: float) -> BudgetAllocation:
    """The same allocation is the same object in each window, which later caches find faster."""
    sustained, single, cusum, missing_cusum = alarm_rules(
        rules, features=features, window_seconds=window_seconds
    )
    return BudgetAllocation(
        rules=rules,
        sustained=sustained,
        single=single,
        cusum=(cusum,),
        missing_cusum=missing_cusum,
    )


@lru_cache(maxsize=4_096)
def _reallocated(allocation: BudgetAllocation) -> BudgetAllocation:
    """The allocation with the spared part of the sustained rule given to the other rules."""
    spared = _SPARED * allocation.sustained.alarms
    ramps = _increase(allocation.cusum[0], _TO_RAMPS * spared)
    steps = replace(ramps, alarms=(1.0 - _TO_SINGLE - _TO_RAMPS) * spared)
    return replace(
        allocation,
        sustained=_scale(allocation.sustained, 1.0 - _SPARED),
        single=_increase(allocation.single, _TO_SINGLE * spared),
        cusum=(ramps, steps),
    )


@lru_cache(maxsize=4_096)
def _combined(rules: tuple[AlarmRule, ...]) -> AlarmRule:
    return replace(rules[0], alarms=sum(rule.alarms for rule in rules))


@lru_cache(maxsize=4_096)
def _scaled(allocation: BudgetAllocation, factor: float) -> BudgetAllocation:
    return replace(
        allocation,
        sustained=_scale(allocation.sustained, factor),
        single=_scale(allocation.single, factor),
        cusum=tuple(_scale(rule, factor) for rule in allocation.cusum),
    )


def _scale(rule: AlarmRule, factor: float) -> AlarmRule:
    return replace(rule, alarms=rule.alarms * factor)


def _increase(rule: AlarmRule, alarms: float) -> AlarmRule:
    return replace(rule, alarms=rule.alarms + alarms)
