"""AUCs and their intervals against brute force and against how often they cover the truth."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrain.intervals import auc, auc_difference, delong

Row = tuple[bool, int]


def by_pairs(labels: list[bool], scores: list[int]) -> float:
    wins = [
        1.0 if good > bad else 0.5 if good == bad else 0.0
        for good, is_good in zip(scores, labels, strict=True)
        if is_good
        for bad, is_bad in zip(scores, labels, strict=True)
        if not is_bad
    ]
    return sum(wins) / len(wins)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_an_auc_is_the_share_of_pairs_in_order(rows: list[Row]) -> None:
    labels, scores = [row[0] for row in rows], [row[1] for row in rows]
    found = auc(np.array(labels), np.array(scores, np.float64))
    if all(labels) or not any(labels):
        assert found is None
        return
    assert found is not None
    assert found.value == pytest.approx(by_pairs(labels, scores))
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_a_perfect_scorer_on_few_rows_is_not_a_sure_one() -> None:
    found = auc(np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert found is not None
    assert (found.value, found.high) == (1.0, 1.0)
    assert found.low < 0.7


def test_equal_scorers_do_not_differ() -> None:
    labels = np.array([True, False, True, False, False])
    scores = np.array([0.9, 0.2, 0.4, 0.5, 0.1])
    found = auc_difference(labels, scores, scores)
    assert found is not None
    assert (found.low, found.value, found.high) == (0.0, 0.0, 0.0)


def test_shared_rows_make_a_difference_surer_than_independent_ones() -> None:
    random = np.random.default_rng(7)
    labels = random.random(800) < 0.3
    common = random.normal(size=800) + labels
    one, other = (common + 0.2 * random.normal(size=800) for _ in range(2))
    _, covariance = delong(labels, np.stack([one, other]))
    paired = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert paired < 0.2 * (covariance[0, 0] + covariance[1, 1])


@pytest.mark.parametrize("shift", [0.5, 2.5])
def test_the_interval_covers_the_truth_as_often_as_it_says(shift: float) -> None:
    random = np.random.default_rng(11)
    truth = NormalDist().cdf(shift / 2**0.5)
    labels = np.arange(300) < 80
    hits = 0
    for _ in range(400):
        found = auc(labels, random.normal(size=300) + shift * labels)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 0.92 <= hits / 400 <= 0.985


def test_the_interval_of_a_difference_covers_zero_when_there_is_none() -> None:
    random = np.random.default_rng(13)
    labels = np.arange(300) < 80
    hits = 0
    for _ in range(400):
        common = random.normal(size=300) + labels
        one, other = (common + random.normal(size=300) for _ in range(2))
        found = auc_difference(labels, one, other)
        assert found is not None
        hits += found.low <= 0.0 <= found.high
    assert 0.92 <= hits / 400 <= 0.985
