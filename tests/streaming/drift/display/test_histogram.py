"""Display bins have ascending edges, shares that add up to 1, and short labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streaming.drift.display.distances import display_categorical, display_numeric
from streaming.drift.display.histogram import MAX_BINS, OTHERS, categorical_bins, numeric_bins
from streaming.drift.statistics.categorical import prepare_categorical
from streaming.drift.statistics.rank_scores import prepare_numeric
from tests.streaming.drift.display.test_distances import displayed
from tests.streaming.drift.statistics.counts import categories, grid


def test_a_constant_has_one_bin_and_no_wasserstein_distance() -> None:
    distances, histogram = displayed(np.full(900, 7.0), np.full(300, 3.0))
    assert (histogram.reference, histogram.window) == ((1.0,), (1.0,))
    assert distances.wasserstein is None
    assert distances.kolmogorov_smirnov == 1.0


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.sampled_from([0.0, 1e6, 1.7e9]),
)
def test_shares_add_up_to_1_and_edges_ascend(
    before: list[float], after: list[float], centre: float
) -> None:
    scores = prepare_numeric(grid([value + centre for value in before]))
    assert scores is not None
    aligned = scores.align(grid([value + centre for value in after]))
    histogram = display_numeric(numeric_bins(scores), aligned).histogram
    assert histogram is not None
    assert len(histogram.edges) == len(histogram.reference) + 1 == len(histogram.window) + 1 <= 11
    assert list(histogram.edges) == sorted(histogram.edges)
    assert sum(histogram.reference) == pytest.approx(1.0, abs=1e-3)
    assert sum(histogram.window) == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize(
    ("centre", "sd"), [(41.88, 0.01), (-87.65, 1e-4), (1.7e9, 60.0), (1e9, 1.0), (1e6, 0.5)]
)
def test_edges_of_a_narrow_feature_stay_distinct(centre: float, sd: float) -> None:
    rng = np.random.default_rng(8)
    scores = prepare_numeric(grid(rng.normal(centre, sd, 5_000)))
    assert scores is not None
    edges = numeric_bins(scores).edges
    assert len(edges) == MAX_BINS + 1
    assert len(set(edges)) == len(edges)
    assert edges[5] == pytest.approx(centre, abs=0.2 * sd)


def test_the_most_frequent_categories_have_bins_and_the_others_share_one() -> None:
    counts = {f"place {at:02d}": 4_000 >> at for at in range(12)} | {"x" * 90: 3_999}
    prepared = prepare_categorical(categories(**counts))
    assert prepared is not None
    aligned = prepared.align(categories(**counts | {"never seen": 2_000}))
    display = display_categorical(categorical_bins(prepared), aligned)
    histogram, distances = display.histogram, display.distances
    assert histogram is not None
    assert distances is not None
    assert histogram.labels[0] == "place 00"
    assert histogram.labels[-1] == OTHERS
    assert max(len(label) for label in histogram.labels) == 32
    unseen = 2_000 / aligned.n
    assert histogram.window[-1] - histogram.reference[-1] == pytest.approx(unseen, rel=0.05)
    assert distances.l_infinity == pytest.approx(unseen, rel=0.15)
    assert distances.kolmogorov_smirnov is None
