"""Familiar distances: as others compute them, nothing when nothing changed, and cheap to carry."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from streaming.contracts.codec import decode, encode
from streaming.contracts.records import Distances, DriftVerdict, Histogram
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.display.distances import seen_categories, seen_numbers
from streaming.drift.display.histogram import OTHERS, NumberCells, category_cells, number_cells
from streaming.drift.display.null_bias import Expected
from streaming.drift.statistics.categorical import prepare_categories
from streaming.drift.statistics.rank_scores import prepare_scores
from streaming.grid import Floats, bucket_of, lower
from tests.streaming.drift.statistics.test_rank_scores import categories, grid
from tests.streaming.statistics_data import TRIPS, Change, reference, trips, window

BEFORE = trips(np.random.default_rng(3), 20_000)
PREPARED = prepare_reference(reference(BEFORE), TRIPS)
RULES = DriftRules()
NOTHING = Expected(psi=0.0, l_infinity=0.0, wasserstein=1e-12)
"""Takes nothing off."""


def cells_of(before: Floats, pivot: float = 0.0) -> NumberCells:
    scores = prepare_scores(grid(before, pivot))
    assert scores is not None
    return number_cells(scores)


def seen(before: Floats, now: Floats, *, raw: bool = False) -> tuple[Distances, Histogram]:
    scores = prepare_scores(grid(before))
    assert scores is not None
    cells = number_cells(scores)
    found = seen_numbers(
        replace(cells, expected=NOTHING) if raw else cells, scores.placed(grid(now))
    )
    assert found.distances is not None
    assert found.histogram is not None
    return found.distances, found.histogram


def moved_by(shift: float) -> Change:
    return lambda values, _: values + shift


def verdict_on(
    rng: np.random.Generator, rows: int, rules: DriftRules = RULES, **shifts: float
) -> DriftVerdict:
    change = {name: moved_by(shift) for name, shift in shifts.items()}
    one = window(0, trips(rng, rows, change=change))
    return judge_drift(one, PREPARED, "p", DriftHistory(), rules, TRIPS)[0]


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0, 30.0])
def test_they_are_what_scipy_computes_on_the_grid(shift: float) -> None:
    rng = np.random.default_rng(1)
    before, now = rng.normal(5.0, 1.0, 3_000), rng.normal(5.0 + shift, 1.0, 500)
    found, shown = seen(before, now, raw=True)
    old, new = lower(bucket_of(before)), lower(bucket_of(now))
    assert found.kolmogorov_smirnov == pytest.approx(stats.ks_2samp(old, new).statistic, abs=1e-5)
    inside = np.clip(new, None, old.max())
    moved = stats.wasserstein_distance(old, inside) / old.std()
    assert found.wasserstein == pytest.approx(moved, rel=0.02, abs=0.002)
    counts = np.histogram(now, [-np.inf, *shown.bounds[1:-1], np.inf])[0] / len(now)
    # bounds are written with four digits, so single rows may change cells
    assert counts == pytest.approx(np.array(shown.now), abs=0.006)
    bits = float(jensenshannon(shown.before, shown.now, 2.0)) ** 2
    assert found.jensen_shannon == pytest.approx(bits, abs=1e-4)
    gaps = np.array(shown.now) - np.array(shown.before)
    assert found.l_infinity == pytest.approx(np.abs(gaps).max(), abs=1e-4)
    ratio = np.log(np.maximum(shown.now, 0.5 / len(now)) / np.array(shown.before))
    assert found.psi == pytest.approx(float(gaps @ ratio), abs=2e-3)


@pytest.mark.parametrize("rows", [300, 3_000])
@pytest.mark.parametrize("kind", ["normal", "poisson", "coin"])
def test_what_is_taken_off_is_what_quiet_windows_show(kind: str, rows: int) -> None:
    rng = np.random.default_rng(5)

    def draw(n: int) -> Floats:
        if kind == "normal":
            return rng.normal(size=n)
        return rng.poisson(3.0, n).astype(float) if kind == "poisson" else rng.integers(0, 2, n) / 1

    found = []
    for _ in range(300):
        before = draw(6_000)
        cells, distances = cells_of(before), seen(before, draw(rows), raw=True)[0]
        found.append((distances, cells.expected))
    error = 1.0 / rows + 1.0 / 6_000
    for name, scale in (
        ("psi", error),
        ("l_infinity", error**0.5),
        ("kolmogorov_smirnov", error**0.5),
        ("wasserstein", error**0.5),
    ):
        shown = np.mean([getattr(one, name) for one, _ in found])
        taken = np.mean([getattr(expected, name) for _, expected in found]) * scale
        assert shown == pytest.approx(taken, rel=0.13), name


def test_quiet_windows_show_nothing_whatever_their_size() -> None:
    rng = np.random.default_rng(11)
    for rows in (500, 50_000):
        for one in verdict_on(rng, rows).features:
            assert one.distances is None or one.distances.psi < 0.05


def test_a_shift_reads_the_same_in_windows_of_any_size() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(size=50_000)
    small = [seen(before, rng.normal(0.5, 1.0, 500))[0] for _ in range(40)]
    large = seen(before, rng.normal(0.5, 1.0, 50_000))[0]
    assert large.psi == pytest.approx(0.238, abs=0.02)  # of deciles, closed form
    for name in ("psi", "jensen_shannon"):
        mean = np.mean([getattr(one, name) for one in small])
        assert mean == pytest.approx(getattr(large, name), rel=0.1)
    low = np.mean([one.wasserstein for one in small])
    taken = cells_of(before).expected.wasserstein * (1.0 / 500 + 1.0 / 50_000) ** 0.5
    assert 0.5 - 1.3 * taken < low < 0.5  # reads low by what was taken off, not by more


def test_a_yardstick_of_little_worth_is_allowed_more_chance() -> None:
    before = np.random.default_rng(6).normal(size=20_000)
    scores = prepare_scores(grid(before))
    assert scores is not None
    window_of = scores.placed(grid(np.random.default_rng(7).normal(0.1, 1.0, 20_000)))
    shown = [
        found.distances.psi
        for worth in (1.0, 0.1)
        if (found := seen_numbers(number_cells(scores, worth), window_of)).distances
    ]
    assert shown[0] - shown[1] == pytest.approx(9 * (10 - 1) / 20_000, rel=0.01)
    extra = {"normal": 9.0 / 20_000}  # as a slot of a season that was seen rarely
    prepared = prepare_reference(reference(BEFORE), TRIPS, extra)
    cells = prepared.features["normal"].cells
    assert cells is not None
    assert cells.m == pytest.approx(PREPARED.features["normal"].counted / 10, rel=0.02)


def test_an_outlier_and_a_new_value_change_one_count() -> None:
    rng = np.random.default_rng(4)
    before, now = rng.normal(size=20_000), rng.normal(size=5_000)
    plain, shown = seen(before, now, raw=True)
    wild, wild_shown = seen(before, np.append(now[:-1], 1e300), raw=True)
    for name in ("psi", "jensen_shannon", "l_infinity", "kolmogorov_smirnov", "wasserstein"):
        assert getattr(wild, name) == pytest.approx(getattr(plain, name), abs=0.002)
    assert wild_shown.bounds == shown.bounds


def test_a_constant_has_one_cell_and_no_wasserstein() -> None:
    found, shown = seen(np.full(900, 7.0), np.full(300, 3.0))
    assert (shown.before, shown.now) == ((1.0,), (1.0,))
    assert found.wasserstein is None
    assert found.kolmogorov_smirnov == 1.0


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.sampled_from([0.0, 123.456]),
)
def test_shares_add_up_and_bounds_rise(before: list[float], now: list[float], pivot: float) -> None:
    scores = prepare_scores(grid(before, pivot))
    assert scores is not None
    found = seen_numbers(number_cells(scores), scores.placed(grid(now, pivot))).histogram
    assert found is not None
    assert len(found.bounds) == len(found.before) + 1 == len(found.now) + 1 <= 11
    assert list(found.bounds) == sorted(found.bounds)
    assert sum(found.before) == pytest.approx(1.0, abs=1e-3)
    assert sum(found.now) == pytest.approx(1.0, abs=1e-3)


def test_bounds_beside_a_pivot_stay_apart() -> None:
    rng = np.random.default_rng(8)
    bounds = cells_of(rng.normal(41.88, 0.01, 5_000), pivot=41.9).bounds
    assert len(set(bounds)) == len(bounds)
    assert bounds[5] == pytest.approx(41.88, abs=0.002)


def test_categories_show_the_heaviest_and_all_others() -> None:
    counts = {f"place {at:02d}": 4_000 >> at for at in range(12)} | {"x" * 90: 3_999}
    shares = prepare_categories(categories(**counts))
    assert shares is not None
    now = shares.placed(categories(**counts | {"never seen": 2_000}))
    found = seen_categories(category_cells(shares), now)
    assert found.histogram is not None
    assert found.distances is not None
    labels = found.histogram.labels
    assert labels[0] == "place 00"
    assert labels[-1] == OTHERS
    assert max(len(label) for label in labels) == 32
    news = 2_000 / now.n
    assert found.histogram.now[-1] - found.histogram.before[-1] == pytest.approx(news, rel=0.05)
    assert found.distances.l_infinity == pytest.approx(news, rel=0.15)
    assert found.distances.kolmogorov_smirnov is None


def test_a_verdict_stays_small_and_old_ones_are_read() -> None:
    verdict = verdict_on(np.random.default_rng(9), 4_000, normal=0.4)
    for one in verdict.features:
        bare = msgspec.structs.replace(one, distances=None, histogram=None, test="", limit_sd=0.0)
        assert len(msgspec.json.encode(one)) - len(msgspec.json.encode(bare)) < 700
    assert decode(encode(verdict)) == verdict
    tree = msgspec.json.decode(encode(verdict))
    for one in tree["features"]:
        for new in ("distances", "histogram", "test", "limit_sd"):
            one.pop(new, None)
    old = decode(msgspec.json.encode(tree))
    assert isinstance(old, DriftVerdict)
    assert old.features[0].distances is None


def test_the_limit_has_the_unit_of_the_effect() -> None:
    rules = DriftRules(suspected_sd=0.0, drifted_sd=0.0)
    rng = np.random.default_rng(12)
    seen_hits = set()
    for shift in (0.0, 0.1, 0.15, 0.2, 0.3, 0.6):
        verdict = verdict_on(rng, 2_000, rules, normal=shift)
        for one in verdict.features:
            if one.test not in ("location", "dispersion", "category"):
                continue
            beyond = one.hits > 0
            seen_hits.add(beyond)
            if abs(one.effect - one.limit_sd) > 0.05 * one.limit_sd:  # saddlepoint and steps
                assert (one.effect > one.limit_sd) == beyond, one
    assert seen_hits == {True, False}
    quiet = verdict_on(rng, 20_000)
    assert all(one.limit_sd >= 0.25 for one in quiet.features if one.tests)
