"""How the budget of one feature is shared over the lanes, by what its tests have to fear.

Where nothing persists, the limit of 3 of 5 windows goes with the cube root of its budget, so two
thirds less of it cost 3 % of the limit; a single window and the sums of the slow lane make better
use of it. Where an error persists, all lanes need what they have, and their false alarms coincide
(`limits.growth`). The sum of missing values has a fixed part: what it sees no other lane does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import sqrt

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.alarm_rules import Lane, growth, lanes
from streaming.drift.thresholds.cusum import has_two_speeds
from streaming.drift.thresholds.cusum_missing import is_summed

_SPARED = 2.0 / 3.0
"""Part of the sustained lane's budget that others use better while nothing persists; …"""
_TO_SINGLE, _TO_RAMPS = 0.25, 0.25
"""… so much of it for single windows and for the sum for ramps, and the rest for a second, quicker
sum (`slow`). Of the splits tried, none finds a step or a ramp later than without that sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rules and the lanes that share the budget."""

    rules: DriftRules
    sustained: Lane
    single: Lane
    slow: tuple[Lane, ...]
    """Of the sum for ramps and, while nothing persists, of the quicker one."""
    shares: Lane
    """Of the sum of missing values."""

    @classmethod
    def of(cls, rules: DriftRules, *, features: int, window_seconds: float) -> Limits:
        """Before it is known which tests a feature has."""
        sustained, single, slow, shares = lanes(
            rules, features=features, window_seconds=window_seconds
        )
        return cls(rules=rules, sustained=sustained, single=single, slow=(slow,), shares=shares)

    def grown(self, tests: Sequence[Evidence]) -> Limits:
        """As these tests share it.

        With the budgets that lanes may have because their false alarms coincide (`growth`), and
        because a feature without a location, or of which no value was ever missing, leaves its
        part of the slow lane to the others. A test that may not suspect alone coincides with no
        other lane.
        """
        location = location_of(tests)
        limits, least = self, 1.0
        if location is not None and has_two_speeds(
            self.slow[0], location.n, location.persistence, self.rules.suspected_sd
        ):
            limits, least = _spared(self), 1.0 / coinciding(self.sustained, self.rules)
        slow = _together(limits.slow)
        by = sum(
            test.weight
            * max(least, growth(limits.sustained, limits.single, slow, test.persistence))
            if test.alone
            else test.weight
            for test in tests
        ) / sum(test.weight for test in tests)
        used = limits.sustained.alarms + limits.single.alarms
        idle = 0.0
        if location is None:
            idle += slow.alarms
        else:
            used += slow.alarms
        if not is_summed(tests):
            idle += limits.shares.alarms
        return _grown(limits, round(by * (1.0 + idle / used), 2))


def coinciding(lane: Lane, rules: DriftRules) -> float:
    """The part of their alarms that the lanes of one location raise together, with both sums.

    Several of them see a large or lasting error, and what alarms twice a day is one alarm. A fit to
    simulations, within 0.02, by the alarms allowed for a feature and day.

    >>> lanes_of = [Lane(0.6 * alarms, 720.0, 20, 24.0, 3, 5) for alarms in (1.0, 10.0, 60.0)]
    >>> for lane, alarms in zip(lanes_of, (1.0, 10.0, 60.0)):
    ...     round(coinciding(lane, DriftRules(false_alarms=alarms)), 2)
    0.88
    0.82
    0.75
    """
    a_day = rules.false_alarms * lane.block / (lane.features * lane.windows)
    often = a_day / 0.02
    return 0.74 + 0.14 / (1.0 + often * sqrt(often))


def location_of(tests: Sequence[Evidence]) -> Evidence | None:
    """The test of the location, if there is one."""
    return next((test for test in tests if test.name == "location"), None)


@lru_cache(maxsize=4_096)
def _spared(limits: Limits) -> Limits:
    spared = _SPARED * limits.sustained.alarms
    ramps = _more_by(limits.slow[0], _TO_RAMPS * spared)
    quick = replace(ramps, alarms=(1.0 - _TO_SINGLE - _TO_RAMPS) * spared)
    return replace(
        limits,
        sustained=_more(limits.sustained, 1.0 - _SPARED),
        single=_more_by(limits.single, _TO_SINGLE * spared),
        slow=(ramps, quick),
    )


@lru_cache(maxsize=4_096)
def _together(lanes: tuple[Lane, ...]) -> Lane:
    return replace(lanes[0], alarms=sum(lane.alarms for lane in lanes))


@lru_cache(maxsize=4_096)
def _grown(limits: Limits, by: float) -> Limits:
    return replace(
        limits,
        sustained=_more(limits.sustained, by),
        single=_more(limits.single, by),
        slow=tuple(_more(lane, by) for lane in limits.slow),
    )


def _more(lane: Lane, by: float) -> Lane:
    return replace(lane, alarms=lane.alarms * by)


def _more_by(lane: Lane, alarms: float) -> Lane:
    return replace(lane, alarms=lane.alarms + alarms)
