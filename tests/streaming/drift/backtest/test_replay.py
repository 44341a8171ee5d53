"""Backtests: the replay repeats the judge's verdicts, and alarms are counted correctly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.records import WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.backtest.replay import (
    KnownShift,
    Replay,
    ReplayedWindow,
    count_alarms,
    detection_delay,
)
from streaming.drift.settings import DAY
from tests.streaming.statistics_data import SECONDS, TRIPS, reference, trips, window

RULES = DriftRules()
PREPARED = prepare_reference(reference(trips(np.random.default_rng(1), 20_000)), TRIPS)


def windows_with_shift(
    quiet: int, shifted: int, by: float, rows: int = 2_000
) -> list[WindowSummary]:
    """Quiet windows, then windows in which one feature has shifted."""
    rng = np.random.default_rng(2)
    change = {"normal": lambda x, _: x + by}
    return [
        window(at, trips(rng, rows, change=change if at >= quiet else None))
        for at in range(quiet + shifted)
    ]


def replayed(
    windows: Sequence[WindowSummary], rules: DriftRules = RULES
) -> tuple[ReplayedWindow, ...]:
    replay = Replay(rules, TRIPS)
    for summary in windows:
        replay.add(summary, PREPARED, "promotion")
    return replay.judged()


def test_a_replay_gives_the_outcomes_of_the_judge() -> None:
    windows = windows_with_shift(4, 6, 0.7)
    history, outcomes = DriftHistory(), []
    for summary in windows:
        verdict, history = judge_drift(summary, PREPARED, "promotion", history, RULES, TRIPS)
        outcomes.append(verdict.outcome)
    assert [judged.outcome for judged in replayed(windows)] == outcomes
    repeated = [*windows[:5], windows[4], *windows[5:]]
    assert [judged.outcome for judged in replayed(repeated)] == outcomes
    assert outcomes[:4] == ["stable"] * 4
    assert outcomes[-1] == "drifted"


def test_changed_rules_change_the_delay_and_what_is_drifted() -> None:
    windows = windows_with_shift(5, 7, 0.4)
    shift = KnownShift(start=5 * SECONDS)
    result = count_alarms(replayed(windows), RULES, [shift])
    assert (result.false.observed, result.drifted) == (0, 0)
    assert result.delays[0].windows == 1
    assert result.delays[0].events == 2_000
    assert result.delays[0].features == ("normal",)
    sensitive = replace(RULES, drifted_sd=0.3)
    result = count_alarms(replayed(windows, sensitive), sensitive, [shift])
    assert result.delays[0].windows_to_drifted == 3
    insensitive = replace(RULES, suspected_sd=0.6, drifted_sd=0.6)
    result = count_alarms(replayed(windows, insensitive), insensitive, [shift])
    assert result.delays[0].windows is None


def test_without_a_reference_no_window_is_judged_and_no_time_is_quiet() -> None:
    replay = Replay(RULES, TRIPS)
    for summary in windows_with_shift(2, 0, 0.0, rows=300):
        replay.add(summary, None, "")
    result = count_alarms(replay.judged(), RULES)
    assert (result.windows, result.inconclusive, result.alarms) == (2, 2, 0)
    assert result.false.expected == 0.0


def replayed_window(
    at: float, *alarmed: str, outcome: str = "suspected", reference_id: str = "p"
) -> ReplayedWindow:
    return ReplayedWindow(
        window_start=at,
        window_end=at + 60.0,
        outcome=outcome if alarmed else "stable",  # type: ignore[arg-type]
        rows=100,
        reference_id=reference_id,
        alarmed=dict.fromkeys(alarmed, 0.4),
        drifted=frozenset(alarmed if outcome == "drifted" else ()),
    )


def alarms_in(*windows: ReplayedWindow) -> int:
    return count_alarms(windows, RULES).alarms


def test_one_cause_is_one_alarm_a_day_and_a_new_alarm_under_a_new_reference() -> None:
    continuing = [replayed_window(60.0 * at, "a") for at in range(5)]
    assert alarms_in(*continuing) == 1
    assert alarms_in(*continuing, replayed_window(DAY, "a")) == 2
    over_midnight = [replayed_window(DAY + 60.0 * at, "a") for at in range(-2, RULES.of - 1)]
    assert alarms_in(*over_midnight) == 1  # the verdicts look back on yesterday
    assert alarms_in(*over_midnight, replayed_window(DAY + 60.0 * RULES.of, "a")) == 2
    assert alarms_in(*continuing, replayed_window(400.0, "a", reference_id="q")) == 2
    assert alarms_in(*continuing, replayed_window(400.0, "a", "b")) == 2


def test_alarms_outside_known_shifts_are_false_and_only_that_time_has_a_budget() -> None:
    shift = KnownShift(start=600.0, end=1_200.0)
    windows = [
        replayed_window(60.0 * at, *(["a"] if at in (3, 12, 13, 19) else []), outcome="drifted")
        for at in range(40)
    ]
    windows[30] = replayed_window(1_800.0, "b")
    result = count_alarms(windows, RULES, [shift])
    # Window 3 and feature b are false. In window 12, a is no longer new; window 19 is in the shift.
    assert (result.alarms, result.false.observed, result.drifted) == (2, 2, 1)
    quiet_windows = 40 - 10 - RULES.of
    assert result.false.expected == pytest.approx(quiet_windows * 60.0 / RULES.period_seconds)
    counts = [(alarms.feature, alarms.windows, alarms.false_windows) for alarms in result.features]
    assert counts == [("a", 4, 1), ("b", 1, 1)]
    assert (result.delays[0].windows, result.delays[0].events) == (3, 300)


def test_the_delay_of_a_shift_inside_a_window_starts_with_that_window() -> None:
    windows = [replayed_window(0.0), replayed_window(60.0), replayed_window(120.0, "a")]
    assert detection_delay(windows, KnownShift(start=90.0)).windows == 2


@given(
    st.lists(st.sets(st.sampled_from("abc")), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), max_size=3),
)
def test_counts_are_consistent(alarmed: list[set[str]], shifts: list[tuple[int, int]]) -> None:
    windows = [replayed_window(60.0 * at, *sorted(names)) for at, names in enumerate(alarmed)]
    known = [KnownShift(start=60.0 * at, end=60.0 * (at + length)) for at, length in shifts]
    result = count_alarms(windows, RULES, known)
    assert 0 <= result.false.observed <= result.alarms <= result.windows == len(windows)
    assert count_alarms(windows, RULES).false.observed == result.alarms
    assert all(alarms.false_windows <= alarms.windows for alarms in result.features)
    for delay, shift in zip(result.delays, known, strict=True):
        inside = [w for w in windows if w.window_end > shift.start and w.window_start < shift.end]
        assert (delay.windows is None) == (not any(w.alarmed for w in inside))
