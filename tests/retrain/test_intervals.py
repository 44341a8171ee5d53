"""AUCs against brute force, and their intervals against their coverage of the true value."""

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
        1.0 if positive > negative else 0.5 if positive == negative else 0.0
        for positive, label in zip(scores, labels, strict=True)
        if label
        for negative, other_label in zip(scores, labels, strict=True)
        if not other_label
    ]
    return sum(wins) / len(wins)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=2, max_size=40))
def test_an_auc_is_the_share_of_pairs_in_order(rows: list[Row]) -> None:
    labels, scores = [row[0] for row in rows], [row[1] for row in rows]
    interval = auc(np.array(labels), np.array(scores, np.float64))
    if all(labels) or not any(labels):
        assert interval is None
        return
    assert interval is not None
    assert interval.value == pytest.approx(by_pairs(labels, scores))
    assert 0.0 <= interval.low <= interval.value <= interval.high <= 1.0


def test_a_perfect_auc_on_few_rows_has_a_wide_interval() -> None:
    interval = auc(np.array([True, True, False, False]), np.array([4.0, 3.0, 2.0, 1.0]))
    assert interval is not None
    assert (interval.value, interval.high) == (1.0, 1.0)
    assert interval.low < 0.7


def test_the_difference_of_equal_scores_is_zero() -> None:
    labels = np.array([True, False, True, False, False])
    scores = np.array([0.9, 0.2, 0.4, 0.5, 0.1])
    interval = auc_difference(labels, scores, scores)
    assert interval is not None
    assert (interval.low, interval.value, interval.high) == (0.0, 0.0, 0.0)


def test_a_paired_difference_has_a_smaller_variance_than_an_independent_one() -> None:
    random = np.random.default_rng(7)
    labels = random.random(800) < 0.3
    common = random.normal(size=800) + labels
    first, second = (common + 0.2 * random.normal(size=800) for _ in range(2))
    _, covariance = delong(labels, np.stack([first, second]))
    paired = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert paired < 0.2 * (covariance[0, 0] + covariance[1, 1])


@pytest.mark.parametrize("shift", [0.5, 2.5])
def test_the_interval_covers_the_true_auc_at_its_nominal_rate(shift: float) -> None:
    random = np.random.default_rng(11)
    truth = NormalDist().cdf(shift / 2**0.5)
    labels = np.arange(300) < 80
    hits = 0
    for _ in range(400):
        interval = auc(labels, random.normal(size=300) + shift * labels)
        assert interval is not None
        hits += interval.low <= truth <= interval.high
    assert 0.92 <= hits / 400 <= 0.985


def test_the_interval_of_the_difference_covers_zero_at_its_nominal_rate() -> None:
    random = np.random.default_rng(13)
    labels = np.arange(300) < 80
    hits = 0
    for _ in range(400):
        common = random.normal(size=300) + labels
        first, second = (common + random.normal(size=300) for _ in range(2))
        interval = auc_difference(labels, first, second)
        assert interval is not None
        hits += interval.low <= 0.0 <= interval.high
    assert 0.92 <= hits / 400 <= 0.985
