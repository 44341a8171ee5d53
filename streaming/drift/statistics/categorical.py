"""Tests of a categorical feature: all shares at once, single frequent values, unseen values.

All shares at once: chi-square against the reference's shares. Rare categories are pooled so that
every bin expects enough rows. The effect is Cohen's w (1988) without its bias,
sqrt(max(0, sum (p - q)^2 / q - (K - 1)(1/n + 1/m))).

Single values: the exact binomial test of each frequent category against all others. Its effect is
the w of these two bins, so both kinds of test have the same scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from msgspec.structs import replace

from streaming.contracts.records import Categories
from streaming.drift.settings import DriftRules
from streaming.drift.statistics.proportions import (
    HEAVY,
    MAX_HEAVY,
    share_test,
    smallest_p,
    unseen_mass_fraction,
)
from streaming.drift.statistics.pvalues import chi_square_tail
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats, Integers

MIN_EXPECTED_COUNT = 10
"""Minimum number of rows that each chi-square bin expects, in the window and in the reference."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
    singletons: int
    """Number of values seen exactly once."""
    doubletons: int
    """Number of values seen exactly twice."""
    error: int = 0
    """Maximum number of rows by which a count may be too low."""

    @property
    def heavy(self) -> Integers:
        """Positions of the categories that have a test of their own."""
        heavy = np.flatnonzero(self.counts > HEAVY * self.m)[:MAX_HEAVY]
        # A reference with a single value has no test of it: every other value is unseen.
        return heavy[self.counts[heavy] < self.m]

    def align(self, categories: Categories) -> AlignedCategories:
        """A window's counts in the order of the reference's categories."""
        counts: Integers = np.zeros(len(self.counts), np.int64)
        unseen = categories.tail_rows
        for value, count in zip(categories.values, categories.counts, strict=True):
            position = self.index.get(value)
            if position is None:
                unseen += count
            else:
                counts[position] = count
        return AlignedCategories(
            counts=counts, unseen=unseen, tail=categories.tail_rows, error=categories.error
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AlignedCategories:
    """A window's counts in the order of a reference's categories."""

    counts: Integers
    unseen: int
    """Rows of all values that the reference does not have, those of `tail` included."""
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
    if not categories.values:
        return None
    counts = np.array(categories.counts, np.int64)
    return ReferenceCategories(
        m=m,
        index={value: position for position, value in enumerate(categories.values)},
        counts=counts,
        tail=categories.tail_rows,
        singletons=int((counts == 1).sum()),
        doubletons=int((counts == 2).sum()),
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
    rare_rows = reference.tail + reference.singletons
    unseen_test = share_test(
        "unseen",
        unseen,
        n,
        reference_count=rare_rows,
        m=reference.m,
        rules=rules,
        effective_sample_fraction=effective_sample_fraction
        * unseen_mass_fraction(rare_rows, reference.doubletons),
        one_sided=True,
    )
    return [
        unseen_test,
        *_chi_square(reference, counts, remainder, rules, effective_sample_fraction),
        *_single_values(reference, counts, n, rules, effective_sample_fraction),
    ]


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

    Unseen values join the reference's tail. Without a tail they are left to the test of unseen
    values.
    """
    window_tail = unseen if reference.tail else 0
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
    variance_ratio = n * (rules.day_sd.categories**2 + 1.0 / m)
    null_bias = degrees * (1.0 / n + 1.0 / reference_rows)
    return [
        TestStatistic(
            name="category",
            statistic=n * distance,
            p=chi_square_tail(n * distance, degrees, variance_ratio),
            effect=sqrt(max(0.0, distance - null_bias)),
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
            day_variance=rules.day_sd.categories**2,
        )
        share = reference_count / reference.m
        sd = sqrt(max(share * (1.0 - share), rules.share_floor))
        tests.append(replace(test, effect=(count / n - share) / sd))
    return smallest_p(tests)
