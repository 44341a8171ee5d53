"""A short version of the blessing's simulation: better is blessed, equal and worse are not."""

from __future__ import annotations

import pytest

from tests.simulations.blessing import CHALLENGERS, measure
from tests.simulations.blessing_demo import demonstration
from tests.simulations.blessing_slices import missing_metrics, slice_rates
from tests.simulations.model_pairs import TASKS

EQUAL, EQUAL_AFTER_SHIFT, _, BETTER, WORSE, WORSE_IN_SLICE = CHALLENGERS


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


@pytest.mark.parametrize("name", TASKS)
def test_an_equal_challenger_is_not_better_after_a_shift(name: str) -> None:
    runs = 100 if name == "binary" else 10
    rate = measure(TASKS[name], EQUAL_AFTER_SHIFT, 1_000, runs=runs, seed=21)
    assert rate.blessed <= max(0.05, 1.5 / runs)
    assert rate.insufficient > 0.0


def test_a_slice_that_is_worse_by_twice_the_detectable_loss_is_refused() -> None:
    (row,) = slice_rates("binary", TASKS["binary"], runs=10, seed=3, cases=((10, 300),))
    assert row["equal, refused by a slice"] == row["decided by tiny slices"] == "0.0%"
    assert row["refused by that slice"] == "100.0%"


@pytest.mark.parametrize("name", ["binary", "squared"])
def test_nothing_is_blessed_on_missing_metrics(name: str) -> None:
    row = missing_metrics(name, TASKS[name], runs=100, seed=5)
    assert row["complete, blessed"] == "10 of 10"
    assert row["with missing metrics, blessed"] == "0 of 100"


def test_the_demonstration_has_rows_enough_to_show_its_gain() -> None:
    *_, row = demonstration(runs=20, seed=1)
    assert (row["evaluated rows after the shift"], row["blessed"]) == ("1,000", "100.0%")


def test_the_same_seed_gives_the_same_figures() -> None:
    task = TASKS["poisson"]
    first, second = (measure(task, EQUAL, 500, runs=2, seed=3) for _ in range(2))
    assert repr(first) == repr(second)
