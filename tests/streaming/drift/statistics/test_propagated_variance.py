"""The between-day variance of every score agrees with draws of such days."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from streaming.drift.day_variance import BetweenDaySd
from streaming.drift.feature_verdict import run_tests
from streaming.drift.prepared_reference import prepare_reference
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.propagated_variance import (
    shape_variances,
    tail_variance,
    value_variance,
)
from streaming.drift.statistics.rank_scores import SHAPE, NumericScores, prepare_numeric
from streaming.drift.thresholds.dependence import LEVEL
from streaming.grid import Floats, bucket_of
from tests.streaming.drift.statistics.counts import grid
from tests.streaming.statistics_data import contract, number, reference, window

ALL = np.ones(4, np.bool_)
SDS = st.floats(0.0, 0.2)
CONTRACT = contract(number("x"))


def scores_of(values: Floats) -> NumericScores:
    scores = prepare_numeric(grid(values))
    assert scores is not None
    return scores


def rows_of(values: Floats) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values)], ["x"])


def location_and_dispersion(location: float, dispersion: float) -> BetweenDaySd:
    return BetweenDaySd(
        location=location, dispersion=dispersion, shape=0.0, values=0.0, categories=0.0, missing=0.0
    )


NORMAL = scores_of(np.random.default_rng(1).normal(size=50_000))
COUNTS = scores_of(np.random.default_rng(2).poisson(2.0, 50_000).astype(float))


@given(SDS)
def test_equal_variances_of_all_families_are_equal_in_every_direction(sd: float) -> None:
    day_sd = BetweenDaySd.uniform(sd)
    for scores in (NORMAL, COUNTS):
        assert shape_variances(scores, ALL, day_sd) == pytest.approx([sd**2] * 4, abs=1e-9)
        for position in range(0, len(scores.buckets), 7):
            assert value_variance(scores, position, day_sd) == pytest.approx(sd**2, abs=1e-9)


@given(SDS, SDS, SDS)
def test_variances_lie_between_those_of_the_families(
    location: float, dispersion: float, remainder: float
) -> None:
    day_sd = BetweenDaySd(
        location=location,
        dispersion=dispersion,
        shape=remainder,
        values=remainder,
        categories=0.0,
        missing=0.0,
    )
    low = min(location, dispersion, remainder) ** 2
    high = max(location, dispersion, remainder) ** 2
    for scores in (NORMAL, COUNTS):
        variances = [*shape_variances(scores, ALL, day_sd), value_variance(scores, 3, day_sd)]
        assert low - 1e-9 <= min(variances)
        assert max(variances) <= high + 1e-9


def test_shape_variances_agree_with_draws_of_shifted_and_stretched_normals() -> None:
    rng = np.random.default_rng(3)
    day_sd = location_and_dispersion(0.05, 0.03)
    rows, days = rng.normal(size=50_000), 400
    shifts = rng.normal(0.0, day_sd.location, days)
    scales = 1.0 + rng.normal(0.0, day_sd.dispersion, days) / sqrt(2.0)
    means = []
    for shift, scale in zip(shifts, scales, strict=True):
        columns, _ = NORMAL.columns(bucket_of(rows * scale + shift).astype(np.int64))
        means.append(NORMAL.scores[SHAPE][:, columns].mean(axis=1))
    drawn = np.linalg.eigvalsh(np.cov(np.array(means).T))
    computed = shape_variances(NORMAL, ALL, day_sd)
    assert computed[-1] == pytest.approx(drawn[-1], rel=0.2)
    assert computed[-2] == pytest.approx(drawn[-2], rel=0.2)
    assert computed[1] < 0.1 * computed[-2]  # the other two directions hardly vary


@pytest.mark.parametrize("share", [0.2, 0.02, 1e-3, 1e-5])
def test_the_tail_share_of_a_normal_varies_with_location_and_dispersion(share: float) -> None:
    day_sd = location_and_dispersion(0.02, 0.02)
    rng = np.random.default_rng(4)
    cut = special.ndtri(share)
    shift, stretch = rng.normal(0.0, 0.02, (2, 200_000))
    probits = (cut - shift) / (1.0 + stretch / sqrt(2.0))
    assert tail_variance(share, day_sd) == pytest.approx(float(probits.var()), rel=0.05)


def test_the_dependence_of_tests_grows_with_the_variance_of_location_and_dispersion() -> None:
    rng = np.random.default_rng(7)
    batch = rows_of(rng.normal(size=100_000))
    feature = prepare_reference(reference(batch, CONTRACT), CONTRACT).features["x"]
    summary = window(0, rows_of(rng.normal(size=10_000)), CONTRACT).features[0]

    def union_ratio(sd: float) -> float:
        rules = DriftRules(estimated_day_sd=location_and_dispersion(sd, sd))
        return feature.union_ratio(run_tests(summary, feature, rules)[0])

    bucket_scores = NORMAL.scores[:, : len(NORMAL.buckets)]
    along = (bucket_scores * NORMAL.shares) @ bucket_scores[:2].T
    for sd in (0.0, 0.01, 0.05):
        variance_ratio = 10_000 * sd**2 / (1.0 + 10_000 / 100_000)
        covariance = (bucket_scores * NORMAL.shares) @ bucket_scores.T
        covariance += variance_ratio * along @ along.T
        z = rng.multivariate_normal(np.zeros(6), covariance, 400_000)
        exceedances = [
            abs(z[:, 0]) >= np.quantile(abs(z[:, 0]), 1.0 - 0.4 * LEVEL),
            abs(z[:, 1]) >= np.quantile(abs(z[:, 1]), 1.0 - 0.2 * LEVEL),
        ]
        squares = np.sum(z[:, SHAPE] ** 2, axis=1)
        exceedances.append(squares >= np.quantile(squares, 1.0 - 0.2 * LEVEL))
        drawn = np.any(exceedances, axis=0).mean() / (0.8 * LEVEL)
        assert union_ratio(sd) == pytest.approx(drawn, abs=0.035)
