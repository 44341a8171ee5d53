"""What one test says, before it is compared with a limit."""

from __future__ import annotations

import msgspec

from streaming.contracts.records import TestResult


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One test of one feature in one window. A struct, because a window makes thousands."""

    name: str
    statistic: float
    """z for linear scores, chi-square for shape and category, the share for shares."""
    p: float
    """Two-sided, under sampling and persistent error."""
    effect: float
    """Signed, in standard deviations."""
    n: int
    persistence: float
    """Variance of the persistent error over that of the sampling error."""
    weight: float = 1.0
    """Part of the feature's budget."""
    shares: tuple[float, ...] = ()
    """Null shares of an exact binomial test, several where the worst of them was taken; empty for
    a test whose p takes every value."""
    m: float = 0.0
    """Rows from which those shares are known."""
    only_more: bool = False
    """Whether the share can only be too large."""
    alone: bool = True
    """Whether its tail is exact enough to suspect after a single window."""

    degrees: int = 0
    """Of freedom of a chi-square; 0 for the others."""
    by_chance: float = 0.0
    """What was taken off such a test's squared effect."""
    weights: tuple[float, ...] = ()
    """Of the squares in its sum, where they are not all 1 + `persistence`."""

    def result(self) -> TestResult:
        """The record of it."""
        return TestResult(name=self.name, statistic=self.statistic, p=self.p, effect=self.effect)
