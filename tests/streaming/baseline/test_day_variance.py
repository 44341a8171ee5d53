"""The day variance: pooled, without sampling error and season, and an upper bound."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streaming.baseline import SeasonalReference, estimate_day_variance
from streaming.baseline.merge import build_reference
from streaming.baseline.pooling import MAX_BETWEEN_DAY_SD, MIN_DEGREES, upper_bound_sd
from streaming.contracts.records import DayVariance, ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift
from tests.streaming.days_data import CONTRACT, FEATURES, HOUR, history
from tests.streaming.statistics_data import contract, number


def reference_of(windows: list[WindowSummary]) -> ReferenceSummary:
    return build_reference(windows, model=CONTRACT.model, version=1, at=0.0)


def test_a_week_of_many_features_is_enough_for_an_estimate() -> None:
    windows = history(7, 0.05)
    estimate = estimate_day_variance(windows, reference_of(windows), CONTRACT)
    assert estimate is not None
    assert (estimate.days, estimate.features) == (7, FEATURES)
    assert estimate.degrees == pytest.approx(6 * FEATURES, rel=0.1)
    assert 0.045 < estimate.location < 0.065
    repeated = [*reversed(windows), windows[0]]
    assert estimate_day_variance(repeated, reference_of(windows), CONTRACT) == estimate


def test_sampling_error_does_not_count_as_day_variance() -> None:
    windows = history(8, 0.0)
    estimate = estimate_day_variance(windows, reference_of(windows), CONTRACT)
    assert estimate is not None
    assert estimate.location < 0.01  # the means of 6,000 rows have a standard error of 0.013


def test_too_few_days_give_no_estimate() -> None:
    windows = history(4, 0.05)
    assert estimate_day_variance(windows, reference_of(windows), CONTRACT) is None
    one_feature = contract(number("f0"))
    longer = history(8, 0.05)
    # 7 feature-days
    assert estimate_day_variance(longer, reference_of(longer), one_feature) is None
    assert MIN_DEGREES > 7


def test_a_season_is_not_day_variance_because_hours_are_compared_within_their_slot() -> None:
    windows = history(7, 0.0, swing=lambda hour: 1.0 * hour, hourly_sd=0.05)
    plain = estimate_day_variance(windows, reference_of(windows), CONTRACT)
    seasonal = estimate_day_variance(windows, reference_of(windows), CONTRACT, "hour-of-day")
    assert plain is not None
    assert seasonal is not None
    # scores are in units of the spread over all hours, which the swing makes wider (1.5 sd)
    assert 0.02 < seasonal.location < 0.06
    assert seasonal.degrees > 3 * plain.degrees
    # without a season, a day with missing hours differs by its hours alone
    uneven = [window for at, window in enumerate(windows) if at % 9]
    misled = estimate_day_variance(uneven, reference_of(uneven), CONTRACT)
    unaffected = estimate_day_variance(uneven, reference_of(uneven), CONTRACT, "hour-of-day")
    assert misled is not None
    assert unaffected is not None
    assert misled.location > 2 * unaffected.location


def test_drift_within_the_history_cannot_raise_the_estimate_above_its_maximum() -> None:
    windows = history(7, 0.8)
    estimate = estimate_day_variance(windows, reference_of(windows), CONTRACT)
    assert estimate is not None
    assert estimate.location == MAX_BETWEEN_DAY_SD


def test_fewer_days_widen_the_bound() -> None:
    bounds = [upper_bound_sd(0.05**2, 0.0, degrees) for degrees in (50, 200, 5_000)]
    assert bounds[0] > bounds[1] > bounds[2] > 0.05
    assert upper_bound_sd(0.0001, 0.0004, 100) == 0.0


def test_the_judgement_uses_the_estimate_and_the_verdict_states_it() -> None:
    windows = history(1, 0.0)
    without_estimate = reference_of(windows)
    estimate = DayVariance(location=0.02, days=9, features=12, degrees=96.0)
    with_estimate = replace(without_estimate, day_variance=estimate)

    def judged(reference: ReferenceSummary, rules: DriftRules) -> tuple[str, float]:
        verdict, _ = judge_drift(windows[2], reference, "r", DriftHistory(), rules, CONTRACT)
        return verdict.day_variation, verdict.features[0].p_limit

    rules = DriftRules()
    assert judged(without_estimate, rules)[0] == "0.050 sd, assumed"
    assert judged(with_estimate, rules)[0] == "0.020 sd, learnt from 9 days of 12 features"
    not_learning = DriftRules(learn_day_variance=False)
    assert judged(with_estimate, not_learning) == judged(without_estimate, rules)
    assert judged(with_estimate, rules) != judged(without_estimate, rules)
    assumed = DriftRules(between_day_sd=0.02)
    assert judged(with_estimate, rules)[1] == judged(without_estimate, assumed)[1]
    seasonal = SeasonalReference(with_estimate, CONTRACT, DriftRules(season="hour-of-day"))
    assert seasonal.at(0.0, HOUR).day_variance == estimate
