"""What a day's stray does to every score, against draws of such days."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert, to_builtins
from scipy import special

from streaming.contracts.errors import ConfigurationError
from streaming.contracts.records import NumericGrid, Wobble
from streaming.drift.day_variance import Strays, alike
from streaming.drift.feature_verdict import run_tests
from streaming.drift.prepared_reference import prepare_reference
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.propagated_variance import (
    shape_variances,
    tail_variance,
    value_variance,
)
from streaming.drift.statistics.proportions import share_test
from streaming.drift.statistics.quadratic_form import sum_of_squares_tail
from streaming.drift.statistics.rank_scores import SHAPE, NumberScores, prepare_scores
from streaming.drift.thresholds.dependence import LEVEL
from streaming.grid import bucket_of, count_ids
from tests.streaming.statistics_data import contract, number, reference, window

ALL = np.ones(4, np.bool_)
SDS = st.floats(0.0, 0.2)
ONE = contract(number("x"))


def scores_of(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> NumberScores:
    ids, counts = count_ids(bucket_of(values))
    grid = NumericGrid(pivot=0.0, buckets=tuple(ids.tolist()), counts=tuple(counts.tolist()))
    found = prepare_scores(grid)
    assert found is not None
    return found


def rows_of(values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([pa.array(values)], ["x"])


NORMAL = scores_of(np.random.default_rng(1).normal(size=50_000))
COUNTS = scores_of(np.random.default_rng(2).poisson(2.0, 50_000).astype(float))


@given(SDS)
def test_who_strays_alike_everywhere_strays_alike_in_every_direction(sd: float) -> None:
    strays = alike(sd)
    for scores in (NORMAL, COUNTS):
        assert shape_variances(scores, ALL, strays) == pytest.approx([sd**2] * 4, abs=1e-9)
        for place in range(0, len(scores.buckets), 7):
            assert value_variance(scores, place, strays) == pytest.approx(sd**2, abs=1e-9)


@given(SDS, SDS, SDS)
def test_variances_lie_between_those_of_the_families(
    place: float, spread: float, rest: float
) -> None:
    strays = Strays(place=place, spread=spread, shape=rest, values=rest, categories=0.0, shares=0.0)
    low, high = min(place, spread, rest) ** 2, max(place, spread, rest) ** 2
    for scores in (NORMAL, COUNTS):
        found = [*shape_variances(scores, ALL, strays), value_variance(scores, 3, strays)]
        assert low - 1e-9 <= min(found)
        assert max(found) <= high + 1e-9


def test_a_moved_and_stretched_normal_moves_shape_and_values_as_said() -> None:
    rng = np.random.default_rng(3)
    strays = Strays(place=0.05, spread=0.03, shape=0.0, values=0.0, categories=0.0, shares=0.0)
    rows, days = rng.normal(size=400_000), 400
    install_paths = rng.normal(0.0, strays.place, days)
    scales = 1.0 + rng.normal(0.0, strays.spread, days) / sqrt(2.0)
    found = []
    for place, scale in zip(install_paths, scales, strict=True):
        columns, _ = NORMAL.columns(bucket_of(rows * scale + place).astype(np.int64))
        found.append(NORMAL.scores[SHAPE][:, columns].mean(axis=1))
    seen = np.linalg.eigvalsh(np.cov(np.array(found).T))
    said = shape_variances(NORMAL, ALL, strays)
    assert said[-1] == pytest.approx(seen[-1], rel=0.2)
    assert said[-2] == pytest.approx(seen[-2], rel=0.2)
    assert said[1] < 0.1 * said[-2]  # two directions move, the others hardly


@pytest.mark.parametrize("share", [0.2, 0.02, 1e-3, 1e-5])
def test_the_tail_of_a_normal_strays_with_place_and_spread(share: float) -> None:
    strays = Strays(place=0.02, spread=0.02, shape=0.0, values=0.0, categories=0.0, shares=0.0)
    rng = np.random.default_rng(4)
    cut = special.ndtri(share)
    place, spread = rng.normal(0.0, 0.02, (2, 200_000))
    moved = (cut - place) / (1.0 + spread / sqrt(2.0))
    assert tail_variance(share, strays) == pytest.approx(float(moved.var()), rel=0.05)


@pytest.mark.parametrize("share", [0.3, 0.05, 1e-3])
def test_a_share_whose_probit_strays_is_as_rare_as_its_p_says(share: float) -> None:
    rng, n, m = np.random.default_rng(8), 10_000, 10**9
    rules = DriftRules(strays=replace(alike(0.0), shares=0.05))
    cut = special.ndtri(share) + rng.normal(0.0, 0.05, 20_000)
    counts = rng.binomial(n, special.ndtr(cut))
    tests = [share_test("x", int(at), n, before=share * m, m=m, rules=rules) for at in counts]
    p = np.array([test.p for test in tests])
    assert all(test.m == m for test in tests)
    for level in (0.1, 0.01, 0.001):
        noise = 4.0 * sqrt(level / len(p))
        assert np.mean(p <= level) == pytest.approx(level, rel=0.3, abs=noise)


@pytest.mark.parametrize("weights", [(26.0, 26.0, 1.0, 1.0), (14.0, 5.0, 1.0), (3.0, 1.0)])
def test_the_tail_of_few_unequal_squares_agrees_with_draws(weights: tuple[float, ...]) -> None:
    rng = np.random.default_rng(5)
    drawn = np.sort(rng.chisquare(1.0, (400_000, len(weights))) @ np.array(weights))
    for level in (0.5, 0.1, 1e-2, 1e-3):
        at = float(drawn[-round(level * len(drawn))])
        assert sum_of_squares_tail(at, weights) == pytest.approx(level, rel=0.15)


def test_an_old_record_and_a_family_without_history_stray_as_places() -> None:
    old = convert({"sd": 0.02, "days": 9, "features": 12, "degrees": 96.0}, Wobble)
    assert Strays.learnt(old) == alike(0.02)
    part = Wobble(sd=0.02, days=9, features=12, degrees=96.0, spread=0.01, shares=0.0)
    assert convert(to_builtins(part), Wobble) == part
    strays = DriftRules().with_wobble(part).wobble
    assert strays == Strays(
        place=0.02, spread=0.01, shape=0.02, values=0.02, categories=0.02, shares=0.0
    )
    assert DriftRules(learn_wobble=False).with_wobble(part).wobble == alike(0.05)


def test_a_wobble_below_zero_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be 0 or more"):
        Strays(place=-0.1, spread=0.0, shape=0.0, values=0.0, categories=0.0, shares=0.0)


def test_tests_agree_the_more_the_more_place_and_spread_stray() -> None:
    rng = np.random.default_rng(7)
    before = rows_of(rng.normal(size=100_000))
    feature = prepare_reference(reference(before, ONE), ONE).features["x"]
    now = window(0, rows_of(rng.normal(size=10_000)), ONE).features[0]

    def overlap(place: float) -> float:
        strays = Strays(
            place=place, spread=place, shape=0.0, values=0.0, categories=0.0, shares=0.0
        )
        return feature.overlap(run_tests(now, feature, DriftRules(strays=strays))[0])

    known = NORMAL.scores[:, : len(NORMAL.buckets)]
    along = (known * NORMAL.shares) @ known[:2].T
    for place in (0.0, 0.01, 0.05):
        beyond = 10_000 * place**2 / (1.0 + 10_000 / 100_000)
        covariance = (known * NORMAL.shares) @ known.T + beyond * along @ along.T
        z = rng.multivariate_normal(np.zeros(6), covariance, 400_000)
        hits = [
            abs(z[:, 0]) >= np.quantile(abs(z[:, 0]), 1.0 - 0.4 * LEVEL),
            abs(z[:, 1]) >= np.quantile(abs(z[:, 1]), 1.0 - 0.2 * LEVEL),
        ]
        squares = np.sum(z[:, SHAPE] ** 2, axis=1)
        hits.append(squares >= np.quantile(squares, 1.0 - 0.2 * LEVEL))
        drawn = np.any(hits, axis=0).mean() / (0.8 * LEVEL)
        assert overlap(place) == pytest.approx(drawn, abs=0.035)
