"""Tests of a numeric feature: location, dispersion, shape, and shares of its values.

Among the shares are those of single grid buckets: frequent ones of the reference for any change,
all others that are frequent in the window for growth (`frequent_values`).

A shift by d standard deviations raises the mean square of the normal scores by d^2, so the
dispersion score by d^2 / sqrt(2). The effect of the dispersion is net of that: the variance of the
scores is compared, not their mean square. Its p-value is not, and the effect is never larger than
that of the mean square, so the correction raises no alarm.

A reference with two values has one share, and any effect of it is at most that of the share on the
probit scale (`proportions.share_effect`). So a flag has the same effects as a number and as a
category.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from msgspec.structs import replace

from streaming.drift.day_variance import BetweenDaySd
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.frequent_values import frequent_value_test
from streaming.drift.statistics.propagated_variance import (
    gap_variances,
    shape_variances,
    tail_variance,
    value_variances,
)
from streaming.drift.statistics.proportions import (
    at_most,
    expected_share,
    share_effect,
    share_test,
    smallest_p,
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
ZERO_BUCKET = 0
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
    tests = _net_of_location(tests, scores)
    if minority_rows >= MIN_MINORITY_ROWS_SHAPE and not scores.two_valued:
        exact = minority_rows >= MIN_MINORITY_ROWS_EXACT
        tests += _shape(scores, means, n, m, day_sd, exact_tail=exact)
    if scores.two_valued:
        first = int(window.counts[window.buckets <= scores.buckets[0]].sum())
        limit = share_effect(first / n, float(scores.shares[0]), rules)
        tests = [replace(test, effect=at_most(test.effect, limit)) for test in tests]
    value_tests = _ValueTests(scores, window, rules, day_sd, effective_sample_fraction)
    return tests + value_tests.all()


def _net_of_location(tests: list[TestStatistic], scores: NumericScores) -> list[TestStatistic]:
    """The location and the dispersion, with the part of the location taken off the dispersion."""
    if [test.name for test in tests] != ["location", "dispersion"]:
        return tests
    location, dispersion = tests
    net = dispersion.effect - scores.curvature * location.effect**2
    return [location, replace(dispersion, effect=at_most(net, dispersion.effect))]


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
    day_sd: BetweenDaySd
    effective_sample_fraction: float

    def all(self) -> list[TestStatistic]:
        """Values beyond the reference's range, unseen values, zero, other frequent values."""
        scores, window = self.scores, self.window
        inside = slice(
            window.buckets.searchsorted(scores.buckets[0]),
            window.buckets.searchsorted(scores.buckets[-1], side="right"),
        )
        aligned = np.zeros(len(scores.buckets) + 1, np.int64)
        aligned[window.positions] = window.counts  # unseen buckets have position -1
        aligned[-1] = 0
        rare, fraction = scores.rare, self.effective_sample_fraction
        variances = value_variances(scores, self.day_sd)
        tests = [
            # After m rows, the next value lies beyond either end with probability 1 / (m + 1).
            self._share(
                "range",
                window.n - int(window.counts[inside].sum()),
                1.5 * rare.group_rows,
                fraction * rare.range_fraction(scores.m, window.n),
                one_sided=True,
            ),
            self._share(
                "unseen",
                window.n - int(aligned.sum()),
                # where every value was seen once, the next one may still be one of them
                min(rare.rows + 0.5 * rare.group_rows, scores.m),
                fraction * rare.unseen_fraction(rare.rows, scores.m, window.n),
                one_sided=True,
            ),
            self._zero(aligned, variances),
        ]
        heavy = zip(scores.heavy.tolist(), variances, strict=False)  # the last may be of zero
        tests += smallest_p([self._value("value", at, aligned, variance) for at, variance in heavy])
        return [*tests, self._frequent_value()]

    def _frequent_value(self) -> TestStatistic:
        """The test of the buckets that have no test of their own."""
        scores, window = self.scores, self.window
        return frequent_value_test(
            window.counts,
            scores.values,
            window.positions,
            n=window.n,
            rules=self.rules,
            effective_sample_fraction=self.effective_sample_fraction,
            day_variances=lambda at, shares: gap_variances(
                scores, window.columns[at], shares, self.day_sd
            ),
            value_of=lambda at: int(window.buckets[at]),
            left_out=window.zero if scores.zero < 0 else -1,
        )

    def _zero(self, aligned: Integers, variances: Sequence[float]) -> TestStatistic:
        if self.scores.zero >= 0:
            return self._value("zero", self.scores.zero, aligned, variances[-1])
        at = self.window.zero
        count = int(self.window.counts[at]) if at >= 0 else 0
        return self._share("zero", count, 0.0, self.effective_sample_fraction, value=ZERO_BUCKET)

    def _value(
        self, name: str, position: int, aligned: Integers, day_variance: float
    ) -> TestStatistic:
        """The test of a single value of the reference; `aligned` are the counts by position."""
        return self._share(
            name,
            int(aligned[position]),
            float(self.scores.counts[position]),
            self.effective_sample_fraction,
            day_variance=day_variance,
            value=int(self.scores.buckets[position]),
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
        value: int | None = None,
    ) -> TestStatistic:
        m = self.scores.m
        probit_variance = None
        if day_variance is None:
            probit_variance = tail_variance(expected_share(reference_count, m), self.day_sd)
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
            probit_variance=probit_variance,
            value=value,
        )
