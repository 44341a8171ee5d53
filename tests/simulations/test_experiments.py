"""The simulation of experiments is seeded, and its judge keeps alpha."""

from __future__ import annotations

import pytest

from tests.simulations.experiments import COMPARISONS, check_values, run


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (run(COMPARISONS["counts"], runs=1, seed=3) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", list(COMPARISONS))
def test_the_values_are_those_of_the_label_service(name: str) -> None:
    check_values(COMPARISONS[name], seed=2)


@pytest.mark.parametrize("name", ["multiclass, log loss", "regression, log-normal"])
def test_equal_versions_are_equal_and_a_better_one_is_found(name: str) -> None:
    result = run(COMPARISONS[name], runs=3, seed=4)
    assert result.wrong <= 1
    assert (result.won, result.lost) == (3, 0)
