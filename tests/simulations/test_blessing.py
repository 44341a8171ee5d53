"""A short version of the blessing's simulation: better is blessed, clearly worse is not."""

from __future__ import annotations

import pytest

from tests.simulations.blessing import CHALLENGERS, TASKS, measure

EQUAL, _, BETTER, WORSE, _, WORSE_IN_SLICE = CHALLENGERS


@pytest.mark.parametrize("name", TASKS)
def test_each_task_blesses_better_and_equal_challengers_and_refuses_worse_ones(name: str) -> None:
    task = TASKS[name]
    rates = {
        challenger.name: measure(task, challenger, 3_000, runs=4, seed=11)
        for challenger in (EQUAL, BETTER, WORSE, WORSE_IN_SLICE)
    }
    assert rates[EQUAL.name].blessed >= 0.75
    assert rates[BETTER.name].blessed >= 0.75
    assert rates[WORSE.name].blessed == rates[WORSE_IN_SLICE.name].blessed == 0.0
    assert rates[WORSE.name].difference < 0.0 < rates[BETTER.name].difference


def test_the_same_seed_gives_the_same_figures() -> None:
    task = TASKS["poisson"]
    first, second = (measure(task, EQUAL, 500, runs=2, seed=3) for _ in range(2))
    assert first == second
