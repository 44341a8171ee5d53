"""Common drift distances (PSI and others), shown next to the tests; no alarm depends on them.

With p the reference's and q the window's shares of the display bins (`histogram`), and F and G
their distribution functions on the whole universal grid:

* PSI = sum (q - p) ln(q / p);
* Jensen-Shannon divergence in bits = (KL(p || r) + KL(q || r)) / 2, r = (p + q) / 2 (Lin 1991);
* L-infinity = max |q - p|;
* Kolmogorov-Smirnov = max |F - G|;
* Wasserstein = integral of |F - G| over the reference's standard deviation; values beyond the
  reference's range count as its ends.

Without drift none of them is 0, and their size depends on the number of rows. So each is shown
minus its expected value without drift (`null_bias`), and not below 0. With drift, the first two
remain unbiased; the other three are then too low, by at most the value that was subtracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from streaming.contracts.records import Distances, Histogram
from streaming.drift.display.histogram import CategoricalBins, NumericBins, rounded
from streaming.drift.statistics.categorical import AlignedCategories
from streaming.drift.statistics.rank_scores import AlignedCounts

_BITS = 2.0 * log(2.0)


@dataclass(frozen=True, slots=True)
class FeatureDisplay:
    """What is shown of a feature in addition to its tests."""

    distances: Distances | None = None
    histogram: Histogram | None = None


NO_DISPLAY = FeatureDisplay()
"""The display of a feature with too few values."""


def display_numeric(
    bins: NumericBins | CategoricalBins | None, window: AlignedCounts
) -> FeatureDisplay:
    """The distances and both histograms of a window's finite values."""
    if not isinstance(bins, NumericBins):
        return NO_DISPLAY
    distances, shares = numeric_distances(bins, window)
    histogram = Histogram(edges=bins.edges, reference=bins.shown, window=rounded(shares))
    return FeatureDisplay(distances, histogram)


def display_categorical(
    bins: NumericBins | CategoricalBins | None, window: AlignedCategories
) -> FeatureDisplay:
    """The distances and both histograms of a window's counted values."""
    if not isinstance(bins, CategoricalBins):
        return NO_DISPLAY
    n, shares = bins.window_shares(window)
    distances = categorical_distances(bins, n, shares)
    histogram = Histogram(labels=bins.labels, reference=bins.shown, window=rounded(shares))
    return FeatureDisplay(distances, histogram)


def numeric_distances(bins: NumericBins, window: AlignedCounts) -> tuple[Distances, list[float]]:
    """The distances of a window's finite values, and its shares of the bins."""
    n = window.n
    counts = np.bincount(window.line, window.counts, len(bins.cumulative)).astype(np.int64)
    cumulative = counts.cumsum() / n  # integers add up faster
    ends = cumulative[bins.ends].tolist()
    shares = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    psi, divergence, largest = bin_distances(bins.shares, shares, bins.m, n)
    cumulative -= bins.cumulative
    np.abs(cumulative, out=cumulative)
    error = 1.0 / n + 1.0 / bins.m
    root, expected = sqrt(error), bins.expected
    return (
        Distances(
            psi=bias_corrected(psi, expected.psi * error),
            jensen_shannon=bias_corrected(divergence, expected.psi * error / (4.0 * _BITS)),
            l_infinity=bias_corrected(largest, expected.l_infinity * root),
            kolmogorov_smirnov=bias_corrected(
                float(cumulative.max()), expected.kolmogorov_smirnov * root
            ),
            wasserstein=bias_corrected(float(cumulative @ bins.widths), expected.wasserstein * root)
            if expected.wasserstein
            else None,
        ),
        shares,
    )


def categorical_distances(bins: CategoricalBins, n: int, shares: list[float]) -> Distances:
    """The distances of a window with `n` counted values and these shares of the bins."""
    psi, divergence, largest = bin_distances(bins.shares, shares, bins.m, n)
    error = 1.0 / n + 1.0 / bins.m
    expected = bins.expected
    return Distances(
        psi=bias_corrected(psi, expected.psi * error),
        jensen_shannon=bias_corrected(divergence, expected.psi * error / (4.0 * _BITS)),
        l_infinity=bias_corrected(largest, expected.l_infinity * sqrt(error)),
    )


def bin_distances(
    reference: tuple[float, ...], window: list[float], m: float, n: int
) -> tuple[float, float, float]:
    """PSI, Jensen-Shannon in bits and L-infinity without correction.

    PSI takes an empty bin for half a row.

    >>> [round(distance, 3) for distance in bin_distances((0.5, 0.5), [0.75, 0.25], 100, 100)]
    [0.275, 0.049, 0.25]
    """
    psi = divergence = largest = 0.0
    for p, q in zip(reference, window, strict=True):
        difference = q - p
        if difference == 0.0:
            continue
        psi += difference * log((q if q > 0.0 else 0.5 / n) / (p if p > 0.0 else 0.5 / m))
        middle = (p + q) / 2.0
        if p > 0.0:
            divergence += p * log(p / middle)
        if q > 0.0:
            divergence += q * log(q / middle)
        if difference > largest or -difference > largest:
            largest = abs(difference)
    return psi, divergence / _BITS, largest


def bias_corrected(distance: float, null_bias: float) -> float:
    """A distance minus its expected value without drift, at least 0, with five decimals."""
    corrected = distance - null_bias
    return round(corrected, 5) if corrected > 0.0 else 0.0
