"""The simulation of prediction drift is seeded, and its judge keeps the budget."""

from __future__ import annotations

import pytest

from tests.simulations.task_predictions import CHANGES, TASKS, delay, quiet


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (quiet("counts", 500, versions=1, budget=60.0, seed=3) for _ in range(2))
    assert first == second
    assert first.expected == pytest.approx(20.0)


@pytest.mark.parametrize("name", ["multiclass, 5 classes", "quantiles"])
def test_quiet_predictions_stay_within_the_budget(name: str) -> None:
    rate = quiet(name, 200, versions=1, budget=60.0, seed=5)
    assert rate.low <= 1.0


@pytest.mark.parametrize("name", list(TASKS))
def test_predictions_that_move_far_are_found(name: str) -> None:
    median, share, suspicion = delay(name, CHANGES[name][0], 1000, runs=2, seed=1)
    assert median <= 4.0
    assert share == 1.0
    assert suspicion <= median
