"""The location CUSUM: known run lengths, limits from the budget, and detection of ramps."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest

from streaming.drift.thresholds.alarm_rules import AlarmRule
from streaming.drift.thresholds.cusum import (
    CusumReading,
    CusumState,
    average_run_length,
    decision_interval,
    min_allowance,
    update_cusum,
)
from streaming.grid import Floats

RULE = AlarmRule(alarms=0.1, windows=43_200.0, features=20, block=1_440.0, sustained=1, of=1)
HOURLY_RULE = AlarmRule(alarms=0.2, windows=720.0, features=20, block=24.0, sustained=1, of=1)
FLOOR, MIN_LIMIT = 0.25, 0.625


def feed(
    effects: list[float], *, n: int = 1_000, between_day_sd: float = 0.02
) -> list[CusumReading]:
    """The readings after each of these effects."""
    readings: list[CusumReading] = []
    for at, effect in enumerate(effects):
        previous = readings[-1].state if readings else None
        readings.append(add(previous, at, effect, n=n, between_day_sd=between_day_sd))
    return readings


def add(
    previous: CusumState | None,
    at: float,
    effect: float,
    *,
    n: int = 1_000,
    between_day_sd: float = 0.02,
) -> CusumReading:
    return update_cusum(
        () if previous is None else (previous,),
        effect=effect,
        n=n,
        variance_ratio=n * between_day_sd**2,
        between_day_ratio=n * between_day_sd**2,
        window_start=at,
        oldest=at - 15.0,
        rules=(RULE,),
        floor=FLOOR,
        min_limit=MIN_LIMIT,
    )[0]


@pytest.mark.parametrize(
    ("drift", "h", "length"), [(0.5, 4.0, 335.4), (0.5, 5.0, 930.9), (0.25, 8.0, 736.8)]
)
def test_run_lengths_agree_with_the_published_ones(drift: float, h: float, length: float) -> None:
    """One-sided; twice the two-sided lengths of Siegmund's table."""
    assert average_run_length(h, np.array([drift]), 1.0)[0] == pytest.approx(length, rel=0.03)


def test_run_lengths_agree_with_a_simulation() -> None:
    rng = np.random.default_rng(2)
    error, drift, h = 0.3, 0.125, 0.8
    lengths = []
    for _ in range(400):
        total, count = 0.0, 0
        while total <= h:
            total, count = max(0.0, total + error * rng.normal() - drift), count + 1
        lengths.append(count)
    length = average_run_length(h, np.array([drift]), error)[0]
    assert length == pytest.approx(np.mean(lengths), rel=0.15)


def test_a_ramp_is_found_before_it_reaches_the_floor() -> None:
    rng = np.random.default_rng(5)
    ramp = [0.002 * at + rng.normal() / sqrt(1_000) for at in range(125)]
    exceeded = [reading.exceeded for reading in feed(ramp)]
    assert True in exceeded
    assert 60 < exceeded.index(True) < 110  # 0.25 sd comes at window 125


def test_quiet_windows_and_a_short_burst_raise_no_alarm() -> None:
    """Other rules find the burst."""
    rng = np.random.default_rng(6)
    quiet = (rng.normal(size=5_000) / sqrt(1_000)).tolist()
    assert not any(reading.exceeded for reading in feed(quiet))
    assert not any(reading.exceeded for reading in feed([2.0, 2.0, 2.0, *[0.0] * 10]))


def test_the_alarm_ends_soon_after_the_change() -> None:
    readings = feed([*[0.24] * 30, *[0.0] * 12])
    assert readings[29].exceeded
    assert readings[29].effect == pytest.approx(0.24, abs=0.001)
    assert not readings[-1].exceeded


def test_a_capped_sum_keeps_the_mean_of_its_newest_windows() -> None:
    """Otherwise the mean effect would approach the allowance after many windows at the cap."""
    readings = feed([*[0.2] * 60, *[0.23] * 60])
    assert readings[59].state.up == readings[58].state.up
    assert readings[59].state.windows < 30.0
    assert [readings[at].effect for at in (3, 29, 59)] == pytest.approx([0.2] * 3)
    assert readings[-1].effect == pytest.approx(0.23, abs=0.002)


def test_both_directions_are_treated_alike() -> None:
    up, down = feed([0.2] * 20), feed([-0.2] * 20)
    assert [reading.exceeded for reading in up] == [reading.exceeded for reading in down]
    assert up[-1].effect == pytest.approx(-down[-1].effect)


def test_a_window_judged_again_replaces_itself_and_an_older_one_changes_nothing() -> None:
    last = feed([0.2, 0.2, 0.2])[-1]
    assert add(last.state, 2.0, 0.2).state == last.state
    assert add(last.state, 1.0, 0.2).state == last.state


def test_sums_from_before_a_long_gap_do_not_count() -> None:
    last = feed([0.24] * 30)[-1]
    assert not add(last.state, 100.0, 0.0).exceeded


def test_a_larger_between_day_sd_raises_the_allowance_and_more_rows_lower_the_limit() -> None:
    assert min_allowance(RULE, 0.02, FLOOR) == FLOOR / 2
    assert min_allowance(RULE, 0.05, FLOOR) > 0.18 > FLOOR / 2
    few, many = (decision_interval(RULE, 1 / sqrt(n), 0.02, 0.125) for n in (200, 1_000))
    assert few > many


def test_the_second_cusum_finds_a_step_sooner_and_the_first_one_a_ramp() -> None:
    rng = np.random.default_rng(8)
    error = 1.0 / sqrt(1_000)

    def mean_delays(change: list[float]) -> tuple[float, float]:
        delays: list[list[int]] = [[], []]
        for _ in range(200):
            readings: tuple[CusumReading, ...] = ()
            alarmed_at: list[int | None] = [None, None]
            for at, effect in enumerate(change):
                readings = update_cusum(
                    tuple(reading.state for reading in readings),
                    effect=effect + error * rng.normal(),
                    n=1_000,
                    variance_ratio=0.0,
                    between_day_ratio=0.0,
                    window_start=at,
                    oldest=at - 15.0,
                    rules=(HOURLY_RULE, HOURLY_RULE),
                    floor=0.0,
                    min_limit=0.0,
                )
                for which, reading in enumerate(readings):
                    if reading.exceeded and alarmed_at[which] is None:
                        alarmed_at[which] = at + 1
            for which, when in enumerate(alarmed_at):
                delays[which].append(len(change) if when is None else when)
        return float(np.mean(delays[0])), float(np.mean(delays[1]))

    first, second = mean_delays([0.1] * 20)
    assert second < first - 0.3
    first, second = mean_delays([0.002 * at for at in range(1, 60)])
    assert first < second - 2.0


def test_a_permanent_offset_needs_a_higher_limit_than_a_daily_one() -> None:
    """A reference error above the allowance raises an alarm every day, sooner or later."""
    rng, series, days, rho = np.random.default_rng(9), 12_000, 20, 0.05
    rule = AlarmRule(alarms=3.0, windows=720.0, features=11, block=24.0, sustained=1, of=1)
    allowance = max(0.5, min_allowance(rule, sqrt(rho), 0.0))
    limits = [
        decision_interval(rule, 1.0, sqrt(rho), allowance, permanent=permanent)
        for permanent in (False, True)
    ]
    z = rng.standard_normal((series, days * 24)) + sqrt(rho) * rng.standard_normal((series, 1))
    sums: Floats = np.zeros((2, series))
    exceeded = np.zeros((2, series, days), bool)
    for at in range(days * 24):
        increments = np.stack((z[:, at] - allowance, -z[:, at] - allowance))
        sums = np.clip(sums + increments, 0.0, max(limits) + 4.0 * allowance)
        for which, limit in enumerate(limits):
            exceeded[which, :, at // 24] |= sums.max(axis=0) > limit
    allowed = rule.alarms * series * days / (rule.features * 30.0)
    with_daily_limit, with_permanent_limit = (float(days.sum()) / allowed for days in exceeded)
    assert with_daily_limit > 1.2
    assert 0.4 < with_permanent_limit < 1.1
