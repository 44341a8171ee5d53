"""Tests of a categorical feature: all shares at once, single frequent values, unseen values.

Frequent values are tested one by one on both sides: those of the reference for any change
("value"), all others that are frequent in the window for growth (`frequent_values`).

All shares at once: chi-square against the reference's shares. Rare categories are pooled so that
every bin expects enough rows. The effect is Cohen's w (1988) without its bias,
sqrt(max(0, sum (p - q)^2 / q - (K - 1)(1/n + 1/m))).

Single values: the exact binomial test of each frequent category against all others. Its effect is
the difference on the probit scale, as that of every share (`proportions`). With two bins there is
only one share: w is then at most that difference, so a flag has the same effects as a number and as
a category.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from math import inf, sqrt

import numpy as np

from streaming.contracts.records import Categories
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.frequent_values import ReferenceValues, frequent_value_test
from streaming.drift.statistics.proportions import (
    HEAVY,
    MAX_HEAVY,
    at_most,
    share_effect,
    share_test,
    smallest_p,
)
from streaming.drift.statistics.pvalues import chi_square_tail
from streaming.drift.statistics.rare_values import RareValues, rare_values
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats, Integers

MIN_EXPECTED_COUNT = 10
"""Minimum number of rows that each chi-square bin expects, in the window and in the reference."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceCategories:
    """Category counts of a reference, prepared for comparison with windows."""

    m: int
    """Rows of the reference with a value."""
    index: dict[str, int]
    """Position of each category in `counts`."""
    counts: Integers
    """Rows of each category, in descending order."""
    tail: int
    """Rows of the values that the reference dropped because it keeps a bounded number of them."""
    rare: RareValues
    """The rare values."""
    error: int = 0
    """Maximum number of rows by which a count may be too low."""

    @cached_property
    def heavy(self) -> Integers:
        """Positions of the categories that have a test of their own."""
        heavy = np.flatnonzero(self.counts > HEAVY * self.m)[:MAX_HEAVY]
        # A reference with a single value has no test of it: every other value is unseen.
        return heavy[self.counts[heavy] < self.m]

    @cached_property
    def reference_values(self) -> ReferenceValues:
        """The categories, and last one that is not listed."""
        own_test = np.zeros(len(self.counts) + 1, bool)
        own_test[self.heavy] = True
        return ReferenceValues(np.append(self.counts, 0.0) + self.error, own_test, self.m)

    def align(self, categories: Categories) -> AlignedCategories:
        """A window's counts in the order of the reference's categories."""
        counts: Integers = np.zeros(len(self.counts), np.int64)
        unseen, unseen_counts = categories.tail_rows, {}
        for value, count in zip(categories.values, categories.counts, strict=True):
            position = self.index.get(value)
            if position is None:
                unseen += count
                unseen_counts[value] = count
            else:
                counts[position] = count
        return AlignedCategories(
            counts=counts,
            unseen=unseen,
            unseen_counts=unseen_counts,
            tail=categories.tail_rows,
            error=categories.error,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlignedCategories:
    """A window's counts in the order of a reference's categories."""

    counts: Integers
    unseen: int
    """Rows of all values that the reference does not have, those of `tail` included."""
    unseen_counts: Mapping[str, int]
    """Rows of each of these values that the window lists."""
    tail: int
    """Rows of the values that the window dropped because it keeps a bounded number of them."""
    error: int
    """Maximum number of rows by which a count may be too low."""

    @property
    def n(self) -> int:
        """All counted rows."""
        return int(self.counts.sum()) + self.unseen


def prepare_categorical(categories: Categories) -> ReferenceCategories | None:
    """The categories of a reference; None when it counted nothing."""
    m = sum(categories.counts) + categories.tail_rows
    if not m:
        return None
    counts = np.array(categories.counts, np.int64)
    return ReferenceCategories(
        m=m,
        index={value: position for position, value in enumerate(categories.values)},
        counts=counts,
        tail=categories.tail_rows,
        rare=rare_values(counts),
        error=categories.error,
    )


def categorical_tests(
    reference: ReferenceCategories,
    window: AlignedCategories,
    rules: DriftRules,
    effective_sample_fraction: float = 1.0,
) -> list[TestStatistic]:
    """All tests of a window's counted values, which are at least one.

    `effective_sample_fraction` (at most 1) scales the number of reference rows.
    """
    counts, unseen, remainder, n = window.counts, window.unseen, window.unseen, window.n
    if window.error or reference.error:
        counts, unseen, remainder = _closest_to_reference(reference, window, n)
    rare_rows = reference.tail + reference.rare.rows
    if reference.error:
        rare_rows = _rare_rows(reference)
    unseen_test = share_test(
        "unseen",
        unseen,
        n,
        reference_count=rare_rows,
        m=reference.m,
        rules=rules,
        effective_sample_fraction=effective_sample_fraction
        * reference.rare.unseen_fraction(rare_rows, reference.m, n),
        one_sided=True,
    )
    return [
        unseen_test,
        *_chi_square(reference, counts, remainder, rules, effective_sample_fraction),
        *_single_values(reference, counts, n, rules, effective_sample_fraction),
        _frequent_value(reference, window, rules, effective_sample_fraction),
    ]


def _rare_rows(reference: ReferenceCategories) -> int:
    """m times the probability of the values that a bounded reference does not list (Good & Turing).

    Values seen r times have the probability (r + 1) N(r + 1) / m together. All values seen less
    often than the error are not listed, and a part of those seen as often.
    """
    counts, error = reference.counts, reference.error
    at_error = int(counts[counts <= error].sum())
    unlisted = reference.tail / (reference.tail + at_error) if reference.tail else 0.0
    following = int(counts[counts == error + 1].sum())
    return reference.tail + at_error + round(unlisted * following)


def _closest_to_reference(
    reference: ReferenceCategories, window: AlignedCategories, n: int
) -> tuple[Integers, int, int]:
    """The window's counts if every counting error worked against a finding.

    A change that remains cannot come from the counting errors of the two sides. The second figure
    is the smallest number of unseen rows, because rows of the tail may hold known values. The third
    is the number of rows that these counts leave over.
    """
    counts, scale = window.counts, n / reference.m
    low, high = counts - np.ceil(reference.error * scale), counts + window.error
    clipped = np.clip(np.rint(reference.counts * scale), np.maximum(0, low), high)
    closest: Integers = clipped.astype(np.int64)
    hidden = min(window.tail, window.error * len(counts))
    return closest, max(0, window.unseen - hidden), max(0, n - int(closest.sum()))


def _chi_square(
    reference: ReferenceCategories,
    counts: Integers,
    unseen: int,
    rules: DriftRules,
    effective_sample_fraction: float,
) -> list[TestStatistic]:
    """Chi-square over pooled bins.

    Unseen values join the rare values of the reference and those of its tail, because in
    another sample these are unseen. Without such values they are left to the test of unseen values.
    """
    window_tail = unseen if reference.tail or reference.rare.rows else 0
    n = int(counts.sum()) + window_tail
    reference_rows = int(reference.counts.sum()) + reference.tail
    if n < rules.min_rows:
        return []
    m = reference_rows * effective_sample_fraction
    observed, expected = _pool(
        counts, reference.counts / reference_rows, window_tail, min(n, reference_rows)
    )
    degrees = len(observed) - 1
    if degrees < 1:
        return []
    distance = float(np.sum((observed / n - expected) ** 2 / expected))
    share_limit = inf
    if degrees == 1:
        share_limit = share_effect(float(observed[0]) / n, float(expected[0]), rules)
    variance_ratio = n * (rules.day_sd.categories**2 + 1.0 / m)
    null_bias = degrees * (1.0 / n + 1.0 / reference_rows)
    return [
        TestStatistic(
            name="category",
            statistic=n * distance,
            p=chi_square_tail(n * distance, degrees, variance_ratio),
            effect=at_most(sqrt(max(0.0, distance - null_bias)), share_limit),
            n=n,
            variance_ratio=variance_ratio,
            exact_tail=False,
            degrees=degrees,
            null_bias=null_bias,
        )
    ]


def _pool(
    counts: Integers, expected: Floats, window_tail: int, fewer_rows: int
) -> tuple[Floats, Floats]:
    """Observed counts and expected shares of the chi-square bins.

    Each bin expects enough of `fewer_rows`, the smaller number of rows of window and reference. All
    other categories share one more bin if that expects enough too.
    """
    kept = int(np.searchsorted(-expected, -MIN_EXPECTED_COUNT / fewer_rows, side="right"))
    remainder = 1.0 - float(expected[:kept].sum())
    while kept and 1e-12 < remainder < MIN_EXPECTED_COUNT / fewer_rows:
        kept -= 1
        remainder += float(expected[kept])
    bins = [*counts[:kept].tolist()]
    shares = [*expected[:kept].tolist()]
    if remainder > 1e-12:
        bins.append(int(counts[kept:].sum()) + window_tail)
        shares.append(remainder)
    return np.array(bins, float), np.array(shares, float)


def _single_values(
    reference: ReferenceCategories,
    counts: Integers,
    n: int,
    rules: DriftRules,
    effective_sample_fraction: float,
) -> list[TestStatistic]:
    """The test of the frequent category with the smallest p."""
    tests = []
    names = tuple(islice(reference.index, MAX_HEAVY))
    day_variance = rules.day_sd.categories**2
    for position in reference.heavy.tolist():
        reference_count, count = int(reference.counts[position]), int(counts[position])
        test = share_test(
            "value",
            count,
            n,
            reference_count=reference_count,
            m=reference.m,
            rules=rules,
            effective_sample_fraction=effective_sample_fraction,
            day_variance=day_variance,
            value=names[position],
        )
        tests.append(test)
    return smallest_p(tests)


def _frequent_value(
    reference: ReferenceCategories,
    window: AlignedCategories,
    rules: DriftRules,
    effective_sample_fraction: float,
) -> TestStatistic:
    """The test of the values that are frequent in the window and were not in the reference.

    The window's counts are never too high. A value that the reference does not list may have as
    many rows of its tail as the error bound says.
    """
    counts, positions = window.counts, np.arange(len(window.counts))
    if window.unseen_counts:
        new = np.array([*window.unseen_counts.values()], np.int64)
        counts = np.concatenate((counts, new))
        positions = np.concatenate((positions, np.full(len(new), -1)))
    day_variance = rules.day_sd.categories**2
    return frequent_value_test(
        counts,
        reference.reference_values,
        positions,
        n=window.n,
        rules=rules,
        effective_sample_fraction=effective_sample_fraction,
        day_variances=lambda _, shares: np.full(len(shares), day_variance),
        value_of=lambda at: [*reference.index, *window.unseen_counts][at],
    )
