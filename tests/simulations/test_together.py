"""The studies of the multivariate test and of the learnt wobble, in small."""

from __future__ import annotations

import numpy as np

from tests.simulations.together import MIXED, NORMAL, World, alarms, delay, flip, reaction, shift
from tests.simulations.wobble import learnt, ratio


def test_a_pair_that_turns_is_found_as_soon_as_hits_are_sustained() -> None:
    assert delay(World(NORMAL, 0.6), flip, runs=2, seed=1) == [3, 3]


def test_a_shift_of_one_feature_is_not_its_business() -> None:
    hits, effect = reaction(World(MIXED, 0.6), shift, draws=20, seed=1)
    assert hits <= 0.2
    assert effect < 0.25


def test_quiet_days_rarely_alarm() -> None:
    seen, allowed = alarms(World(NORMAL[:4], 0.6), days=10, seed=3)
    assert allowed == 2.0
    assert seen <= 6


def test_a_learnt_wobble_keeps_the_budget_and_one_without_its_bound_does_not() -> None:
    rng = np.random.default_rng(1)
    found = [learnt(rng, 7, 10, 0.02) for _ in range(100)]
    plain = np.mean([ratio(one, 0.02, 10_000) for one, _ in found])
    bound = np.mean([ratio(one, 0.02, 10_000) for _, one in found])
    assert bound < 1.1
    assert plain > 1.3
