"""Values that the reference hardly knows, and what they say about values it never saw.

Good & Turing: the probability of all unseen values together is about the share of the values seen
once. That holds where rows are drawn one by one. Rows often come in groups with one value: the
stations of one hour share its temperature, an order has several lines, a file is played twice. A
reference of such rows has no value that it saw once, though it lacks many. So the estimate is made
with groups in place of rows where nearly all rare values were seen a multiple of times.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streaming.grid import Integers

MAX_GROUP_ROWS = 20
"""Larger groups are not looked for."""
GROUP_SHARE = 0.8
"""Share of the rare values whose rows must be whole groups. Of values that are drawn one by one
about one in g was seen a multiple of g times."""
MIN_RARE_VALUES = 20
"""Fewer rare values than this show no groups."""


@dataclass(frozen=True, slots=True)
class RareValues:
    """The rare values of a reference."""

    group_rows: int
    """Rows of a group with one value; 1 where rows are drawn one by one."""
    rows: int
    """Rows of the values that one group brought."""
    once: int
    """Number of these values."""
    twice: int
    """Number of the values that two groups brought."""

    def unseen_fraction(self, rows: float, m: float, n: int) -> float:
        """Effective sample fraction of the estimated probability of unseen values, at most 1.

        Its error has the variance (seen once + 2 seen twice) g^2 / m^2 (Good 1953, for groups of
        g rows), which is larger than the binomial variance, as if there were fewer rows.

        Parameters
        ----------
        rows:
            The estimate times `m`: `self.rows`, and rows of values that are not listed.
        m, n:
            Rows of the reference and of the window.
        """
        if self.group_rows == 1:
            return rows / (rows + 2.0 * self.twice) if rows else 1.0
        unlisted = max(0.0, rows - self.rows)
        variance = self.group_rows**2 * (self.once + 2.0 * self.twice) + unlisted
        return self._in_groups(rows / variance if rows else 1.0 / self.group_rows, m, n)

    def range_fraction(self, m: float, n: int) -> float:
        """The same of the probability of values beyond the reference's range."""
        return self._in_groups(1.0 / self.group_rows, m, n)

    def _in_groups(self, fraction: float, m: float, n: int) -> float:
        """A window's rows come in groups too: what its binomial variance lacks is added here."""
        return fraction / (1.0 + (self.group_rows - 1) * fraction * m / n)


def rare_values(counts: Integers) -> RareValues:
    """The rare values of a reference, by the rows of each value.

    >>> rare_values(np.array([500, 1, 1, 2]))
    RareValues(group_rows=1, rows=2, once=2, twice=1)
    >>> rare_values(np.array([900, *[4] * 30, *[8] * 10, 5]))
    RareValues(group_rows=4, rows=120, once=30, twice=11)
    """
    g = _group_rows(counts)
    once = counts <= g
    return RareValues(
        group_rows=g,
        rows=int(counts[once].sum()),
        once=int(once.sum()),
        twice=int(((counts > g) & (counts <= 2 * g)).sum()),
    )


def _group_rows(counts: Integers) -> int:
    """The largest g for which the rows of the rare values are whole groups."""
    frequency = np.bincount(counts[counts <= 4 * MAX_GROUP_ROWS], minlength=4 * MAX_GROUP_ROWS + 1)
    for g in range(MAX_GROUP_ROWS, 1, -1):
        rare = frequency[1 : 4 * g + 1]
        if rare.sum() >= MIN_RARE_VALUES and rare[g - 1 :: g].sum() >= GROUP_SHARE * rare.sum():
            return g
    return 1
