"""Scores: orthonormal under the reference, and an effect scale in standard deviations."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.contracts.records import Categories, NumericGrid
from streaming.drift import DriftRules
from streaming.drift.statistics.categorical import category_tests, prepare_categories
from streaming.drift.statistics.numeric import number_tests
from streaming.drift.statistics.proportions import share_effect
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, prepare_scores
from streaming.drift.statistics.statistic import Evidence
from streaming.grid import bucket_of, count_ids

RULES = DriftRules()


def grid(values: npt.ArrayLike, pivot: float = 0.0) -> NumericGrid:
    ids, counts = count_ids(bucket_of(np.asarray(values, float) - pivot))
    return NumericGrid(pivot=pivot, buckets=tuple(ids.tolist()), counts=tuple(counts.tolist()))


def results_of(before: npt.ArrayLike, now: npt.ArrayLike) -> dict[str, Evidence]:
    scores = prepare_scores(grid(before))
    assert scores is not None
    return {test.name: test for test in number_tests(scores, scores.placed(grid(now)), RULES)}


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(1, 50)), min_size=1, max_size=40))
def test_scores_have_mean_0_and_variance_1_under_the_reference(
    cells: list[tuple[float, int]],
) -> None:
    scores = prepare_scores(grid([x for x, count in cells for _ in range(count)]))
    assert scores is not None
    known = scores.scores[:, : len(scores.buckets)]
    for group in (slice(0, 2), slice(2, 6)):
        usable = np.array(scores.usable[group])
        rows = known[group][usable]
        assert rows @ scores.shares == pytest.approx(np.zeros(len(rows)), abs=1e-5)
        assert (rows * scores.shares) @ rows.T == pytest.approx(np.eye(len(rows)), abs=1e-5)
    assert np.isfinite(scores.scores).all()


def test_few_distinct_values_have_few_scores() -> None:
    one, two = prepare_scores(grid([5.0] * 100)), prepare_scores(grid([0.0, 1.0] * 100))
    assert one is not None
    assert two is not None
    assert not any(one.usable)
    assert two.usable == (True, False, True, False, False, False)


def test_an_empty_reference_has_no_scores() -> None:
    assert prepare_scores(grid([])) is None


@pytest.mark.parametrize("d", [0.25, 0.5, 1.0])
def test_the_mean_score_is_the_shift_in_standard_deviations(d: float) -> None:
    rng = np.random.default_rng(2)
    normal = rng.normal(size=200_000)
    for move in (lambda x: x, np.exp):  # ranks do not care about the scale
        found = results_of(move(normal[:100_000]), move(normal[100_000:] + d))
        assert found["location"].effect == pytest.approx(d, abs=0.015)


@pytest.mark.parametrize(("k", "effect"), [(1.1, 0.148), (1.25, 0.40)])
def test_a_scale_ratio_has_its_effect(k: float, effect: float) -> None:
    rng = np.random.default_rng(2)
    found = results_of(rng.normal(size=100_000), k * rng.normal(size=100_000))
    assert found["dispersion"].effect == pytest.approx(effect, abs=0.02)
    assert abs(found["location"].effect) < 0.02


def test_two_humps_of_the_same_mean_and_spread_are_a_shape() -> None:
    rng = np.random.default_rng(2)
    humps = rng.choice([-0.9, 0.9], 5_000) + rng.normal(0, 0.436, 5_000)
    found = results_of(rng.normal(size=50_000), humps)
    assert found["shape"].p < 1e-9
    assert found["shape"].effect > 0.5
    assert abs(found["location"].effect) < 0.1
    assert abs(found["dispersion"].effect) < 0.1


def test_a_value_never_seen_takes_the_score_of_its_place() -> None:
    scores = prepare_scores(grid([1.0] * 50 + [2.0] * 50 + [4.0] * 50))
    assert scores is not None
    columns, install_paths = scores.columns(bucket_of([0.5, 1.0, 3.0, 9.0]).astype(np.int64))
    assert install_paths.tolist() == [-1, 0, -1, -1]
    low, first, middle, high = scores.scores[LOCATION, columns]
    assert low < first < middle < high
    assert np.isfinite(scores.scores[DISPERSION, columns]).all()


def test_a_near_constant_feature_has_exact_tests_only() -> None:
    before = np.concatenate((np.zeros(9_990), np.ones(10)))
    names = set(results_of(before, np.zeros(500)))
    assert names == {"range", "unseen", "zero"}


@pytest.mark.parametrize(
    ("before", "now", "effect"),
    [
        (0.01, 0.03, 0.45),
        (0.01, 0.04, 0.58),
        (0.05, 0.07, 0.17),
        (0.50, 0.52, 0.05),
        (0.0, 0.005, 0.25),
        (0.0, 0.01, 0.50),
        (0.0, 0.001, 0.0),
        (0.04, 0.01, -0.58),
        (0.0, 1.0, 5.65),
    ],
)
def test_shares_on_the_probit_scale(before: float, now: float, effect: float) -> None:
    assert share_effect(now, before, RULES) == pytest.approx(effect, abs=0.01)


def categories(tail: int = 0, **counts: int) -> Categories:
    ranked = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return Categories(
        values=tuple(value for value, _ in ranked),
        counts=tuple(count for _, count in ranked),
        tail_rows=tail,
    )


def category_results(before: Categories, now: Categories) -> dict[str, Evidence]:
    shares = prepare_categories(before)
    assert shares is not None
    return {test.name: test for test in category_tests(shares, shares.placed(now), RULES)}


def test_equal_shares_have_no_effect() -> None:
    before = categories(cash=6_000, card=3_000, app=1_000)
    found = category_results(before, categories(cash=600, card=300, app=100))
    assert found["category"].effect == 0.0
    assert found["category"].p == 1.0
    assert found["value"].effect == 0.0


def test_cohens_w_of_a_moved_share() -> None:
    before = categories(cash=50_000, card=50_000)
    found = category_results(before, categories(cash=14_000, card=6_000))
    assert found["category"].effect == pytest.approx(0.4, abs=0.001)
    assert abs(found["value"].effect) == pytest.approx(0.4, abs=0.001)


def test_rare_categories_are_pooled() -> None:
    rare = {f"r{i}": 3 for i in range(100)}
    found = category_results(categories(cash=9_700, **rare), categories(cash=970, r1=30))
    assert found["category"].effect == 0.0


def test_a_new_category_is_unseen_and_nothing_else() -> None:
    before = categories(cash=6_000, card=4_000)
    found = category_results(before, categories(cash=594, card=396, app=10))
    assert found["unseen"].effect == pytest.approx(0.5, abs=0.01)
    assert found["unseen"].p < 1e-6
    assert found["category"].effect == 0.0


def test_values_beyond_the_bound_are_known_by_their_number_only() -> None:
    before = categories(5_000, cash=3_000, card=2_000)
    same = category_results(before, categories(450, cash=300, card=200, other=50))
    assert same["unseen"].p > 0.5
    assert same["category"].effect == 0.0
    more = category_results(before, categories(900, cash=60, card=40))
    assert more["category"].effect > 0.5


def test_a_constant_category_needs_no_chi_square() -> None:
    found = category_results(categories(yes=5_000), categories(yes=480, no=20))
    assert set(found) == {"unseen"}
    assert found["unseen"].effect > 0.5
