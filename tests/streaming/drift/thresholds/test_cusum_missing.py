"""The CUSUM of missing values: alarm rate, detection of a growing share, and floors."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from scipy import special

from streaming.contracts.records import WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.statistics.proportions import share_test
from streaming.drift.thresholds.alarm_rules import AlarmRule, alarm_rules
from streaming.drift.thresholds.cusum import CusumReading
from streaming.drift.thresholds.cusum_missing import (
    Proportion,
    has_missing_cusum,
    tolerated_proportion,
    update_proportion_cusum,
)
from tests.streaming.statistics_data import TRIPS, reference, trips, window

DAY = 24
FLOORS_OFF = DriftRules(suspected_sd=0.0, drifted_sd=0.0, between_day_sd=0.0)
FLOORS_ON = DriftRules(between_day_sd=0.0)
RULE = alarm_rules(FLOORS_OFF, features=20, window_seconds=3_600.0)[-1]
M = 200_000


def feed(
    counts: Iterable[int],
    *,
    n: int,
    share: float,
    rules: DriftRules = FLOORS_OFF,
    rule: AlarmRule = RULE,
    m: int = M,
    reference_count: int | None = None,
) -> list[CusumReading]:
    """The readings after windows of `n` rows with these counts."""
    readings: list[CusumReading] = []
    expected = round(share * m) if reference_count is None else reference_count
    for at, count in enumerate(counts):
        readings.append(
            update_proportion_cusum(
                readings[-1].state if readings else None,
                proportion(count, n, expected, m),
                rule,
                rules,
                window_start=at,
                oldest=at - 15.0,
            )
        )
    return readings


def proportion(count: int, n: int, reference_count: int, m: int = M) -> Proportion:
    return Proportion(
        count=count, n=n, reference_count=reference_count, m=m, effective_sample_fraction=1.0
    )


@pytest.mark.parametrize(
    ("n", "share", "between_day_sd", "least"),
    [
        (200, 0.01, 0.0, 0.6),
        (200, 0.3, 0.0, 0.8),
        (1_000, 0.05, 0.0, 0.8),
        (1_000, 0.01, 0.05, 0.6),
        (10_000, 0.01, 0.05, 0.6),
    ],
)
def test_quiet_shares_raise_as_many_alarms_as_the_budget_allows(
    n: int, share: float, between_day_sd: float, least: float
) -> None:
    """A day on which a sum exceeds its limit is an alarm; an offset lasts for a day."""
    rng, days = np.random.default_rng(11), 1_500
    generous = AlarmRule(alarms=6.0, windows=720.0, features=1, block=float(DAY), sustained=1, of=1)
    rules = DriftRules(suspected_sd=0.0, drifted_sd=0.0, between_day_sd=between_day_sd)
    alarms = 0
    for _ in range(10):
        known = int(rng.binomial(M, share))
        offsets = between_day_sd * rng.standard_normal(days // 10)
        daily_shares = special.ndtr(special.ndtri(share) + offsets)
        counts = rng.binomial(n, np.repeat(daily_shares, DAY)).tolist()
        readings = feed(counts, n=n, share=share, rules=rules, rule=generous, reference_count=known)
        exceeded = np.array([reading.exceeded for reading in readings]).reshape(-1, DAY)
        # an alarm that continues over midnight counts once
        continued = np.append(False, exceeded[:-1, -1])
        alarms += int((exceeded.any(axis=1) & ~continued).sum())
    allowed = generous.alarms * days * DAY / generous.windows
    assert least < alarms / allowed < 1.25


def test_two_rows_of_200_that_become_six_are_found_in_a_few_windows() -> None:
    rng, delays = np.random.default_rng(12), []
    for _ in range(200):
        counts = [*rng.binomial(200, 0.01, 20), *rng.binomial(200, 0.03, 40)]
        readings = feed([int(count) for count in counts], n=200, share=0.01)
        delays.append(next(at for at, reading in enumerate(readings[20:], 1) if reading.exceeded))
    assert np.mean(delays) < 7.0


def test_the_effect_is_that_of_the_share_since_it_changed() -> None:
    rng = np.random.default_rng(13)
    readings = feed(rng.binomial(1_000, 0.02, 10).tolist(), n=1_000, share=0.01)
    increase = next(reading for reading in readings if reading.exceeded)
    assert increase.effect == pytest.approx(0.27, abs=0.08)  # 1 -> 2 % on the probit scale
    assert 0.0 < increase.critical_effect < increase.effect
    readings = feed(rng.binomial(1_000, 0.27, 20).tolist(), n=1_000, share=0.3)
    decrease = next(reading for reading in readings if reading.exceeded)
    assert decrease.effect == pytest.approx(-0.09, abs=0.04)


@pytest.mark.parametrize("n", [1_000, 100_000])
def test_with_floors_a_change_far_below_them_never_raises_an_alarm(n: int) -> None:
    rng = np.random.default_rng(14)
    for share in (0.01, 0.3):
        tolerated = tolerated_proportion(share, 0.06, FLOORS_ON)
        counts = rng.binomial(n, tolerated, 1_000).tolist()
        readings = feed(counts, n=n, share=share, rules=FLOORS_ON)
        assert not any(reading.exceeded for reading in readings)
    rare = feed([round(0.002 * n)] * 300, n=n, share=0.0002, rules=FLOORS_ON)  # below 0.5 %
    assert not any(reading.exceeded for reading in rare)


def test_with_floors_an_alarm_takes_at_least_as_many_windows_as_the_sustained_rule_counts() -> None:
    readings = feed([100_000] * 8, n=100_000, share=0.01, rules=FLOORS_ON)
    assert [reading.exceeded for reading in readings].index(True) == FLOORS_ON.of
    ended = feed([*[100_000] * 8, *[1_000] * 12], n=100_000, share=0.01, rules=FLOORS_ON)
    assert not ended[-1].exceeded


def test_a_window_judged_again_replaces_itself() -> None:
    last = feed([20, 25, 30], n=1_000, share=0.01)[-1]
    repeated = update_proportion_cusum(
        last.state,
        proportion(30, 1_000, 2_000),
        RULE,
        FLOORS_OFF,
        window_start=2.0,
        oldest=-9.0,
    )
    assert repeated.state == last.state


@given(
    share=st.floats(1e-6, 1.0 - 1e-6),
    by=st.floats(0.0, 1.0),
    more=st.floats(0.0, 1.0),
)
def test_a_larger_tolerance_moves_the_tolerated_share_away_on_both_sides(
    share: float, by: float, more: float
) -> None:
    near, far = (tolerated_proportion(share, away, FLOORS_ON) for away in (by, by + more))
    assert share <= near <= far <= 1.0
    near, far = (tolerated_proportion(share, -away, FLOORS_ON) for away in (by, by + more))
    assert share >= near >= far >= 0.0


def test_values_that_are_never_missing_have_no_cusum() -> None:
    def has_cusum(reference_count: float, n: int) -> bool:
        test = share_test("missing", 0, n, reference_count=reference_count, m=M, rules=FLOORS_OFF)
        return has_missing_cusum([test])

    assert not has_cusum(0, 10_000)
    assert has_cusum(2_000, 200)
    assert has_cusum(M - 2_000, 200)


def test_the_verdict_states_the_slow_change_and_its_limit() -> None:
    rng = np.random.default_rng(15)
    training = reference(trips(rng, 20_000, missing={"normal": 0.01}))
    prepared, history = prepare_reference(training, TRIPS), DriftHistory()
    for at in range(40):
        rows = trips(rng, 250, missing={"normal": 0.03 if at >= 10 else 0.01})
        verdict, history = judge_drift(window(at, rows), prepared, "r", history, FLOORS_OFF, TRIPS)
        normal = next(feature for feature in verdict.features if feature.feature == "normal")
        if normal.raised_by == "cusum":
            break
    assert normal.outcome == "suspected"
    assert at >= 10
    assert normal.reason.startswith("Its missing has differed by +0.")
    assert normal.test == "missing"
    assert 0.0 < (normal.limit_sd or 0.0) < normal.effect
    assert history.missing_cusum["normal"].up > 0.0
    assert_kept_without_judgement(window(at, rows), history)


def assert_kept_without_judgement(last: WindowSummary, history: DriftHistory) -> None:
    """A window that cannot be judged leaves the CUSUMs unchanged."""
    empty = replace(last, window_start=last.window_start + 1.0, features=())
    prepared = prepare_reference(reference(trips(np.random.default_rng(1), 2_000)), TRIPS)
    _, after = judge_drift(empty, prepared, history.reference_id, history, FLOORS_OFF, TRIPS)
    assert after.missing_cusum == history.missing_cusum
