"""The directions in which a feature's days are measured.

A direction is a score of rows. Its mean over n rows has the variance v / n from sampling, and
g tau^2 + v / n when the family varies between days by tau. For orthonormal scores v = g = 1. For
the cell of a category with share q, v = g = 1 - q, because a Dirichlet distribution varies so. For
the share of missing values v = 1, and g is the squared slope of the probit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np

from streaming.contracts.records import FeatureSummary
from streaming.drift.prepared_reference import PreparedFeature
from streaming.drift.statistics.categorical import ReferenceCategories
from streaming.drift.statistics.proportions import probit_information
from streaming.drift.statistics.rank_scores import DISPERSION, LOCATION, NumericScores, orthonormal
from streaming.grid import Floats

MIN_CATEGORY_SHARE = 0.01
"""Directions of rarer categories are left out."""
MIN_COUNT = 20
"""The direction of missing values is left out when fewer reference rows have, or lack, a value."""
MAX_FOURTH_MOMENT = 50.0
"""Directions with a larger fourth moment are left out, because few rows determine them."""


class Family(Enum):
    """The test families whose between-day variation is estimated."""

    LOCATION = "location"
    DISPERSION = "dispersion"
    SHAPE = "shape"
    VALUES = "values"
    CATEGORIES = "categories"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScoreDirections:
    """The directions of one feature."""

    families: tuple[Family, ...]
    """The test family of each direction."""
    noise: Floats
    """The sampling variance v of each direction."""
    gains: Floats
    """The gain g of each direction."""
    feature: PreparedFeature
    shares: tuple[tuple[str, float], ...]
    """Reference shares of missing and non-finite values, by name."""
    scores: Floats
    """Scores of a numeric feature (directions x columns)."""
    category_shares: Floats
    """Reference shares of the measured categories."""

    def measure(self, summary: FeatureSummary) -> tuple[Floats, Floats] | None:
        """Sums of the scores, and the number of rows of each; None for incomparable buckets.

        Buckets are incomparable where a window spreads over so many that it has fewer fraction bits
        than the reference, as healthy windows of the same feature do not.
        """
        share_sums, share_rows = [], []
        for name, share in self.shares:
            count = summary.missing if name == "missing" else summary.non_finite
            share_sums.append((count - share * summary.rows) / np.sqrt(share * (1.0 - share)))
            share_rows.append(float(summary.rows))
        numbers, categories = self.feature.numbers, self.feature.categories
        sums: Floats = np.zeros(0)
        counted = summary.rows - summary.missing - summary.non_finite
        if len(self.scores) and numbers is not None:
            if summary.grid is None or summary.grid.fraction_bits < numbers.fraction_bits:
                return None
            buckets, counts_by_bucket = numbers.counted(summary.grid)
            columns, _ = numbers.columns(buckets)
            sums = self.scores[:, columns] @ counts_by_bucket
        elif len(self.category_shares) and categories is not None:
            if summary.categories is None or summary.categories.error:
                return None
            counts = categories.align(summary.categories).counts[: len(self.category_shares)]
            sums = (counts - self.category_shares * counted) / np.sqrt(self.category_shares)
        rows = np.array(share_rows + [float(counted)] * len(sums))
        return np.concatenate((share_sums, sums)), rows


def score_directions(feature: PreparedFeature) -> ScoreDirections:
    """The directions of a feature of the reference."""
    shares = tuple(
        (name, count / feature.rows)
        for name, count in (("missing", feature.missing), ("non_finite", feature.non_finite))
        if MIN_COUNT <= count <= feature.rows - MIN_COUNT
    )
    families = [Family.MISSING] * len(shares)
    scores: Floats = np.zeros((0, 0))
    category_shares: Floats = np.zeros(0)
    if feature.numbers is not None:
        numeric_families, scores = _numeric_directions(feature.numbers)
        families += numeric_families
    elif feature.categories is not None and not feature.categories.error:
        category_shares = _frequent_shares(feature.categories)
        families += [Family.CATEGORIES] * len(category_shares)
    noise = np.concatenate((np.ones(len(shares) + len(scores)), 1.0 - category_shares))
    share_gains = [probit_information(share) for _, share in shares]
    return ScoreDirections(
        families=tuple(families),
        noise=noise,
        gains=np.concatenate((share_gains, noise[len(shares) :])),
        feature=feature,
        shares=shares,
        scores=scores,
        category_shares=category_shares,
    )


def _numeric_directions(scores: NumericScores) -> tuple[list[Family], Floats]:
    """Families and scores: location and dispersion, then shape and values orthogonal to those."""
    weights = np.concatenate((scores.shares, np.zeros(len(scores.shares) + 1)))
    first = [scores.scores[LOCATION], scores.scores[DISPERSION]]
    zero = np.flatnonzero(scores.buckets == 0)
    single = np.concatenate((zero, scores.heavy)).astype(np.int64)
    directions = [
        (family, scores.scores[row])
        for family, row in ((Family.LOCATION, LOCATION), (Family.DISPERSION, DISPERSION))
        if scores.usable[row]
    ]
    for family, candidates in (
        (Family.SHAPE, [scores.scores[4], scores.scores[5]]),
        (Family.VALUES, [_indicator(scores, int(column)) for column in single]),
    ):
        orthogonal = orthonormal([*first, *candidates], weights)[2:]
        directions += [
            (family, row)
            for row in orthogonal
            if row is not None and float(weights @ row**4) <= MAX_FOURTH_MOMENT
        ]
    return [family for family, _ in directions], np.array([row for _, row in directions])


def _indicator(scores: NumericScores, column: int) -> Floats:
    row = np.zeros(scores.scores.shape[1])
    row[column] = 1.0
    return row


def _frequent_shares(categories: ReferenceCategories) -> Floats:
    """Shares of the categories that are not rare; counts descend, so they are the first ones."""
    shares = categories.counts / categories.m
    return shares[(shares >= MIN_CATEGORY_SHARE) & (shares < 1.0)]
