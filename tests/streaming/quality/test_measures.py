"""Measures from counts equal those of the rows, their intervals cover, estimates are unbiased."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.intervals import auc as auc_of_rows
from streaming.quality.compare import measured
from streaming.quality.counts import add, count_rows, counts_of, score_buckets, score_of
from streaming.quality.estimate import calibrate, estimate
from streaming.quality.measures import auc
from tests.streaming.quality.quality_world import draw, window_counts


@given(
    rows=st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=4, max_size=80).filter(
        lambda rows: len({outcome for _, outcome in rows}) == 2
    )
)
def test_the_auc_equals_the_one_of_the_blessing_gate(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows]) / 13.0 + 0.02
    outcomes = np.array([outcome for _, outcome in rows])
    expected = auc_of_rows(outcomes, scores)
    metric = measured(count_rows(score_buckets(scores), outcomes.astype(int)))["auc"].metric()
    assert expected is not None
    assert metric.low is not None
    assert metric.high is not None
    assert metric.value == pytest.approx(expected.value)
    assert (metric.low, metric.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_counts_add_up_in_any_order(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    buckets = [score_buckets(rng.random(size)) for size in sizes]
    outcomes = [rng.integers(-1, 2, size) for size in sizes]
    total = count_rows(np.concatenate(buckets), np.concatenate(outcomes)).record()
    parts = [count_rows(b, o) for b, o in zip(buckets, outcomes, strict=True)]
    assert add(parts).record() == add(parts[::-1]).record() == total
    assert counts_of(total).record() == total


def test_the_score_of_a_bucket_is_close_to_the_scores_in_it() -> None:
    scores = np.linspace(0.001, 0.999, 999)
    assert np.abs(score_of(score_buckets(scores)) - scores).max() < 0.004
    assert 0.0 < score_of(score_buckets([0.0]))[0] < 1e-6


def test_intervals_cover_the_true_value() -> None:
    rng = np.random.default_rng(5)
    true_measures = measured(window_counts(rng, 400_000))
    inside = dict.fromkeys(("auc", "brier", "calibration"), 0)
    for _ in range(300):
        for name, measure in measured(window_counts(rng, 500)).items():
            metric = measure.metric()
            if name in inside:
                assert metric.low is not None
                assert metric.high is not None
                inside[name] += metric.low <= true_measures[name].value <= metric.high
    assert all(0.91 < count / 300 < 0.985 for count in inside.values()), inside


def test_one_class_has_no_auc() -> None:
    assert auc(np.array([3.0]), np.array([0.0])) is None
    assert "auc" not in measured(count_rows([5, 6], [1, 1]))
    assert measured(count_rows([5, 6], [-1, -1])) == {}


def test_an_estimate_without_labels_agrees_with_the_labels_on_average() -> None:
    rng = np.random.default_rng(6)
    calibration = calibrate(window_counts(rng, 8000))
    gaps = []
    for _ in range(20):
        # The distribution of the scores moves, their relation to the labels stays.
        scores, outcomes = draw(rng, 4000, middle=-0.8)
        unlabelled = count_rows(score_buckets(scores), np.full(4000, -1))
        metrics = estimate(unlabelled, calibration, contradicted=False).metrics
        realised = measured(count_rows(score_buckets(scores), outcomes.astype(int)))["auc"].value
        estimated = next(metric.value for metric in metrics if metric.name == "auc")
        gaps.append(estimated - realised)
    assert abs(float(np.mean(gaps))) < 0.015


def test_a_violated_assumption_is_named() -> None:
    rng = np.random.default_rng(7)
    counts = window_counts(rng, 2000)
    assert "no mature labels" in estimate(counts, None, contradicted=False).violation
    calibration = calibrate(counts)
    assert estimate(counts, calibration, contradicted=False).violation == ""
    assert "contradicted" in estimate(counts, calibration, contradicted=True).violation
    far = count_rows(score_buckets(np.full(100, 1.0 - 1e-6)), np.full(100, -1))
    assert "outside" in estimate(far, calibration, contradicted=False).violation
    assert calibrate(count_rows([1, 2], [0, 0])) is None


def test_calibration_corrects_an_overconfident_model() -> None:
    rng = np.random.default_rng(8)
    scores, outcomes = draw(rng, 20_000, keep=0.5)
    counts = count_rows(score_buckets(scores), outcomes.astype(int))
    calibration = calibrate(counts)
    assert calibration is not None
    assert calibration.slope == pytest.approx(0.5, abs=0.05)
    expected = float((counts.served * calibration.of(counts)).sum())
    assert expected == pytest.approx(outcomes.sum(), rel=0.01)
