"""Bet sizes weighted for the harms to be found."""

from __future__ import annotations

import numpy as np
import pytest

from serving.bet_weights import log_bet_weights
from serving.evalues import log_mixed, symmetry_bets
from serving.rules import LAMBDAS


@pytest.mark.parametrize("share", [1e-5, 0.002, 0.05, 0.9])
@pytest.mark.parametrize("tolerance", [0.0005, 0.005, 0.1])
def test_the_weights_of_all_bets_add_up_to_one(share: float, tolerance: float) -> None:
    weights = np.exp(log_bet_weights(LAMBDAS, share=share, tolerance=tolerance))
    assert weights.sum() == pytest.approx(1.0)
    assert weights.min() >= 0.25 / len(LAMBDAS) - 1e-12


def test_large_bets_suit_a_version_with_few_errors_and_small_ones_a_version_with_many() -> None:
    few = log_bet_weights(LAMBDAS, share=0.002, tolerance=0.005)
    many = log_bet_weights(LAMBDAS, share=0.2, tolerance=0.005)
    assert LAMBDAS[int(np.argmax(few))] == 0.8
    assert LAMBDAS[int(np.argmax(many))] <= 0.1


def test_the_order_of_the_bet_sizes_does_not_matter() -> None:
    ascending = log_bet_weights(LAMBDAS, share=0.01, tolerance=0.005)
    descending = log_bet_weights(LAMBDAS[::-1], share=0.01, tolerance=0.005)
    assert ascending == pytest.approx(descending[::-1])


def test_the_mean_over_both_signs_of_a_difference_stays_one() -> None:
    weights = log_bet_weights(LAMBDAS, share=0.002, tolerance=0.005)
    for difference in (1, 4, 30):
        paid = [
            float(np.exp(log_mixed(symmetry_bets([sign * difference], LAMBDAS), weights)[0]))
            for sign in (1, -1)
        ]
        assert sum(paid) / 2 == pytest.approx(1.0)


def test_one_point_more_errors_is_proven_by_fewer_requests() -> None:
    rng = np.random.default_rng(0)
    weights = log_bet_weights(LAMBDAS, share=0.002, tolerance=0.005)
    canary, control = rng.poisson(0.6, (200, 40)), rng.poisson(0.1, (200, 40))
    totals = [symmetry_bets(row, LAMBDAS).sum(axis=1) for row in canary - control]
    gained = [float(log_mixed(t[:, None], weights)[0] - log_mixed(t[:, None])[0]) for t in totals]
    assert np.median(gained) > 0.4
