"""Seasonal references: repeating cycles are not drift, a shift on top of them is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from streaming import summary
from streaming.baseline import SeasonalReference, learn_slots, slot_of
from streaming.baseline.merge import build_reference
from streaming.baseline.seasonal import MIN_SLOTS
from streaming.contracts.records import DriftVerdict, ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.day_variance import BetweenDaySd
from tests.streaming.statistics_data import contract, number, text

HOUR, WEEK = 3600.0, 604_800.0
MONDAY = 4 * 86_400.0  # 1970-01-05
CONTRACT = msgspec.structs.replace(contract(number("fare"), text("payment")), window_seconds=HOUR)
RULES = DriftRules(season="hour-of-week", between_day_sd=0.02)
WITHOUT_SEASON = DriftRules(between_day_sd=0.02)
Swing = Callable[[float], float]


def daily(at: float) -> float:
    """A daily swing of 1 sd."""
    return float(np.sin(2.0 * np.pi * at / 86_400.0))


def flat(at: float) -> float:
    return 0.0


def hours(
    first: float, count: int, rng: np.random.Generator, swing: Swing, extra: Swing = flat
) -> list[WindowSummary]:
    return [hour(first + at * HOUR, rng, swing, extra) for at in range(count)]


def hour(start: float, rng: np.random.Generator, swing: Swing, extra: Swing) -> WindowSummary:
    rows = 1_000
    fares = rng.normal(30.0 + 3.0 * (swing(start) + extra(start)), 3.0, rows)
    cash = rng.random(rows) < 0.4 + 0.2 * swing(start)
    batch = pa.RecordBatch.from_pydict(
        {"fare": fares, "payment": np.where(cash, "Cash", "Card").tolist()}
    )
    features = summary.finish(summary.add(summary.start(CONTRACT), batch))
    return WindowSummary(
        record_id=f"w{start}",
        model=CONTRACT.model,
        at=start + HOUR,
        window_start=start,
        window_end=start + HOUR,
        accepted=rows,
        dead_letters=0,
        late=0,
        offsets_read=rows,
        offsets=(),
        features=features,
    )


def seasonal_reference(history: list[WindowSummary]) -> ReferenceSummary:
    reference = build_reference(history, model=CONTRACT.model, version=1, at=0.0)
    return msgspec.structs.replace(reference, slots=learn_slots(history, CONTRACT, "hour-of-week"))


def judged(
    windows: list[WindowSummary], reference: ReferenceSummary, rules: DriftRules = RULES
) -> list[DriftVerdict]:
    seasonal, history = SeasonalReference(reference, CONTRACT, rules), DriftHistory()
    verdicts = []
    for window in windows:
        prepared = seasonal.at(window.window_start, window.window_end)
        verdict, history = judge_drift(window, prepared, "r", history, rules, CONTRACT)
        verdicts.append(verdict)
    return verdicts


@pytest.fixture(scope="module")
def two_weeks() -> ReferenceSummary:
    return seasonal_reference(hours(MONDAY, 2 * 168, np.random.default_rng(1), daily))


def test_two_more_weeks_of_the_same_cycle_raise_no_alarm(two_weeks: ReferenceSummary) -> None:
    windows = hours(MONDAY + 2 * WEEK, 2 * 168, np.random.default_rng(2), daily)
    verdicts = judged(windows, two_weeks)
    assert {verdict.outcome for verdict in verdicts} == {"stable"}
    assert verdicts[0].season == "Mon 00h, 2 periods of history"
    without_season = judged(windows, two_weeks, WITHOUT_SEASON)
    assert sum(verdict.outcome != "stable" for verdict in without_season) > 100
    assert without_season[0].season == ""


@pytest.mark.parametrize("seed", range(3))
def test_half_a_standard_deviation_on_a_sunday_is_found_within_three_windows(
    two_weeks: ReferenceSummary, seed: int
) -> None:
    sunday = MONDAY + 2 * WEEK + 6 * 86_400.0 + 9 * HOUR
    windows = hours(sunday, 3, np.random.default_rng(seed), daily, lambda _: 0.5)
    outcomes = {verdict.outcome for verdict in judged(windows, two_weeks)}
    assert outcomes & {"suspected", "drifted"}


def test_a_steady_stream_is_judged_as_without_a_season() -> None:
    """Slots that do not differ shrink to the reference of all hours."""
    rng = np.random.default_rng(3)
    reference = seasonal_reference(hours(MONDAY, 3 * 168, rng, flat))
    quiet = hours(MONDAY + 3 * WEEK, 48, rng, flat)
    moved = hours(MONDAY + 3 * WEEK + 48 * HOUR, 3, rng, flat, lambda _: 0.6)
    windows = [*quiet, *moved]
    with_season = [verdict.outcome for verdict in judged(windows, reference)]
    without = [verdict.outcome for verdict in judged(windows, reference, WITHOUT_SEASON)]
    assert with_season == without == ["stable"] * 48 + ["suspected", "suspected", "drifted"]


def test_too_little_history_widens_the_limits_and_the_verdict_states_it() -> None:
    rng = np.random.default_rng(4)
    reference = seasonal_reference(hours(MONDAY, 12, rng, flat))
    (moved,) = judged(hours(MONDAY + 12 * HOUR, 1, rng, flat, lambda _: 0.5), reference)
    assert moved.outcome == "stable"
    assert moved.season == "Mon 12h, 0 periods of history"
    (far,) = judged(hours(MONDAY + 12 * HOUR, 1, rng, flat, lambda _: 3.0), reference)
    assert far.outcome == "suspected"


def test_slots_count_a_window_once_and_only_judged_features() -> None:
    windows = hours(MONDAY, 30, np.random.default_rng(5), flat)
    slots = learn_slots([*windows, *windows], CONTRACT, "hour-of-day")
    assert [slot.slot for slot in slots] == list(range(24))
    assert [slot.periods for slot in slots[:8]] == [2] * 6 + [1, 1]
    assert slots[0].rows == 2_000
    assert learn_slots(windows, CONTRACT, "none") == ()
    assert MIN_SLOTS <= 24


def test_slots_follow_local_time_when_the_clocks_change() -> None:
    """Chicago moved from 2 to 3 o'clock on 2016-03-13 (08:00 UTC)."""
    change = 1_457_856_000.0
    assert slot_of(change - 1.0, "hour-of-day", "America/Chicago") == 1
    assert slot_of(change + 1.0, "hour-of-day", "America/Chicago") == 3


def test_a_mixed_slot_keeps_every_value_of_the_reference(two_weeks: ReferenceSummary) -> None:
    prepared = SeasonalReference(two_weeks, CONTRACT, RULES).at(MONDAY, MONDAY + HOUR)
    all_hours = prepare_reference(two_weeks, CONTRACT)
    slot_numbers, numbers = prepared.features["fare"].numbers, all_hours.features["fare"].numbers
    assert slot_numbers is not None
    assert numbers is not None
    assert set(slot_numbers.buckets.tolist()) == set(numbers.buckets.tolist())
    assert prepared.features["fare"].extra_variance > 0.0


def test_the_error_of_a_categorys_slot_grows_with_the_between_day_sd_of_categories() -> None:
    history = hours(MONDAY, 7 * 24, np.random.default_rng(12), daily)
    reference = seasonal_reference(history)

    def extra_variance(categories_sd: float) -> dict[str, float]:
        day_sd = replace(BetweenDaySd.uniform(0.02), categories=categories_sd)
        rules = replace(RULES, estimated_day_sd=day_sd)
        prepared = SeasonalReference(reference, CONTRACT, rules).at(MONDAY, MONDAY + HOUR)
        return {name: feature.extra_variance for name, feature in prepared.features.items()}

    steady, varying = extra_variance(0.0), extra_variance(0.1)
    assert varying["fare"] == steady["fare"]
    assert varying["payment"] > steady["payment"] + 0.005
