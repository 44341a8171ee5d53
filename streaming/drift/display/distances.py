"""The distances that other tools alarm on, shown beside the tests and never judged.

With p the reference's and q the window's shares of the display cells (`cells`), F and G their
distribution functions on the whole universal grid:

* PSI = sum (q - p) ln(q / p);
* Jensen-Shannon divergence in bits = (KL(p || r) + KL(q || r)) / 2, r = (p + q) / 2 (Lin 1991);
* L-infinity = max |q - p|;
* Kolmogorov-Smirnov = max |F - G|;
* Wasserstein = integral of |F - G| over the reference's standard deviation, values beyond the
  reference's range taken to lie at its ends.

Without drift none of them is 0, and what "0.1" means depends on the rows; so each is shown less
what it is expected to be without drift (`chance`), and not below 0. The first two are unbiased
under drift too; the other three then read low by at most what was taken off.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from streaming.contracts.records import Distances, Histogram
from streaming.drift.display.histogram import CategoryCells, NumberCells, rounded
from streaming.drift.statistics.categorical import PlacedCategories
from streaming.drift.statistics.rank_scores import Placed

_BITS = 2.0 * log(2.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is shown of a feature beside its tests."""

    distances: Distances | None = None
    histogram: Histogram | None = None


UNSEEN = Seen()
"""Of a feature whose values were too few."""


def seen_numbers(cells: NumberCells | CategoryCells | None, window: Placed) -> Seen:
    """The distances and both histograms of a window's finite values."""
    if not isinstance(cells, NumberCells):
        return UNSEEN
    distances, now = number_distances(cells, window)
    return Seen(distances, Histogram(bounds=cells.bounds, before=cells.shown, now=rounded(now)))


def seen_categories(cells: NumberCells | CategoryCells | None, window: PlacedCategories) -> Seen:
    """The distances and both histograms of a window's counted values."""
    if not isinstance(cells, CategoryCells):
        return UNSEEN
    n, now = cells.shares(window)
    distances = category_distances(cells, n, now)
    return Seen(distances, Histogram(labels=cells.labels, before=cells.shown, now=rounded(now)))


def number_distances(cells: NumberCells, window: Placed) -> tuple[Distances, list[float]]:
    """The distances of a window's finite values, and its shares of the cells."""
    n = window.n
    counts = np.bincount(window.order, window.counts, len(cells.below)).astype(np.int64)
    up_to = counts.cumsum() / n  # integers add up faster
    ends = up_to[cells.ends].tolist()
    now = [end - start for start, end in zip([0.0, *ends], ends, strict=False)]
    psi, divergence, largest = cell_distances(cells.before, now, cells.m, n)
    up_to -= cells.below
    np.abs(up_to, out=up_to)
    error = 1.0 / n + 1.0 / cells.m
    root, expected = sqrt(error), cells.expected
    return (
        Distances(
            psi=_less(psi, expected.psi * error),
            jensen_shannon=_less(divergence, expected.psi * error / (4.0 * _BITS)),
            l_infinity=_less(largest, expected.l_infinity * root),
            kolmogorov_smirnov=_less(float(up_to.max()), expected.kolmogorov_smirnov * root),
            wasserstein=_less(float(up_to @ cells.widths), expected.wasserstein * root)
            if expected.wasserstein
            else None,
        ),
        now,
    )


def category_distances(cells: CategoryCells, n: int, now: list[float]) -> Distances:
    """The distances of a window's `n` counted values with these shares of the cells."""
    psi, divergence, largest = cell_distances(cells.before, now, cells.m, n)
    error = 1.0 / n + 1.0 / cells.m
    expected = cells.expected
    return Distances(
        psi=_less(psi, expected.psi * error),
        jensen_shannon=_less(divergence, expected.psi * error / (4.0 * _BITS)),
        l_infinity=_less(largest, expected.l_infinity * sqrt(error)),
    )


def cell_distances(
    before: tuple[float, ...], now: list[float], m: float, n: int
) -> tuple[float, float, float]:
    """PSI, Jensen-Shannon in bits and L-infinity as they are; PSI takes an empty cell for half a
    row.

    >>> [round(one, 3) for one in cell_distances((0.5, 0.5), [0.75, 0.25], 100, 100)]
    [0.275, 0.049, 0.25]
    """
    psi = divergence = largest = 0.0
    for p, q in zip(before, now, strict=True):
        gap = q - p
        if gap == 0.0:
            continue
        psi += gap * log((q if q > 0.0 else 0.5 / n) / (p if p > 0.0 else 0.5 / m))
        middle = (p + q) / 2.0
        if p > 0.0:
            divergence += p * log(p / middle)
        if q > 0.0:
            divergence += q * log(q / middle)
        if gap > largest or -gap > largest:
            largest = abs(gap)
    return psi, divergence / _BITS, largest


def _less(distance: float, by_chance: float) -> float:
    left = distance - by_chance
    return round(left, 5) if left > 0.0 else 0.0
