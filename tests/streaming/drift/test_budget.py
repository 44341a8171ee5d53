"""The alarm rules share a feature's whole budget, and coinciding alarms enlarge it."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import special

from streaming.drift.budget import BudgetAllocation
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.statistic import TestStatistic
from streaming.drift.thresholds.cusum import CusumReading, update_cusum
from streaming.grid import Floats

FEATURES, HOUR, DAY = 20, 3_600.0, 24


def allocation_of(rules: DriftRules, features: int = FEATURES) -> BudgetAllocation:
    return BudgetAllocation.of(rules, features=features, window_seconds=HOUR)


def statistic(name: str, variance_ratio: float = 0.0, n: int = 1_000) -> TestStatistic:
    return TestStatistic(
        name=name, statistic=0.0, p=1.0, effect=0.0, n=n, variance_ratio=variance_ratio
    )


FLOORS_OFF = DriftRules(suspected_sd=0.0, drifted_sd=0.0, between_day_sd=0.0)


def budgets(allocation: BudgetAllocation) -> list[float]:
    return [
        allocation.sustained.alarms,
        allocation.single.alarms,
        *(rule.alarms for rule in allocation.cusum),
    ]


def test_without_a_location_the_cusum_leaves_its_budget_to_the_other_rules() -> None:
    allocation = allocation_of(FLOORS_OFF).for_tests([statistic("category")])
    total = allocation.sustained.alarms + allocation.single.alarms
    assert total == pytest.approx(1.0, rel=0.01)
    assert len(allocation.cusum) == 1


def test_without_persistent_error_a_second_cusum_uses_budget_that_the_sustained_rule_spares() -> (
    None
):
    allocation = allocation_of(FLOORS_OFF).for_tests([statistic("location")])
    sustained, single, ramps, steps = budgets(allocation)
    total = sustained + single + ramps + steps
    parts = [round(budget / total, 2) for budget in (sustained, single, ramps, steps)]
    assert parts == [0.21, 0.32, 0.26, 0.21]
    assert total == pytest.approx(1.0 / 0.88, rel=0.01)


@pytest.mark.parametrize(
    ("rules", "variance_ratio"), [(FLOORS_OFF, 0.5), (DriftRules(between_day_sd=0.0), 0.0)]
)
def test_with_a_persistent_error_or_floors_there_is_one_cusum(
    rules: DriftRules, variance_ratio: float
) -> None:
    """Both exceed the allowance of the second CUSUM, which would equal the first one."""
    allocation = allocation_of(rules).for_tests([statistic("location", variance_ratio)])
    assert len(allocation.cusum) == 1
    assert allocation.sustained.alarms > 2.0 * allocation.single.alarms


@pytest.mark.parametrize(("alarms", "series"), [(3.0, 8_000), (20.0, 4_000)])
def test_all_rules_together_raise_as_many_alarms_as_the_budget_allows(
    alarms: float, series: int
) -> None:
    """The location alone, 1,000 rows a window: days with an alarm over days allowed."""
    rng, windows, n = np.random.default_rng(4), 20 * DAY, 1_000
    rules = DriftRules(suspected_sd=0.0, drifted_sd=0.0, between_day_sd=0.0, false_alarms=alarms)
    allocation = allocation_of(rules).for_tests([statistic("location", n=n)])
    z = rng.standard_normal((series, windows))
    p = 2.0 * special.ndtr(-np.abs(z))
    exceeded = p < allocation.sustained.critical_p(0.0)
    hits = np.pad(np.cumsum(exceeded, axis=1), ((0, 0), (5, 0)))
    alarmed = (hits[:, 5:] - hits[:, :-5] >= 3) | (p < allocation.single.critical_p(0.0))
    for at, rule in enumerate(allocation.cusum):
        alarmed |= cusum_exceeds(z, n, allocation, at)
        assert rule.alarms > 0.0
    days = alarmed.reshape(series, -1, DAY).any(axis=2).sum()
    allowed = series * windows * alarms / (FEATURES * 30 * DAY)
    assert 0.85 < days / allowed < 1.1


def cusum_exceeds(
    z: Floats, n: int, allocation: BudgetAllocation, at: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Windows in which a sum of the CUSUM number `at` exceeds its limit."""
    reading = first_readings(n, allocation)[at]
    limit, allowance = reading.limit * sqrt(n), reading.allowance * sqrt(n)
    exceeded = np.zeros(z.shape, bool)
    up: Floats = np.zeros(len(z))
    down: Floats = np.zeros(len(z))
    for window in range(z.shape[1]):
        up = np.clip(up + z[:, window] - allowance, 0.0, limit + 4.0 * allowance)
        down = np.clip(down - z[:, window] - allowance, 0.0, limit + 4.0 * allowance)
        exceeded[:, window] = np.maximum(up, down) > limit
    return exceeded


def first_readings(n: int, allocation: BudgetAllocation) -> tuple[CusumReading, ...]:
    return update_cusum(
        (),
        effect=0.0,
        n=n,
        variance_ratio=0.0,
        between_day_ratio=0.0,
        window_start=0.0,
        oldest=0.0,
        rules=allocation.cusum,
        floor=0.0,
        min_limit=0.0,
    )
