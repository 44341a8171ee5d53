"""Seasons: cycles that repeat are no drift, a shift on top of them is."""

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
from streaming.baseline.seasonal import ENOUGH_SLOTS
from streaming.contracts.records import DriftVerdict, ReferenceSummary, WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.day_variance import alike
from tests.streaming.statistics_data import contract, number, text

HOUR, WEEK = 3600.0, 604_800.0
MONDAY = 4 * 86_400.0  # 1970-01-05
CONTRACT = msgspec.structs.replace(contract(number("fare"), text("payment")), window_seconds=HOUR)
RULES = DriftRules(season="hour-of-week", wobble_sd=0.02)
WITHOUT = DriftRules(wobble_sd=0.02)
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


def learnt(history: list[WindowSummary]) -> ReferenceSummary:
    reference = build_reference(history, model=CONTRACT.model, version=1, at=0.0)
    return msgspec.structs.replace(reference, slots=learn_slots(history, CONTRACT, "hour-of-week"))


def judged(
    windows: list[WindowSummary], reference: ReferenceSummary, rules: DriftRules = RULES
) -> list[DriftVerdict]:
    season, history, found = SeasonalReference(reference, CONTRACT, rules), DriftHistory(), []
    for window in windows:
        yardstick = season.at(window.window_start, window.window_end)
        verdict, history = judge_drift(window, yardstick, "r", history, rules, CONTRACT)
        found.append(verdict)
    return found


@pytest.fixture(scope="module")
def two_weeks() -> ReferenceSummary:
    return learnt(hours(MONDAY, 2 * 168, np.random.default_rng(1), daily))


def test_two_more_weeks_of_the_same_cycle_raise_no_alarm(two_weeks: ReferenceSummary) -> None:
    windows = hours(MONDAY + 2 * WEEK, 2 * 168, np.random.default_rng(2), daily)
    verdicts = judged(windows, two_weeks)
    assert {one.outcome for one in verdicts} == {"stable"}
    assert verdicts[0].season == "Mon 00h, 2 periods of history"
    without = judged(windows, two_weeks, WITHOUT)
    assert sum(one.outcome != "stable" for one in without) > 100
    assert without[0].season == ""


@pytest.mark.parametrize("seed", range(3))
def test_half_a_standard_deviation_on_a_sunday_is_found_within_three_windows(
    two_weeks: ReferenceSummary, seed: int
) -> None:
    sunday = MONDAY + 2 * WEEK + 6 * 86_400.0 + 9 * HOUR
    windows = hours(sunday, 3, np.random.default_rng(seed), daily, lambda _: 0.5)
    assert any(one.outcome in ("suspected", "drifted") for one in judged(windows, two_weeks))


def test_a_steady_stream_is_judged_as_without_a_season() -> None:
    """Slots that do not differ shrink to the whole."""
    rng = np.random.default_rng(3)
    reference = learnt(hours(MONDAY, 3 * 168, rng, flat))
    quiet = hours(MONDAY + 3 * WEEK, 48, rng, flat)
    moved = hours(MONDAY + 3 * WEEK + 48 * HOUR, 3, rng, flat, lambda _: 0.6)
    with_season = [one.outcome for one in judged([*quiet, *moved], reference)]
    without = [one.outcome for one in judged([*quiet, *moved], reference, WITHOUT)]
    assert with_season == without == ["stable"] * 48 + ["suspected", "suspected", "drifted"]


def test_too_little_history_widens_the_limits_and_is_said() -> None:
    rng = np.random.default_rng(4)
    reference = learnt(hours(MONDAY, 12, rng, flat))
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
    assert ENOUGH_SLOTS <= 24


def test_an_hour_is_that_of_the_wall_also_when_the_clocks_change() -> None:
    """Chicago moved from 2 to 3 o'clock on 2016-03-13 (08:00 UTC)."""
    change = 1_457_856_000.0
    assert slot_of(change - 1.0, "hour-of-day", "America/Chicago") == 1
    assert slot_of(change + 1.0, "hour-of-day", "America/Chicago") == 3


def test_a_mixed_slot_keeps_what_was_ever_seen(two_weeks: ReferenceSummary) -> None:
    prepared = SeasonalReference(two_weeks, CONTRACT, RULES).at(MONDAY, MONDAY + HOUR)
    whole = prepare_reference(two_weeks, CONTRACT)
    slot, everything = prepared.features["fare"].numbers, whole.features["fare"].numbers
    assert slot is not None
    assert everything is not None
    assert set(slot.buckets.tolist()) == set(everything.buckets.tolist())
    assert prepared.features["fare"].extra_variance > 0.0


def test_a_slot_of_categories_is_known_as_well_as_categories_stay_where_they_are() -> None:
    history = hours(MONDAY, 7 * 24, np.random.default_rng(12), daily)
    reference = learnt(history)

    def left(sd: float) -> dict[str, float]:
        strays = replace(alike(0.02), categories=sd)
        yardstick = SeasonalReference(reference, CONTRACT, replace(RULES, strays=strays))
        at = yardstick.at(MONDAY, MONDAY + HOUR)
        return {name: one.extra_variance for name, one in at.features.items()}

    calm, restless = left(0.0), left(0.1)
    assert restless["fare"] == calm["fare"]
    assert restless["payment"] > calm["payment"] + 0.005
