"""The tests of a categorical feature: all shares together, the heavy ones alone, unseen values.

Together: chi-square against the reference's shares, with rare categories pooled so that every
cell expects enough rows, and Cohen's w (1988) with its bias removed as the effect:
sqrt(max(0, sum (p - q)^2 / q - (K - 1)(1/n + 1/m))). Alone: the exact binomial of each heavy
category against the rest; its effect is the w of those two cells, so it stays on one scale.
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
    worst_of,
    worth_of_never_seen,
)
from streaming.drift.statistics.pvalues import chi_square_tail
from streaming.drift.statistics.statistic import Evidence
from streaming.grid import Floats, Integers

ENOUGH_EXPECTED = 10
"""Every cell of the chi-square expects at least so many rows, of window and of reference."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CategoryShares:
    """A reference's categories, ready to be compared with."""

    m: int
    places: dict[str, int]
    counts: Integers
    """In descending order."""
    tail: int
    """Rows of values that the bound cut off."""
    once: int
    """Values seen exactly once, …"""
    twice: int
    """… and twice."""
    error: int = 0
    """Rows that a value may have beyond its count."""

    @property
    def heavy(self) -> Integers:
        """Places of the categories that are tested alone."""
        found = np.flatnonzero(self.counts > HEAVY * self.m)[:MAX_HEAVY]
        return found[self.counts[found] < self.m]  # the only value: what is not it, is unseen

    def placed(self, categories: Categories) -> PlacedCategories:
        """A window's counts, each at its place."""
        now: Integers = np.zeros(len(self.counts), np.int64)
        unseen = categories.tail_rows
        for value, count in zip(categories.values, categories.counts, strict=True):
            place = self.places.get(value)
            if place is None:
                unseen += count
            else:
                now[place] = count
        return PlacedCategories(
            counts=now, unseen=unseen, tail=categories.tail_rows, error=categories.error
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedCategories:
    """A window's counts in the order of a reference's categories."""

    counts: Integers
    unseen: int
    """Rows of all other values."""
    tail: int
    """Those of them whose value was not told."""
    error: int
    """Rows that a value may have beyond its count."""

    @property
    def n(self) -> int:
        """All counted rows."""
        return int(self.counts.sum()) + self.unseen


def prepare_categories(categories: Categories) -> CategoryShares | None:
    """The shares of a reference; None when it counted nothing."""
    m = sum(categories.counts) + categories.tail_rows
    if not categories.values:
        return None
    counts = np.array(categories.counts, np.int64)
    return CategoryShares(
        m=m,
        places={value: at for at, value in enumerate(categories.values)},
        counts=counts,
        tail=categories.tail_rows,
        once=int((counts == 1).sum()),
        twice=int((counts == 2).sum()),
        error=categories.error,
    )


def category_tests(
    shares: CategoryShares, window: PlacedCategories, rules: DriftRules, worth: float = 1.0
) -> list[Evidence]:
    """All tests of a window's counted values, which are at least one.

    The reference's rows count for `worth` (at most 1) of themselves.
    """
    now, unseen, rest, n = window.counts, window.unseen, window.unseen, window.n
    if window.error or shares.error:
        now, unseen, rest = _nearest(shares, window, n)
    before = shares.tail + shares.once
    news = share_test(
        "unseen",
        unseen,
        n,
        before=before,
        m=shares.m,
        rules=rules,
        worth=worth * worth_of_never_seen(before, shares.twice),
        only_more=True,
    )
    together = _together(shares, now, rest, rules, worth)
    return [news, *together, *_alone(shares, now, n, rules, worth)]


def _nearest(shares: CategoryShares, window: PlacedCategories, n: int) -> tuple[Integers, int, int]:
    """The counts nearest to no change that the errors of both sides allow: what a test then
    finds cannot come from them. Then the fewest unseen rows, as those of the tail may be known
    values', and the rows left beside these counts."""
    now, scale = window.counts, n / shares.m
    low, high = now - np.ceil(shares.error * scale), now + window.error
    near = np.clip(np.rint(shares.counts * scale), np.maximum(0, low), high)
    likely: Integers = near.astype(np.int64)
    hidden = min(window.tail, window.error * len(now))
    return likely, max(0, window.unseen - hidden), max(0, n - int(likely.sum()))


def _together(
    shares: CategoryShares, now: Integers, unseen: int, rules: DriftRules, worth: float
) -> list[Evidence]:
    """Chi-square over pooled cells. Unseen values join the tail, or, where the reference has
    none, are left to their own test."""
    tail_now = unseen if shares.tail else 0
    n, counted = int(now.sum()) + tail_now, int(shares.counts.sum()) + shares.tail
    if n < rules.min_rows:
        return []
    m = counted * worth
    observed, expected = _pool(now, shares.counts / counted, tail_now, n, min(n, counted))
    degrees = len(observed) - 1
    if degrees < 1:
        return []
    gaps = float(np.sum((observed / n - expected) ** 2 / expected))
    persistence = n * (rules.wobble.categories**2 + 1.0 / m)
    by_chance = degrees * (1.0 / n + 1.0 / counted)
    return [
        Evidence(
            name="category",
            statistic=n * gaps,
            p=chi_square_tail(n * gaps, degrees, persistence),
            effect=sqrt(max(0.0, gaps - by_chance)),
            n=n,
            persistence=persistence,
            alone=False,
            degrees=degrees,
            by_chance=by_chance,
        )
    ]


def _pool(
    now: Integers, expected: Floats, tail_now: int, n: int, fewer: int
) -> tuple[Floats, Floats]:
    """Cells that expect enough of the `fewer` rows of window and reference, and one for all others
    if that expects enough too."""
    kept = int(np.searchsorted(-expected, -ENOUGH_EXPECTED / fewer, side="right"))
    rest = 1.0 - float(expected[:kept].sum())
    while kept and 1e-12 < rest < ENOUGH_EXPECTED / fewer:
        kept -= 1
        rest += float(expected[kept])
    cells = [*now[:kept].tolist()]
    shares = [*expected[:kept].tolist()]
    if rest > 1e-12:
        cells.append(int(now[kept:].sum()) + tail_now)
        shares.append(rest)
    return np.array(cells, float), np.array(shares, float)


def _alone(
    shares: CategoryShares, now: Integers, n: int, rules: DriftRules, worth: float
) -> list[Evidence]:
    tests = []
    for place in shares.heavy.tolist():
        before, count = int(shares.counts[place]), int(now[place])
        test = share_test(
            "value",
            count,
            n,
            before=before,
            m=shares.m,
            rules=rules,
            worth=worth,
            wobble=rules.wobble.categories**2,
        )
        share = before / shares.m
        spread = sqrt(max(share * (1.0 - share), rules.share_floor))
        tests.append(replace(test, effect=(count / n - share) / spread))
    return worst_of(tests)
