"""The maturity curve: learnt from censored windows, honest while it knows too little."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.quality.maturity import Arrivals, arrivals, later, learn, steps

HORIZON = 100.0


def past(rng: np.random.Generator, windows: int, *, now: float, ever: float) -> list[Arrivals]:
    """Windows that end ten seconds apart, the newest at `now`; labels after exponential(10)."""
    found = []
    for back in range(windows):
        ages = rng.exponential(10.0, 1000)[: int(1000 * ever)]
        seen = ages[ages <= back * 10.0]  # the others have not come yet
        found.append(arrivals(now - back * 10.0, 1000, seen, HORIZON))
    return found


def test_young_windows_do_not_pull_the_curve_down() -> None:
    curve = learn(
        past(np.random.default_rng(1), 20, now=500.0, ever=0.8), now=500.0, horizon=HORIZON, least=3
    )
    assert curve.known
    assert curve.ever == pytest.approx(0.8, abs=0.02)
    assert curve.share_at(10.0) == pytest.approx(1.0 - np.exp(-1.0), abs=0.04)
    assert curve.age_of(0.95, HORIZON) == pytest.approx(30.0, rel=0.15)
    assert curve.share_at(HORIZON) == curve.share_at(1e9) == 1.0
    assert np.all(np.diff(curve.shares) >= 0.0)


def test_before_enough_windows_are_old_only_the_horizon_is_mature() -> None:
    young = past(np.random.default_rng(2), 5, now=50.0, ever=1.0)
    curve = learn(young, now=50.0, horizon=HORIZON, least=3)
    assert not curve.known
    assert curve.age_of(0.95, HORIZON) == HORIZON
    assert curve.points() == ()
    assert not learn((), now=0.0, horizon=HORIZON, least=3).known


def test_labels_that_never_come_make_nothing_mature() -> None:
    silent = [arrivals(0.0, 500, np.empty(0), HORIZON) for _ in range(5)]
    curve = learn(silent, now=1000.0, horizon=HORIZON, least=3)
    assert not curve.known
    assert curve.ever == 0.0


def test_labels_counted_bit_by_bit_are_counted_once() -> None:
    ages = np.random.default_rng(3).exponential(20.0, 300)
    whole = arrivals(7.0, 400, ages, HORIZON)
    parts = arrivals(7.0, 0, np.empty(0), HORIZON)
    for start in range(0, 300, 50):
        parts = later(parts, 400, ages[start : start + 50], HORIZON)
    assert parts.by_step.tolist() == whole.by_step.tolist()
    assert parts.predictions == 400
    assert steps(HORIZON)[-1] == HORIZON
