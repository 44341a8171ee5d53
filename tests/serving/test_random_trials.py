"""300 random trials keep every invariant and come to rest; ten thousand are a nightly length."""

from __future__ import annotations

import os

import pytest

from tests.serving.random_trial import Trial

TRIALS = int(os.environ.get("DRIFTLINE_RANDOM_TRIALS", "300"))
PARTS = 20


@pytest.mark.parametrize("part", range(PARTS))
def test_random_trials_keep_the_invariants_and_come_to_rest(part: int) -> None:
    broken = []
    for seed in range(part, TRIALS, PARTS):
        try:
            Trial(seed=seed).run()
        except AssertionError as error:
            broken.append(str(error))
    assert not broken, f"{len(broken)} trials: " + "\n".join(broken)


@pytest.mark.parametrize("seed", [328, 1634])
def test_long_trials_that_once_broke_an_invariant(seed: int) -> None:
    Trial(seed=seed, steps=30).run()


def test_a_crash_in_the_tick_that_sends_clients_to_a_fresh_control_breaks_nothing() -> None:
    """The routes are set already, and the state that is read back still awaits the control."""
    Trial(seed=10_564).run()
