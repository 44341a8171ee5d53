"""Backtests: the same judge, other rules, and an honest count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.records import WindowSummary
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.backtest.replay import Judged, Replay, Shift, account, delay
from streaming.drift.settings import DAY
from tests.streaming.statistics_data import SECONDS, TRIPS, reference, trips, window

RULES = DriftRules()
PREPARED = prepare_reference(reference(trips(np.random.default_rng(1), 20_000)), TRIPS)


def moving(quiet: int, moved: int, by: float, rows: int = 2_000) -> list[WindowSummary]:
    """Quiet windows, then some in which one feature has moved."""
    rng = np.random.default_rng(2)
    change = {"normal": lambda x, _: x + by}
    return [
        window(at, trips(rng, rows, change=change if at >= quiet else None))
        for at in range(quiet + moved)
    ]


def replayed(windows: Sequence[WindowSummary], rules: DriftRules = RULES) -> tuple[Judged, ...]:
    replay = Replay(rules, TRIPS)
    for one in windows:
        replay.add(one, PREPARED, "promotion")
    return replay.judged()


def test_the_replay_says_what_the_judge_said() -> None:
    windows = moving(4, 6, 0.7)
    history, said = DriftHistory(), []
    for one in windows:
        verdict, history = judge_drift(one, PREPARED, "promotion", history, RULES, TRIPS)
        said.append(verdict.outcome)
    assert [one.outcome for one in replayed(windows)] == said
    assert [one.outcome for one in replayed([*windows[:5], windows[4], *windows[5:]])] == said
    assert said[:4] == ["stable"] * 4
    assert said[-1] == "drifted"


def test_changed_rules_change_the_delay_and_what_is_drifted() -> None:
    windows = moving(5, 7, 0.4)
    shift = Shift(start=5 * SECONDS)
    now = account(replayed(windows), RULES, [shift])
    assert (now.false.observed, now.drifted) == (0, 0)
    assert now.delays[0].windows == 1
    assert now.delays[0].events == 2_000
    assert now.delays[0].features == ("normal",)
    keen = replace(RULES, drifted_sd=0.3)
    assert account(replayed(windows, keen), keen, [shift]).delays[0].to_drifted == 3
    deaf = replace(RULES, suspected_sd=0.6, drifted_sd=0.6)
    assert account(replayed(windows, deaf), deaf, [shift]).delays[0].windows is None


def test_without_a_reference_nothing_is_judged_and_nothing_is_quiet() -> None:
    replay = Replay(RULES, TRIPS)
    for one in moving(2, 0, 0.0, rows=300):
        replay.add(one, None, "")
    found = account(replay.judged(), RULES)
    assert (found.windows, found.inconclusive, found.alarms) == (2, 2, 0)
    assert found.false.expected == 0.0


def a_window(at: float, *alarmed: str, outcome: str = "suspected", of: str = "p") -> Judged:
    return Judged(
        window_start=at,
        window_end=at + 60.0,
        outcome=outcome if alarmed else "stable",  # type: ignore[arg-type]
        rows=100,
        reference_id=of,
        alarmed=dict.fromkeys(alarmed, 0.4),
        drifted=frozenset(alarmed if outcome == "drifted" else ()),
    )


def test_one_cause_is_one_alarm_a_day_and_news_for_a_new_yardstick() -> None:
    lasting = [a_window(60.0 * at, "a") for at in range(5)]
    assert account(lasting, RULES).alarms == 1
    assert account([*lasting, a_window(DAY, "a")], RULES).alarms == 2
    over_midnight = [a_window(DAY + 60.0 * at, "a") for at in range(-2, RULES.of - 1)]
    assert account(over_midnight, RULES).alarms == 1  # the judge remembers yesterday
    assert account([*over_midnight, a_window(DAY + 60.0 * RULES.of, "a")], RULES).alarms == 2
    assert account([*lasting, a_window(400.0, "a", of="q")], RULES).alarms == 2
    assert account([*lasting, a_window(400.0, "a", "b")], RULES).alarms == 2


def test_alarms_outside_known_shifts_are_false_and_cost_budget_only_there() -> None:
    shift = Shift(start=600.0, end=1_200.0)
    judged = [
        a_window(60.0 * at, *(["a"] if at in (3, 12, 13, 19) else []), outcome="drifted")
        for at in range(40)
    ]
    judged[30] = a_window(1_800.0, "b")
    found = account(judged, RULES, [shift])
    # window 3 and feature b are false; a is old news by window 12, and window 19 lies in the shift
    assert (found.alarms, found.false.observed, found.drifted) == (2, 2, 1)
    quiet = 40 - 10 - RULES.of
    assert found.false.expected == pytest.approx(quiet * 60.0 / RULES.period_seconds)
    assert [(one.feature, one.windows, one.false_windows) for one in found.features] == [
        ("a", 4, 1),
        ("b", 1, 1),
    ]
    assert (found.delays[0].windows, found.delays[0].events) == (3, 300)


def test_a_shift_that_begins_inside_a_window_counts_from_it() -> None:
    judged = [a_window(0.0), a_window(60.0), a_window(120.0, "a")]
    assert delay(judged, Shift(start=90.0)).windows == 2


@given(
    st.lists(st.sets(st.sampled_from("abc")), min_size=1, max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 60)), max_size=3),
)
def test_counts_fit_together(alarmed: list[set[str]], shifts: list[tuple[int, int]]) -> None:
    judged = [a_window(60.0 * at, *sorted(names)) for at, names in enumerate(alarmed)]
    known = [Shift(start=60.0 * at, end=60.0 * (at + more)) for at, more in shifts]
    found = account(judged, RULES, known)
    assert 0 <= found.false.observed <= found.alarms <= found.windows == len(judged)
    assert account(judged, RULES).false.observed == found.alarms
    assert all(one.false_windows <= one.windows for one in found.features)
    for one, shift in zip(found.delays, known, strict=True):
        inside = [w for w in judged if w.window_end > shift.start and w.window_start < shift.end]
        assert (one.windows is None) == (not any(w.alarmed for w in inside))
