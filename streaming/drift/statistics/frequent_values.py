"""Test of the values that are frequent in the window and were not in the reference.

The values to test are chosen by the window, so each of them is tested against all values that the
window could have chosen. A value whose share of the reference is about s has the part s of the
test's level (weighted Bonferroni; Genovese, Roeder & Wasserman 2006). The shares of all values add
up to 1, however many values there are and whether the reference has seen them or not, so the parts
never exceed the level.

A value that the reference saw c times in m rows has the estimated share s = (c + 1/2) / (m + 1),
with the error of a Gamma distribution of shape s m. Its count in n rows is then negative binomial
(Greenwood & Yule 1920):

    p = P(at least k) / s = I_{n / (n + m)}(k, s m) / s.

Between days a share has the variance min(v s, 4 s^2), as if it were known from 1 / min(v, 4 s)
rows: as a Dirichlet distribution has it (v is the between-day variance in units of s (1 - s)), but
a rare value does not vary by more than twice its own size. Otherwise the shares of the many values
that were seen once would have to jump from day to day, and the reference, in which they are rare,
says that they do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace
from scipy import special

from streaming.drift.settings import DriftRules
from streaming.drift.statistics.proportions import min_share, share_effects
from streaming.drift.statistics.statistic import TestStatistic
from streaming.grid import Floats, Integers

NAME = "frequent_value"
"""Name of the test."""
_MAX_RELATIVE_VARIANCE = 4.0
"""Largest between-day variance of a share, divided by the square of the share."""
_ROUNDING = 1e-9
"""Relative error that `ReferenceValues.least_shares` allows for."""


@dataclass(frozen=True, slots=True, eq=False)
class ReferenceValues:
    """The values of a reference, and last a value that it does not list."""

    counts: Floats
    """Largest number of rows that each value may have."""
    own_test: npt.NDArray[np.bool_]
    """Which of the values have a test of their own."""
    m: int
    """Rows of the reference."""
    _least_shares: dict[tuple[float, float], Floats] = field(default_factory=dict)

    def least_shares(self, rules: DriftRules) -> Floats:
        """For each value, a share of the window below which its growth is no finding: it is not
        frequent, or its effect is below the floor. Infinite for values with a test of their own.

        It is computed once for a reference, so that in most windows one comparison is enough.

        >>> values = ReferenceValues(np.array([30.0, 0.0]), np.array([False, False]), 1_000)
        >>> values.least_shares(DriftRules()).round(3).tolist()
        [0.051, 0.005]
        """
        key = rules.share_floor, rules.suspected_sd
        if key not in self._least_shares:
            least = min_share(rules)
            cut = np.minimum(np.maximum(self.counts / self.m, least), 1.0 - least)
            shares = special.ndtr(special.ndtri(cut) + rules.suspected_sd)
            shares = np.where(shares > least * (1.0 + _ROUNDING), shares, 0.0)
            shares = np.maximum(shares, rules.share_floor) * (1.0 - _ROUNDING)
            self._least_shares[key] = np.where(self.own_test, np.inf, shares)
        return self._least_shares[key]


def frequent_value_test(
    counts: Integers,
    reference: ReferenceValues,
    positions: Integers,
    *,
    n: int,
    rules: DriftRules,
    effective_sample_fraction: float,
    day_variances: Callable[[Integers, Floats], Floats],
    value_of: Callable[[int], int | str],
    left_out: int = -1,
) -> TestStatistic:
    """The value whose growth is the least probable, with the p of all of them together.

    Parameters
    ----------
    counts:
        Rows of each value in the window.
    positions:
        The position of each of these values in `reference`; -1 where it does not list it.
    n:
        Rows of the window.
    effective_sample_fraction:
        Scales the rows of the reference (at most 1), as in `proportions.share_test`.
    day_variances:
        Between-day variances of the shares of some values (their indices, their expected shares)
        in units of p (1 - p).
    value_of:
        The value of an index: its bucket on the grid, or the category.
    left_out:
        Index of a value that has a test of its own though the reference does not list it.
    """
    m, day_sd = reference.m, rules.day_sd.categories
    test = TestStatistic(
        name=NAME,
        statistic=0.0,
        p=1.0,
        effect=0.0,
        n=n,
        variance_ratio=n * (day_sd**2 + 1.0 / (m * effective_sample_fraction)),
        one_sided=True,
    )
    frequent = (counts >= reference.least_shares(rules)[positions] * n).nonzero()[0]
    if not len(frequent):
        return test
    window_counts, before = counts[frequent], reference.counts[positions[frequent]]
    shares = (before + 0.5) / (m + 1.0)  # `proportions.expected_share`
    effects = share_effects(window_counts / n, before / m, rules)
    # a growth below the floor is no finding and must not hide another value's
    kept = effects >= rules.suspected_sd
    kept &= frequent != left_out
    kept &= (
        (window_counts > rules.share_floor * n)
        & (window_counts > n * shares)
        & (window_counts / n > before / m)
    )
    if not kept.any():
        return test
    frequent, window_counts, shares, effects = (
        frequent[kept],
        window_counts[kept],
        shares[kept],
        effects[kept],
    )
    rare = np.minimum(day_variances(frequent, shares), _MAX_RELATIVE_VARIANCE * shares)
    rows = 1.0 / (1.0 / (m * effective_sample_fraction) + rare)
    p = np.minimum(1.0, special.betainc(window_counts, shares * rows, n / (n + rows)) / shares)
    least = int(np.lexsort((-effects, p))[0])
    growth = counts / n - reference.counts[positions] / m
    all_growth = np.where((counts > rules.share_floor * n) & (growth > 0.0), growth, 0.0)
    return replace(
        test,
        statistic=float(window_counts[least] / n),
        p=float(p[least]),
        effect=float(effects[least]),
        partial=bool(2.0 * all_growth[frequent[least]] < all_growth.sum()),
        value=value_of(int(frequent[least])),
    )
