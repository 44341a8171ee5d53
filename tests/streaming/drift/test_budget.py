"""How lanes share a feature's budget: nothing is lost, and what coincides is given back."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from scipy import special

from streaming.drift.budget import Limits
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.statistic import Evidence
from streaming.drift.thresholds.cusum import Slow, slow_lane
from streaming.grid import Floats

FEATURES, HOUR, DAY = 20, 3_600.0, 24


def limits_of(rules: DriftRules, features: int = FEATURES) -> Limits:
    return Limits.of(rules, features=features, window_seconds=HOUR)


def evidence(name: str, persistence: float = 0.0, n: int = 1_000) -> Evidence:
    return Evidence(name=name, statistic=0.0, p=1.0, effect=0.0, n=n, persistence=persistence)


FLOORS_OFF = DriftRules(suspected_sd=0.0, drifted_sd=0.0, wobble_sd=0.0)


def alarms(limits: Limits) -> list[float]:
    return [
        limits.sustained.alarms,
        limits.single.alarms,
        *(lane.alarms for lane in limits.slow),
    ]


def test_without_a_location_the_slow_lane_leaves_its_budget_to_the_others() -> None:
    shared = limits_of(FLOORS_OFF).grown([evidence("category")])
    assert shared.sustained.alarms + shared.single.alarms == pytest.approx(1.0, rel=0.01)
    assert len(shared.slow) == 1


def test_while_nothing_persists_a_second_sum_lives_on_what_the_sustained_lane_spares() -> None:
    shared = limits_of(FLOORS_OFF).grown([evidence("location")])
    sustained, single, ramps, steps = alarms(shared)
    whole = sustained + single + ramps + steps
    assert [round(one / whole, 2) for one in (sustained, single, ramps, steps)] == [
        *(0.21, 0.32, 0.26, 0.21)
    ]
    assert whole == pytest.approx(1.0 / 0.88, rel=0.01)


@pytest.mark.parametrize(
    ("rules", "persistence"), [(FLOORS_OFF, 0.5), (DriftRules(wobble_sd=0.0), 0.0)]
)
def test_what_persists_and_floors_leave_one_sum(rules: DriftRules, persistence: float) -> None:
    """Both lie above what a quicker sum would tolerate, so it would say the same again."""
    shared = limits_of(rules).grown([evidence("location", persistence)])
    assert len(shared.slow) == 1
    assert shared.sustained.alarms > 2.0 * shared.single.alarms


@pytest.mark.parametrize(("alarms", "series"), [(3.0, 8_000), (20.0, 4_000)])
def test_the_lanes_together_raise_what_they_may(alarms: float, series: int) -> None:
    """The location alone, 1,000 rows a window: days with an alarm over days allowed."""
    rng, windows, n = np.random.default_rng(4), 20 * DAY, 1_000
    budget = DriftRules(suspected_sd=0.0, drifted_sd=0.0, wobble_sd=0.0, false_alarms=alarms)
    shared = limits_of(budget).grown([evidence("location", n=n)])
    z = rng.standard_normal((series, windows))
    p = 2.0 * special.ndtr(-np.abs(z))
    hits = np.pad(np.cumsum(p < shared.sustained.limit(0.0), axis=1), ((0, 0), (5, 0)))
    alarmed = (hits[:, 5:] - hits[:, :-5] >= 3) | (p < shared.single.limit(0.0))
    for at, lane in enumerate(shared.slow):
        alarmed |= beyond(z, n, shared, at)
        assert lane.alarms > 0.0
    days = alarmed.reshape(series, -1, DAY).any(axis=2).sum()
    allowed = series * windows * alarms / (FEATURES * 30 * DAY)
    assert 0.85 < days / allowed < 1.1


def beyond(
    z: Floats, n: int, shared: Limits, at: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Windows in which the sum of this lane, either way, exceeds the limit that ships."""
    one = first(n, shared)[at]
    limit, kappa = one.limit * sqrt(n), one.kappa * sqrt(n)
    found = np.zeros(z.shape, bool)
    up: Floats = np.zeros(len(z))
    down: Floats = np.zeros(len(z))
    for window in range(z.shape[1]):
        up = np.clip(up + z[:, window] - kappa, 0.0, limit + 4.0 * kappa)
        down = np.clip(down - z[:, window] - kappa, 0.0, limit + 4.0 * kappa)
        found[:, window] = np.maximum(up, down) > limit
    return found


def first(n: int, shared: Limits) -> tuple[Slow, ...]:
    return slow_lane(
        (),
        effect=0.0,
        n=n,
        persistence=0.0,
        daily=0.0,
        window_start=0.0,
        oldest=0.0,
        lanes=shared.slow,
        floor=0.0,
        least=0.0,
    )
