"""The expected distances without drift agree with draws."""

from __future__ import annotations

import numpy as np
import pytest

from streaming.drift import prepare_reference
from streaming.drift.display.distances import display_numeric
from streaming.drift.display.histogram import numeric_bins
from streaming.drift.statistics.rank_scores import prepare_numeric
from streaming.grid import Floats
from tests.streaming.drift.display.test_distances import PREPARED, REFERENCE, bins_of, displayed
from tests.streaming.drift.statistics.counts import grid
from tests.streaming.statistics_data import TRIPS


@pytest.mark.parametrize("rows", [300, 3_000])
@pytest.mark.parametrize("kind", ["normal", "poisson", "coin"])
def test_the_correction_is_the_mean_distance_without_drift(kind: str, rows: int) -> None:
    rng = np.random.default_rng(5)

    def draw(n: int) -> Floats:
        if kind == "normal":
            return rng.normal(size=n)
        return rng.poisson(3.0, n).astype(float) if kind == "poisson" else rng.integers(0, 2, n) / 1

    pairs = []
    for _ in range(300):
        before = draw(6_000)
        expected = bins_of(before).expected
        pairs.append((displayed(before, draw(rows), corrected=False)[0], expected))
    error = 1.0 / rows + 1.0 / 6_000
    for name, scale in (
        ("psi", error),
        ("l_infinity", error**0.5),
        ("kolmogorov_smirnov", error**0.5),
        ("wasserstein", error**0.5),
    ):
        drawn = np.mean([getattr(distances, name) for distances, _ in pairs])
        computed = np.mean([getattr(expected, name) for _, expected in pairs]) * scale
        assert drawn == pytest.approx(computed, rel=0.13), name


def test_the_correction_grows_when_the_reference_has_a_smaller_effective_sample() -> None:
    before = np.random.default_rng(6).normal(size=20_000)
    scores = prepare_numeric(grid(before))
    assert scores is not None
    counts = scores.align(grid(np.random.default_rng(7).normal(0.1, 1.0, 20_000)))
    psi = []
    for effective_sample_fraction in (1.0, 0.1):
        display = display_numeric(numeric_bins(scores, effective_sample_fraction), counts)
        assert display.distances is not None
        psi.append(display.distances.psi)
    assert psi[0] - psi[1] == pytest.approx(9 * (10 - 1) / 20_000, rel=0.01)
    extra_variance = {"normal": 9.0 / 20_000}  # as of a seasonal slot with little history
    prepared = prepare_reference(REFERENCE, TRIPS, extra_variance)
    bins = prepared.features["normal"].bins
    assert bins is not None
    assert bins.m == pytest.approx(PREPARED.features["normal"].counted / 10, rel=0.02)
