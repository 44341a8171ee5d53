"""Union ratios of a feature's tests, against closed forms and plain Monte Carlo draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special

from streaming.contracts.records import Categories, NumericGrid
from streaming.drift.statistics.categorical import ReferenceCategories, prepare_categorical
from streaming.drift.statistics.rank_scores import (
    DISPERSION,
    LOCATION,
    SHAPE,
    NumericScores,
    prepare_numeric,
)
from streaming.drift.thresholds.dependence import LEVEL, TestDependence
from streaming.grid import Floats, bucket_of

Hits = npt.NDArray[np.bool_]
WEIGHTS = {"location": 0.4, "dispersion": 0.2, "shape": 0.2}
PLAIN_DRAWS = 400_000
KINDS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "normal": lambda rng, m: rng.normal(50.0, 10.0, m),
    "few values": lambda rng, m: rng.integers(1, 4, m).astype(float),
    "counts": lambda rng, m: rng.poisson(1.0, m).astype(float),
    "half zero": lambda rng, m: np.where(rng.random(m) < 0.5, 0.0, rng.lognormal(0.0, 1.0, m)),
}


def scores_of(values: Floats) -> NumericScores:
    buckets, counts = np.unique(bucket_of(values), return_counts=True)
    grid = NumericGrid(buckets=tuple(buckets.tolist()), counts=tuple(counts.tolist()))
    scores = prepare_numeric(grid)
    assert scores is not None
    return scores


def shares_of(*counts: int) -> ReferenceCategories:
    values = tuple(map(str, range(len(counts))))
    shares = prepare_categorical(Categories(values=values, counts=counts))
    assert shares is not None
    return shares


def union_ratio(reference: NumericScores | ReferenceCategories, weights: dict[str, float]) -> float:
    return TestDependence(reference, weights).union_ratio(frozenset(weights))


def union_over_sum(hits: list[Hits]) -> float:
    return float(np.any(hits, axis=0).mean() / sum(float(hit.mean()) for hit in hits))


@pytest.mark.parametrize("rows", [300, 20_000])
@pytest.mark.parametrize("kind", KINDS)
def test_the_union_ratio_of_a_number_agrees_with_plain_draws(kind: str, rows: int) -> None:
    scores = scores_of(KINDS[kind](np.random.default_rng(7), rows))
    weights = WEIGHTS | {"zero": 0.05, "value": 0.05}
    weights = {name: weight for name, weight in weights.items() if name != "dispersion"}
    root = np.sqrt(scores.shares)
    buckets = len(scores.buckets)
    known = scores.scores[:, :buckets] * root
    columns = np.flatnonzero(scores.buckets == 0).tolist() + scores.heavy.tolist()
    zeros = len(columns) - len(scores.heavy)
    single = (np.eye(buckets)[columns] - scores.shares[columns][:, None]) * root
    single /= np.sqrt(scores.shares[columns] * (1.0 - scores.shares[columns]))[:, None]
    # orthonormal coordinates of what these rows span, instead of a draw for each bucket
    _, sizes, basis = np.linalg.svd(np.vstack((known, single)), full_matrices=False)
    basis = basis[sizes > 1e-9]
    e = np.random.default_rng(11).standard_normal((PLAIN_DRAWS, len(basis)))
    shape = np.sum((e @ (known[SHAPE] @ basis.T).T) ** 2, axis=1)
    degrees = sum(scores.usable[SHAPE])
    z = np.abs(e @ (single @ basis.T).T)

    def beyond(values: Floats, size: float) -> Hits:
        exceeded: Hits = values >= -float(special.ndtri(size / 2.0))
        return exceeded

    hits: list[Hits] = [
        beyond(np.abs(e @ (basis @ known[LOCATION])), LEVEL * weights["location"]),
        shape >= special.chdtri(degrees, LEVEL * weights["shape"]),
    ]
    if zeros:
        hits.append(beyond(z[:, 0], LEVEL * weights["zero"]))
    if len(scores.heavy):
        each = LEVEL * weights["value"] / len(scores.heavy)
        hits.append(beyond(z[:, zeros:].max(axis=1), each))
    assert union_ratio(scores, weights) == pytest.approx(union_over_sum(hits), rel=0.012)


@pytest.mark.parametrize("counts", [(6_000, 3_000, 1_000), (20,) * 40, (900, 50, 30, 20)])
def test_the_union_ratio_of_a_category_agrees_with_plain_draws(counts: tuple[int, ...]) -> None:
    shares, weights = shares_of(*counts), {"category": 0.4, "value": 0.2}
    p = np.array(counts) / sum(counts)
    e = np.random.default_rng(12).standard_normal((PLAIN_DRAWS // 2, len(p)))
    y = e - (e @ np.sqrt(p))[:, None] * np.sqrt(p)
    each = LEVEL * weights["value"] / len(shares.heavy)
    z = np.abs(y[:, shares.heavy]) / np.sqrt(1.0 - p[shares.heavy])
    hits = [
        np.sum(y**2, axis=1) >= special.chdtri(len(p) - 1, LEVEL * weights["category"]),
        z.max(axis=1) >= -float(special.ndtri(each / 2.0)),
    ]
    assert union_ratio(shares, weights) == pytest.approx(union_over_sum(hits), rel=0.015)


def test_independent_tests_have_the_union_ratio_of_independence() -> None:
    scores = scores_of(np.random.default_rng(1).normal(50.0, 10.0, 50_000))
    known = scores.scores[:, : len(scores.buckets)]
    assert abs(float((known[LOCATION] * known[DISPERSION]) @ scores.shares)) < 1e-9
    a, b = LEVEL * 0.4, LEVEL * 0.2
    ratio = union_ratio(scores, {"location": 0.4, "dispersion": 0.2})
    assert ratio == pytest.approx((a + b - a * b) / (a + b), abs=0.002)


def test_location_dispersion_and_shape_of_a_smooth_feature_have_a_union_ratio_of_nine_tenths() -> (
    None
):
    scores = scores_of(np.random.default_rng(1).normal(50.0, 10.0, 50_000))
    assert 0.88 < union_ratio(scores, WEIGHTS) < 0.92
    assert union_ratio(scores, {"location": 0.4}) == 1.0


def test_with_two_categories_all_tests_are_equivalent() -> None:
    shares = shares_of(6_000, 4_000)
    assert union_ratio(shares, {"category": 0.4}) == 1.0
    # each alone at half of 0.2, and always both; the chi-square is their square at 0.4
    ratio = union_ratio(shares, {"category": 0.4, "value": 0.2})
    assert ratio == pytest.approx(0.4 / (0.4 + 0.1), abs=0.003)
    assert union_ratio(shares, {"category": 0.4, "value": 0.4}) < 0.75


def test_a_single_value_has_a_union_ratio_of_one() -> None:
    assert union_ratio(shares_of(500), {"category": 0.4, "value": 0.2}) == 1.0
    assert union_ratio(scores_of(np.full(500, 7.0)), {"value": 0.4, "zero": 0.4}) == 1.0


@pytest.mark.parametrize("left_out", ["shape", "value", "zero"])
def test_a_selection_of_tests_has_the_ratio_of_a_feature_with_these_tests_only(
    left_out: str,
) -> None:
    scores = scores_of(np.random.default_rng(2).poisson(1.0, 20_000).astype(float))
    weights = WEIGHTS | {"zero": 0.05, "value": 0.05}
    selected = {name: weight for name, weight in weights.items() if name != left_out}
    ratio = TestDependence(scores, weights).union_ratio(frozenset(selected))
    assert ratio == pytest.approx(union_ratio(scores, selected), rel=0.01)
