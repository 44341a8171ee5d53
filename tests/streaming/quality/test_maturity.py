"""The maturity curve: learnt from censored windows, unknown while there are too few."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.quality.maturity import (
    LabelArrivals,
    add_arrivals,
    age_steps,
    count_arrivals,
    learn_curve,
)

HORIZON = 100.0


def past_windows(
    rng: np.random.Generator, windows: int, *, now: float, labelled_share: float
) -> list[LabelArrivals]:
    """Windows that end ten seconds apart, the newest at `now`; labels after exponential(10)."""
    arrivals = []
    for back in range(windows):
        ages = rng.exponential(10.0, 1000)[: int(1000 * labelled_share)]
        arrived = ages[ages <= back * 10.0]
        arrivals.append(count_arrivals(now - back * 10.0, 1000, arrived, HORIZON))
    return arrivals


def test_young_windows_do_not_lower_the_curve() -> None:
    windows = past_windows(np.random.default_rng(1), 20, now=500.0, labelled_share=0.8)
    curve = learn_curve(windows, now=500.0, horizon=HORIZON, min_windows=3)
    assert curve.known
    assert curve.labelled_share == pytest.approx(0.8, abs=0.02)
    assert curve.share_at(10.0) == pytest.approx(1.0 - np.exp(-1.0), abs=0.04)
    assert curve.age_of(0.95, HORIZON) == pytest.approx(30.0, rel=0.15)
    assert curve.share_at(HORIZON) == curve.share_at(1e9) == 1.0
    assert np.all(np.diff(curve.shares) >= 0.0)


def test_until_enough_windows_are_old_only_the_horizon_is_mature() -> None:
    young = past_windows(np.random.default_rng(2), 5, now=50.0, labelled_share=1.0)
    curve = learn_curve(young, now=50.0, horizon=HORIZON, min_windows=3)
    assert not curve.known
    assert curve.age_of(0.95, HORIZON) == HORIZON
    assert curve.points() == ()
    assert not learn_curve((), now=0.0, horizon=HORIZON, min_windows=3).known


def test_without_any_label_the_curve_stays_unknown() -> None:
    unlabelled = [count_arrivals(0.0, 500, np.empty(0), HORIZON) for _ in range(5)]
    curve = learn_curve(unlabelled, now=1000.0, horizon=HORIZON, min_windows=3)
    assert not curve.known
    assert curve.labelled_share == 0.0


def test_labels_that_are_added_in_parts_are_counted_once() -> None:
    ages = np.random.default_rng(3).exponential(20.0, 300)
    at_once = count_arrivals(7.0, 400, ages, HORIZON)
    in_parts = count_arrivals(7.0, 0, np.empty(0), HORIZON)
    for start in range(0, 300, 50):
        in_parts = add_arrivals(in_parts, 400, ages[start : start + 50], HORIZON)
    assert in_parts.by_step.tolist() == at_once.by_step.tolist()
    assert in_parts.predictions == 400
    assert age_steps(HORIZON)[-1] == HORIZON
