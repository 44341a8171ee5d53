"""Measures from counts are those of the rows; their intervals cover; estimates hit."""

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
def test_the_auc_is_the_one_that_blesses_versions(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows]) / 13.0 + 0.02
    truth = np.array([outcome for _, outcome in rows])
    expected = auc_of_rows(truth, scores)
    found = measured(count_rows(score_buckets(scores), truth.astype(int)))["auc"].metric()
    assert expected is not None
    assert found.low is not None
    assert found.high is not None
    assert found.value == pytest.approx(expected.value)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


@settings(max_examples=30)
@given(sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_counts_add_up_in_any_order(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    buckets = [score_buckets(rng.random(size)) for size in sizes]
    truth = [rng.integers(-1, 2, size) for size in sizes]
    whole = count_rows(np.concatenate(buckets), np.concatenate(truth)).record()
    parts = [count_rows(b, t) for b, t in zip(buckets, truth, strict=True)]
    assert add(parts).record() == add(parts[::-1]).record() == whole
    assert counts_of(whole).record() == whole


def test_a_bucket_says_the_score_closely() -> None:
    scores = np.linspace(0.001, 0.999, 999)
    assert np.abs(score_of(score_buckets(scores)) - scores).max() < 0.004
    assert 0.0 < score_of(score_buckets([0.0]))[0] < 1e-6


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(5)
    truth = measured(window_counts(rng, 400_000))
    inside = dict.fromkeys(("auc", "brier", "calibration"), 0)
    for _ in range(300):
        for name, one in measured(window_counts(rng, 500)).items():
            metric = one.metric()
            if name in inside:
                assert metric.low is not None
                assert metric.high is not None
                inside[name] += metric.low <= truth[name].value <= metric.high
    assert all(0.91 < count / 300 < 0.985 for count in inside.values()), inside


def test_one_class_has_no_auc() -> None:
    assert auc(np.array([3.0]), np.array([0.0])) is None
    assert "auc" not in measured(count_rows([5, 6], [1, 1]))
    assert measured(count_rows([5, 6], [-1, -1])) == {}


def test_an_estimate_needs_no_labels_and_hits_what_comes_true() -> None:
    rng = np.random.default_rng(6)
    learnt = calibrate(window_counts(rng, 8000))
    gaps = []
    for _ in range(20):
        scores, truth = draw(rng, 4000, middle=-0.8)  # the inputs' mix moves, their meaning stays
        unlabelled = count_rows(score_buckets(scores), np.full(4000, -1))
        found = estimate(unlabelled, learnt, contradicted=False)
        real = measured(count_rows(score_buckets(scores), truth.astype(int)))["auc"].value
        guess = next(metric.value for metric in found.metrics if metric.name == "auc")
        gaps.append(guess - real)
    assert abs(float(np.mean(gaps))) < 0.015


def test_what_stands_against_an_estimate_is_said() -> None:
    rng = np.random.default_rng(7)
    counts = window_counts(rng, 2000)
    assert "no mature labels" in estimate(counts, None, contradicted=False).objection
    learnt = calibrate(counts)
    assert estimate(counts, learnt, contradicted=False).objection == ""
    assert "contradicted" in estimate(counts, learnt, contradicted=True).objection
    far = count_rows(score_buckets(np.full(100, 1.0 - 1e-6)), np.full(100, -1))
    assert "outside" in estimate(far, learnt, contradicted=False).objection
    assert calibrate(count_rows([1, 2], [0, 0])) is None


def test_calibration_undoes_what_a_model_exaggerates() -> None:
    rng = np.random.default_rng(8)
    scores, truth = draw(rng, 20_000, keep=0.5)
    rows = count_rows(score_buckets(scores), truth.astype(int))
    learnt = calibrate(rows)
    assert learnt is not None
    assert learnt.slope == pytest.approx(0.5, abs=0.05)
    expected = float((rows.served * learnt.of(rows)).sum())
    assert expected == pytest.approx(truth.sum(), rel=0.01)
