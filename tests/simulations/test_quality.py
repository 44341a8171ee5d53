"""The simulation of quality: seeded, and its world is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from tests.simulations.quality import ARMS, CHANGES, Arm, Population, delay, quiet


def test_the_same_seed_gives_the_same_figures() -> None:
    arm = Arm(name="small", window_seconds=3600.0)
    once, again = (quiet(arm, versions=1, alarms=60.0, seed=3) for _ in range(2))
    assert once == again
    assert once.expected == pytest.approx(20.0)


def test_the_world_is_calibrated_and_falls_as_far_as_asked() -> None:
    world = Population()
    assert world.shares.sum() == pytest.approx(1.0)
    assert world.auc(world.keep_for(0.7)) == pytest.approx(0.7, abs=1e-3)
    counts = world.window(np.random.default_rng(1), 200_000)
    expected = float(counts.served @ world.chance(1.0, 0.0))
    assert counts.positives.sum() == pytest.approx(expected, rel=0.01)


def test_a_large_fall_is_found_in_three_looks() -> None:
    fall = next(change for change in CHANGES if change.fall == 0.10)
    median, share, first = delay(fall, 5000, runs=3, seed=1)
    assert (median, share) == (3.0, 1.0)
    assert first <= median


def test_every_arm_has_a_name_of_its_own() -> None:
    assert len({arm.name for arm in ARMS}) == len(ARMS)
