"""The simulations themselves: known laws, the same figures for the same seed, honest counting."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.drift.backtest.alarm_count import Tally
from tests.simulations.arms import ARMS, Arm
from tests.simulations.draws import MISSING, Moves, Stream
from tests.simulations.kinds import KINDS
from tests.simulations.quiet import measure


@pytest.mark.parametrize("name", sorted(KINDS))
def test_rows_one_by_one_and_all_at_once_have_the_same_law(name: str) -> None:
    kind = KINDS[name]
    rng = np.random.default_rng(3)
    small = Stream((kind,), rho=1e-12).draw(rng, 20_000, 1, Moves.none(1))
    counted = 20_000 - int(small.missing[0, 0])
    truth = kind.shares() * counted
    likely = truth >= 10
    z = (small.counts[0][0][likely] - truth[likely]) / np.sqrt(truth[likely])
    assert abs(float(np.mean(z**2)) - 1.0) < 5.0 * np.sqrt(2.0 / likely.sum())
    assert small.counts[0][0].sum() == counted


def test_correlated_features_correlate_and_a_shift_shifts() -> None:
    rng = np.random.default_rng(4)
    kinds = (KINDS["normal"], KINDS["normal"])
    middle = KINDS["normal"].buckets >= 0

    def above(rho: float, shift: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        moves = Moves(np.full(2, shift), np.ones(2), np.zeros(2))
        drawn = Stream(kinds, rho).draw(rng, 200, 400, moves)
        return np.array([[row[middle].sum() / row.sum() for row in one] for one in drawn.counts])

    assert np.corrcoef(above(0.9, 0.0))[0, 1] > 0.5
    assert abs(np.corrcoef(above(0.0, 0.0))[0, 1]) < 0.2
    assert above(0.0, 0.5).mean() == pytest.approx(0.69, abs=0.02)


def test_a_feature_lacks_as_many_values_as_it_should() -> None:
    kinds = (KINDS["normal"],) * len(MISSING)
    moves = Moves.none(len(MISSING))
    drawn = Stream(kinds).draw(np.random.default_rng(5), 10_000, 50, moves)
    assert drawn.missing.mean(axis=0) / 10_000 == pytest.approx(MISSING, abs=0.004)
    counted = np.array([one.sum(axis=1) for one in drawn.counts]).T
    assert (counted + drawn.missing + drawn.non_finite == 10_000).all()
    assert drawn.non_finite[:, 2].sum() > 0


def test_one_cause_is_one_alarm_a_day() -> None:
    tally = Tally()
    for alarmed in (["a"], ["a"], [], ["a"], ["a", "b"], ["b"]):
        tally.window(alarmed)
    assert (tally.alarms, tally.feature_days, tally.alarmed_windows) == (2, 2, 5)
    tally.new_day()
    assert tally.window(["a"]) == {"a"}
    assert tally.alarms == 3


def test_what_the_judge_remembers_of_yesterday_is_no_alarm_of_today() -> None:
    def after_midnight(*windows: list[str]) -> list[frozenset[str]]:
        tally = Tally(3)
        tally.window(["a"])
        tally.new_day()
        return [tally.window(alarmed) for alarmed in windows]

    none, a = frozenset[str](), frozenset({"a"})
    assert after_midnight(["a"], ["a"], []) == [none, none, none]
    assert after_midnight(["a"], ["a"], ["a"], ["a"]) == [none, none, a, none]  # it goes on
    assert after_midnight(["a"], [], ["a"]) == [none, none, a]  # it begins again
    assert after_midnight(["a", "b"])[0] == {"b"}


SMALL = Arm(name="small", days=100, alarms=20.0, kinds=("normal", "poisson", "few values") * 2)


def test_the_same_seed_gives_the_same_figures() -> None:
    once, again = (measure(SMALL, days=5, seed=7) for _ in range(2))
    assert once == again


def test_false_alarms_are_as_many_as_were_allowed() -> None:
    found, how = measure(SMALL, days=SMALL.days, seed=7)
    assert found.low <= 1.0 <= found.high
    assert 0.7 < found.ratio < 1.3
    assert set(how.begun) <= {"sustained", "single", "slow"}


def test_a_wobble_that_is_learnt_keeps_the_budget_about_as_well_as_one_that_is_told() -> None:
    arm = Arm(name="learnt", days=100, alarms=20.0, wobble=0.05, learnt=28)
    found, _ = measure(arm, days=arm.days, seed=9)
    assert found.low <= 1.2
    assert 0.5 < found.ratio < 1.3


def test_with_floors_on_hardly_anything_alarms() -> None:
    floors = Arm(name="floors", days=20, alarms=30.0, floors=True)
    found, _ = measure(floors, days=20, seed=8)
    assert found.observed <= 0.3 * found.expected


def test_every_arm_has_a_name_of_its_own() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
