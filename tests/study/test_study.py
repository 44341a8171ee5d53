"""The simulations themselves: known laws, the same figures for the same seed, honest counting."""

from __future__ import annotations

import numpy as np
import pytest

from tests.study.draws import Stream
from tests.study.kinds import KINDS
from tests.study.quiet import ARMS, Arm, measure
from tests.study.tally import Tally


@pytest.mark.parametrize("name", sorted(KINDS))
def test_rows_one_by_one_and_all_at_once_have_the_same_law(name: str) -> None:
    kind = KINDS[name]
    rng = np.random.default_rng(3)
    small = Stream((kind,), rho=1e-12).draw(rng, 20_000, 1, [0.0])
    truth = kind.shares() * (20_000 - int(small.missing[0, 0]))
    likely = truth >= 10
    z = (small.counts[0][0][likely] - truth[likely]) / np.sqrt(truth[likely])
    assert abs(float(np.mean(z**2)) - 1.0) < 5.0 * np.sqrt(2.0 / likely.sum())
    assert small.counts[0][0].sum() == 20_000 - small.missing[0, 0]


def test_correlated_features_correlate_and_a_shift_shifts() -> None:
    rng = np.random.default_rng(4)
    kinds = (KINDS["normal"], KINDS["normal"])
    middle = KINDS["normal"].buckets >= 0

    def above(rho: float, shift: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        drawn = Stream(kinds, rho, missing=0.0).draw(rng, 200, 400, [shift, shift])
        return np.array([[row[middle].sum() for row in one] for one in drawn.counts]) / 200.0

    assert np.corrcoef(above(0.9, 0.0))[0, 1] > 0.5
    assert abs(np.corrcoef(above(0.0, 0.0))[0, 1]) < 0.2
    assert above(0.0, 0.5).mean() == pytest.approx(0.69, abs=0.02)


def test_one_cause_is_one_alarm_a_day() -> None:
    tally = Tally()
    for alarmed in (["a"], ["a"], [], ["a"], ["a", "b"], ["b"]):
        tally.window(alarmed)
    assert (tally.alarms, tally.feature_days, tally.alarmed_windows) == (2, 2, 5)
    tally.new_day()
    tally.window(["a"])
    assert tally.alarms == 3


def test_the_same_seed_gives_the_same_figures() -> None:
    arm = Arm(name="small", kinds=("normal", "poisson"), rows=300, reference_rows=20_000)
    once, again = (measure(arm, days=10, alarms=60.0, seed=7) for _ in range(2))
    assert once == again
    assert once.observed > 0


def test_every_arm_has_a_name_of_its_own() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
