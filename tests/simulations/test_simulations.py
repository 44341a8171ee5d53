"""The simulations have known distributions, repeat with the same seed, and count correctly."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.drift.backtest.alarm_count import AlarmCounter
from tests.simulations.arms import ARMS, Arm
from tests.simulations.draws import MISSING, DayOffsets, Stream
from tests.simulations.kinds import KINDS
from tests.simulations.quiet import measure


@pytest.mark.parametrize("name", sorted(KINDS))
def test_rows_drawn_one_by_one_have_the_law_of_counts_drawn_at_once(name: str) -> None:
    kind = KINDS[name]
    rng = np.random.default_rng(3)
    small = Stream((kind,), rho=1e-12).draw(rng, 20_000, 1, DayOffsets.none(1))
    counted = 20_000 - int(small.missing[0, 0])
    expected = kind.shares() * counted
    frequent = expected >= 10
    z = (small.counts[0][0][frequent] - expected[frequent]) / np.sqrt(expected[frequent])
    assert abs(float(np.mean(z**2)) - 1.0) < 5.0 * np.sqrt(2.0 / frequent.sum())
    assert small.counts[0][0].sum() == counted


def test_features_have_the_required_correlation_and_shift() -> None:
    rng = np.random.default_rng(4)
    kinds = (KINDS["normal"], KINDS["normal"])
    positive = KINDS["normal"].buckets >= 0

    def positive_shares(
        rho: float, shift: float
    ) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        offsets = DayOffsets(np.full(2, shift), np.ones(2), np.zeros(2))
        drawn = Stream(kinds, rho).draw(rng, 200, 400, offsets)
        return np.array(
            [[row[positive].sum() / row.sum() for row in counts] for counts in drawn.counts]
        )

    assert np.corrcoef(positive_shares(0.9, 0.0))[0, 1] > 0.5
    assert abs(np.corrcoef(positive_shares(0.0, 0.0))[0, 1]) < 0.2
    assert positive_shares(0.0, 0.5).mean() == pytest.approx(0.69, abs=0.02)


def test_features_have_the_required_shares_of_missing_values() -> None:
    kinds = (KINDS["normal"],) * len(MISSING)
    offsets = DayOffsets.none(len(MISSING))
    drawn = Stream(kinds).draw(np.random.default_rng(5), 10_000, 50, offsets)
    assert drawn.missing.mean(axis=0) / 10_000 == pytest.approx(MISSING, abs=0.004)
    counted = np.array([counts.sum(axis=1) for counts in drawn.counts]).T
    assert (counted + drawn.missing + drawn.non_finite == 10_000).all()
    assert drawn.non_finite[:, 2].sum() > 0


def test_one_cause_is_one_alarm_a_day() -> None:
    counter = AlarmCounter()
    for alarmed in (["a"], ["a"], [], ["a"], ["a", "b"], ["b"]):
        counter.window(alarmed)
    assert (counter.alarms, counter.feature_alarms, counter.alarmed_windows) == (2, 2, 5)
    counter.new_day()
    assert counter.window(["a"]) == {"a"}
    assert counter.alarms == 3


def test_an_alarm_that_continues_after_midnight_counts_once_the_lookback_is_over() -> None:
    def after_midnight(*windows: list[str]) -> list[frozenset[str]]:
        counter = AlarmCounter(3)
        counter.window(["a"])
        counter.new_day()
        return [counter.window(alarmed) for alarmed in windows]

    none, a = frozenset[str](), frozenset({"a"})
    assert after_midnight(["a"], ["a"], []) == [none, none, none]
    assert after_midnight(["a"], ["a"], ["a"], ["a"]) == [none, none, a, none]  # continues
    assert after_midnight(["a"], [], ["a"]) == [none, none, a]  # starts again
    assert after_midnight(["a", "b"])[0] == {"b"}


SMALL = Arm(name="small", days=100, budget=20.0, kinds=("normal", "poisson", "few values") * 2)


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (measure(SMALL, days=5, seed=7) for _ in range(2))
    assert first == second


def test_there_are_about_as_many_false_alarms_as_allowed() -> None:
    rate, counts = measure(SMALL, days=SMALL.days, seed=7)
    assert rate.low <= 1.0 <= rate.high
    assert 0.7 < rate.ratio < 1.3
    assert set(counts.by_rule) <= {"sustained", "single", "cusum"}


def test_an_estimated_day_variance_keeps_the_budget_about_as_well_as_a_given_one() -> None:
    arm = Arm(name="estimated", days=100, budget=20.0, day_sd=0.05, estimation_days=28)
    rate, _ = measure(arm, days=arm.days, seed=9)
    assert rate.low <= 1.2
    assert 0.5 < rate.ratio < 1.3


def test_with_floors_there_are_few_alarms() -> None:
    floors = Arm(name="floors", days=20, budget=30.0, floors=True)
    rate, _ = measure(floors, days=20, seed=8)
    assert rate.observed <= 0.3 * rate.expected


def test_every_arm_has_a_unique_name() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
