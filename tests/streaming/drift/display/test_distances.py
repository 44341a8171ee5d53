"""The displayed distances agree with scipy, are near 0 without drift, and keep records small."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import jensenshannon

from streaming.contracts.codec import decode, encode
from streaming.contracts.records import Distances, DriftVerdict, Histogram
from streaming.drift import DriftHistory, DriftRules, judge_drift, prepare_reference
from streaming.drift.display.distances import display_numeric
from streaming.drift.display.histogram import NumericBins, numeric_bins
from streaming.drift.display.null_bias import NullExpectation
from streaming.drift.statistics.rank_scores import prepare_numeric
from streaming.grid import Floats, bucket_of, lower
from tests.streaming.drift.statistics.counts import grid
from tests.streaming.statistics_data import TRIPS, Change, reference, trips, window

REFERENCE = reference(trips(np.random.default_rng(3), 20_000))
PREPARED = prepare_reference(REFERENCE, TRIPS)
RULES = DriftRules()
NO_CORRECTION = NullExpectation(psi=0.0, l_infinity=0.0, wasserstein=1e-12)
NAMES = ("psi", "jensen_shannon", "l_infinity", "kolmogorov_smirnov", "wasserstein")


def bins_of(values: Floats) -> NumericBins:
    scores = prepare_numeric(grid(values))
    assert scores is not None
    return numeric_bins(scores)


def displayed(
    reference: Floats, window: Floats, *, corrected: bool = True
) -> tuple[Distances, Histogram]:
    scores = prepare_numeric(grid(reference))
    assert scores is not None
    bins = numeric_bins(scores)
    display = display_numeric(
        bins if corrected else replace(bins, expected=NO_CORRECTION), scores.align(grid(window))
    )
    assert display.distances is not None
    assert display.histogram is not None
    return display.distances, display.histogram


def shifted_by(shift: float) -> Change:
    return lambda values, _: values + shift


def verdict_on(
    rng: np.random.Generator, rows: int, rules: DriftRules = RULES, **shifts: float
) -> DriftVerdict:
    change = {name: shifted_by(shift) for name, shift in shifts.items()}
    summary = window(0, trips(rng, rows, change=change))
    return judge_drift(summary, PREPARED, "p", DriftHistory(), rules, TRIPS)[0]


@pytest.mark.parametrize("shift", [0.0, 0.3, 2.0, 30.0])
def test_uncorrected_distances_are_those_of_scipy_on_the_grid(shift: float) -> None:
    rng = np.random.default_rng(1)
    before, after = rng.normal(5.0, 1.0, 3_000), rng.normal(5.0 + shift, 1.0, 500)
    distances, histogram = displayed(before, after, corrected=False)
    old, new = lower(bucket_of(before)), lower(bucket_of(after))
    statistic = stats.ks_2samp(old, new).statistic
    assert distances.kolmogorov_smirnov == pytest.approx(statistic, abs=1e-5)
    inside = np.clip(new, None, old.max())
    wasserstein = stats.wasserstein_distance(old, inside) / old.std()
    assert distances.wasserstein == pytest.approx(wasserstein, rel=0.02, abs=0.002)
    counts = np.histogram(after, [-np.inf, *histogram.edges[1:-1], np.inf])[0] / len(after)
    # Edges are written with four digits, so single rows may change bins.
    assert counts == pytest.approx(np.array(histogram.window), abs=0.006)
    bits = float(jensenshannon(histogram.reference, histogram.window, 2.0)) ** 2
    assert distances.jensen_shannon == pytest.approx(bits, abs=1e-4)
    differences = np.array(histogram.window) - np.array(histogram.reference)
    assert distances.l_infinity == pytest.approx(np.abs(differences).max(), abs=1e-4)
    filled = np.maximum(histogram.window, 0.5 / len(after))
    psi = float(differences @ np.log(filled / np.array(histogram.reference)))
    assert distances.psi == pytest.approx(psi, abs=2e-3)


def test_without_drift_psi_is_near_0_for_every_number_of_rows() -> None:
    rng = np.random.default_rng(11)
    for rows in (500, 50_000):
        for feature in verdict_on(rng, rows).features:
            assert feature.distances is None or feature.distances.psi < 0.05


def test_a_shift_has_the_same_distances_for_every_number_of_rows() -> None:
    rng = np.random.default_rng(2)
    before = rng.normal(size=50_000)
    small = [displayed(before, rng.normal(0.5, 1.0, 500))[0] for _ in range(40)]
    large = displayed(before, rng.normal(0.5, 1.0, 50_000))[0]
    assert large.psi == pytest.approx(0.238, abs=0.02)  # of deciles, in closed form
    for name in ("psi", "jensen_shannon"):
        mean = np.mean([getattr(distances, name) for distances in small])
        assert mean == pytest.approx(getattr(large, name), rel=0.1)
    mean = np.mean([distances.wasserstein for distances in small])
    subtracted = bins_of(before).expected.wasserstein * (1.0 / 500 + 1.0 / 50_000) ** 0.5
    assert 0.5 - 1.3 * subtracted < mean < 0.5  # too low by the correction, not by more


def test_an_outlier_hardly_changes_the_distances() -> None:
    rng = np.random.default_rng(4)
    before, after = rng.normal(size=20_000), rng.normal(size=5_000)
    plain, histogram = displayed(before, after, corrected=False)
    with_outlier = np.append(after[:-1], 1e300)
    changed, changed_histogram = displayed(before, with_outlier, corrected=False)
    for name in NAMES:
        assert getattr(changed, name) == pytest.approx(getattr(plain, name), abs=0.002)
    assert changed_histogram.edges == histogram.edges


def test_the_display_adds_few_bytes_to_a_verdict_and_may_be_absent() -> None:
    verdict = verdict_on(np.random.default_rng(9), 4_000, normal=0.4)
    for feature in verdict.features:
        bare = msgspec.structs.replace(
            feature, distances=None, histogram=None, test="", limit_sd=0.0
        )
        assert len(msgspec.json.encode(feature)) - len(msgspec.json.encode(bare)) < 700
    assert decode(encode(verdict)) == verdict
    tree = msgspec.json.decode(encode(verdict))
    for feature in tree["features"]:
        for name in ("distances", "histogram", "test", "limit_sd"):
            feature.pop(name, None)
    without_display = decode(msgspec.json.encode(tree))
    assert isinstance(without_display, DriftVerdict)
    assert without_display.features[0].distances is None


def test_the_limit_has_the_unit_of_the_effect() -> None:
    rules = DriftRules(suspected_sd=0.0, drifted_sd=0.0)
    rng = np.random.default_rng(12)
    observed = set()
    for shift in (0.0, 0.1, 0.15, 0.2, 0.3, 0.6):
        verdict = verdict_on(rng, 2_000, rules, normal=shift)
        for feature in verdict.features:
            if feature.test not in ("location", "dispersion", "category"):
                continue
            exceeds = feature.hits > 0
            observed.add(exceeds)
            # Close to the limit, the saddlepoint and discrete values may decide differently.
            if abs(feature.effect - feature.limit_sd) > 0.05 * feature.limit_sd:
                assert (feature.effect > feature.limit_sd) == exceeds, feature
    assert observed == {True, False}
    quiet = verdict_on(rng, 20_000)
    assert all(feature.limit_sd >= 0.25 for feature in quiet.features if feature.tests)
