"""The wobble learnt from days: pooled, without sampling error and season, an upper bound."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from streaming.baseline import SeasonalReference, learn_wobble
from streaming.baseline.merge import build_reference
from streaming.baseline.pooling import ENOUGH_DEGREES, MAX_WOBBLE, upper_wobble
from streaming.contracts.records import ReferenceSummary, WindowSummary, Wobble
from streaming.drift import DriftHistory, DriftRules, judge_drift
from tests.streaming.days_data import CONTRACT, FEATURES, HOUR, history
from tests.streaming.statistics_data import contract, number


def reference_of(windows: list[WindowSummary]) -> ReferenceSummary:
    return build_reference(windows, model=CONTRACT.model, version=1, at=0.0)


def test_a_week_of_many_features_teaches_the_wobble() -> None:
    windows = history(7, 0.05)
    found = learn_wobble(windows, reference_of(windows), CONTRACT)
    assert found is not None
    assert (found.days, found.features) == (7, FEATURES)
    assert found.degrees == pytest.approx(6 * FEATURES, rel=0.1)
    assert 0.045 < found.sd < 0.065
    assert learn_wobble([*reversed(windows), windows[0]], reference_of(windows), CONTRACT) == found


def test_what_sampling_makes_is_no_wobble() -> None:
    windows = history(8, 0.0)
    found = learn_wobble(windows, reference_of(windows), CONTRACT)
    assert found is not None
    assert found.sd < 0.01  # the means of 6,000 rows stray by 0.013


def test_too_few_days_teach_nothing() -> None:
    windows = history(4, 0.05)
    assert learn_wobble(windows, reference_of(windows), CONTRACT) is None
    one = contract(number("f0"))
    long = history(8, 0.05)
    assert learn_wobble(long, reference_of(long), one) is None  # 7 feature-days
    assert ENOUGH_DEGREES > 7


def test_a_season_is_no_wobble_and_hours_are_compared_with_their_own_slot() -> None:
    windows = history(7, 0.0, swing=lambda hour: 1.0 * hour, hourly=0.05)
    plain = learn_wobble(windows, reference_of(windows), CONTRACT)
    found = learn_wobble(windows, reference_of(windows), CONTRACT, "hour-of-day")
    assert plain is not None
    assert found is not None
    # scores are in units of the whole's spread, which the swing makes wider (1.5 sd)
    assert 0.02 < found.sd < 0.06
    assert found.degrees > 3 * plain.degrees
    # a day of which some hours are missing strays by its hours alone
    uneven = [one for at, one in enumerate(windows) if at % 9]
    misled = learn_wobble(uneven, reference_of(uneven), CONTRACT)
    unmoved = learn_wobble(uneven, reference_of(uneven), CONTRACT, "hour-of-day")
    assert misled is not None
    assert unmoved is not None
    assert misled.sd > 2 * unmoved.sd


def test_what_drifted_within_the_history_is_not_taken_for_wobble_without_end() -> None:
    windows = history(7, 0.8)
    found = learn_wobble(windows, reference_of(windows), CONTRACT)
    assert found is not None
    assert found.sd == MAX_WOBBLE


def test_fewer_days_widen_the_bound() -> None:
    bounds = [upper_wobble(0.05**2, 0.0, degrees) for degrees in (50, 200, 5_000)]
    assert bounds[0] > bounds[1] > bounds[2] > 0.05
    assert upper_wobble(0.0001, 0.0004, 100) == 0.0


def test_the_judge_uses_what_was_learnt_and_says_so() -> None:
    windows = history(1, 0.0)
    before = reference_of(windows)
    learnt = Wobble(sd=0.02, days=9, features=12, degrees=96.0)
    taught = replace(before, wobble=learnt)

    def said(reference: ReferenceSummary, rules: DriftRules) -> tuple[str, float]:
        made = windows[2]
        verdict, _ = judge_drift(made, reference, "r", DriftHistory(), rules, CONTRACT)
        return verdict.wobble, verdict.features[0].p_limit

    assert said(before, DriftRules())[0] == "0.050 sd, assumed"
    assert said(taught, DriftRules())[0] == "0.020 sd, learnt from 9 days of 12 features"
    assert said(taught, DriftRules(learn_wobble=False)) == said(before, DriftRules())
    assert said(taught, DriftRules()) != said(before, DriftRules())
    assert said(taught, DriftRules())[1] == said(before, DriftRules(wobble_sd=0.02))[1]
    season = SeasonalReference(taught, CONTRACT, DriftRules(season="hour-of-day"))
    assert season.at(0.0, HOUR).wobble == learnt
