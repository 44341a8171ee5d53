"""What is measured of a feature's day, and what it teaches: the directions in which it strays.

A direction is a score of rows whose mean has variance v / n when only chance is at work and
g tau^2 + v / n when its family strays by tau: v = g = 1 for orthonormal scores, v = g = 1 - q for
the cell of a category with share q (a Dirichlet law strays so), v = 1 and g the squared slope of
the probit for the share of missing values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.contracts.records import FeatureSummary
from streaming.drift.prepared_reference import PreparedFeature
from streaming.drift.statistics.categorical import CategoryShares
from streaming.drift.statistics.proportions import slope
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, NumberScores, orthonormal
from streaming.grid import Floats

PLACE, SPREAD, SHAPE, VALUES, CATEGORIES, SHARES = range(6)
LEAST_SHARE = 0.01
"""Rarer categories are left out, and rarer missing values …"""
LEAST_COUNT = 20
"""… when the reference has fewer of them or of the others."""
MAX_FOURTH = 50.0
"""Directions with a larger fourth moment are a matter of few rows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ruler:
    """The directions of one feature, D of them."""

    families: tuple[int, ...]
    noise: Floats
    """v of each."""
    gains: Floats
    """g of each."""
    feature: PreparedFeature
    shares: tuple[tuple[str, float], ...]
    """Of what is missing or broken, before."""
    rows: Floats
    """Of scores, numbers only: directions x columns."""
    cells: Floats
    """Shares of the categories that are measured."""

    def read(self, summary: FeatureSummary) -> tuple[Floats, Floats] | None:
        """Sums of the scores and the rows they are of; None where buckets are others."""
        sums, rows = [], []
        for name, share in self.shares:
            count = summary.missing if name == "missing" else summary.non_finite
            sums.append((count - share * summary.rows) / np.sqrt(share * (1.0 - share)))
            rows.append(float(summary.rows))
        numbers, categories = self.feature.numbers, self.feature.categories
        found: Floats = np.zeros(0)
        counted = summary.rows - summary.missing - summary.non_finite
        if len(self.rows) and numbers is not None:
            if summary.grid is None or summary.grid.pivot != numbers.pivot:
                return None
            columns, _ = numbers.columns(np.array(summary.grid.buckets, np.int64))
            found = self.rows[:, columns] @ np.array(summary.grid.counts, float)
        elif len(self.cells) and categories is not None:
            if summary.categories is None or summary.categories.error:
                return None
            now = categories.placed(summary.categories).counts[: len(self.cells)]
            found = (now - self.cells * counted) / np.sqrt(self.cells)
        return np.concatenate((sums, found)), np.array(rows + [float(counted)] * len(found))


def ruler_of(feature: PreparedFeature) -> Ruler:
    """The directions that a reference gives a feature."""
    shares = tuple(
        (name, count / feature.rows)
        for name, count in (("missing", feature.missing), ("non_finite", feature.non_finite))
        if LEAST_COUNT <= count <= feature.rows - LEAST_COUNT
    )
    families = [SHARES] * len(shares)
    rows: Floats = np.zeros((0, 0))
    cells: Floats = np.zeros(0)
    if feature.numbers is not None:
        of_numbers, rows = _numbers(feature.numbers)
        families += of_numbers
    elif feature.categories is not None and not feature.categories.error:
        cells = _cells(feature.categories)
        families += [CATEGORIES] * len(cells)
    noise = np.concatenate((np.ones(len(shares) + len(rows)), 1.0 - cells))
    slopes = [slope(share) for _, share in shares]
    return Ruler(
        families=tuple(families),
        noise=noise,
        gains=np.concatenate((slopes, noise[len(shares) :])),
        feature=feature,
        shares=shares,
        rows=rows,
        cells=cells,
    )


def _numbers(scores: NumberScores) -> tuple[list[int], Floats]:
    """Location and dispersion; shape and single values beyond those two."""
    weights = np.concatenate((scores.shares, np.zeros(len(scores.shares) + 1)))
    first = [scores.scores[LOCATION], scores.scores[DISPERSION]]
    zero = np.flatnonzero(scores.buckets == 0)
    single = np.concatenate((zero, scores.heavy)).astype(np.int64)
    found = [
        (family, row)
        for family, at in ((PLACE, LOCATION), (SPREAD, DISPERSION))
        if scores.usable[at]
        for row in (scores.scores[at],)
    ]
    for family, rest in (
        (SHAPE, [scores.scores[4], scores.scores[5]]),
        (VALUES, [_indicator(scores, int(place)) for place in single]),
    ):
        beyond = orthonormal([*first, *rest], weights)[2:]
        found += [
            (family, row)
            for row in beyond
            if row is not None and float(weights @ row**4) <= MAX_FOURTH
        ]
    return [family for family, _ in found], np.array([row for _, row in found])


def _indicator(scores: NumberScores, place: int) -> Floats:
    row = np.zeros(scores.scores.shape[1])
    row[place] = 1.0
    return row


def _cells(categories: CategoryShares) -> Floats:
    """Shares of the categories that are not rare; counts descend, so they are the first ones."""
    shares = categories.counts / categories.m
    return shares[(shares >= LEAST_SHARE) & (shares < 1.0)]
