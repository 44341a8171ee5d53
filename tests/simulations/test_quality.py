"""The simulation of quality is seeded, and its population has the properties it should have."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulations.quality import ARMS, CHANGES, Arm, Population, delay, quiet


def test_the_same_seed_gives_the_same_figures() -> None:
    arm = Arm(name="small", window_seconds=3600.0)
    first, second = (quiet(arm, versions=1, budget=60.0, seed=3) for _ in range(2))
    assert first == second
    assert first.expected == pytest.approx(20.0)


def test_the_population_is_calibrated_and_reaches_a_required_auc() -> None:
    population = Population()
    assert population.shares.sum() == pytest.approx(1.0)
    assert population.auc(population.slope_for(0.7)) == pytest.approx(0.7, abs=1e-3)
    counts = population.window(np.random.default_rng(1), 200_000)
    expected = float(counts.served @ population.positive_rate(1.0, 0.0))
    assert counts.positives.sum() == pytest.approx(expected, rel=0.01)


def test_a_large_fall_is_found_in_three_batches() -> None:
    fall = next(change for change in CHANGES if change.fall == 0.10)
    median, share, first_suspicion = delay(fall, 5000, runs=3, seed=1)
    assert (median, share) == (3.0, 1.0)
    assert first_suspicion <= median


def test_every_arm_has_a_unique_name() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
