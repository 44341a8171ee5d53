"""Tests of a numeric feature: location, dispersion, shape, and shares of its values."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from streaming.drift.day_variance import BetweenDaySd
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.propagated_variance import (
    shape_variances,
    tail_variance,
    value_variance,
)
from streaming.drift.statistics.proportions import (
    expected_share,
    share_test,
    smallest_p,
    unseen_mass_fraction,
)
from streaming.drift.statistics.pvalues import mean_score_z, two_sided
from streaming.drift.statistics.quadratic_form import sum_of_squares_tail
from streaming.drift.statistics.rank_scores import (
    DISPERSION,
    LOCATION,
    SHAPE,
    AlignedCounts,
    NumericScores,
)
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats, Integers

MIN_MINORITY_ROWS = 10
"""Minimum number of rows expected outside the most frequent value, for location and dispersion. The
score of a near-constant feature has a lattice distribution, where the saddlepoint fails."""
MIN_MINORITY_ROWS_SHAPE = 50
"""The same minimum for shape, whose chi-square distribution is only a limit."""
MIN_MINORITY_ROWS_EXACT = 1_000
"""The same minimum for shape to raise an alarm after a single window."""
MAX_FOURTH = 0.1
"""A shape component is used only if its fourth moment is at most this share of n: few and rare
values make heavy tails."""


def numeric_tests(
    scores: NumericScores,
    window: AlignedCounts,
    rules: DriftRules,
    effective_sample_fraction: float = 1.0,
) -> list[TestStatistic]:
    """All tests of a window's finite values, which are at least one.

    `effective_sample_fraction` (at most 1) scales the number of reference rows.
    """
    m = scores.m * effective_sample_fraction
    n = window.n
    means = scores.scores[:, window.columns] @ (window.counts / n)
    day_sd = rules.day_sd
    minority_rows = n * (1.0 - scores.heaviest)
    tests = []
    if minority_rows >= MIN_MINORITY_ROWS:
        for name, row, sd in (
            ("location", LOCATION, day_sd.location),
            ("dispersion", DISPERSION, day_sd.dispersion),
        ):
            if scores.usable[row]:
                variance_ratio = n * (sd**2 + 1.0 / m)
                tests.append(_linear(name, scores, row, float(means[row]), n, variance_ratio))
    if minority_rows >= MIN_MINORITY_ROWS_SHAPE:
        exact = minority_rows >= MIN_MINORITY_ROWS_EXACT
        tests += _shape(scores, means, n, m, day_sd, exact_tail=exact)
    value_tests = _ValueTests(scores, window, rules, effective_sample_fraction)
    return tests + value_tests.all()


def _linear(
    name: str, scores: NumericScores, row: int, mean: float, n: int, variance_ratio: float
) -> TestStatistic:
    bucket_scores = scores.scores[row, : len(scores.buckets)]
    z = mean_score_z(bucket_scores, scores.shares, mean, n)
    return TestStatistic(
        name=name,
        statistic=z,
        p=two_sided(z, variance_ratio),
        effect=mean,
        n=n,
        variance_ratio=variance_ratio,
    )


def _shape(
    scores: NumericScores,
    means: Floats,
    n: int,
    m: float,
    day_sd: BetweenDaySd,
    *,
    exact_tail: bool,
) -> list[TestStatistic]:
    """Neyman's smooth test with four components."""
    usable = np.array(scores.usable[SHAPE]) & (np.array(scores.fourth[SHAPE]) <= MAX_FOURTH * n)
    degrees = int(usable.sum())
    if not degrees:
        return []
    squares = float(np.sum(means[SHAPE][usable] ** 2))
    null_bias = degrees * (1.0 / n + 1.0 / scores.m)
    weights = tuple(
        1.0 + n * (variance + 1.0 / m) for variance in shape_variances(scores, usable, day_sd)
    )
    return [
        TestStatistic(
            name="shape",
            statistic=n * squares,
            p=sum_of_squares_tail(n * squares, weights),
            effect=sqrt(max(0.0, squares - null_bias)),
            n=n,
            variance_ratio=weights[-1] - 1.0,
            exact_tail=exact_tail,
            degrees=degrees,
            null_bias=null_bias,
            weights=weights,
        )
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _ValueTests:
    """The share tests of a numeric feature's values."""

    scores: NumericScores
    window: AlignedCounts
    rules: DriftRules
    effective_sample_fraction: float

    def all(self) -> list[TestStatistic]:
        """Values beyond the reference's range, unseen values, zero, other frequent values."""
        scores, window = self.scores, self.window
        buckets, counts = window.buckets, window.counts
        outside = (buckets < scores.buckets[0]) | (buckets > scores.buckets[-1])
        unseen_fraction = self.effective_sample_fraction * unseen_mass_fraction(
            scores.singletons, scores.doubletons
        )
        tests = [
            # After m rows, the next value lies beyond either end with probability 1 / (m + 1).
            self._share(
                "range",
                int(counts[outside].sum()),
                1.5,
                self.effective_sample_fraction,
                one_sided=True,
            ),
            self._share(
                "unseen",
                int(counts[window.positions < 0].sum()),
                scores.singletons + 0.5,
                unseen_fraction,
                one_sided=True,
            ),
        ]
        aligned = np.zeros(len(scores.buckets), np.int64)
        known = window.positions >= 0
        aligned[window.positions[known]] = counts[known]
        if scores.pivot == 0.0:
            tests.append(self._zero(aligned))
        heavy = scores.heavy.tolist()
        return tests + smallest_p([self._value("value", at, aligned) for at in heavy])

    def _zero(self, aligned: Integers) -> TestStatistic:
        position = np.flatnonzero(self.scores.buckets == 0)
        if len(position):
            return self._value("zero", int(position[0]), aligned)
        count = int(self.window.counts[self.window.buckets == 0].sum())
        return self._share("zero", count, 0.0, self.effective_sample_fraction)

    def _value(self, name: str, position: int, aligned: Integers) -> TestStatistic:
        """The test of a single value of the reference; `aligned` are the counts by position."""
        return self._share(
            name,
            int(aligned[position]),
            float(self.scores.counts[position]),
            self.effective_sample_fraction,
            day_variance=value_variance(self.scores, position, self.rules.day_sd),
        )

    def _share(
        self,
        name: str,
        count: int,
        reference_count: float,
        effective_sample_fraction: float,
        *,
        one_sided: bool = False,
        day_variance: float | None = None,
    ) -> TestStatistic:
        m = self.scores.m
        return share_test(
            name,
            count,
            self.window.n,
            reference_count=reference_count,
            m=m,
            rules=self.rules,
            effective_sample_fraction=effective_sample_fraction,
            one_sided=one_sided,
            day_variance=day_variance,
            probit_variance=tail_variance(expected_share(reference_count, m), self.rules.day_sd),
        )
